"""Whether an answer is the one that the model gives in process. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

EXACT: Final = "exact"
CANNOT_SEND: Final = "cannot send"
NOT_FINITE: Final = "an output holds a value that JSON cannot carry"
"""How the gateway refuses, by design, to write NaN or an infinity as JSON."""
JSON_CLIENTS: Final = frozenset({"triton_http_json", "curl_json"})
BINARY: Final = "triton_http_binary"


@dataclass
class Compared:
    """One model, and what each client got.

    Attributes:
        outcome: `exact`, `different`, `refused` at push, `not served` though admitted, or `left
            aside`, because it does not answer in process or not the same twice.
        told: The first fault, or why.
        clients: `exact`, `cannot send: …` or the fault, by client.
        asked: On what.
    """

    model: str
    outcome: str = EXACT
    told: str = ""
    clients: dict[str, str] = field(default_factory=dict)
    asked: str = ""

    @property
    def agreeing(self) -> int:
        return sum(said == EXACT for said in self.clients.values())


def judged(model: str, clients: Mapping[str, str], *, finite: bool) -> Compared:
    """Sum up what the clients said of one model.

    Args:
        clients: `exact` or a fault by client.
        finite: Whether the model's answer holds finite numbers only.
    """
    said = dict(clients)
    for client in JSON_CLIENTS & said.keys():
        if not finite and NOT_FINITE in said[client] and said.get(BINARY) == EXACT:
            said[client] = EXACT
    faults = [
        f"{client}: {fault}"
        for client, fault in said.items()
        if fault != EXACT and not fault.startswith(CANNOT_SEND)
    ]
    return Compared(model, "different" if faults else EXACT, faults[0] if faults else "", said)


def difference(name: str, wanted: NDArray[Any], got: NDArray[Any]) -> str:
    """Say how an output differs; empty when every bit is the same."""
    if wanted.shape != got.shape:
        return f"`{name}` has the shape {list(got.shape)} in place of {list(wanted.shape)}"
    if wanted.dtype != got.dtype:
        return f"`{name}` is {got.dtype} in place of {wanted.dtype}"
    if wanted.dtype.kind == "O":
        same = bool(np.all(wanted == got))
        return "" if same else f"`{name}` has other texts"
    if wanted.tobytes() == got.tobytes():
        return ""
    bits = [np.frombuffer(one.tobytes(), np.uint8).reshape(one.size, -1) for one in (wanted, got)]
    count = int(np.any(bits[0] != bits[1], axis=1).sum())
    with np.errstate(invalid="ignore"):  # infinities that are the same
        apart = np.abs(wanted.astype(np.float64) - got.astype(np.float64))
    most = float(np.max(apart, initial=0.0, where=~np.isnan(apart)))
    return f"`{name}` differs in {count} of {wanted.size} elements, by {most:.3g} at most"


def misdescribed(told: Sequence[Mapping[str, Any]], arrays: Mapping[str, NDArray[Any]]) -> str:
    """Say which tensor is not as the metadata tell it; empty when all are.

    Args:
        told: `name` and `shape` of each, -1 where any size is right.
    """
    shapes = {str(one["name"]): [int(size) for size in one["shape"]] for one in told}
    for name, array in arrays.items():
        declared = shapes.get(name)
        if declared is None:
            return f"`{name}` is not in the metadata"
        if len(declared) != array.ndim or any(
            size not in (-1, real) for size, real in zip(declared, array.shape, strict=True)
        ):
            return f"`{name}` is {list(array.shape)}, and the metadata tell {declared}"
    return ""


def is_finite(arrays: Mapping[str, NDArray[Any]]) -> bool:
    return all(
        bool(np.isfinite(array).all()) for array in arrays.values() if array.dtype.kind == "f"
    )
