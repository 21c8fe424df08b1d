from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from gateway.artifacts.age import generate_identity
from gateway.artifacts.errors import NoMatchingIdentity, RecipientInvalid
from gateway.authorization.recorder import Call
from gateway.batch.batches import MAX_UNFINISHED
from gateway.batch.quota import DAY_S
from gateway.errors import Forbidden, InvalidRequest, LimitReached, NotFound
from gateway.identity.errors import InvalidToken
from tests.gateway.inference.works import CLEAN, STRANGE, Works, ask, head, row
from tests.gateway.parts import NOW, TENANT, call

from .desk import RECIPIENT, Desk, desk, lines


@pytest.fixture
def counter() -> Iterator[Desk]:
    with desk(chunk_rows=4) as made:
        made.shop.publish()
        yield made


def direct(shop: Works, x: Any) -> list[Any]:
    """What the model answers to a caller for one row."""
    return list(head(ask(shop, row(x[np.newaxis])))["outputs"][0]["data"])


def test_every_row_is_answered_as_a_caller_would_be(counter: Desk) -> None:
    batch = counter.done(lines(CLEAN))
    assert (batch.state, batch.rows, batch.chunks, batch.source) == ("finished", 8, 2, None)
    answers = counter.answers(batch)
    assert sorted(answers) == list(range(8))
    for number, x in enumerate(CLEAN):
        assert np.ravel(answers[number]) == pytest.approx(direct(counter.shop, x), abs=1e-6)


def test_the_log_tells_the_job_from_its_start_to_its_end(counter: Desk) -> None:
    batch = counter.done(lines(CLEAN))
    phases = [event.get("phase", "single") for event in counter.events(reason="start_batch")]
    assert phases == ["intent", "result"]
    released = counter.events(action="releaseOutput", outcome="allow")
    assert [event["id"] for event in released] == [part.event for part in counter.kept(batch)]
    (end,) = counter.events(action="finishBatch")
    assert (end["outcome"], end["request_id"], end["n_out"]) == ("done", batch.id, 8)
    assert counter.batches.fetch(call("caller"), batch.id, 1).number == 1
    (fetched,) = counter.events(reason="fetch_batch")
    assert (fetched["action"], fetched["recipient"]) == ("releaseOutput", RECIPIENT)


def test_nothing_that_was_sent_stays_and_only_the_key_opens_what_came_out(counter: Desk) -> None:
    batch = counter.done(lines(CLEAN))
    stored = {part.digest for part in counter.kept(batch)}
    folder = counter.shop.house.base.settings.data_dir / "artifacts" / "payload"
    models = {p.digest for p in counter.shop.version().payloads}
    assert {path.name for path in folder.iterdir()} == stored | models
    with pytest.raises(NoMatchingIdentity):
        counter.result(batch, 0, generate_identity(lambda length: b"\x07" * length))


def test_a_strange_row_has_a_reason_and_the_others_an_answer(counter: Desk) -> None:
    x = np.concatenate([CLEAN[:2], STRANGE, CLEAN[2:]])
    batch = counter.done(lines(x))
    answers = counter.answers(batch)
    assert [number for number, answer in answers.items() if answer == "output_refused"] == [2]
    assert len(answers) == 9
    assert batch.state == "finished"
    (refused,) = counter.events(action="releaseOutput", outcome="deny")
    assert refused["reason"] == "output_refused"


def test_a_chunk_of_strange_rows_only_is_told_without_a_release(counter: Desk) -> None:
    batch = counter.done(lines(np.repeat(STRANGE, 4, axis=0)))
    assert counter.answers(batch) == dict.fromkeys(range(4), "output_refused")
    assert counter.events(action="releaseOutput", outcome="allow") == []
    (part,) = counter.kept(batch)
    assert (part.event, part.refused) == ("", 4)


def test_a_row_outside_the_contract_has_a_reason(counter: Desk) -> None:
    x = np.concatenate([CLEAN[:3], np.full((1, 6), np.nan, np.float32), STRANGE * 1e6, CLEAN[:1]])
    answers = counter.answers(counter.done(lines(x)))
    assert answers[3] == "contract.not_finite"
    assert answers[4] in ("contract.out_of_range", "output_refused")
    assert all(isinstance(answers[number], list) for number in (0, 1, 2, 5))


def test_each_data_subject_is_in_the_record_of_its_chunk(counter: Desk) -> None:
    counter.shop.publish(model="people", personal=True)
    names = [f"MRN-{number % 5}" for number in range(8)]
    content = lines(CLEAN, sealgate_subject=names)
    batch = counter.done(content, model="people")
    assert batch.state == "finished"
    vault = counter.shop.vault
    for chunk, event in enumerate(counter.events(action="releaseOutput")):
        wanted = {vault.find(TENANT, name) for name in names[4 * chunk : 4 * chunk + 4]}
        assert set(event["subject_refs"]) == wanted
        assert event["model_id"] == "people"
    assert not any("MRN" in str(event) for event in counter.shop.events())


