"""What would be answered, by which policies, and the smallest change that would make it otherwise.

Safety argument:
1. A client hears about itself; about another client of its tenant only who may publish policies
   there does, and asking is recorded.
2. Only the set of the caller's tenant and the platform's policies are told of, whoever owns the
   thing; full texts, and conditions that name clients, models or other things, only to those who
   may read the set anyway.
3. A model or federation that the caller may not read, and one that is absent, are answered alike:
   as if there were a released and signed one of that name.
4. Nothing is done, and nothing that was asked for comes back in the answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from gateway.authorization.as_registered import as_registered
from gateway.authorization.guard import Guard
from gateway.authorization.recorder import Call, own_ids
from gateway.errors import InvalidRequest, NotFound
from gateway.identity.records import Client, Tenant
from gateway.registry.consent import reach, reach_version
from gateway.registry.facts import model_facts, version_facts
from gateway.registry.ports import Registry
from policies.author import PolicyAuthor
from policies.compiled import ACTIONS
from policies.engine import Decision
from policies.facts import (
    AuditLogFacts,
    FederationFacts,
    ModelFacts,
    ModelVersionFacts,
    PolicySetFacts,
    ResourceFacts,
    SubjectFacts,
    TenantFacts,
    VerdictFacts,
)
from policies.nearest import Rule, rules_of
from policies.smallest import Change, smallest_change

VERDICTS: Final = frozenset({"pass", "flag", "degrade", "block", "unscreened"})
"""Outcomes of a screen, as the schema has them."""
OF_VERSIONS: Final = frozenset(
    {"infer", "releaseOutput", "downloadArtifact", "promote", "rollback"}
)
OF_FEDERATIONS: Final = frozenset({"startRound", "joinFederation"})
NEAREST: Final = 3
"""Permits that are told where none applies."""

FederationOf = Callable[[TenantFacts, str], FederationFacts | None]
"""(tenant, name) → the federation; may block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What somebody wants to know; None is what a request of the client would have.

    Attributes:
        action: Name of the Cedar action.
        model, version: What it would be done to, where it is one of these.
        federation: The same.
        client: Whose request it would be; None is the caller itself.
        verdict: What the screen would say.
        recipient: The key that an artifact would be for.
        purpose: Of the processing.
        scopes, binding, acr, auth_age: Of the token.
        approvals: Distinct people behind the change.
    """

    action: str
    model: str | None = None
    version: str | None = None
    federation: str | None = None
    client: str | None = None
    verdict: str | None = None
    recipient: str | None = None
    purpose: str | None = None
    scopes: frozenset[str] | None = None
    binding: str | None = None
    acr: int | None = None
    auth_age: int | None = None
    approvals: int = 1


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would be answered, and why.

    Attributes:
        decision: The answer.
        rules: Those that decide; where no permit applies, the nearest ones as well.
        change: The smallest change that would allow it.
        notes: What a reader has to know beyond that, a sentence each.
        texts: Whether the caller may see the texts of the rules.
    """

    decision: Decision
    rules: tuple[Rule, ...]
    change: tuple[Change, ...]
    notes: tuple[str, ...]
    texts: bool


