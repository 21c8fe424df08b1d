"""Keys follow one another: those of tokens, of a tenant's log, of a tenant's files.

For those of releases and of policy sets see `release_keys` and `policy_keys`.

Safety argument:
1. Each rotation is decided as administration of the platform and is an intent: cut off at any point
   it is finished, or was not begun, at the next start; both are recorded.
2. One rotation at a time, and none of a key while an earlier one of it is not settled
   (`gateway.tenancy.turns`): what a finisher finds is what its own rotation did.
3. Tokens: the new key signs and the old one is accepted until its end, from one moment on
   (`gateway.identity.token_keys`). The old private key is forgotten in the same write.
4. Log: the successor is durable before the log names it, the log names it before anything is signed
   by it alone (`audit.succession`), and only then is the old private key forgotten.
5. Wrapping: the new version wraps from then on; every key that is stored is wrapped anew before the
   answer. The old version is destroyed when its time is up and a whole look has found nothing that
   it wrapped, and no job is left that may have read what it wrapped (`KeyRetirement`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Final

from audit.event import PLATFORM_TENANT
from audit.log import AuditLog
from audit.note import LogSigner
from audit.succession import ACTION, endorsement
from gateway.artifacts.errors import KeyUnavailable
from gateway.artifacts.keys import KeyProvider
from gateway.authorization.event_ids import derived_id
from gateway.authorization.guard import Guard
from gateway.authorization.intents import Intent, Intents
from gateway.authorization.kinds import FINISHED, TOLD, UNDONE, Kind, Settled, by_call
from gateway.authorization.recorder import Call, Details, Recorder
from gateway.authorization.records import Pending
from gateway.errors import InvalidRequest, NotFound, StateConflict
from gateway.identity.ports import TenantStore
from gateway.identity.principal import Principal
from gateway.identity.token_keys import PURPOSE, TokenKeys
from gateway.identity.tokens import TOKEN_SECONDS
from gateway.tenancy.turns import Turns
from gateway.tenancy.wrapped import Rewrapping
from policies.engine import Decision
from policies.facts import PlatformFacts, TenantFacts

TOKEN_OVERLAP: Final = 3 * TOKEN_SECONDS
"""Seconds: the life of a token, and as long again for whoever keeps our published keys."""
TENANT_OVERLAP: Final = 24 * 3600
"""Seconds: longer than any upload, publication or batch that is under way."""
LEAST_TENANT_OVERLAP: Final = 3600
"""Seconds: what was wrapped before and is not stored yet must still open."""
MAX_OVERLAP: Final = 30 * 24 * 3600
"""Seconds: a key that is kept for longer was not replaced."""

ROTATE_TOKEN: Final = "rotate_token_key"  # noqa: S105 - the name of a kind
ROTATE_LOG: Final = "rotate_log_key"
ROTATE_TENANT: Final = "rotate_tenant_key"


class KeyRotation:
    """Replaces keys.

    Args:
        keys: The keys of all tenants.
        token_keys: Those of tokens, as this process uses them.
        log: Signs with the keys of logs.
        log_signer: Returns the signer of a tenant's log as the keystore has it now.
        rewrapping: Wraps a tenant's stored keys anew.
        tenants: Where tenants are kept.
        turns: One at a time.
        guard: Decides and records.
        intents: Begin and end changes.
        recorder: Makes the events of logs.
    """

    def __init__(
        self,
        keys: KeyProvider,
        token_keys: TokenKeys,
        log: AuditLog,
        log_signer: Callable[[str], LogSigner],
        rewrapping: Rewrapping,
        tenants: TenantStore,
        turns: Turns,
        *,
        guard: Guard,
        intents: Intents,
        recorder: Recorder,
    ) -> None:
        self._keys = keys
        self._token_keys = token_keys
        self._log = log
        self._log_signer = log_signer
        self._rewrapping = rewrapping
        self._tenants = tenants
        self._guard = guard
        self._intents = intents
        self._recorder = recorder
        self._turns = turns
        intents.register(
            Kind(ROTATE_TOKEN, "administer", _details, self._finish_token),
            Kind(ROTATE_LOG, "administer", _details, self._finish_log),
            Kind(ROTATE_TENANT, "administer", _details, self._finish_tenant),
        )

    def rotate_token(
        self, call: Call, overlap: int | None = None, *, after: int | None = None
    ) -> None:
        """Sign tokens with a new key from now on.

        Args:
            call: Who asks.
            overlap: Seconds for which tokens of the key before are accepted; 0 ends them at once.
            after: Number of the key that is to be replaced; None: whichever it is.

        Raises:
            InvalidRequest: The overlap is out of bounds.
            StateConflict: Another rotation is under way, or not settled yet.
            LimitReached: Too many former keys are accepted still.
            Forbidden: The caller is no administrator.
        """
        seconds = token_overlap(overlap)
        decision = self._decided(call, self._guard.platform(), ROTATE_TOKEN)
        with self._turns.one(PLATFORM_TENANT, ROTATE_TOKEN):
            after = self._keys.ring(PURPOSE).number if after is None else after
            row = {"tenant": PLATFORM_TENANT, "after": str(after)}
            with self._changing(call, decision, ROTATE_TOKEN, row):
                self._keys.rotate_signing(PURPOSE, after=after, overlap=seconds)
                self._token_keys.reload()

    def rotate_log(self, call: Call, tenant: str, *, after: int | None = None) -> None:
        """Sign a tenant's log with a new key from now on; the old one has endorsed it in the log.

        Args:
            call: Who asks.
            tenant: Whose log.
            after: Number of the key that is to be replaced; None: whichever it is.

        Raises:
            NotFound: There is no such tenant.
            StateConflict: Another rotation is under way, or not settled yet.
            LimitReached: The log had too many keys.
            Forbidden: The caller is no administrator.
        """
        decision = self._decided(call, self._facts(call, tenant), ROTATE_LOG)
        with self._turns.one(tenant, ROTATE_LOG):
            number = self._keys.ring(log_purpose(self._log, tenant)).number
            if after not in (None, number):
                raise StateConflict
            row = {"tenant": tenant, "after": str(number)}
            with self._changing(call, decision, ROTATE_LOG, row) as intent:
                self._succeed(intent.pending, call.principal)

    def rotate_tenant(
        self, call: Call, tenant: str, overlap: int | None = None, *, after: int | None = None
    ) -> None:
        """Wrap a tenant's file keys with a new key; what is encrypted stays as it is.

        Args:
            call: Who asks.
            tenant: Whose key.
            overlap: Seconds for which the version before is kept, for work under way.
            after: The version that is to be replaced; None: whichever it is.

        Raises:
            InvalidRequest: The overlap is out of bounds.
            NotFound: There is no such tenant.
            StateConflict: Another rotation is under way, or not settled yet.
            KeyUnavailable: The tenant's key is disabled or destroyed.
            Forbidden: The caller is no administrator.
        """
        seconds = tenant_overlap(overlap)
        decision = self._decided(call, self._facts(call, tenant), ROTATE_TENANT)
        with self._turns.one(tenant, ROTATE_TENANT):
            after = self._keys.tenant_key(tenant).version if after is None else after
            row = {"tenant": tenant, "after": str(after), TOLD: tenant}
            with self._changing(call, decision, ROTATE_TENANT, row):
                self._keys.rotate(tenant, after=after, overlap=seconds)
                self._rewrapping(tenant)

    def _succeed(self, pending: Pending, principal: Principal | None) -> None:
        """Bring the successor of a log's key into force; may be repeated from any point."""
        tenant, after = pending.facts["tenant"], int(pending.facts["after"])
        purpose = log_purpose(self._log, tenant)
        self._keys.prepare_successor(purpose, after=after)
        before = self._log_signer(tenant)
        successor = before.successor
        assert successor is not None, "it is prepared"
        event = self._recorder.event_for(
            principal,
            ACTION,
            "done",
            id=derived_id(f"sealgate succession\n{pending.id}"),
            tenant=tenant,
            reason=ROTATE_LOG,
            resource=f"AuditLog::{tenant}",
        )
        self._recorder.rotate_log_key(event, successor)
        self._keys.complete_succession(
            purpose, after=after, endorsement=endorsement(before, successor)
        )

    def _facts(self, call: Call, tenant: str) -> TenantFacts:
        """Decide first about the platform, so that only administrators learn who is a tenant."""
        self._guard.require(call, "administer", self._guard.platform())
        if self._tenants.get(tenant) is None:
            raise NotFound("there is no tenant of this id")
        return self._guard.tenant(tenant)

    def _decided(self, call: Call, facts: PlatformFacts | TenantFacts, kind: str) -> Decision:
        return self._guard.require(call, "administer", facts, reason=kind)

    def _changing(
        self, call: Call, decision: Decision, kind: str, row: Mapping[str, str]
    ) -> AbstractContextManager[Intent]:
        return self._intents.changing(kind, PLATFORM_TENANT, row, by_call(call, decision))

    def _finish_token(self, pending: Pending) -> Settled:
        """A caller who was told nothing may not want it any more: tell whether it is there."""
        replaced = self._keys.ring(PURPOSE).number > int(pending.facts["after"])
        if replaced:
            self._token_keys.reload()
        return FINISHED if replaced else UNDONE

    def _finish_log(self, pending: Pending) -> Settled:
        """Once there is a successor the log may name it, or be about to: it is completed."""
        ring = self._keys.ring(log_purpose(self._log, pending.facts["tenant"]))
        if ring.number > int(pending.facts["after"]):
            return FINISHED
        if ring.successor is None:
            return UNDONE
        self._succeed(pending, None)
        return FINISHED

    def _finish_tenant(self, pending: Pending) -> Settled:
        """What has a new version is wrapped by it, to the last of it."""
        tenant = pending.facts["tenant"]
        try:
            if self._keys.tenant_key(tenant).version == int(pending.facts["after"]):
                return UNDONE
            self._rewrapping(tenant)
        except KeyUnavailable:  # it was disabled or destroyed meanwhile: nothing is used
            return UNDONE
        return FINISHED


def log_purpose(log: AuditLog, tenant: str) -> str:
    """Return the purpose of the keys of a tenant's log."""
    return f"log/{log.origin(tenant)}"


def token_overlap(overlap: int | None) -> int:
    """Return for how many seconds tokens of the key before are accepted.

    Raises:
        InvalidRequest: It is out of bounds.
    """
    return _checked(overlap, TOKEN_OVERLAP)


def tenant_overlap(overlap: int | None) -> int:
    """Return for how many seconds the version before is kept.

    Raises:
        InvalidRequest: It is out of bounds.
    """
    return _checked(overlap, TENANT_OVERLAP, least=LEAST_TENANT_OVERLAP)


def _checked(overlap: int | None, usual: int, *, least: int = 0) -> int:
    if overlap is None:
        return usual
    if not least <= overlap <= MAX_OVERLAP:
        raise InvalidRequest(
            f"`overlap_s` must be between {least} and {MAX_OVERLAP} seconds for this kind of key"
        )
    return overlap


def _details(pending: Pending) -> Details:
    what = pending.kind.removeprefix("rotate_").removesuffix("_key")
    return {"reason": pending.kind, "resource": f"Key::{what}/{pending.facts['tenant']}"}