def test_one_person_for_the_whole_job(counter: Desk) -> None:
    counter.shop.publish(model="people", personal=True)
    batch = counter.done(lines(CLEAN), model="people", subject="MRN-1")
    assert batch.state == "finished"
    ref = counter.shop.vault.find(TENANT, "MRN-1")
    assert {event["subject_refs"] for event in counter.events(action="releaseOutput")} == {(ref,)}
    assert counter.events(reason="start_batch")[0]["subject_refs"] == (ref,)


@pytest.mark.parametrize(
    ("content", "options", "reason"),
    [
        (lines(CLEAN), {}, "rows.subject_missing"),
        (lines(CLEAN, sealgate_subject=["a"] * 8), {"subject": "b"}, "rows.subject_twice"),
        (lines(CLEAN, sealgate_subject=[""] * 8), {}, "rows.subject"),
    ],
)
def test_rows_about_nobody_or_about_two_are_not_asked(
    counter: Desk, content: bytes, options: dict[str, Any], reason: str
) -> None:
    counter.shop.publish(model="people", personal=True)
    batch = counter.done(content, model="people", **options)
    assert (batch.state, batch.reason) == ("failed", reason)
    assert counter.kept(batch) == []
    assert counter.events(action="releaseOutput") == []
    (end,) = counter.events(action="finishBatch")
    assert (end["outcome"], end["reason"]) == ("error", reason)


def test_a_bad_row_is_named_by_its_number(counter: Desk) -> None:
    content = lines(CLEAN[:5]) + b'{"in": [1, 2, 3]}\n'
    batch = counter.done(content)
    assert (batch.state, batch.reason, batch.row, batch.column) == ("failed", "rows.shape", 5, 0)


def _forbid(shop: Works) -> None:
    text = '@id("none")\nforbid (principal, action == Action::"releaseOutput", resource);'
    shop.house.author.publish(TENANT, text, "test")


def _disable(shop: Works) -> None:
    shop.house.revocation_state.save_client(replace(shop.client(), disabled=True))


def _suspend(shop: Works) -> None:
    tenant = shop.house.stores.tenants.get(TENANT)
    assert tenant is not None
    shop.house.revocation_state.save_tenant(replace(tenant, suspended=True))


def _revoke(shop: Works) -> None:
    principal = call("caller").principal
    shop.house.revocation_state.revoke_token(principal.issuer, principal.token_id, int(NOW) + 300)


def _unregister(shop: Works) -> None:
    tenant = shop.house.stores.tenants.get(TENANT)
    assert tenant is not None
    shop.house.revocation_state.save_tenant(replace(tenant, purposes=frozenset()))


