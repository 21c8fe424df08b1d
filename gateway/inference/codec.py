"""What a door knows that the pipeline does not: how a request is read and how an answer is written.

Pure: a codec turns bytes into a request and an answer into what its door sends. It is made for one
call, so it may keep what the answer depends on (an id to give back, forms that were asked for).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias, TypeVar

import msgspec
from numpy.typing import NDArray

from gateway.inference.errors import MalformedRequest

Array: TypeAlias = NDArray[Any]
ASIDE_EFFORT: Final = 1 << 16
"""What is written within half a millisecond (`effort`); a thread costs a fifth of that."""
_COPIED: Final = 64  # numbers that are copied as they are, beside such that are written as text
_TEXTS: Final = 1 << 12  # so many are not even counted
Rendered = TypeVar("Rendered", covariant=True)


class InferRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request as every door states it.

    Attributes:
        inputs: Arrays by input name, shapes as claimed, without the data subjects.
        outputs: Names asked for, in order; empty means all.
        purpose: The stated purpose, or `None` for the client's default.
        subjects: Identifiers of the data subjects: none, one for the request, or one a row.
        bfloat16: Names of the inputs that were stated as BF16. NumPy has no such type: their arrays
            hold the bits as `uint16` and could be UINT16 by themselves.
    """

    inputs: dict[str, Array]
    outputs: tuple[str, ...]
    purpose: str | None
    subjects: tuple[str, ...]
    bfloat16: frozenset[str] = frozenset()

    @property
    def rows(self) -> int:
        """Rows of the batch: the first dimension of the first input."""
        first = next(iter(self.inputs.values()), None)
        return len(first) if first is not None and first.ndim else 1


class Codec(Protocol[Rendered]):
    """Reads one request and writes its answer."""

    def decode(self, body: bytes) -> InferRequest:
        """Read the whole body of the call.

        Raises:
            MalformedRequest: For anything that is not a well-formed request; it repeats nothing.
        """
        ...

    def takes_long(self, outputs: Mapping[str, Array]) -> bool:
        """Whether `render` should be called in a thread, as nobody else is served meanwhile.

        Args:
            outputs: As `render` gets them.
        """
        ...

    def render(
        self,
        model: str,
        version: str,
        outputs: Mapping[str, Array],
        parameters: Mapping[str, str],
        datatypes: Mapping[str, str],
    ) -> Rendered:
        """Write the answer to the request that `decode` read. For any thread.

        Args:
            model: Model name.
            version: Version that answered.
            outputs: Arrays by output name, as they were asked for.
            parameters: What the gateway adds, such as that the answer was degraded.
            datatypes: The protocol's datatype by output name, from the signed manifest: an array
                does not tell BF16 from UINT16.

        Raises:
            AnswerNotFinite: The form that was asked for cannot carry a value of the answer.
            MalformedRequest: An output was asked for in a way that does not suit it.
        """
        ...


def effort(array: Array, *, copied: bool) -> int:
    """Tell how long an array takes to be written, in bytes of numbers that are written as text.

    Args:
        array: An output.
        copied: Its numbers go out as they are. Texts are written one by one in any form.
    """
    if array.dtype.kind != "O":
        return array.nbytes // _COPIED if copied else array.nbytes
    return ASIDE_EFFORT + 1 if array.size > _TEXTS else array.nbytes + sum(map(len, array.flat))


def light(outputs: Mapping[str, Array]) -> bool:
    """Tell whether outputs are written quickly in any form: the first look, at most answers."""
    total = 0
    for array in outputs.values():
        total += effort(array, copied=False) if array.dtype.kind == "O" else array.nbytes
    return total <= ASIDE_EFFORT


def select(outputs: Mapping[str, Array], wanted: Sequence[str]) -> dict[str, Array]:
    """Keep the outputs that were asked for, in that order (all when none was named).

    Raises:
        MalformedRequest: When an output is named that the model does not have.
    """
    if not wanted:
        return dict(outputs)
    try:
        return {name: outputs[name] for name in wanted}
    except KeyError:
        raise MalformedRequest("the request names an output that the model does not have") from None
