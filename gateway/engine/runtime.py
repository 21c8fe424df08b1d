"""One loaded model that answers by a bell: what runs inside an engine. Knows nothing of processes.

What the runtime says of a fault may quote the input, so it ends here: the other side hears a
number (`gateway.engine.wire`).
"""

from __future__ import annotations

import ctypes
import mmap
import os
import select
import time
from typing import Any, Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from gateway.engine import wire
from gateway.engine.texts import pack_texts, unpack_texts

# After a run that moved or took more than this, memory is given back once the engine is idle.
_PEAK_BYTES: Final = 1 << 18
_PEAK_SECONDS: Final = 0.005
_IDLE_MS: Final = 200
# Half precision, which it takes where the processor has it, moved outputs by a tenth.
_OPTIONS: Final = {
    "OpenVINOExecutionProvider": {"device_type": "CPU", "num_of_threads": "1", "precision": "FP32"}
}
_RING: Final = b"\1"
_BF16: Final = wire.DATATYPES.index("BF16")
_ONNX_BF16: Final = 16
_LIBC: Final = ctypes.CDLL(None)
_BY_DTYPE: Final = {
    wire.NUMPY[name]: number for number, name in enumerate(wire.DATATYPES) if name != "BF16"
}


class Runtime:
    """A loaded model.

    Args:
        region: Shared with the gateway.
        output_at: Where outputs begin in it.
        specification: `inputs`, pairs of name and datatype; `outputs`, names; `providers`.
        bells: Descriptors of the bell that is rung for a run, and of the one for its answer.
    """

    def __init__(
        self,
        region: mmap.mmap,
        output_at: int,
        specification: dict[str, Any],
        bells: tuple[int, int],
    ) -> None:
        self._bell_in, self._bell_out = bells
        self._region = region
        self._output_at = output_at
        self._names = [name for name, _ in specification["inputs"]]
        self._wanted = list(specification["outputs"])
        self._providers = list(specification["providers"])
        self._session: Any = None
        self._values = False
        self._last: tuple[bytes, dict[str, Any]] = (b"", {})

    def serve(self, model: mmap.mmap) -> None:
        """Load the model, close it, and answer for as long as the gateway holds the bells."""
        self._tell(self._load(model))
        peak = True
        poll = select.poll()
        poll.register(self._bell_in, select.POLLIN)
        while True:
            if peak and not poll.poll(_IDLE_MS):
                _LIBC.malloc_trim(0)
                peak = False
            if not os.read(self._bell_in, 8):
                return
            began = time.monotonic()
            moved = self._answer()
            os.write(self._bell_out, _RING)
            peak |= moved > _PEAK_BYTES or time.monotonic() - began > _PEAK_SECONDS

    def _tell(self, state: int) -> None:
        head = wire.encode_head(state, ())
        self._region[wire.ANSWER_AT : wire.ANSWER_AT + len(head)] = head
        os.write(self._bell_out, _RING)

    def _load(self, model: mmap.mmap) -> int:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        # An arena is never given back; the C library's memory is.
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers = [(name, _OPTIONS.get(name, {})) for name in self._providers]
        try:
            self._session = ort.InferenceSession(model[:], options, providers=providers)
            # A provider that cannot be loaded is left out without an error.
            if self._providers[0] not in self._session.get_providers():
                return wire.NOT_LOADED
        except Exception as fault:  # the runtime's errors share no base
            return wire.NO_MEMORY if _memory(fault) else wire.NOT_LOADED
        finally:
            model.close()
        if not self._wanted:
            self._wanted = [output.name for output in self._session.get_outputs()]
        kinds = (*self._session.get_inputs(), *self._session.get_outputs())
        self._values = any("bfloat16" in value.type for value in kinds)
        return wire.READY

    def _answer(self) -> int:
        """Run once; returns the bytes that went in and out."""
        try:
            feeds, taken = self._feeds()
            results = self._run(feeds)
        except Exception as fault:
            self._put(wire.NO_MEMORY if _memory(fault) else wire.FAILED, ())
            return _PEAK_BYTES + 1
        return taken + self._give(results)

    def _feeds(self) -> tuple[dict[str, Any], int]:
        head = self._region[: wire.HEAD_BYTES] if not self._last[0] else self._same_head()
        if head is None:
            return self._last[1], 0
        _, placed = wire.decode_head(head, wire.DATA_AT, self._output_at)
        feeds = {self._names[tensor.index]: self._input(tensor) for tensor in placed}
        used = len(wire.encode_head(0, placed))
        texts = any(tensor.datatype == wire.TEXT for tensor in placed)
        self._last = (b"" if texts or self._values else head[:used], feeds)
        return feeds, sum(tensor.length for tensor in placed)

    def _same_head(self) -> bytes | None:
        """Return the request's head, or `None` when it is the last one's: its views still hold."""
        known = self._last[0]
        if self._region[: len(known)] == known:
            return None
        return self._region[: wire.HEAD_BYTES]

    def _input(self, tensor: wire.Placed) -> Any:
        if tensor.datatype == wire.TEXT:
            end = tensor.start + tensor.length
            count = int(np.prod(tensor.shape, dtype=np.int64))
            return unpack_texts(self._region[tensor.start : end], count).reshape(tensor.shape)
        dtype = wire.NUMPY[wire.DATATYPES[tensor.datatype]]
        count = tensor.length // dtype.itemsize
        array: NDArray[Any] = np.frombuffer(self._region, dtype, count, tensor.start)
        array = array.reshape(tensor.shape)
        if tensor.datatype == _BF16:
            return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(array, _ONNX_BF16)
        return array

    def _run(self, feeds: dict[str, Any]) -> list[tuple[int, tuple[int, ...], Any]]:
        """Return datatype, shape and content of each output."""
        if not self._values:
            results = self._session.run(self._wanted, feeds)
            return [_described(result) for result in results]
        given = {
            name: value
            if isinstance(value, ort.OrtValue)
            else ort.OrtValue.ortvalue_from_numpy(value)
            for name, value in feeds.items()
        }
        return [_held(value) for value in self._session.run_with_ort_values(self._wanted, given)]

    def _give(self, results: list[tuple[int, tuple[int, ...], Any]]) -> int:
        sizes = [
            (index, datatype, shape, len(content) if isinstance(content, bytes) else content.nbytes)
            for index, (datatype, shape, content) in enumerate(results)
        ]
        placed = wire.place(sizes, self._output_at, len(self._region))
        if placed is None:
            self._put(wire.TOO_LARGE, ())
            return _PEAK_BYTES + 1
        for tensor, (_, _, content) in zip(placed, results, strict=True):
            if isinstance(content, bytes):
                self._region[tensor.start : tensor.start + tensor.length] = content
            elif tensor.length:
                flat = np.frombuffer(self._region, content.dtype, content.size, tensor.start)
                flat[:] = content.ravel()
        self._put(wire.DONE, placed)
        return sum(tensor.length for tensor in placed)

    def _put(self, state: int, placed: tuple[wire.Placed, ...]) -> None:
        head = wire.encode_head(state, placed)
        self._region[wire.ANSWER_AT : wire.ANSWER_AT + len(head)] = head


def _described(result: Any) -> tuple[int, tuple[int, ...], Any]:
    """Take one output apart; what is no tensor fails the run."""
    if result.dtype.kind in "OU":
        return wire.TEXT, result.shape, pack_texts(result)
    return _BY_DTYPE[result.dtype], result.shape, result


def _held(value: Any) -> tuple[int, tuple[int, ...], Any]:
    """Take an output that is a value of the runtime apart, BF16 as its bits."""
    if value.data_type() != "tensor(bfloat16)":
        return _described(value.numpy())
    shape = tuple(value.shape())
    count = int(np.prod(shape, dtype=np.int64))
    return _BF16, shape, ctypes.string_at(value.data_ptr(), 2 * count)


def _memory(fault: Exception) -> bool:
    """Tell want of memory from other faults, by the runtime's words."""
    return isinstance(fault, MemoryError) or "alloc" in str(fault).lower()
