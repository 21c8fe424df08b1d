"""Batches in one process: real uploads, a real pipeline, the confined reader called in place."""

from __future__ import annotations

import asyncio
import io
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.artifacts.age import decrypt_stream, generate_identity, read_header
from gateway.artifacts.sandbox import SandboxResult
from gateway.authorization.recorder import Call
from gateway.batch import intake_job
from gateway.batch.batches import Batches, BatchOrder
from gateway.batch.chunks import Chunks
from gateway.batch.intake import Intake
from gateway.batch.records import UNFINISHED, Batch, Part
from gateway.batch.runner import BatchRunner
from gateway.composition.batches import BatchParts, make_chunks, make_runner
from gateway.registry.records import Upload
from gateway.registry.uploads import ROWS
from tests.gateway.inference.works import Works, works
from tests.gateway.parts import TENANT, call

IDENTITY = generate_identity(secrets.token_bytes)
RECIPIENT = str(IDENTITY.recipient)


def lines(x: NDArray[Any], **columns: list[Any]) -> bytes:
    """The rows of the classifier as JSON lines, with more columns."""
    rows = [{"in": row.tolist()} for row in x]
    for name, values in columns.items():
        rows = [{**row, name: value} for row, value in zip(rows, values, strict=True)]
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def in_place(
    module: str, inputs: dict[str, Any], args: dict[str, Any], *, limits: Any
) -> SandboxResult:
    """Read rows as the confined job does, without its process."""
    given = {name: memoryview(bytes(data)) for name, data in inputs.items()}
    report, outputs = intake_job.main(given, json.loads(json.dumps(args)))
    report = json.loads(json.dumps(report))
    return SandboxResult(report, outputs, network_isolated=True, user_dropped=True)


@dataclass
class Desk:
    """Where callers hand in rows."""

    shop: Works
    parts: BatchParts
    turns: list[str] = field(default_factory=list)

    @property
    def batches(self) -> Batches:
        return self.parts.batches

    def runner(self) -> BatchRunner:
        """Another runner on the same stores, as of the next process."""
        house = self.shop.house
        chunks = self.chunks(self.parts.ledger)

        async def noted(batch: Batch, part: Part) -> None:
            self.turns.append(batch.tenant)
            await chunks.answer(batch, part)

        return make_runner(house.base, self.parts, house.recorder, self.shop.pipeline, noted)

    def chunks(self, ledger: Any) -> Chunks:
        """What answers a chunk, on a ledger."""
        house = self.shop.house
        return make_chunks(house.base, ledger, house.recorder, self.shop.pipeline)

    def upload(self, content: bytes, by: Call | None = None, model: str = "m") -> Upload:
        async def chunks() -> AsyncIterator[bytes]:
            yield content

        base, by = self.shop.house.base, by or call("caller")
        arrived = asyncio.run(
            base.sealer.stage_stream(by.principal.tenant, chunks(), limit=1 << 30, role=ROWS)
        )
        return self.shop.house.use.uploads.keep(by, model, arrived)

    def start(self, content: bytes, **changes: Any) -> Batch:
        by = changes.pop("by", call("caller"))
        upload = self.upload(content, by)
        given: dict[str, Any] = {
            "model": "m",
            "version": None,
            "upload": upload.id,
            "format": "jsonl",
            "recipient": RECIPIENT,
        }
        return self.batches.start(by, BatchOrder(**(given | changes)))

    def stored(self, batch: Batch) -> Batch:
        found = self.shop.house.stores.batches.get_batch(batch.tenant, batch.id)
        assert found is not None
        return found

    def kept(self, batch: Batch) -> list[Part]:
        store = self.shop.house.stores.batches
        return store.list_parts(batch.tenant, batch.id, after=-1, limit=9999)

    async def run(self, *batches: Batch, runner: BatchRunner | None = None) -> None:
        """Run until all have ended; the bound ends a hung test only."""
        runner = runner or self.runner()
        task = asyncio.create_task(runner.run())
        async with asyncio.timeout(60):
            while any(self.stored(batch).state in UNFINISHED for batch in batches):
                await asyncio.sleep(0.005)
                assert not task.done(), task.exception()
        runner.stop()
        await task

    def done(self, content: bytes, **changes: Any) -> Batch:
        """Start a batch and run it to its end."""
        batch = self.start(content, **changes)
        asyncio.run(self.run(batch))
        return self.stored(batch)

    def result(self, batch: Batch, number: int, identity: Any = IDENTITY) -> dict[str, Any]:
        """Fetch and open one result."""
        part = self.batches.fetch(call("caller"), batch.id, number)
        sealed = io.BytesIO(self.shop.store.read_range(part.digest, 0, part.length))
        file_key = read_header(sealed).open([identity])
        plain = b"".join(decrypt_stream(file_key, sealed))
        with np.load(io.BytesIO(plain), allow_pickle=False) as found:
            return dict(found)

    def answers(self, batch: Batch) -> dict[int, str | list[float]]:
        """By row: the answer, or the reason why there is none."""
        found: dict[int, str | list[float]] = {}
        for part in self.kept(batch):
            if part.state != "ready":
                continue
            result = self.result(batch, part.number)
            for row, reason in zip(result["refused_row"], result["refused_reason"], strict=True):
                found[int(row)] = str(reason)
            output = next((result[name] for name in result if name.startswith("output.")), ())
            for row, values in zip(result["row"], output, strict=True):
                assert int(row) not in found
                found[int(row)] = values.tolist()
        return found

    def answers_nothing(self, batch: Batch) -> bool:
        """Tell whether no part of a batch can be fetched, and none has rows left."""
        return all(part.state == "dropped" and not part.source for part in self.kept(batch))

    def events(self, **where: Any) -> list[dict[str, Any]]:
        return [
            event
            for event in self.shop.events()
            if all(event.get(name) == value for name, value in where.items())
        ]


@contextmanager
def desk(*, chunk_rows: int | None = None, **options: Any) -> Iterator[Desk]:
    """Open the works with a released, screened version 1 of `m`.

    Args:
        chunk_rows: Rows of a chunk, when fewer than usual.
        **options: Of `works`.
    """
    with works("rival", **options) as shop:
        shop.client()
        base, made = shop.house.base, shop.house.use.batch

        def run(module: str, inputs: Any, args: Any, *, limits: Any) -> SandboxResult:
            if chunk_rows is not None:
                args = args | {"chunk_rows": chunk_rows, "subject_rows": chunk_rows}
            return in_place(module, inputs, args, limits=limits)

        intake = Intake(made.ledger, base.sealer, base.vault, run)
        yield Desk(shop, replace(made, intake=intake))


__all__ = ["IDENTITY", "RECIPIENT", "TENANT", "Desk", "desk", "lines"]
