"""Orders to replace a key, of whichever kind: checked, bound to the key, and made or kept waiting.

1. An order is bound to the number of the key that it replaces: agreed to after somebody else
   replaced that key, it does nothing.
2. Whether it takes two is policy's (`gateway.authorization.approvals`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from audit.event import PLATFORM_TENANT
from gateway.authorization.approvals import Approvals, Operation
from gateway.authorization.guard import Guard
from gateway.authorization.recorder import Call
from gateway.authorization.records import Approval
from gateway.errors import InvalidRequest, NotFound
from gateway.tenancy.key_list import KeyList
from gateway.tenancy.keys import KeyRotation, tenant_overlap, token_overlap
from gateway.tenancy.policy_keys import PolicyKeys
from gateway.tenancy.release_keys import LOST_RELEASE, ReleaseKeys
from policies.facts import PlatformFacts, TenantFacts

ROTATE: Final = "rotate_key"
OF_THE_PLATFORM: Final = frozenset({"token", "policy"})
"""Kinds of which there is one key for all tenants."""
WITHOUT_OVERLAP: Final = frozenset({"log", "policy", "release"})
"""Kinds where what the old key signed stays good."""


class KeyOrders:
    """Takes orders to replace keys.

    Args:
        rotation: Replaces those of tokens, logs and tenants.
        releases: Replaces those of releases.
        policies: Replaces that of policy sets.
        key_list: Tells which there are.
        guard: Decides.
        approvals: Keeps what takes two.
    """

    def __init__(
        self,
        rotation: KeyRotation,
        releases: ReleaseKeys,
        policies: PolicyKeys,
        key_list: KeyList,
        *,
        guard: Guard,
        approvals: Approvals,
    ) -> None:
        self._rotation = rotation
        self._releases = releases
        self._policies = policies
        self._key_list = key_list
        self._guard = guard
        self._approvals = approvals
        approvals.register(
            Operation(
                ROTATE,
                "administer",
                prepare=self._prepare,
                reason=_reason,
                about=self._about,
                perform=self._perform,
            )
        )

    def order(
        self, call: Call, kind: str, tenant: str | None, overlap: int | None, *, lost: bool = False
    ) -> Approval | None:
        """Replace a key, or let the order wait for a second person; None: it was replaced.

        Args:
            call: Who asks.
            kind: Of the key.
            tenant: Whose; None for the kinds of which there is one.
            overlap: Seconds for which the old key is accepted; None: as is usual.
            lost: The release key is lost, or in wrong hands: the old one names no other.

        Raises:
            InvalidRequest: The order contradicts itself, or the overlap is out of bounds.
            NotFound: There is no such tenant, or the caller is no administrator.
            StateConflict: Another rotation is under way, or not settled yet.
            LimitReached: Too many keys followed one another, or too many orders wait.
        """
        body = {"kind": kind, "tenant": tenant, "overlap_s": overlap, "lost": lost}
        return self._approvals.run(call, ROTATE, body)

    def replace_again(self, key: str) -> None:
        """Replace a key that came back with a backup of before it was replaced.

        Args:
            key: As events name it.

        Raises:
            SealgateError: It could not be replaced: the process must not become ready.
        """
        kind, _, tenant = key.removeprefix("Key::").partition("/")
        if kind == "release":
            self._releases.lose_again(tenant)
        else:
            self._policies.rotate_again()

    def _prepare(self, call: Call, body: Mapping[str, Any]) -> Mapping[str, Any]:
        self._guard.require(call, "administer", self._guard.platform())
        kind, tenant, overlap = body["kind"], body["tenant"], body["overlap_s"]
        if kind in OF_THE_PLATFORM and tenant is not None:
            raise InvalidRequest(f"there is one {kind} key for all tenants: leave `tenant` out")
        if kind not in OF_THE_PLATFORM and tenant is None:
            raise InvalidRequest("`tenant` is required: each has a key of its own")
        if kind in WITHOUT_OVERLAP and overlap is not None:
            raise InvalidRequest("what the old key signed stays good: leave `overlap_s` out")
        if body["lost"] and kind != "release":
            raise InvalidRequest("`lost` is for release keys: every other kind is replaced alike")
        if kind == "token":
            token_overlap(overlap)
        if kind == "tenant":
            tenant_overlap(overlap)
        self._about(body)
        return {**body, "after": self._key_list.one(kind, tenant or PLATFORM_TENANT).number}

    def _about(self, body: Mapping[str, Any]) -> PlatformFacts | TenantFacts:
        if body["tenant"] is None:
            return self._guard.platform()
        if not self._guard.has_tenant(body["tenant"]):
            raise NotFound("there is no tenant of this id")
        return self._guard.tenant(body["tenant"])

    def _perform(self, call: Call, body: Mapping[str, Any]) -> None:
        tenant, overlap, after = body["tenant"], body["overlap_s"], body["after"]
        match body["kind"]:
            case "token":
                self._rotation.rotate_token(call, overlap, after=after)
            case "log":
                self._rotation.rotate_log(call, tenant, after=after)
            case "tenant":
                self._rotation.rotate_tenant(call, tenant, overlap, after=after)
            case "policy":
                self._policies.rotate(call, after=after)
            case "release" if body["lost"]:
                self._releases.replace_lost(call, tenant, after=after)
            case "release":
                self._releases.rotate(call, tenant, after=after)


def _reason(body: Mapping[str, Any]) -> str:
    return LOST_RELEASE if body["lost"] else f"rotate_{body['kind']}_key"