class Explaining:
    """Explains decisions in the caller's tenant.

    Args:
        author: Knows the set in force.
        guard: Decides and records.
        registered: Returns the client or person of an id, and its tenant.
        registry: Where models are.
        federation_of: Finds federations.
        clock: Unix seconds.
    """

    def __init__(
        self,
        author: PolicyAuthor,
        guard: Guard,
        registered: Callable[[str], tuple[Client | None, Tenant | None]],
        registry: Registry,
        federation_of: FederationOf,
        clock: Callable[[], float],
    ) -> None:
        self._author = author
        self._guard = guard
        self._registered = registered
        self._registry = registry
        self._federation_of = federation_of
        self._clock = clock

    def explain(self, call: Call, question: Question) -> Explanation:
        """Tell what would be answered, and by which policies; nothing is done.

        Raises:
            InvalidToken: The caller is no longer valid.
            InvalidRequest: There is no such action or verdict, or a name is missing.
            Forbidden: It is about another client, and the caller may not publish policies.
            NotFound: The tenant has no such client.
        """
        self._guard.confirm(call)
        _check(question)
        asking = self._asking(call, question)
        resource, assumed = self._resource(call, question)
        verdict = VerdictFacts(outcome=question.verdict) if question.verdict else None
        decision = self._guard.decide(
            asking,
            question.action,
            resource,
            verdict=verdict,
            approvals=question.approvals,
            recipient=question.recipient,
        )
        # Of a shared model the owner's policies decide as well: their names are not told.
        own = own_ids(decision.policy_ids, call.principal.tenant)
        decision = replace(decision, policy_ids=own)
        rules = self._rules(asking, question, resource, verdict)
        notes = [_ASSUMED] if assumed else []
        if question.client is not None:
            notes.append(_AS_REGISTERED)
        texts = self._may_publish(call)
        shown = rules if texts else tuple(map(_without_names, rules))
        return Explanation(
            decision,
            _told(shown, decision),
            () if decision.allowed else smallest_change(shown),
            (*_notes(rules, decision), *notes),
            texts,
        )

    def _asking(self, call: Call, question: Question) -> Call:
        """Return the call that would be made."""
        principal = call.principal
        if question.client not in (None, principal.client_id):
            about = PolicySetFacts(tenant=self._guard.tenant(principal.tenant))
            self._guard.permit(call, "managePolicy", about, reason="explain")
            client, _ = self._registered(str(question.client))
            if client is None or client.tenant != principal.tenant:
                raise NotFound("the tenant has no client of this id")
            principal = as_registered(client, self._guard)
        given = {
            name: value
            for name in ("scopes", "binding", "acr", "auth_age")
            if (value := getattr(question, name)) is not None
        }
        purpose = question.purpose or principal.default_purpose
        return replace(call, principal=replace(principal, **given), purpose=purpose)

    def _resource(self, call: Call, question: Question) -> tuple[ResourceFacts, bool]:
        """Return what it would be about, and whether that is only assumed to be there."""
        home = self._guard.tenant(call.principal.tenant)
        if question.action in {"reviewAudit", "exportAudit"}:
            return AuditLogFacts(tenant=home), False
        if question.action == "managePolicy":
            return PolicySetFacts(tenant=home), False
        if question.action == "administer":
            return self._guard.platform(), False
        if question.action in {"exportSubject", "eraseSubject"}:
            return SubjectFacts(tenant=home, ref="any", legal_hold=False), True
        found, assumed = self._named(home, question)
        if found is not None and self._guard.decide(call, "readMetadata", found).allowed:
            return found, False
        return assumed, True

    def _named(
        self, home: TenantFacts, question: Question
    ) -> tuple[ModelFacts | ModelVersionFacts | FederationFacts | None, ResourceFacts]:
        """Return what has the name, if anything has, and what is assumed in its place."""
        if question.federation is not None:
            assumed = FederationFacts(tenant=home, name="any", sites=frozenset())
            return self._federation_of(home, question.federation), assumed
        assert question.model is not None, "it was checked"
        model = reach(self._registry, home.id, question.model, self._clock())
        if question.version is None:
            facts = None if model is None else model_facts(model, self._guard.tenant)
            return facts, ModelFacts(tenant=home, name="any", personal=False, data_class="internal")
        version = None if model is None else reach_version(self._registry, model, question.version)
        released = ModelVersionFacts(
            tenant=home,
            model="any",
            version="1",
            stage="released",
            signed=True,
            personal=False,
            data_class="internal",
        )
        if model is None or version is None:
            return None, released
        return version_facts(model, version, self._guard.tenant), released

    def _rules(
        self,
        asking: Call,
        question: Question,
        resource: ResourceFacts,
        verdict: VerdictFacts | None,
    ) -> tuple[Rule, ...]:
        newest = self._author.current(asking.principal.tenant)
        of_platform = question.action == "administer"
        text = "" if newest is None or of_platform else newest.text
        context = self._guard.circumstances(asking, verdict=verdict, recipient=question.recipient)
        context = replace(context, approvals=question.approvals)
        asker = self._guard.principal(asking.principal)
        return rules_of(text, asker, question.action, resource, context, self._clock())

    def _may_publish(self, call: Call) -> bool:
        about = PolicySetFacts(tenant=self._guard.tenant(call.principal.tenant))
        return self._guard.decide(call, "managePolicy", about).allowed


