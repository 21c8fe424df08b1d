"""What the evidence says of sharings, and how one that was cut off ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from gateway.authorization.event_ids import derived_id
from gateway.authorization.kinds import FINISHED, TOLD, UNDONE, Kind, Settled
from gateway.authorization.recorder import Details, own_ids
from gateway.authorization.records import Pending
from gateway.names import shared_name
from gateway.registry.facts import model_resource
from gateway.registry.ports import Registry
from gateway.registry.records import Sharing

ACTION = "uploadArtifact"


class SharingKinds:
    """The kinds of changes of sharings.

    Args:
        registry: Tells how one ended.
        changed: Raises the epoch.
    """

    def __init__(self, registry: Registry, changed: Callable[[], object]) -> None:
        self._registry = registry
        self._changed = changed
        self.kinds = (
            Kind("offer_sharing", ACTION, _details, self._finish_offer, told),
            Kind("accept_sharing", ACTION, _details, self._finish_accept, told),
            Kind("end_sharing", ACTION, _details, self._finish_end, told),
        )

    def _finish_offer(self, pending: Pending) -> Settled:
        found = self._found(pending)
        return self._settled(found is not None)

    def _finish_accept(self, pending: Pending) -> Settled:
        found = self._found(pending)
        return self._settled(found is not None and found.accepted is not None)

    def _finish_end(self, pending: Pending) -> Settled:
        return self._settled(self._found(pending) is None)

    def _settled(self, finished: bool) -> Settled:
        if finished:
            self._changed()
        return FINISHED if finished else UNDONE

    def _found(self, pending: Pending) -> Sharing | None:
        facts = pending.facts
        found = self._registry.get_sharing(facts["owner"], facts["model"], facts["tenant"])
        return found if found is not None and found.id == facts["sharing"] else None


def facts_of(sharing: Sharing, whom: str) -> dict[str, str]:
    """Return the row of a change of a sharing.

    Args:
        sharing: As it will be, or as it was before its end.
        whom: The tenant that is told in its own log; empty: nobody.
    """
    return {
        "sharing": sharing.id,
        "owner": sharing.owner,
        "model": sharing.model,
        "tenant": sharing.tenant,
        "versions": " ".join(sorted(sharing.versions)),
        "purposes": " ".join(sorted(sharing.purposes)),
        "terms": terms_text(sharing),
        **({TOLD: whom} if whom else {}),
    }


def terms_text(sharing: Sharing) -> str:
    """Return what is shared, and until when, as events tell it."""
    words = [word for word in ("infer", "download") if getattr(sharing, word)]
    if sharing.until is not None:
        moment = datetime.fromtimestamp(sharing.until, UTC).isoformat().replace("+00:00", "Z")
        words.append(f"until {moment}")
    return " ".join(words)


def _details(pending: Pending) -> Details:
    facts = pending.facts
    mine = pending.tenant == facts["owner"]
    return {
        "reason": pending.kind,
        "model_id": facts["model"] if mine else shared_name(facts["owner"], facts["model"]),
        "model_version": facts["versions"],
        "resource": model_resource(facts["owner"], facts["model"]),
        "recipient": facts["tenant"],
        "purpose": facts["purposes"],
        "terms": facts["terms"],
    }


def told(pending: Pending) -> Details:
    """Return what the other side's event says instead: which tenant acted, and not who there."""
    facts = pending.facts
    owner_reads = facts[TOLD] == facts["owner"]
    name = facts["model"] if owner_reads else shared_name(facts["owner"], facts["model"])
    return {"actor_ref": pending.tenant, "actor_type": "tenant", "model_id": name}


def use_of(
    sharing: Sharing, event_id: str, request_id: str, purpose: str, policy_ids: Iterable[str]
) -> Details:
    """Return what the owner's own log says of a use of its model: which tenant, and not who there.

    Args:
        sharing: By which it was used.
        event_id: Of the event in the log of the tenant that used it.
        request_id: By which both sides can talk about it.
        purpose: Of the use; told where the owner and the other tenant agreed on purposes.
        policy_ids: Of both tenants.
    """
    return {
        "id": derived_id(f"sealgate shared\n{event_id}"),
        "tenant": sharing.owner,
        "actor_ref": sharing.tenant,
        "actor_type": "tenant",
        "request_id": request_id,
        "purpose": purpose if purpose in sharing.purposes else "",
        "policy_ids": own_ids(policy_ids, sharing.owner),
        "model_id": sharing.model,
    }
