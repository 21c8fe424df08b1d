"""The release key of a tenant is replaced, by one that it names or, where it was lost, by another.

Safety argument:
1. Each is decided as administration of the platform and is an intent; both are recorded, and the
   tenant finds the result in its own log.
2. Named: the new key and what both keys signed are there in one write, with which the old private
   half goes; no release is signed meanwhile. What the old one signed until then stays good, here
   and for partners, who follow by themselves (`gateway.artifacts.release_keys`).
3. Lost, or in wrong hands: nothing that the old key signs counts any more. Every release is checked
   once more and signed by the new key, first while both count, and once more before the old one is
   forgotten. Nothing names the new key: partners refuse it until a person brings them a new kit.
4. Cut off, the lost key is replaced to the end as soon as there is a new one; before that nothing
   was begun.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Final

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.event import PLATFORM_TENANT
from gateway.artifacts.errors import KeyUnavailable, StatementInvalid
from gateway.artifacts.keys import KeyProvider
from gateway.artifacts.own_release_keys import chain_of, verify_release
from gateway.artifacts.release_keys import MAX_SUCCESSIONS, sign_succession
from gateway.artifacts.signature import sign_link
from gateway.artifacts.signing_rings import release_purpose
from gateway.authorization.guard import Guard
from gateway.authorization.intents import Intents
from gateway.authorization.kinds import (
    FINISHED,
    TOLD,
    UNDONE,
    Attribution,
    Kind,
    Settled,
    by_call,
)
from gateway.authorization.recorder import Call, Details
from gateway.authorization.records import Pending
from gateway.errors import LimitReached, StateConflict
from gateway.pages import every
from gateway.registry.ports import Registry
from gateway.registry.records import Model, ModelVersion
from gateway.tenancy.turns import Turns
from policies.engine import Decision

ROTATE_RELEASE: Final = "rotate_release_key"
LOST_RELEASE: Final = "replace_lost_release_key"


class ReleaseKeys:
    """Replaces release keys.

    Args:
        keys: The keys of all tenants.
        registry: Holds what they signed.
        turns: One at a time.
        guard: Decides and records.
        intents: Begin and end changes.
        changed: Raises the epoch under which manifests are remembered.
    """

    def __init__(
        self,
        keys: KeyProvider,
        registry: Registry,
        turns: Turns,
        *,
        guard: Guard,
        intents: Intents,
        changed: Callable[[], object],
    ) -> None:
        self._keys = keys
        self._registry = registry
        self._turns = turns
        self._guard = guard
        self._intents = intents
        self._changed = changed
        intents.register(
            Kind(ROTATE_RELEASE, "administer", _details, self._finish_rotate),
            Kind(LOST_RELEASE, "administer", _details, self._finish_lost),
        )

    def rotate(self, call: Call, tenant: str, *, after: int) -> None:
        """Sign releases with a new key from now on, which the old one names.

        Args:
            call: Who asks.
            tenant: Whose.
            after: Number of the key that is to be replaced.

        Raises:
            StateConflict: Another key signs by now, or another rotation is under way.
            LimitReached: Too many keys named one another.
            KeyUnavailable: The tenant's keys are disabled or destroyed.
            Forbidden: The caller is no administrator, or a second person is missing.
        """
        decision = self._decide(call, tenant, ROTATE_RELEASE)
        with self._turns.one(tenant, ROTATE_RELEASE, LOST_RELEASE):
            self._check_room(tenant)
            with self._intents.changing(
                ROTATE_RELEASE, PLATFORM_TENANT, _row(tenant, after), by_call(call, decision)
            ):
                self._keys.replace_release_key(
                    tenant, after=after, endorse=_naming(tenant, after + 1)
                )

    def replace_lost(self, call: Call, tenant: str, *, after: int) -> None:
        """Sign releases with a new key that nothing names, all of before as well.

        Args:
            call: Who asks.
            tenant: Whose.
            after: Number of the key that is lost, or in wrong hands.

        Raises:
            StateConflict: Another key signs by now, or another rotation is under way.
            KeyUnavailable: The tenant's keys are disabled or destroyed.
            Forbidden: The caller is no administrator, or a second person is missing.
        """
        decision = self._decide(call, tenant, LOST_RELEASE)
        self._lose(tenant, after, by_call(call, decision))

    def lose_again(self, tenant: str) -> None:
        """Replace a key that came back with a backup of before it was replaced.

        Does nothing for a tenant without keys.

        Raises:
            EvidenceUnavailable: It could not be recorded: the process must not become ready.
        """
        try:
            after = self._keys.ring(release_purpose(tenant)).number
        except KeyUnavailable:
            return
        self._lose(tenant, after, Attribution())

    def _decide(self, call: Call, tenant: str, kind: str) -> Decision:
        """Decide first about the platform, so that only administrators learn who is a tenant."""
        self._guard.require(call, "administer", self._guard.platform())
        return self._guard.require(call, "administer", self._guard.tenant(tenant), reason=kind)

    def _lose(self, tenant: str, after: int, by: Attribution) -> None:
        row = _row(tenant, after)
        with (
            self._turns.one(tenant, ROTATE_RELEASE, LOST_RELEASE),
            self._intents.changing(LOST_RELEASE, PLATFORM_TENANT, row, by),
        ):
            self._keys.prepare_successor(release_purpose(tenant), after=after)
            self._to_the_end(tenant, after)

    def _to_the_end(self, tenant: str, after: int) -> None:
        """Let the prepared key sign everything; may be repeated from any point."""
        purpose = release_purpose(tenant)
        ring = self._keys.ring(purpose)
        if ring.number == after:
            assert ring.successor is not None, "it is prepared"
            self._sign_anew(tenant, ring.successor)
            self._keys.complete_succession(purpose, after=after, endorsement="")
        self._sign_anew(tenant, self._keys.ring(purpose).key)  # what came in meanwhile
        self._keys.forget_former(purpose)
        self._changed()

    def _sign_anew(self, tenant: str, key: Ed25519PrivateKey) -> None:
        for version in self._versions(tenant):
            if not version.link:
                continue
            try:
                link = sign_link(key, verify_release(self._keys, tenant, version.link))
            except StatementInvalid:  # it was not served before, and is not afterwards
                log = structlog.get_logger()
                log.warning("link_unsound", model=version.model, version=version.version)
                continue
            if link != version.link:
                self._store(version, link)

    def _store(self, version: ModelVersion, link: bytes) -> None:
        """Replace the link of a version, whatever else changes about it meanwhile."""
        found: ModelVersion | None = version
        while found is not None:
            with suppress(StateConflict):
                self._registry.replace_version(replace(found, link=link))
                return
            found = self._registry.get_version(version.tenant, version.model, version.version)

    def _versions(self, tenant: str) -> Iterator[ModelVersion]:
        def models(after: str, limit: int) -> list[Model]:
            return self._registry.list_models(tenant, after=after, limit=limit)

        for model in every(models, lambda one: one.name, ""):

            def versions(after: str, limit: int, name: str = model.name) -> list[ModelVersion]:
                return self._registry.list_versions(tenant, name, after=after, limit=limit)

            yield from every(versions, lambda one: one.version, "")

    def _check_room(self, tenant: str) -> None:
        if len(chain_of(self._keys.ring(release_purpose(tenant)))) >= MAX_SUCCESSIONS:
            raise LimitReached(
                "too many release keys named one another: begin anew with `lost`, and with new kits"
            )

    def _finish_rotate(self, pending: Pending) -> Settled:
        replaced = self._number(pending) > int(pending.facts["after"])
        return FINISHED if replaced else UNDONE

    def _finish_lost(self, pending: Pending) -> Settled:
        tenant, after = pending.facts["tenant"], int(pending.facts["after"])
        try:
            ring = self._keys.ring(release_purpose(tenant))
        except KeyUnavailable:  # it was disabled or destroyed meanwhile: nothing is signed
            return UNDONE
        if ring.number == after and ring.successor is None:
            return UNDONE
        self._to_the_end(tenant, after)
        return FINISHED

    def _number(self, pending: Pending) -> int:
        try:
            return self._keys.ring(release_purpose(pending.facts["tenant"])).number
        except KeyUnavailable:
            return 0


def _naming(tenant: str, number: int) -> Callable[[Ed25519PrivateKey, Ed25519PrivateKey, int], str]:
    def endorse(before: Ed25519PrivateKey, after: Ed25519PrivateKey, at: int) -> str:
        return sign_succession(tenant, number, before, after, at).encode().decode()

    return endorse


def _row(tenant: str, after: int) -> dict[str, str]:
    row = {"tenant": tenant, "after": str(after)}
    if tenant != PLATFORM_TENANT:
        row[TOLD] = tenant
    return row


def _details(pending: Pending) -> Details:
    return {"reason": pending.kind, "resource": f"Key::release/{pending.facts['tenant']}"}
