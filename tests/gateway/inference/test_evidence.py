from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from audit.errors import AuditUnavailable
from audit.log import AuditLog, Limits
from audit.note import LogSigner
from gateway.errors import SealgateError
from gateway.inference.errors import (
    ContractViolation,
    MalformedRequest,
    ModelNotFound,
    OutputRefused,
)
from gateway.inference.oip import OipBody
from gateway.inference.pipeline import InferAnswer
from gateway.inference.record import Personal
from tests.audit.stalling import StallingStore
from tests.gateway.parts import KEY, NOW, TENANT

from .works import CLEAN, STRANGE, Works, ask, head, row


@contextmanager
def refusing_log(store: StallingStore) -> Iterator[AuditLog]:
    log = AuditLog(
        store,
        lambda tenant: LogSigner(f"log/{tenant}", KEY),
        clock=lambda: NOW,
        random_bytes=lambda length: b"r" * length,
        limits=Limits(idle_seconds=30.0),
    )
    log.start()
    try:
        yield log
    finally:
        store.make_room()
        log.close()


def test_a_refusal_names_its_place_in_the_log(shop: Works) -> None:
    with pytest.raises(ContractViolation) as refused:
        ask(shop, row(CLEAN[:, :3]))
    index = int(refused.value.receipt.rpartition("/")[2])
    assert shop.house.reader.entry(TENANT, index).event.reason == "contract.shape"


def test_what_cannot_be_recorded_is_not_answered(shop: Works) -> None:
    store = StallingStore()
    with refusing_log(store) as log:
        shop.log = log
        ask(shop)
        store.fill_disk()
        with pytest.raises(AuditUnavailable):
            ask(shop)
        store.make_room()
        assert ask(shop).receipt.index == 1, "nothing was half applied"


REFUSED: dict[str, tuple[dict[str, Any], type[SealgateError]]] = {
    "absent": ({"model": "absent"}, ModelNotFound),
    "syntax": ({"body": b"{"}, MalformedRequest),
    "shape": ({"body": row(CLEAN[:, :3])}, ContractViolation),
    "screen": ({"body": row(STRANGE)}, OutputRefused),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_refusal_that_cannot_be_recorded_says_only_that(shop: Works, kind: str) -> None:
    options, refusal = REFUSED[kind]
    store = StallingStore()
    with refusing_log(store) as log:
        shop.log = log
        store.fill_disk()
        with pytest.raises(AuditUnavailable) as heard:
            ask(shop, **options)
    assert not isinstance(heard.value, refusal)
    assert str(heard.value) == AuditUnavailable.message


def test_no_answer_is_there_before_its_record_is_durable(shop: Works) -> None:
    store = StallingStore()

    async def scenario() -> None:
        store.go.clear()
        task = asyncio.create_task(shop.infer())
        assert await asyncio.to_thread(store.reached.wait, 10)
        assert not task.done()
        store.go.set()
        await task

    with refusing_log(store) as log:
        shop.log = log
        asyncio.run(scenario())


def test_each_receipt_points_at_its_own_entry_however_many_run_at_once(shop: Works) -> None:
    async def scenario() -> list[InferAnswer[OipBody]]:
        calls = [
            shop.infer({**row(CLEAN[:1], subject=f"subject-{number}"), "id": str(number)})
            for number in range(40)
        ]
        return await asyncio.gather(*calls)

    answers = asyncio.run(scenario())
    assert len({answer.receipt.index for answer in answers}) == 40
    for number, answer in enumerate(answers):
        assert head(answer)["id"] == str(number)
        entry = shop.house.reader.entry(TENANT, answer.receipt.index)
        assert entry.event.id == answer.receipt.event_id
        (field,) = shop.house.reader.sealed(TENANT, answer.receipt.index)
        plain = shop.vault.open(TENANT, field.subject_ref, field.ciphertext, entry.event.id)
        assert msgspec.json.decode(plain, type=Personal).subject == f"subject-{number}"
