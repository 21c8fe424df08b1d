"""One engine as the gateway sees it: a region, two bells, and a descriptor to end it by.

Safety argument.
1. What the engine writes is read by `gateway.engine.wire` from copies; arrays that leave are copies
   too, so that a hostile engine cannot change an answer after it was judged.
2. An engine is ended through the descriptor of its process, never by a number that could be
   another's; `close` ends it whatever it does.
3. The model's plaintext goes through a sealed memory file that is closed here as soon as the
   engine has mapped it, and lies in no file system.
4. A bell is a pipe of which each side has one end: no engine can make the gateway wait at its own
   end, as it could through an eventfd, whose flags and count both sides share.
5. Outputs have the number and the datatypes that were signed for, or the engine has failed. A rank
   may follow the input (`Squeeze` drops a single row's dimension): an answer says its own shape.
"""

from __future__ import annotations

import itertools
import json
import math
import mmap
import os
import select
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from gateway.engine import wire
from gateway.engine.arrays import Array, array_of, bytes_of
from gateway.engine.errors import EngineFailed, EnginesDown, RunFailed, RunTimeout
from gateway.engine.memory_files import make_region
from gateway.engine.orders import Order
from gateway.engine.ports import Server
from gateway.engine.texts import pack_texts

LOAD_SECONDS: Final = 120.0
"""A model of 2 GiB loads in some ten seconds."""
# More than this is copied in a thread, and its memory is given back after the run.
BULKY_BYTES: Final = 1 << 21
_PAGE: Final = mmap.PAGESIZE
_SHORT_HEAD: Final = 512
_KEPT_LAYOUTS: Final = 64
# A runtime, and weights as it keeps them with packed copies: a model of 137 MB took 392 MB.
_LEAST_BYTES: Final = 24 << 20
_COPIES: Final = 3
_RING: Final = b"\1"
_RINGS: Final = 256
# Texts of one answer: each is made into an object, a million in some 0.3 s.
MAX_TEXTS: Final = 1 << 20
# A byte of texts, or of references to them, takes as long as so many of numbers.
_TEXT_COST: Final = 64
_numbers: Final = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Border:
    """What a model takes and gives.

    Attributes:
        inputs: Datatype of the Open Inference Protocol by input name.
        outputs: Names of the outputs that a run computes, in order; empty: all of the graph's.
        datatypes: Of the outputs, in order; empty: any.
    """

    inputs: Mapping[str, str]
    outputs: tuple[str, ...]
    datatypes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one engine may take.

    Attributes:
        memory_bytes: Beyond the runtime: the model and its runs.
        input_bytes, output_bytes: Of one run.
        nice: Added to its niceness.
    """

    memory_bytes: int = 2 << 30
    input_bytes: int = 256 << 20
    output_bytes: int = 256 << 20
    nice: int = 0


class EngineProcess:
    """A running engine. One run at a time; for any thread, but not for two at once.

    Attributes:
        exited: Readable once the process has ended.
        bell: Readable once a run has ended.
        bulky: Bytes of inputs from which on `put` is worth a thread.
        closed: It was ended, and what it held given back.
        wide: It may have threads.
    """

    def __init__(
        self, server: Server, border: Border, model: int, bounds: Bounds, timeout: float
    ) -> None:
        self._server = server
        self._border = border
        self._index = {name: number for number, name in enumerate(border.inputs)}
        self._given = tuple(wire.DATATYPES.index(name) for name in border.datatypes)
        self._types = [wire.DATATYPES.index(name) for name in border.inputs.values()]
        self._output_at = _whole_pages(wire.DATA_AT + bounds.input_bytes)
        self._size = _whole_pages(self._output_at + bounds.output_bytes)
        self._layouts: dict[Any, tuple[bytes, tuple[wire.Placed, ...]]] = {}
        self._answer: tuple[bytes, tuple[wire.Placed, ...], bool] = (b"", (), False)
        self._touched = 0
        self.closed = False
        self.wide = server.kind.wide
        self._guess = _LEAST_BYTES + _COPIES * os.fstat(model).st_size
        self.number = next(_numbers)
        texts = wire.TEXT in self._types
        self.bulky = BULKY_BYTES // _TEXT_COST if texts else BULKY_BYTES
        self._start(model, bounds)
        try:
            self._await_ready(timeout)
        except BaseException:
            self.close()
            raise

    def _start(self, model: int, bounds: Bounds) -> None:
        opened: list[int] = []
        try:
            opened.append(make_region(self._size))
            opened += os.pipe2(os.O_CLOEXEC)
            opened += os.pipe2(os.O_CLOEXEC)
            region, bell_in, ring_at, bell, bell_out = opened
            self._region = mmap.mmap(region, self._size)
            specification = self._specification()
            end = wire.DATA_AT + len(specification)
            self._region[wire.DATA_AT : end] = specification
            order = Order(
                engine=self.number,
                model_bytes=os.fstat(model).st_size,
                region_bytes=self._size,
                specification_bytes=len(specification),
                output_at=self._output_at,
                memory_bytes=bounds.memory_bytes,
                nice=bounds.nice,
                wide=self._server.kind.wide,
            )
            self.pid, self.exited = self._server.fork(order, [model, region, bell_in, bell_out])
        except BaseException as fault:
            for descriptor in opened:
                os.close(descriptor)
            if isinstance(fault, OSError):
                raise EnginesDown from fault
            raise
        self._file, self._ring_at, self.bell = region, ring_at, bell
        for descriptor in (bell_in, bell_out):
            os.close(descriptor)
        for descriptor in (ring_at, bell):
            os.set_blocking(descriptor, False)

    def _specification(self) -> bytes:
        inputs = list(self._border.inputs.items())
        providers = self._server.kind.providers
        specified = {"inputs": inputs, "outputs": self._border.outputs, "providers": providers}
        return json.dumps(specified).encode()

    def _await_ready(self, timeout: float) -> None:
        if self._await(timeout) != wire.READY:
            raise RunFailed("the model could not be loaded")

    def put(self, asked: Sequence[Mapping[str, Array]]) -> None:
        """Lay the inputs of one or more requests into the region, row after row.

        Args:
            asked: Arrays by input name; with more than one, all have the same names, datatypes
                and sizes but for the first dimension.

        Raises:
            RunFailed: They do not fit into the region.
        """
        first = asked[0]
        texts: dict[str, bytes] = {}
        described = []
        for name, array in first.items():
            number = self._index[name]
            shape = array.shape
            if len(asked) > 1:
                shape = (sum(len(each[name]) for each in asked), *shape[1:])
            if self._types[number] == wire.TEXT:
                texts[name] = b"".join(pack_texts(each[name]) for each in asked)
                described.append((number, wire.TEXT, shape, len(texts[name])))
            else:
                described.append((number, self._types[number], shape, 0))
        head, placed = self._layout(tuple(described))
        for (name, array), tensor in zip(first.items(), placed, strict=True):
            if name in texts:
                self._region[tensor.start : tensor.start + tensor.length] = texts[name]
                continue
            there: Array = np.ndarray(tensor.shape, array.dtype, self._region, tensor.start)
            if len(asked) > 1:
                np.concatenate([each[name] for each in asked], out=there)
            else:
                there[...] = array
        self._region[: len(head)] = head
        self._touched = placed[-1].start + placed[-1].length if placed else 0

    def _layout(self, described: Any) -> tuple[bytes, tuple[wire.Placed, ...]]:
        """Return head and places; those of the last few shapes are remembered."""
        found = self._layouts.get(described)
        if found is not None:
            return found
        sized = [
            (number, kind, shape, length if kind == wire.TEXT else bytes_of(kind, shape))
            for number, kind, shape, length in described
        ]
        placed = wire.place(sized, wire.DATA_AT, self._output_at)
        if placed is None:
            raise RunFailed("the inputs are larger than one run may have")
        found = wire.encode_head(0, placed), placed
        if len(self._layouts) >= _KEPT_LAYOUTS:
            self._layouts.clear()
        self._layouts[described] = found
        return found

    def ring(self) -> None:
        """Begin a run on what was put."""
        try:
            os.write(self._ring_at, _RING)
        except (BrokenPipeError, BlockingIOError):
            return  # it has ended or does not listen: its end, or the deadline, tells

    def rang(self) -> bool:
        """Empty the bell; False when the engine has closed it, as by its end."""
        try:
            return bool(os.read(self.bell, _RINGS))
        except BlockingIOError:
            return True

    def take(self) -> list[Array]:
        """Return the outputs of the run that has ended, as copies, in order.

        Raises:
            RunFailed, EngineFailed: As `look` and `copies`.
        """
        return self.copies(self.look()[0])

    def look(self) -> tuple[tuple[wire.Placed, ...], bool]:
        """Return where the outputs of the run that has ended lie, and whether copies take long.

        Raises:
            RunFailed: The runtime refused the input, ran out of memory, or gave no tensors.
            EngineFailed: What the engine wrote is nonsense.
        """
        try:
            state, placed, bulky = self._read_head()
            if state == wire.NO_MEMORY:
                raise RunFailed("the model needs more memory for this input than it may have")
            if state == wire.TOO_LARGE:
                raise RunFailed("the outputs are larger than one answer may be")
            if state != wire.DONE:
                raise RunFailed
        except wire.WireError as nonsense:
            raise EngineFailed from nonsense
        return placed, bulky

    def _read_head(self) -> tuple[int, tuple[wire.Placed, ...], bool]:
        known, placed, bulky = self._answer
        at = wire.ANSWER_AT
        if known and self._region[at : at + len(known)] == known:
            return wire.DONE, placed, bulky
        try:
            head = self._region[at : at + _SHORT_HEAD]
            state, placed = wire.decode_head(head, self._output_at, self._size)
        except wire.WireError:
            head = self._region[at : at + wire.HEAD_BYTES]
            state, placed = wire.decode_head(head, self._output_at, self._size)
        texts = [tensor for tensor in placed if tensor.datatype == wire.TEXT]
        if sum(math.prod(tensor.shape) for tensor in texts) > MAX_TEXTS:
            return wire.TOO_LARGE, (), False
        if state == wire.DONE:
            self._hold_to_border(placed)
        bulky = sum(tensor.length for tensor in texts) > BULKY_BYTES // _TEXT_COST
        bulky |= sum(tensor.length for tensor in placed) > BULKY_BYTES
        if state == wire.DONE and not texts:
            self._answer = wire.encode_head(state, placed), placed, bulky
        return state, placed, bulky

    def _hold_to_border(self, placed: tuple[wire.Placed, ...]) -> None:
        """Look once at each new layout of outputs: claim 5."""
        if self._border.outputs and len(placed) != len(self._border.outputs):
            raise wire.WireError("outputs")
        if self._given and self._given != tuple(tensor.datatype for tensor in placed):
            raise wire.WireError("datatypes")

    def copies(self, placed: tuple[wire.Placed, ...]) -> list[Array]:
        """Return outputs that `look` found, as copies, in order.

        Raises:
            RunFailed: There is no memory for them.
            EngineFailed: They are not what the engine said.
        """
        if not placed:
            return []
        start = placed[0].start
        end = placed[-1].start + placed[-1].length
        self._touched = max(self._touched, end - self._output_at)
        try:
            data = self._copied(start, end)
            return [array_of(tensor, data, tensor.start - start) for tensor in placed]
        except MemoryError as full:
            raise RunFailed("the outputs are larger than one answer may be") from full
        except (ValueError, OverflowError) as nonsense:
            raise EngineFailed from nonsense

    def _copied(self, start: int, end: int) -> bytes | memoryview:
        if end - start <= BULKY_BYTES:
            return self._region[start:end]
        # NumPy copies without the interpreter's lock: other threads go on.
        copied: Array = np.frombuffer(self._region, np.uint8, end - start, start).copy()
        copied.flags.writeable = False
        return copied.data

    def run(self, inputs: Mapping[str, Array], timeout: float) -> list[Array]:
        """Run once and wait; blocks.

        Raises:
            RunTimeout: It took too long; the engine was ended.
            RunFailed, EngineFailed: As `take`.
        """
        self.put([inputs])
        self.ring()
        self._await(timeout)
        return self.take()

    def _await(self, timeout: float) -> int:
        """Wait for the bell; returns the state that the engine wrote."""
        poll = select.poll()
        poll.register(self.bell, select.POLLIN)
        poll.register(self.exited, select.POLLIN)
        happened = {descriptor for descriptor, _ in poll.poll(timeout * 1000)}
        if self.bell in happened and self.rang():
            try:
                return wire.decode_head(
                    self._region[wire.ANSWER_AT : wire.ANSWER_AT + wire.HEAD_BYTES],
                    self._output_at,
                    self._size,
                )[0]
            except wire.WireError as nonsense:
                raise EngineFailed from nonsense
        if happened:
            raise EngineFailed
        self.kill()
        raise RunTimeout

    def give_back(self) -> None:
        """Give the region's memory back after a large run."""
        if self._touched > BULKY_BYTES:
            for start, end in ((wire.DATA_AT, self._output_at), (self._output_at, self._size)):
                self._region.madvise(mmap.MADV_REMOVE, start, end - start)
            self._touched = 0

    def resident(self) -> int:
        """Bytes of memory that are this engine's own, what it holds of the region included.

        The former is a guess where the kernel hides processes.
        """
        try:
            region = os.fstat(self._file).st_blocks * 512
            fields = Path(f"/proc/{self.pid}/statm").read_text().split()
            return (int(fields[1]) - int(fields[2])) * _PAGE + region
        except OSError:
            return self._guess

    def end(self) -> int | None:
        """Return how the process ended, as `Server.end_of`; `None`: not known yet."""
        return self._server.end_of(self.number)

    def kill(self) -> None:
        """End the process at once."""
        self._server.kill(self.exited)

    def close(self) -> None:
        """End the process and give everything back."""
        self.closed = True
        self.kill()
        for descriptor in (self.exited, self.bell, self._ring_at, self._file):
            os.close(descriptor)
        with suppress(BufferError):  # a view is still alive: the map goes with it
            self._region.close()


def _whole_pages(size: int) -> int:
    return -(-size // _PAGE) * _PAGE
