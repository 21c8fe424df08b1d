"""The one reading of JSON that two readers cannot understand differently. Pure.

1. An object that gives a name twice is refused: readers differ in which of the two counts
   (RFC 8259 section 4, RFC 7493 section 2.3).
2. A number is one that can be held: no NaN, no infinity, none that would become one, and no whole
   number `-0`, which compares equal to a flag that is off.
3. The text is UTF-8, and not nested without end. No escape stands for half a character, which no
   UTF-8 can hold afterwards (RFC 7493 section 2.1).
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, NoReturn


def strict_json(data: bytes) -> Any:
    """Decode a JSON document.

    Raises:
        ValueError: It is not such a document; the message says why and repeats nothing of it.
    """
    try:
        text = data.decode("utf-8")
        value = _decode(text)
        if _half(text):  # perhaps: the other half may follow
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        return value
    except UnicodeEncodeError as cause:
        raise ValueError("a text of the JSON holds half a character") from cause
    except UnicodeDecodeError as cause:
        raise ValueError("the JSON text is not UTF-8") from cause
    except json.JSONDecodeError as cause:
        raise ValueError(f"the text is not JSON: see its byte {cause.pos}") from cause
    except RecursionError as cause:
        raise ValueError("the JSON text is nested too deeply") from cause


def repeats_a_name(data: bytes) -> bool:
    """Tell whether an object of a JSON document, which others hold to be one, repeats a name."""
    try:
        _decode_names(data.decode("utf-8"))
    except _Repeated:
        return True
    except (ValueError, RecursionError):
        return False
    return False


class _Repeated(ValueError):
    def __init__(self) -> None:
        super().__init__("an object of the JSON text gives a name twice")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _Repeated
    return value


def _no_constant(_: str) -> NoReturn:
    raise ValueError("JSON has no NaN and no infinity")


def _real(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError("a number of the JSON text is too large")
    return value


def _whole(text: str) -> int:
    if text == "-0" or len(text) > _MAX_DIGITS:
        raise ValueError("a whole number of the JSON text is `-0` or too large")
    return int(text)


_half: Final = re.compile(r"\\u[dD][89a-fA-F]").search
_MAX_DIGITS: Final = 40
"""Of a whole number: twice what 64 bits take."""
_decode: Final = json.JSONDecoder(
    object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_real, parse_int=_whole
).decode
_decode_names: Final = json.JSONDecoder(object_pairs_hook=_once).decode
