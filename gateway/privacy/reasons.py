"""Why a request ended as it did: its records, the rules that decided, and what would change them.

Safety argument.
1. Only who may review the tenant's log is told; asking is recorded as any review is.
2. Only the log of the asker's own tenant is looked into: an id of another tenant's request, one
   that never was and one of which nothing is recorded look alike.
3. Of another tenant's rules nothing is told; its model is looked up only by a sharing that stands,
   as the asker itself would reach it.
4. What is told beyond the record is worked out from what is registered now. It counts as certain
   only if the same policy set, asked again with it, decides the same by the same rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, cast

from audit.event import PLATFORM_TENANT, Event, is_event_id
from audit.ports import Filter
from audit.reader import Entry, LogReader
from gateway.authorization.as_registered import as_registered
from gateway.authorization.guard import Guard
from gateway.authorization.recorder import Call, own_ids
from gateway.errors import NotFound
from gateway.identity.people import registration_of
from gateway.identity.people_ports import PersonStore
from gateway.identity.ports import ClientStore
from gateway.identity.principal import Principal
from gateway.identity.records import Client, TokenBinding
from gateway.names import shared_name
from gateway.registry.consent import reach, reach_version
from gateway.registry.facts import model_facts, version_facts
from gateway.registry.ports import Registry
from policies.facts import AuditLogFacts, PolicySetFacts, ResourceFacts, VerdictFacts
from policies.nearest import Rule, rule_that_decided, rules_of
from policies.ports import BundleStore

BEFORE_MS: Final = 1_000
AFTER_MS: Final = 3_600_000
"""Records of a request are looked for from just before its id was drawn to an hour later."""
MAX_SCANNED: Final = 1_000
"""Records of that hour that are read, half a millisecond each; inference is found without."""
NEAREST: Final = 3
"""Permits that are told where none applied."""
_PLATFORM: Final = "platform-"
_OUTCOMES: Final = ("pass", "flag", "degrade", "block", "unscreened")


@dataclass(frozen=True, slots=True)
class Reason:
    """What is known of one record.

    Attributes:
        entry: The record.
        rules: Those that decided; where no permit applied, the nearest ones as well.
        certain: The rules, asked again with what is registered now, decide the same.
        notes: What a reader has to know beyond that, a sentence each.
    """

    entry: Entry
    rules: tuple[Rule, ...]
    certain: bool
    notes: tuple[str, ...]


class Reasons:
    """Explains requests of the asker's own tenant.

    Args:
        reader: Reads verified events.
        guard: Decides who may ask.
        clients: Which client asked, as registered now.
        people: Which person, likewise.
        registry: What it was about, as registered now.
        bundles: Policy sets of every epoch.
        clock: Unix seconds.
    """

    def __init__(
        self,
        reader: LogReader,
        guard: Guard,
        clients: ClientStore,
        people: PersonStore,
        registry: Registry,
        bundles: BundleStore,
        clock: Callable[[], float],
    ) -> None:
        self._reader = reader
        self._guard = guard
        self._clients = clients
        self._people = people
        self._registry = registry
        self._bundles = bundles
        self._clock = clock

    def of(self, call: Call, request_id: str) -> list[Reason]:
        """Return what is known of a request, in the order of its records.

        Raises:
            Forbidden: Policy says no.
            NotFound: The tenant's log has no record of it.
            EntryTampered: The log does not match what was signed.
        """
        tenant = call.principal.tenant
        about = AuditLogFacts(tenant=self._guard.tenant(tenant))
        self._guard.permit(call, "reviewAudit", about, reason="why")
        if not is_event_id(request_id):
            raise NotFound
        entries = self._entries(tenant, request_id)
        if not entries:
            raise NotFound
        return [self._reason(entry) for entry in entries]

    def _entries(self, tenant: str, request_id: str) -> list[Entry]:
        found = self._reader.find(tenant, request_id)
        if found is not None:  # inference: the record has the id of its request
            return [found]
        drawn = int(request_id.replace("-", "")[:12], 16)
        since, until = (drawn - BEFORE_MS) * 1_000_000, (drawn + AFTER_MS) * 1_000_000
        if since < 0 or until >= 2**63:
            return []
        where = Filter(since=since, until=until)
        read = self._reader.search(tenant, where, limit=MAX_SCANNED)
        return [entry for entry in read if entry.event.request_id == request_id]

    def _reason(self, entry: Entry) -> Reason:
        event = entry.event
        text = self._text(event)
        named = tuple(self._named(event, name, text) for name in dict.fromkeys(event.policy_ids))
        if event.outcome != "deny":
            return Reason(entry, named, text is not None, _of_no_refusal(event))
        if not event.resource:
            return Reason(entry, named, False, (_NOTHING_FOUND,))
        if text is None:
            return Reason(entry, named, False, (_NO_SET,))
        if named and all(rule.effect == "permit" for rule in named):
            return Reason(entry, named, True, (_NOT_POLICY,))
        return self._refused(entry, named, text)

    def _refused(self, entry: Entry, named: tuple[Rule, ...], text: str) -> Reason:
        event = entry.event
        client, resource = self._registration(event), self._resource(event)
        if client is None or client.tenant != event.tenant or resource is None:
            return Reason(entry, named, False, (_GONE,))
        call = Call(self._asker(event, client), event.purpose or None, "")
        verdict, same = self._again(call, event, resource)
        context = self._guard.circumstances(
            call, verdict=verdict, recipient=event.recipient or None
        )
        asker = self._guard.principal(call.principal)
        rules = rules_of(text, asker, event.action, resource, context, self._clock())
        deciding = {name.rpartition("/")[2] for name in event.policy_ids}
        told = [rule for rule in rules if rule.id in deciding]
        told += [rule for rule in named if rule.id not in {one.id for one in told}]
        permits = [rule for rule in rules if rule.effect == "permit"]
        if not any(rule.applies for rule in permits):
            told += sorted(permits, key=lambda rule: len(rule.ways[0]))[:NEAREST]
        notes = [_AS_REGISTERED] if same else [_CHANGED]
        if not event.policy_ids and any(rule.applies for rule in permits):
            notes.insert(0, _OWNER)
        elif not event.policy_ids and not any(rule.applies for rule in permits):
            notes.insert(0, _NO_PERMIT if permits else _NO_RULE)
        if any(rule.applies is None for rule in rules):
            notes.append(_UNDECIDED)
        if any(rule.effect == "forbid" and rule.applies and not rule.ways for rule in told):
            notes.append(_ALWAYS)
        if event.action in {"infer", "releaseOutput"} and not event.purpose:
            notes.append(_PURPOSE)
        return Reason(entry, tuple(told), same, tuple(notes))

    def _asker(self, event: Event, client: Client) -> Principal:
        """Return who asked; how tokens of a person are bound is up to what it came by."""
        asker = as_registered(client, self._guard)
        if client.kind != "user":
            return asker
        return replace(asker, binding=cast(TokenBinding, event.auth_method))

    def _registration(self, event: Event) -> Client | None:
        """Return who asked, as it is registered now; of a person, that and not its client."""
        if event.actor_type != "user":
            return self._clients.get(event.client_id)
        person = self._people.get(event.actor_ref)
        return None if person is None else registration_of(person)

    def _again(
        self, call: Call, event: Event, resource: ResourceFacts
    ) -> tuple[VerdictFacts | None, bool]:
        """Decide once more; return the verdict under which it comes out as recorded, if any."""
        fired = frozenset(event.screening.rules) if event.screening else frozenset()
        verdicts: list[VerdictFacts | None] = [None]
        if event.action == "releaseOutput":
            verdicts = [VerdictFacts(outcome=one, rules=fired) for one in _OUTCOMES]
        for verdict in verdicts:
            decision = self._guard.decide(
                call, event.action, resource, verdict=verdict, recipient=event.recipient or None
            )
            ids = own_ids(decision.policy_ids, event.tenant)
            same = (ids, decision.epoch, decision.error) == (
                tuple(event.policy_ids),
                event.policy_epoch,
                None,
            )
            if same and not decision.allowed:
                return verdict, True
        return verdicts[0], False

    def _named(self, event: Event, name: str, text: str | None) -> Rule:
        """Return a rule that decided, without asking it again."""
        owner, _, rule = name.rpartition("/")
        known = name.startswith(_PLATFORM) or (owner == event.tenant and text is not None)
        found = rule_that_decided(text or "", rule) if known else None
        return found or Rule(name, "forbid" if event.outcome == "deny" else "permit", "", True, ())

    def _text(self, event: Event) -> str | None:
        """Return the policy set that decided, as it was published; none but the platform's: ""."""
        if event.action == "administer":
            return ""
        if not event.policy_epoch:
            return None
        found = self._bundles.list(event.tenant, after=event.policy_epoch - 1, limit=1)
        return found[0].text if found and found[0].epoch == event.policy_epoch else None

    def _resource(self, event: Event) -> ResourceFacts | None:
        """Return what it was about as it is now; None for what is gone or another tenant's."""
        kind, _, name = event.resource.partition("::")
        tenant, _, rest = name.partition("/")
        if kind == "Platform" and event.tenant == PLATFORM_TENANT:
            return self._guard.platform()
        if tenant != event.tenant and kind != "ModelVersion":
            return None
        if kind in {"AuditLog", "PolicySet"}:
            home = self._guard.tenant(tenant)
            return AuditLogFacts(tenant=home) if kind == "AuditLog" else PolicySetFacts(tenant=home)
        name, _, version = rest.partition("@")
        called = name if tenant == event.tenant else shared_name(tenant, name)
        model = reach(self._registry, event.tenant, called, self._clock())
        if model is None or kind not in {"Model", "ModelVersion"}:
            return None
        if kind == "Model":
            return model_facts(model, self._guard.tenant)
        found = reach_version(self._registry, model, version)
        return None if found is None else version_facts(model, found, self._guard.tenant)


