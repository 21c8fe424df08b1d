"""The manifest of a model version: what it is, and which payloads it is made of.

A manifest travels as its canonical bytes, and digests and signatures are over those bytes:
UTF-8 JSON, keys sorted, no white space, defaults left out. `parse_manifest` accepts no other
spelling of the same content, so that one manifest has one digest.
"""

from __future__ import annotations

import hashlib
import math
from typing import Annotated, Final, Literal

import msgspec

from gateway.artifacts.canonical import encode_canonical, parse_canonical

MANIFEST_LIMIT: Final = 256 << 10  # a thousand dependency pins and metrics fit
DIMENSION_LIMIT: Final = 16  # more dimensions than any model that is served needs
RANK_LIMIT: Final = 8  # what a request can carry; a test holds the protocol's bound to it

Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
    "FP16", "FP32", "FP64", "BF16", "BYTES",
]  # fmt: skip
FLOATING: Final = frozenset({"FP16", "FP32", "FP64", "BF16"})
Name = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9][a-z0-9._-]{0,62}\Z")]
Version = Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Za-z][0-9A-Za-z._-]{0,31}\Z")]
Digest = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Text = Annotated[str, msgspec.Meta(max_length=2048)]
Dimension = Annotated[int, msgspec.Meta(ge=-1, le=2**31 - 1)]
Length = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
Symbol = Annotated[str, msgspec.Meta(max_length=64)]
TrialValues = Literal["zeros", "ones", "lengths", "small", "sample"]


class TensorSpec(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A tensor at the border of a model, in the terms of the Open Inference Protocol.

    Attributes:
        name: As in the graph.
        datatype: The protocol's datatype; `BF16` is held as the bits of each value, uint16.
        shape: -1 where any length is allowed.
        symbols: A name for each dimension, empty where it has none, or nothing at all. Open
            dimensions of one name have one length in a request.
        optional: Of an input: the model has a default for it, so a request may leave it out.
        allow_nan: Of an input: not-a-number and infinities are values like any other.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    datatype: Datatype
    shape: Annotated[tuple[Dimension, ...], msgspec.Meta(max_length=DIMENSION_LIMIT)]
    symbols: Annotated[tuple[Symbol, ...], msgspec.Meta(max_length=DIMENSION_LIMIT)] = ()
    optional: bool = False
    allow_nan: bool = False

    def __post_init__(self) -> None:
        """Refuse symbols that are not one a dimension."""
        if self.symbols and len(self.symbols) != len(self.shape):
            raise ValueError("a tensor has not one symbol for each dimension")


class Trial(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Inputs that the model ran on when it was admitted: `gateway.artifacts.trial` makes them anew.

    Attributes:
        shapes: Sizes by input name.
        values: What was in them. `sample`: the owner's own, which are not kept.
    """

    shapes: dict[str, Annotated[tuple[Dimension, ...], msgspec.Meta(max_length=DIMENSION_LIMIT)]]
    values: TrialValues


class PayloadEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One stored payload.

    Attributes:
        role: What it is: `graph`, `weights` or another.
        digest: SHA-256 of the encrypted payload, hex.
        length: Of the encrypted payload, bytes.
        plain_digest: SHA-256 of the content, hex.
        plain_length: Of the content, bytes.
    """

    role: Name
    digest: Digest
    length: Length
    plain_digest: Digest
    plain_length: Length


class Manifest(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A model version.

    Attributes:
        tenant: Who it belongs to.
        model: The model's name.
        version: Its version.
        payloads: What it is made of, one for each role.
        inputs: What it takes, in order.
        outputs: What it gives, in order.
        opset: Operator-set version by domain.
        created: Unix seconds.
        expires: Unix seconds after which it must not be trusted; None: it does not expire.
        licence: An SPDX expression.
        lineage: Where the training data came from, in words or digests.
        dependencies: Pins of what made it: version by package.
        metrics: Quality figures by name; finite.
        profile: SHA-256 of the screening profile, hex.
        trial: Inputs that it ran on when it was admitted; None before this was kept.
        format: Of this record.
    """

    tenant: Name
    model: Name
    version: Version
    payloads: Annotated[tuple[PayloadEntry, ...], msgspec.Meta(min_length=1, max_length=16)]
    inputs: Annotated[tuple[TensorSpec, ...], msgspec.Meta(max_length=256)]
    outputs: Annotated[tuple[TensorSpec, ...], msgspec.Meta(max_length=256)]
    opset: dict[str, int]
    created: Seconds
    expires: Seconds | None = None
    licence: Text = ""
    lineage: tuple[Text, ...] = ()
    dependencies: dict[Text, Text] = {}
    metrics: dict[Text, float] = {}
    profile: Digest | None = None
    trial: Trial | None = None
    format: Literal[1] = 1

    def __post_init__(self) -> None:
        """Refuse what the types cannot: one payload a role, finite figures."""
        if len({payload.role for payload in self.payloads}) != len(self.payloads):
            raise ValueError("two payloads have the same role")
        if not all(math.isfinite(value) for value in self.metrics.values()):
            raise ValueError("a metric is not a finite number")

    def encode(self) -> bytes:
        """Return the canonical bytes.

        Raises:
            StatementInvalid: A field breaks its constraint.
        """
        return encode_canonical(self, MANIFEST_LIMIT)

    def digest(self) -> str:
        """Return the SHA-256 of the canonical bytes, hex."""
        return hashlib.sha256(self.encode()).hexdigest()

    def payload(self, role: str) -> PayloadEntry | None:
        """Return the payload of a role."""
        return next((entry for entry in self.payloads if entry.role == role), None)


def parse_manifest(data: bytes) -> Manifest:
    """Read canonical bytes.

    Raises:
        StatementInvalid: They are no manifest, not canonical, or longer than `MANIFEST_LIMIT`.
    """
    return parse_canonical(data, Manifest, MANIFEST_LIMIT)