CHANGES: dict[str, tuple[Callable[[Works], None], str]] = {
    "client disabled": (_disable, "invalid_token"),
    "token revoked": (_revoke, "invalid_token"),
    "tenant suspended": (_suspend, "invalid_token"),
    "purpose withdrawn": (_unregister, "model_not_found"),
    "policy withdrawn": (_forbid, "model_not_found"),
    "version retired": (lambda shop: shop.set_state("retired"), "model_not_found"),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_what_was_taken_away_stops_the_job_before_its_next_chunk(counter: Desk, kind: str) -> None:
    change, reason = CHANGES[kind]
    gate = counter.shop.gate()
    batch = counter.start(lines(CLEAN))

    async def scenario() -> None:
        task = asyncio.create_task(counter.run(batch))
        assert await asyncio.to_thread(gate.reached.wait, 30)
        await asyncio.to_thread(change, counter.shop)
        gate.go.set()
        await task

    asyncio.run(scenario())
    stopped = counter.stored(batch)
    assert stopped.state == "stopped"
    assert stopped.reason in (reason, "output_refused")
    assert counter.answers_nothing(batch)
    assert gate.runs == 1
    assert counter.events(action="releaseOutput", outcome="allow") == []


@pytest.mark.parametrize("kind", ["policy withdrawn", "version retired"])
def test_what_was_taken_away_keeps_results_back(counter: Desk, kind: str) -> None:
    batch = counter.done(lines(CLEAN))
    CHANGES[kind][0](counter.shop)
    with pytest.raises((NotFound, Forbidden)):
        counter.batches.fetch(call("caller"), batch.id, 0)
    assert counter.events(reason="fetch_batch", outcome="allow") == []


def test_a_caller_who_is_shut_out_fetches_nothing(counter: Desk) -> None:
    batch = counter.done(lines(CLEAN))
    _disable(counter.shop)
    with pytest.raises((InvalidToken, NotFound, Forbidden)):
        counter.batches.fetch(call("caller"), batch.id, 0)


def test_a_batch_is_its_clients_alone(counter: Desk) -> None:
    batch = counter.done(lines(CLEAN))
    for other in (call("owner"), call("caller", "rival")):
        for act in (counter.batches.find, counter.batches.cancel, counter.batches.delete):
            with pytest.raises(NotFound):
                act(other, batch.id)
        with pytest.raises(NotFound):
            counter.batches.fetch(other, batch.id, 0)
        assert counter.batches.batches(other, after="", limit=9) == ([], None)
    found, _ = counter.batches.batches(call("caller"), after="", limit=9)
    assert [one.id for one in found] == [batch.id]


def test_a_cancelled_job_keeps_what_it_answered_and_loses_the_rest(counter: Desk) -> None:
    gate = counter.shop.gate()
    batch = counter.start(lines(CLEAN))

    async def scenario() -> None:
        task = asyncio.create_task(counter.run(batch))
        assert await asyncio.to_thread(gate.reached.wait, 30)
        await asyncio.to_thread(counter.batches.cancel, call("caller"), batch.id)
        gate.go.set()
        await task

    asyncio.run(scenario())
    assert counter.stored(batch).state == "cancelled"
    assert {part.state for part in counter.kept(batch)} == {"dropped"}
    models = {p.digest for p in counter.shop.version().payloads}
    folder = counter.shop.house.base.settings.data_dir / "artifacts" / "payload"
    assert {path.name for path in folder.iterdir()} == models
    assert counter.events(action="releaseOutput", outcome="allow") == []
    assert counter.batches.cancel(call("caller"), batch.id).state == "cancelled"


def test_a_deleted_batch_is_absent_and_counts_for_the_day(counter: Desk) -> None:
    batch = counter.done(lines(CLEAN))
    counter.batches.delete(call("caller"), batch.id)
    with pytest.raises(NotFound):
        counter.batches.find(call("caller"), batch.id)
    assert counter.batches.batches(call("caller"), after="", limit=9) == ([], None)
    assert counter.shop.house.stores.batches.usage(TENANT, 0).rows == 8
    folder = counter.shop.house.base.settings.data_dir / "artifacts" / "payload"
    models = {p.digest for p in counter.shop.version().payloads}
    assert {path.name for path in folder.iterdir()} == models


def test_too_many_jobs_at_once_are_refused_with_what_to_do(counter: Desk) -> None:
    for _ in range(MAX_UNFINISHED):
        counter.start(lines(CLEAN))
    with pytest.raises(LimitReached, match="cancel one") as refused:
        counter.start(lines(CLEAN))
    assert refused.value.retry_after == "10"


def test_the_rows_of_a_day_are_bounded() -> None:
    with desk(batch_rows_a_day=10) as counter:
        counter.shop.publish()
        assert counter.done(lines(CLEAN)).state == "finished"
        over = counter.done(lines(CLEAN))
        assert (over.state, over.reason) == ("failed", "rows.daily_rows")
    with desk(batch_bytes_a_day=10) as counter:
        counter.shop.publish()
        with pytest.raises(LimitReached, match=r"split it.*batch_bytes_a_day") as refused:
            counter.start(lines(CLEAN))
        assert refused.value.retry_after == "", "it never fits"


def test_a_used_up_day_says_when_there_is_room_again() -> None:
    """It said `tomorrow`, whenever that was."""
    with desk(batch_rows_a_day=8) as counter:
        counter.shop.publish()
        begun = counter.done(lines(CLEAN))
        with pytest.raises(LimitReached, match="batch_rows_a_day") as refused:
            counter.start(lines(CLEAN))
        again = int(refused.value.retry_after)
        assert again == begun.created + DAY_S + 1 - int(NOW)
        at = datetime.fromtimestamp(NOW + again, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        assert f"try again at {at}" in refused.value.public


def test_who_may_not_ask_the_model_starts_nothing_and_sends_nothing(counter: Desk) -> None:
    for by in (call("officer"), call("caller", "rival")):
        with pytest.raises((NotFound, Forbidden)):
            counter.upload(lines(CLEAN), by)
    upload = counter.upload(lines(CLEAN))
    stranger = Call(call("caller").principal, "marketing", "r")
    assert counter.shop.house.use.uploads.find(call("caller"), upload.id) == upload
    with pytest.raises((NotFound, Forbidden)):
        counter.start(lines(CLEAN), by=stranger)


def test_a_wrong_recipient_and_a_foreign_upload_are_refused_at_once(counter: Desk) -> None:
    with pytest.raises(RecipientInvalid):
        counter.start(lines(CLEAN), recipient="age1nonsense")
    with pytest.raises(NotFound):
        counter.start(lines(CLEAN), upload="absent")
    with pytest.raises(NotFound):
        counter.start(lines(CLEAN), model="absent")


def test_a_model_is_no_file_of_rows(counter: Desk) -> None:
    upload = counter.upload(lines(CLEAN))
    store = counter.shop.house.stores.uploads
    store.remove_upload(TENANT, upload.id)
    store.add_upload(replace(upload, payload=replace(upload.payload, role="upload")))
    with pytest.raises(InvalidRequest, match="use=rows"):
        counter.start(lines(CLEAN), upload=upload.id)