def _of_no_refusal(event: Event) -> tuple[str, ...]:
    return (_NOT_POLICY,) if event.outcome == "error" else ()


_NOTHING_FOUND: Final = (
    "nothing of that name was found for this caller: it is absent, has no such version, or is not "
    "for this caller; the name is the caller's own text and not recorded"
)
_NO_SET: Final = "the policy set that decided is not there any more, so its rules cannot be told"
_GONE: Final = (
    "what would have to change cannot be told: the client or what it asked for is another "
    "tenant's, is not registered any more, or is of a kind that is not looked up again"
)
_NO_PERMIT: Final = "no rule forbade it, and none permitted it; the nearest are told"
_OWNER: Final = (
    "the rules of your own tenant would have allowed it: those of the model's owner did not; ask it"
)
_NO_RULE: Final = "no rule of the set is about this action, kind of caller and kind of thing"
_AS_REGISTERED: Final = (
    "worked out with what is registered now, which decides the same; scopes are those of the "
    "client, and its token may have had fewer"
)
_CHANGED: Final = (
    "what would have to change is not certain: with what is registered now the rules do not "
    "decide as they did then; the client, the model, the policies or the token were others"
)
_ALWAYS: Final = "a rule without conditions forbids it always: only another policy set lifts it"
_UNDECIDED: Final = (
    "a rule errs when it is asked, which refuses the request whatever the others say"
)
_PURPOSE: Final = "no purpose is recorded: it named none, or one that is not registered for it"
_NOT_POLICY: Final = "no policy refused it: it ended for the reason that is recorded"
