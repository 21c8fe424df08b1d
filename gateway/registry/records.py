"""What the registry remembers: frozen values, no behaviour, no I/O.

Times are Unix seconds (UTC, integers). Names match `gateway.names`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from gateway.artifacts.upload import SealedPayload as SealedPayload
from gateway.names import shared_name

VersionState = Literal["quarantined", "candidate", "released", "retired", "rejected"]


@dataclass(frozen=True, slots=True)
class Sharing:
    """What a tenant offers another to do with a model, and whether the other one accepted.

    Attributes:
        id: Of this offer: another one, with other terms or after an end, has another id.
        owner: The tenant whose model it is.
        tenant: The tenant that it is offered to.
        versions: Those that are shared; empty: every version while it is released.
        infer: Whether it may be called.
        download: Whether it may be handed out to keys of the other tenant.
        purposes: Of calls, as the other tenant names them; empty: any that it has registered.
        until: Unix seconds at which it ends by itself, or None.
        offered: Unix seconds.
        offered_by: Client of the owner.
        accepted: Unix seconds, or None: then nothing is shared yet.
        accepted_by: Client of the other tenant; empty until then.
    """

    id: str
    owner: str
    model: str
    tenant: str
    versions: frozenset[str]
    infer: bool
    download: bool
    purposes: frozenset[str]
    until: int | None
    offered: int
    offered_by: str
    accepted: int | None = None
    accepted_by: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """A name under which a tenant publishes versions.

    Attributes:
        personal: Requests concern people, so an inference without a subject is refused.
        data_class: The class of data that it was trained on, for policies (`internal`, …).
        sharings: With whom the owner shares it or offers to; at most one for each tenant.
        lent: By which of them it was reached; None when it was looked up by its own tenant. Never
            stored.
    """

    tenant: str
    name: str
    personal: bool
    data_class: str
    sharings: frozenset[Sharing]
    created: int
    created_by: str
    lent: Sharing | None = None

    @property
    def called(self) -> str:
        """What whoever reached it calls it: `name`, or `owner~name`."""
        return self.name if self.lent is None else shared_name(self.tenant, self.name)


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of a model, from quarantine to retirement.

    While `state` is `quarantined` the byte fields may be empty and `payloads` holds what was
    staged so far, so that a publish that died half way can be cleaned up.

    Attributes:
        manifest: Canonical JSON, the exact bytes that `link` signs over.
        owner_bundle: The owner's signature over the plaintext files, as it was given.
        owner_key_pem: The public key that `owner_bundle` was checked with.
        link: DSSE envelope by the tenant's release key over the digests of all of these.
        payloads: Every stored ciphertext of the version; roles are unique.
        facts: Small public facts of admission and calibration (numbers and words as text).
        reason: Why it was rejected: a stable code; empty otherwise.
        source: Where it came from: `upload`, or `federation/<run id>`.
        revision: Grows by one with each change; compare-and-set works on it.
    """

    tenant: str
    model: str
    version: str
    state: VersionState
    created: int
    created_by: str
    manifest: bytes = b""
    owner_bundle: bytes = b""
    owner_key_pem: bytes = b""
    link: bytes = b""
    payloads: tuple[SealedPayload, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    source: str = "upload"
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Release:
    """One move of a model's release pointer; the newest one says what is served.

    Attributes:
        previous: The version that was served before, None at the first release.
        action: `promote` or `rollback`.
        sequence: 1, 2, 3 … per model, given by the store.
    """

    tenant: str
    model: str
    version: str
    previous: str | None
    action: Literal["promote", "rollback"]
    by: str
    at: int
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Upload:
    """A sealed file that waits to be published; bound to the client that sent it."""

    id: str
    tenant: str
    client: str
    payload: SealedPayload
    created: int
    expires: int
