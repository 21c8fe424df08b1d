from __future__ import annotations

from gateway.pages import PAGE, every, visible


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


def test_what_may_not_be_seen_leaves_no_trace_in_a_page() -> None:
    records = list(range(1, 3 * PAGE))
    asked = []

    def page(after: int, limit: int) -> list[int]:
        asked.append(after)
        return [record for record in records if record > after][:limit]

    def seen(after: int, limit: int, rule: int) -> tuple[list[int], int | None]:
        return visible(page, lambda one: one, after, limit, lambda one: one % rule == 0)

    assert seen(0, 2, 7) == ([7, 14], 14)
    assert seen(14, 2, 7) == ([21, 28], 28)
    assert seen(0, 2, 200) == ([200], None), "what is hidden does not fill a page"
    assert seen(0, 2, 1_000) == ([], None)
    asked.clear()
    assert seen(0, PAGE, 1) == (records[:PAGE], PAGE)
    assert asked == [0], "no more is read than is shown"
