"""Loading and running a model under admission, with the runtime's words made fit to be told.

Runs in the sandbox only. Whatever the runtime raises ends as `Refusal`, or as `MemoryError`.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from gateway.artifacts.model_refusals import SHOWN_TEXT, Refusal, named, printable
from gateway.artifacts.onnx_border import Border
from gateway.artifacts.trial import ELEMENTS_LIMIT

Shape: TypeAlias = tuple[int, ...]

_FATAL_ONLY: Final = 4
_BFLOAT16: Final = 16  # TensorProto.BFLOAT16
_NODE: Final = re.compile(r"running (?P<kind>\w+) node\. Name:'(?P<name>[^']*)'")
_NODE_LOADED: Final = re.compile(r"Node ?(?::|\()(?P<name>[^)]*?)\)? Op \((?P<kind>\w+)\)")
_STATUS: Final = re.compile(r"^.*?Status Message: ?", re.DOTALL)
_PREFIX: Final = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
_SOURCE: Final = re.compile(r"\S*/onnxruntime/\S+(?: \S[^()]*\([^)]*\)(?: const)?)? ?")


@dataclass(slots=True)
class Deadline:
    """How long one run may take, and all together.

    Attributes:
        run_seconds: Until one run is ended; the model is refused then.
        search_seconds: No further run begins after so long.
    """

    run_seconds: float
    search_seconds: float
    _started: float = field(default_factory=time.monotonic)

    def over(self, share: float = 1.0) -> bool:
        """Tell whether that share of the time for all runs has passed."""
        return time.monotonic() - self._started > self.search_seconds * share


def load(data: bytes) -> Any:
    """Load a model from memory.

    Raises:
        Refusal: The runtime does not take it.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL_ONLY
    options.enable_cpu_mem_arena = False  # so that an allocation that is too large fails by itself
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except MemoryError:
        raise
    except Exception as fault:
        words = str(fault)
        reason = "opset" if "opset" in words.lower() else "not_loadable"
        raise refusal_of(words, reason, _NODE_LOADED) from None


class Runs:
    """Runs a loaded model.

    Args:
        session: What to run.
        borders: Its inputs.
        deadline: How long.
    """

    def __init__(self, session: Any, borders: Sequence[Border], deadline: Deadline) -> None:
        self._session = session
        self._datatypes = {border.spec.name: border.spec.datatype for border in borders}
        self.deadline = deadline

    def run(self, arrays: Mapping[str, NDArray[Any]]) -> list[Shape | None]:
        """Return the shapes of the outputs; None where one is no tensor.

        Raises:
            Refusal: `not_runnable`, `memory`, `time` or `tensor_size`, with the node at fault.
        """
        options = onnxruntime.RunOptions()
        options.log_severity_level = _FATAL_ONLY
        timer = threading.Timer(self.deadline.run_seconds, setattr, (options, "terminate", True))
        timer.daemon = True
        timer.start()
        try:
            shapes = self._shapes(arrays, options)
        except MemoryError:
            raise Refusal("memory") from None
        except Exception as fault:
            if options.terminate:
                raise Refusal("time") from None
            raise refusal_of(str(fault), "not_runnable", _NODE) from None
        finally:
            timer.cancel()
        if any(shape is not None and math.prod(shape) > ELEMENTS_LIMIT for shape in shapes):
            raise Refusal("tensor_size", "output", f"more than {ELEMENTS_LIMIT} elements")
        return shapes

    def _shapes(self, arrays: Mapping[str, NDArray[Any]], options: Any) -> list[Shape | None]:
        """Run by the runtime's own values, which know bfloat16; by numpy's where texts go in."""
        if any(array.dtype.kind == "O" for array in arrays.values()):
            found = self._session.run(None, dict(arrays), options)
            return [r.shape if isinstance(r, np.ndarray) else None for r in found]
        feeds = {name: self._value(name, array) for name, array in arrays.items()}
        values = self._session.run_with_ort_values(None, feeds, options)
        return [tuple(value.shape()) if value.is_tensor() else None for value in values]

    def _value(self, name: str, array: NDArray[Any]) -> Any:
        if self._datatypes[name] == "BF16":
            make = onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type
            return make(np.ascontiguousarray(array), _BFLOAT16)
        return onnxruntime.OrtValue.ortvalue_from_numpy(array)


def refusal_of(words: str, reason: str, node: re.Pattern[str]) -> Refusal:
    """Make a refusal of what the runtime said: the node, and why, without its own source's paths.

    Want of memory is told from a model that is wrong by the words alone.
    """
    if "alloc" in words.lower():
        reason = "memory"
    found = node.search(words)
    part = named("node", found["name"], found["kind"]) if found else ""
    said = _SOURCE.sub("", _PREFIX.sub("", _STATUS.sub("", words)))
    return Refusal(reason, part, printable(said[: SHOWN_TEXT // 2], SHOWN_TEXT // 2))
