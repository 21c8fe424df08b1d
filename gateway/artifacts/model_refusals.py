"""Why a model is refused: what is wrong, what would be accepted, and what to do next. Pure.

The confined job says which (`Refusal`); the words are made here, in the gateway's own process. What
it says about the model is taken as if the model had written it: bounded, printable, and shown to
nobody but the tenant that sent the model. Audit events hold the reason code alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SHOWN_NAME: Final = 80
"""Characters of a name that are shown; exporters' longest paths are told by their ends."""
SHOWN_TEXT: Final = 400
"""Characters of what the runtime said, or of what was found."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One kind of refusal.

    Attributes:
        wrong: What is wrong, as said of `it` or of the named part.
        remedy: What to do about it; empty where nothing general helps.
        sample: Whether inputs from the owner (`--sample`) may help.
    """

    wrong: str
    remedy: str = ""
    sample: bool = False


_ONE_FILE: Final = "save it as one file: `onnx.save(onnx.load(path), out)`"
_SAMPLE: Final = "send inputs that it runs on: an npz archive with an array for each input"

REASONS: Final[dict[str, Reason]] = {
    "malformed": Reason("is no ONNX model, or is cut short", "export it again, as ONNX"),
    "too_large": Reason("is larger than 2 GiB", "quantise it, or save its weights as float16"),
    "functions": Reason(
        "is a function of the model's own",
        "inline functions: `onnx.inliner.inline_local_functions(model)`",
    ),
    "training_info": Reason("holds training graphs", "export it for inference"),
    "domain": Reason(
        "is of a domain that is not served",
        "use `ai.onnx`, `ai.onnx.ml` and the listed operators of `com.microsoft`; steps of other "
        "domains belong in the caller",
    ),
    "operator": Reason(
        "is an operator that is not served",
        "use operators of the standard, or those of `com.microsoft` that optimisers write",
    ),
    "opset": Reason(
        "has operator-set versions that are not served",
        "convert it: `onnx.version_converter.convert_version(model, 21)`",
    ),
    "too_many_nodes": Reason("has more than 50,000 nodes", "export it without unrolled loops"),
    "nesting": Reason(
        "has graphs nested deeper than 6", "export it without nested `If` and `Loop`"
    ),
    "external_data": Reason("refers to data outside the file", _ONE_FILE),
    "tensor_size": Reason(
        "does not have its declared size, or is larger than 2 GiB",
        "export it again; quantise what is that large",
    ),
    "tensor_type": Reason(
        "is of an element type that is not served", "export it in float32, float16 or int8"
    ),
    "border_count": Reason("has more than 256 inputs or outputs", "join them into fewer tensors"),
    "border_name": Reason(
        "has a name that is empty, repeated, longer than 256 characters or reserved", "rename it"
    ),
    "border_shape": Reason("has a size that is not from 1 to 2,147,483,647", "export it again"),
    "border_rank": Reason("has more than 8 dimensions, which no request can carry", "reshape it"),
    "border_type": Reason(
        "is no tensor of numbers, booleans or strings", "cast it to such a type in the graph"
    ),
    "border_sequence": Reason(
        "is a sequence or an optional, and callers are sent tensors",
        "end the graph with a tensor, as `ConcatFromSequence` makes one",
    ),
    "border_map": Reason(
        "is a sequence of maps (`ZipMap`), and callers are sent tensors",
        "convert with skl2onnx `to_onnx(model, x, options={'zipmap': False})`, or with onnxmltools "
        "`convert_lightgbm(…, zipmap=False)`: the output is then a tensor of probabilities",
    ),
    "not_loadable": Reason(
        "cannot be loaded by the runtime",
        "export it again, with an older opset where its own is of this year; "
        "`sealgate model push … --dry-run` tries it at home",
    ),
    "not_runnable": Reason("does not run on any input that was tried", _SAMPLE, sample=True),
    "sample": Reason("does not fit the model", _SAMPLE, sample=True),
    "sample_fails": Reason("does not run on the sample", "mend the model, or the sample"),
    "memory": Reason("needs more memory than is allowed", "make the tensors that it makes smaller"),
    "time": Reason(
        "does not finish in the time allowed",
        "send a small input that it runs on: an npz archive with an array for each input",
        sample=True,
    ),
    "crashed": Reason(
        "crashes the runtime",
        "export it again, in float32 and without optimisations; "
        "`sealgate model push … --dry-run` tries it at home",
    ),
}
"""Stable reason codes of `ModelRefused`, and what is said to the model's owner."""


class Refusal(Exception):
    """The model is refused.

    Args:
        reason: A key of `REASONS`.
        part: The part at fault, such as `input` and its name by `named`; empty: the model.
        found: What was found there, or what the runtime said.
    """

    def __init__(self, reason: str, part: str = "", found: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.part = part
        self.found = found


def named(kind: str, name: object, more: str = "") -> str:
    """Name a part of a model for its owner: printable and short, the end of a long name first.

    Args:
        kind: `input`, `output`, `node` or `tensor`.
        name: As it is in the model.
        more: What helps where the name is empty, such as a node's operator.
    """
    text = printable(name, SHOWN_NAME)
    kind = f"{kind} `{text}`" if text else kind
    return f"{kind} ({printable(more, SHOWN_NAME)})" if more else kind


def printable(text: object, limit: int) -> str:
    """Keep what can be shown of a text; of a long one the end, which tells more of a path."""
    clean = "".join(c if c.isprintable() and c != "`" else " " for c in str(text)[-4 * limit :])
    clean = " ".join(clean.split())
    return clean if len(clean) <= limit else "…" + clean[1 - limit :]


def sentence(reason: str, part: object = "", found: object = "") -> str:
    """Say what is wrong: the part, the fault and what was found."""
    subject = shown(part, SHOWN_NAME * 3) or "it"
    text = f"{subject} {REASONS[reason].wrong}"
    seen = shown(found, SHOWN_TEXT)
    return f"{text}: {seen}" if seen else text


def shown(text: object, limit: int) -> str:
    """Hold what came out of the sandbox to its bounds; anything else is not shown."""
    if not isinstance(text, str) or len(text) > 2 * limit or not text.isprintable():
        return ""
    return text[:limit]
