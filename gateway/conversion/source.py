"""A loaded model as the conversion sees it, whatever library made it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Source:
    """A model, and rows for it.

    Attributes:
        made_by: What it is and which library made it, in words.
        feeds: Rows by input of the converted model.
        convert: Returns the ONNX model, and what there is to say of it.
        says: Returns what the model itself says of these rows, by the outputs that are named.
        rows_of: Where the rows are from, when the owner gave none.
    """

    made_by: str
    feeds: dict[str, NDArray[Any]]
    convert: Callable[[], tuple[Any, list[str]]]
    says: Callable[[list[str]], dict[str, Any]]
    rows_of: str = "that were made here"

    @property
    def count(self) -> int:
        """Return the number of rows."""
        return max((len(a) for a in self.feeds.values() if a.ndim), default=1)