def _check(question: Question) -> None:
    """Refuse what is no question.

    Raises:
        InvalidRequest: A word does not exist, or a name is missing.
    """
    if question.action not in ACTIONS:
        raise InvalidRequest("`action` is nothing that is decided").among("action", ACTIONS)
    if question.verdict is not None and question.verdict not in VERDICTS:
        raise InvalidRequest("`verdict` is none of a screen").among("verdict", VERDICTS)
    action = question.action
    if action in OF_VERSIONS and (question.model is None or question.version is None):
        raise InvalidRequest("`model` and `version` are required: it is done to a version")
    if action in OF_FEDERATIONS and question.federation is None:
        raise InvalidRequest("`federation` is required: it is done to a federation")
    named = question.model or question.federation
    if action in {"uploadArtifact", "readMetadata"} and named is None:
        raise InvalidRequest("`model` is required: it is done to a model")


def _told(rules: tuple[Rule, ...], decision: Decision) -> tuple[Rule, ...]:
    """Return the rules that decide, and the nearest permits where none applies."""
    deciding = {name.rpartition("/")[2] for name in decision.policy_ids}
    told = [rule for rule in rules if rule.id in deciding or rule.applies is None]
    permits = [rule for rule in rules if rule.effect == "permit"]
    if not any(rule.applies for rule in permits):
        nearest = sorted(permits, key=lambda rule: min(map(len, rule.ways), default=0))
        told += [rule for rule in nearest[:NEAREST] if rule not in told]
    return tuple(told)


def _without_names(rule: Rule) -> Rule:
    """Return a rule whose conditions name nothing that its reader may not know of."""
    ways = tuple(tuple(_HIDDEN if _NAMES.search(one) else one for one in way) for way in rule.ways)
    return replace(rule, text="", ways=ways)


def _notes(rules: tuple[Rule, ...], decision: Decision) -> list[str]:
    if decision.allowed:
        return []
    notes = []
    permits = [rule for rule in rules if rule.effect == "permit"]
    if decision.error == "no_policy_set":
        notes.append(_NO_SET)
    elif not permits:
        notes.append(_NO_RULE)
    elif not any(rule.applies for rule in permits):
        notes.append(_NO_PERMIT)
    elif not decision.policy_ids:
        notes.append(_OWNER)
    if any(rule.applies is None for rule in rules):
        notes.append(_UNDECIDED)
    return notes


_NAMES: Final = re.compile(r'(?!Action)\b\w+::"')
_HIDDEN: Final = "(a condition that names a client, a model or another thing: ask who may publish)"
_ASSUMED: Final = (
    "worked out for a released, signed and not personal thing of that name; whether there is one "
    "is not told"
)
_AS_REGISTERED: Final = "worked out for the widest token that the client may have"
_NO_SET: Final = "the tenant has no policy set that can be used: sealgate policy rescue"
_NO_RULE: Final = (
    "no permit of the set is about this action, kind of caller and kind of thing: add one"
)
_NO_PERMIT: Final = "no permit applies; the nearest are told"
_OWNER: Final = "the rules of your own tenant allow it: those of the model's owner do not; ask it"
_UNDECIDED: Final = (
    "a rule errs when it is asked, which refuses the request whatever the others say"
)
