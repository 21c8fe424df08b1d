"""Batch jobs: their rows, their start, and their end before their time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

from gateway.artifacts.age import generate_identity
from gateway.batch.batches import BatchOrder
from gateway.batch.records import Part
from gateway.composition.foundation import Foundation
from gateway.registry.records import ModelVersion, Release, Upload
from gateway.registry.uploads import ROWS
from tests.gateway.inference.works import works
from tests.kills.registry_changes import add_model
from tests.kills.scenario import Notes, Scenario
from tests.kills.world import World, call

CALLER = call("caller")
CONTENT = b'{"in": [1, 2, 3, 4, 5, 6]}\n'
RECIPIENT = str(generate_identity(lambda length: b"\x05" * length).recipient)


def _manifest() -> bytes:
    """A manifest of a model of rows, as a publish makes it."""
    with works() as shop:
        return shop.publish().manifest


def _served(world: World) -> Notes:
    """A released version that the caller may ask; its payloads are of no matter here."""
    add_model(world)
    registry = world.base.stores.registry
    made = ModelVersion(
        "acme", "m", "1", "candidate", 1, "test", _manifest(), b"bundle", b"pem", b"link"
    )
    registry.add_version(made)
    registry.release(Release("acme", "m", "1", None, "promote", "test", 1), expected=None)
    world.base.revocation_state.changed()
    return {}


def _send(world: World) -> Upload:
    async def chunks() -> AsyncIterator[bytes]:
        yield CONTENT

    sealer = world.base.sealer
    arrived = asyncio.run(sealer.stage_stream("acme", chunks(), limit=1 << 20, role=ROWS))
    return world.use.uploads.keep(CALLER, "m", arrived)


def _sent(world: World) -> Notes:
    _served(world)
    return {"upload": _send(world)}


def _start(world: World, notes: Notes) -> str:
    order = BatchOrder("m", None, notes["upload"].id, "jsonl", RECIPIENT)
    return world.use.batch.batches.start(CALLER, order).id


def _going(world: World) -> Notes:
    """A job with a chunk that waits, and one whose result is there."""
    notes = _sent(world)
    notes["batch"] = batch_id = _start(world, notes)
    store, sealer = world.base.stores.batches, world.base.sealer
    batch = store.get_batch("acme", batch_id)
    assert batch is not None
    for number, state in enumerate(("ready", "waiting")):

        def name(source: object, number: int = number, state: str = state) -> None:
            waits = state == "waiting"
            part = Part(batch_id, "acme", number, number, 1, 1, source if waits else None)  # type: ignore[arg-type]
            if not waits:
                part = replace(part, state="ready", digest=source.digest, length=9)  # type: ignore[attr-defined]
            store.put_part(part)

        sealer.seal_bytes("acme", bytes([number]) * 9, "rows", announce=name)
    world.use.batch.ledger.started(replace(batch, rows=2, chunks=2))
    return notes


def _rows_kept(base: Foundation) -> bool:
    kept = base.stores.uploads.list_uploads("acme", after="", limit=9)
    return [base.artifacts.exists(upload.payload.digest) for upload in kept] == [True]


def _started(base: Foundation, notes: Notes) -> bool:
    found = base.stores.batches.list_batches("acme", "acme-caller", after="", limit=9)
    sources = [batch.source for batch in found if batch.source is not None]
    spent = not base.stores.uploads.list_uploads("acme", after="", limit=9)
    return spent and [base.artifacts.exists(source.digest) for source in sources] == [True]


def _not_started(base: Foundation, notes: Notes) -> bool:
    found = base.stores.batches.list_batches("acme", "acme-caller", after="", limit=9)
    return not found and _rows_kept(base)


def _parts(base: Foundation, notes: Notes) -> list[str]:
    parts = base.stores.batches.list_parts("acme", notes["batch"], after=-1, limit=9)
    assert all(base.artifacts.exists(part.digest) for part in parts if part.digest)
    return [part.state for part in parts]


def _state(base: Foundation, notes: Notes) -> str:
    batch = base.stores.batches.get_batch("acme", notes["batch"])
    assert batch is not None
    return batch.state


def _still_going(base: Foundation, notes: Notes) -> bool:
    return _state(base, notes) == "running" and _parts(base, notes) == ["ready", "waiting"]


SCENARIOS = (
    Scenario(
        "upload_rows",
        _served,
        lambda world, _: _send(world),
        finished=lambda base, _: _rows_kept(base),
        undone=lambda base, _: not base.stores.uploads.list_uploads("acme", after="", limit=9),
    ),
    Scenario("start_batch", _sent, _start, finished=_started, undone=_not_started),
    Scenario(
        "cancel_batch",
        _going,
        lambda world, notes: world.use.batch.batches.cancel(CALLER, notes["batch"]),
        finished=lambda base, notes: (
            _state(base, notes) == "cancelled" and _parts(base, notes) == ["ready", "dropped"]
        ),
        undone=_still_going,
    ),
    Scenario(
        "delete_batch",
        _going,
        lambda world, notes: world.use.batch.batches.delete(CALLER, notes["batch"]),
        finished=lambda base, notes: _state(base, notes) == "deleted" and not _parts(base, notes),
        undone=_still_going,
    ),
)
