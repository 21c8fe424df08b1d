"""What keys there are, how old they are, and which of before are still accepted.

Only public halves and numbers: nothing here can sign, wrap or open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from audit.event import PLATFORM_TENANT
from audit.log import AuditLog
from audit.note import NoteVerifier
from gateway.artifacts.errors import KeyUnavailable
from gateway.artifacts.keys import KeyProvider, SigningRing
from gateway.artifacts.signing_rings import release_purpose
from gateway.authorization.guard import Guard
from gateway.authorization.recorder import Call
from gateway.errors import NotFound
from gateway.identity.ports import TenantStore
from gateway.identity.records import Tenant
from gateway.identity.token_keys import PURPOSE, key_id
from gateway.pages import PAGE
from gateway.tenancy.keys import log_purpose

KeyKind = Literal["token", "policy", "log", "tenant", "release"]
OF_A_TENANT: Final = 3
"""Keys that a tenant has: of its log, of its files, of its releases."""


@dataclass(frozen=True, slots=True)
class Former:
    """A key that was replaced and is accepted still.

    Attributes:
        number: 1 for the first.
        id: As of `KeyFacts`.
        ends: Unix seconds at which it ends; None: what it signed stays good.
        replaced: Unix seconds; None where it is not known.
        endorsement: What a log's or a release key signed to name the next; empty for others.
    """

    number: int
    id: str
    ends: int | None
    replaced: int | None = None
    endorsement: str = ""


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """A key in use.

    Attributes:
        kind: What it is for.
        tenant: Whose; the platform's for tokens and policies.
        number: 1 for the first.
        id: What verifiers know it by: a `kid`, a vkey, a public key in hex; empty for what wraps.
        made: Unix seconds; None where an earlier release did not write it down.
        former: Newest first.
    """

    kind: KeyKind
    tenant: str
    number: int
    id: str
    made: int | None
    former: tuple[Former, ...] = ()


class KeyList:
    """Tells of keys.

    Args:
        keys: The keys of all tenants.
        log: Names the logs.
        tenants: Where tenants are kept.
        guard: Decides and records.
    """

    def __init__(
        self, keys: KeyProvider, log: AuditLog, tenants: TenantStore, guard: Guard
    ) -> None:
        self._keys = keys
        self._log = log
        self._tenants = tenants
        self._guard = guard

    def of_platform(self, call: Call) -> list[KeyFacts]:
        """Return the keys that are no tenant's: of tokens and of policy sets.

        Raises:
            Forbidden: The caller is no administrator.
        """
        self._decide(call)
        return [self.token(), self.policy()]

    def tenants(self, call: Call, *, after: str, limit: int) -> Sequence[Tenant]:
        """Return tenants by id, for `of_tenant`.

        Raises:
            Forbidden: The caller is no administrator.
        """
        self._decide(call)
        return self._tenants.list(after or None, min(limit, PAGE))

    def of_tenant(self, call: Call, tenant: str) -> list[KeyFacts]:
        """Return the keys of a tenant; of one whose keys were destroyed only that of its log.

        Raises:
            NotFound: There is no such tenant.
            Forbidden: The caller is no administrator.
        """
        self._decide(call)
        if self._tenants.get(tenant) is None:
            raise NotFound("there is no tenant of this id")
        return [self.log(tenant), *self.files(tenant)]

    def one(self, kind: KeyKind, tenant: str) -> KeyFacts:
        """Return one key, undecided.

        Raises:
            KeyUnavailable: The tenant's keys are disabled or destroyed.
        """
        match kind:
            case "token":
                return self.token()
            case "policy":
                return self.policy()
            case "log":
                return self.log(tenant)
        found = [key for key in self.files(tenant) if key.kind == kind]
        if not found:
            raise KeyUnavailable
        return found[0]

    def token(self) -> KeyFacts:
        """Return the key of tokens, undecided."""
        return _signing("token", PLATFORM_TENANT, self._keys.ring(PURPOSE), key_id)

    def policy(self) -> KeyFacts:
        """Return the key of policy sets, undecided."""
        return _signing("policy", PLATFORM_TENANT, self._keys.ring("policy"), _hex)

    def log(self, tenant: str) -> KeyFacts:
        """Return the key of a tenant's log, undecided."""
        origin = self._log.origin(tenant)

        def vkey(public: bytes) -> str:
            return NoteVerifier(origin, public).vkey

        return _signing("log", tenant, self._keys.ring(log_purpose(self._log, tenant)), vkey)

    def files(self, tenant: str) -> Iterable[KeyFacts]:
        """Return the keys of a tenant's files and releases, undecided."""
        try:
            key, ring = self._keys.tenant_key(tenant), self._keys.ring(release_purpose(tenant))
        except KeyUnavailable:
            return []
        earlier = range(key.version - 1, key.oldest - 1, -1)
        former = tuple(Former(number, "", key.until) for number in earlier)
        return [
            KeyFacts("tenant", tenant, key.version, "", key.made or None, former),
            _signing("release", tenant, ring, _hex),
        ]

    def _decide(self, call: Call) -> None:
        self._guard.require(call, "administer", self._guard.platform(), reason="list_keys")


def _signing(
    kind: KeyKind, tenant: str, ring: SigningRing, name: Callable[[bytes], str]
) -> KeyFacts:
    former = tuple(
        Former(one.number, name(one.public), one.ends, one.replaced, one.endorsement)
        for one in ring.former
    )
    own = name(ring.key.public_key().public_bytes_raw())
    return KeyFacts(kind, tenant, ring.number, own, ring.made or None, former)


def _hex(public: bytes) -> str:
    return public.hex()
