from __future__ import annotations

from gateway.pages import PAGE, every


def test_every_record_is_met_once_whatever_the_size_of_a_page() -> None:
    records = list(range(1, 3 * PAGE + 8))

    def page(after: int, limit: int) -> list[int]:
        return [record for record in records if record > after][:limit]

    for size in (1, 7, PAGE, len(records), len(records) + 1):
        assert list(every(page, lambda record: record, 0, size)) == records


def test_records_that_are_removed_meanwhile_do_not_hide_others() -> None:
    records = set(range(1, 250))

    def page(after: int, limit: int) -> list[int]:
        return sorted(record for record in records if record > after)[:limit]

    met = []
    for record in every(page, lambda record: record, 0):
        records.discard(record)
        met.append(record)
    assert met == list(range(1, 250))
