"""The people of a tenant: invited, given roles, suspended, let in again, deleted.

Safety argument:
1. Each change is decided as administration of the platform; its intent and its result are in the
   platform's log, and the tenant finds it in its own. Records name people by their pseudonym only.
2. An invitation is a secret for one use, told once, stored as its digest, and good for three days.
   What a person chooses to sign in with after it is known to nobody else.
3. Changed roles, a suspension and a deletion hold for every token and every browser before the call
   returns; a deletion destroys the key of what is personal with the row that holds it. Who is let
   in again has no code, token or browser of before.
4. A look at who people are, with address and name, is recorded before it is answered.
5. A deletion is for ever and is finished if it is cut off; any other change is looked at, and said
   to be what it became.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Final

from audit.event import PLATFORM_TENANT
from gateway.authorization.guard import Guard
from gateway.authorization.intents import Intent, Intents
from gateway.authorization.kinds import FINISHED, TOLD, UNDONE, Kind, Settled, by_call
from gateway.authorization.recorder import Call, Details
from gateway.authorization.records import Pending
from gateway.errors import AlreadyExists, InvalidRequest, NotFound, StateConflict
from gateway.identity.people import (
    Person,
    Ticket,
    digest_of,
    new_person_id,
    new_secret,
)
from gateway.identity.people_ports import PersonStore, TicketStore
from gateway.identity.person_details import PersonDetails, SealedDetails, check_details
from gateway.identity.ports import TenantStore
from gateway.identity.records import Tenant, admitted_after
from gateway.identity.revocation import RevocationState
from gateway.pages import PAGE
from gateway.people.consent import CODE
from gateway.people.rights import Invitation, Known, Rights, check_rights
from policies.engine import Decision

INVITATION: Final = "invitation"
"""Kind of the tickets."""
INVITATION_SECONDS: Final = 3 * 24 * 3600
"""Over a weekend; after that it is sent anew."""

INVITE, REINVITE, ROLES_OF = "invite_person", "reinvite_person", "change_person_roles"
SUSPEND, ENABLE, DELETE = "suspend_person", "enable_person", "delete_person"


class People:
    """Invites, changes and lists the people of tenants.

    Args:
        tenants: Where tenants are kept.
        people: Where people are kept.
        tickets: Where invitations are kept.
        details: Seals and opens what is personal.
        revocation_state: Makes changes hold at once.
        cut_all: Ends the sign-ins of a person, as part of a change that is recorded.
        guard: Decides and records.
        intents: Begin and end changes.
        clock: Unix seconds.
        random_bytes: A cryptographic source.
    """

    def __init__(
        self,
        tenants: TenantStore,
        people: PersonStore,
        tickets: TicketStore,
        details: SealedDetails,
        revocation_state: RevocationState,
        *,
        cut_all: Callable[[str], object],
        guard: Guard,
        intents: Intents,
        clock: Callable[[], float],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._tenants = tenants
        self._people = people
        self._tickets = tickets
        self._cut_all = cut_all
        self._details = details
        self._revocation_state = revocation_state
        self._guard = guard
        self._intents = intents
        self._clock = clock
        self._random_bytes = random_bytes
        intents.register(
            Kind(INVITE, "administer", _details, self._finish_invite),
            Kind(REINVITE, "administer", _details, self._finish_reinvite),
            Kind(ROLES_OF, "administer", _details, self._finish_roles),
            Kind(SUSPEND, "administer", _details, self._finish_suspend),
            Kind(ENABLE, "administer", _details, self._finish_enable),
            Kind(DELETE, "administer", _details, self._finish_delete),
        )

    def invite(
        self, call: Call, tenant_id: str, details: PersonDetails, rights: Rights
    ) -> tuple[Person, Invitation]:
        """Make a person who has nothing to sign in with yet, and its invitation.

        Raises:
            NotFound: There is no such tenant.
            InvalidRequest: Address or name break their rule.
            RegistrationRefused: The rights contradict themselves or the tenant.
            AlreadyExists: The tenant has a person of that address.
            Forbidden: The caller is no administrator.
        """
        tenant, decision = self._decided(call, tenant_id, INVITE)
        check_details(details)
        check_rights(rights, tenant)
        mark = self._details.mark(tenant_id, details.address)
        if self._people.find(tenant_id, mark) is not None:
            raise AlreadyExists("the tenant has a person of this address").nearest("email", ())
        sealed, text = self._details.seal(tenant_id, details)
        person = Person(
            id=new_person_id(self._random_bytes),
            tenant=tenant_id,
            roles=rights.roles,
            purposes=rights.purposes,
            default_purpose=rights.default_purpose,
            state="invited",
            mark=mark,
            sealed=sealed,
            details=text,
            created=int(self._clock()),
        )
        with self._changing(call, decision, INVITE, person):
            self._people.add(person)
            self._revocation_state.changed()
            invitation = self._invited(person, new_secret(self._random_bytes))
        return person, invitation

    def reinvite(self, call: Call, tenant_id: str, person_id: str) -> tuple[Person, Invitation]:
        """Give a person another invitation; one of before ends. What it signs in with stays so far.

        Raises:
            NotFound: There is no such person in that tenant.
            StateConflict: The person is suspended.
            Forbidden: The caller is no administrator.
        """
        person, decision = self._person(call, tenant_id, person_id, REINVITE)
        if person.state == "suspended":
            raise StateConflict("the person is suspended: enable it first")
        secret = new_secret(self._random_bytes)
        with self._changing(call, decision, REINVITE, person, {"digest": digest_of(secret).hex()}):
            return person, self._invited(person, secret)

    def change_roles(self, call: Call, tenant_id: str, person_id: str, rights: Rights) -> Person:
        """Replace what a person may be and name; holds for every token when this returns.

        Raises:
            NotFound: There is no such person in that tenant.
            RegistrationRefused: The rights contradict themselves or the tenant.
            InvalidRequest: The caller itself.
            Forbidden: The caller is no administrator.
        """
        person, decision = self._person(call, tenant_id, person_id, ROLES_OF)
        check_rights(rights, self._tenant(tenant_id))
        _refuse_oneself(call, person)

        def changed(now: Person) -> Person:
            return replace(
                now,
                roles=rights.roles,
                purposes=rights.purposes,
                default_purpose=rights.default_purpose,
            )

        facts = {"roles": " ".join(sorted(rights.roles)), "was": str(person.revision)}
        with self._changing(call, decision, ROLES_OF, person, facts):
            return self._revocation_state.change_person(tenant_id, person_id, changed)

    def suspend(self, call: Call, tenant_id: str, person_id: str) -> Person:
        """Shut a person out; holds for every token and browser when this returns.

        Raises:
            NotFound: There is no such person in that tenant.
            InvalidRequest: The caller itself.
            Forbidden: The caller is no administrator.
        """
        person, decision = self._person(call, tenant_id, person_id, SUSPEND)
        _refuse_oneself(call, person)
        with self._changing(call, decision, SUSPEND, person):
            return self._shut_out(tenant_id, person_id)

    def enable(self, call: Call, tenant_id: str, person_id: str) -> Person:
        """Let a suspended person in again, with what it signed in with before.

        Raises:
            NotFound: There is no such person in that tenant.
            InvalidRequest: It is not suspended.
            StateConflict: An order to shut it out is still being settled.
            Forbidden: The caller is no administrator.
        """
        person, decision = self._person(call, tenant_id, person_id, ENABLE)
        if person.state != "suspended":
            raise InvalidRequest("the person is not suspended")
        for kind in (SUSPEND, DELETE):
            left = self._intents.unfinished(kind, PLATFORM_TENANT)
            if any(pending.facts["person"] == person_id for pending in left):
                raise StateConflict(
                    "an earlier change of this person is being settled: try again in a minute"
                )
        with self._changing(call, decision, ENABLE, person):
            return self._revocation_state.change_person(tenant_id, person_id, _enabled)

    def delete(self, call: Call, tenant_id: str, person_id: str) -> None:
        """Forget a person for ever, with the key of what is personal; the log keeps the pseudonym.

        Raises:
            NotFound: There is no such person in that tenant.
            InvalidRequest: The caller itself.
            Forbidden: The caller is no administrator.
        """
        person, decision = self._person(call, tenant_id, person_id, DELETE)
        _refuse_oneself(call, person)
        with self._changing(call, decision, DELETE, person):
            self._revocation_state.remove_person(tenant_id, person_id)

    def show(self, call: Call, tenant_id: str, person_id: str) -> Known:
        """Return a person and who it is; the look is recorded.

        Raises:
            NotFound: There is no such person in that tenant.
            Forbidden: The caller is no administrator.
        """
        person, decision = self._person(call, tenant_id, person_id, "show_person")
        about = self._guard.tenant(tenant_id)
        resource = f"User::{tenant_id}/{person_id}"
        self._guard.record(
            call, "administer", "allow", decision, about, reason="show_person", resource=resource
        )
        return self._known(person)

    def list(self, call: Call, tenant_id: str, *, after: str, limit: int) -> list[Known]:
        """Return the people of a tenant by id; the look is recorded with how many there were.

        Raises:
            NotFound: There is no such tenant.
            Forbidden: The caller is no administrator.
        """
        _, decision = self._decided(call, tenant_id, "list_people")
        found = self._people.list(tenant_id, after, min(limit, PAGE))
        about, told = self._guard.tenant(tenant_id), len(found)
        self._guard.record(
            call, "administer", "allow", decision, about, reason="list_people", n_out=told
        )
        return [self._known(person) for person in found]

    def _known(self, person: Person) -> Known:
        details = self._details.open(person.tenant, person.sealed, person.details)
        return Known(person, details)

    def _shut_out(self, tenant_id: str, person_id: str) -> Person:
        """Suspend; who is let in again signs in anew, everywhere: another may be signed in too."""
        now = int(self._clock())

        def suspended(person: Person) -> Person:
            admitted = admitted_after(person.not_before, now)
            return replace(person, state="suspended", not_before=admitted)

        person = self._revocation_state.change_person(tenant_id, person_id, suspended)
        for kind in (INVITATION, CODE):
            self._tickets.withdraw(kind, person_id)
        self._cut_all(person_id)
        return person

    def _invited(self, person: Person, secret: str) -> Invitation:
        digest, expires = digest_of(secret), int(self._clock()) + INVITATION_SECONDS
        self._tickets.add(Ticket(digest, INVITATION, person.tenant, person.id, "", expires))
        self._tickets.withdraw(INVITATION, person.id, but=digest)
        return Invitation(secret, expires)

    def _tenant(self, tenant_id: str) -> Tenant:
        tenant = self._tenants.get(tenant_id)
        if tenant is None:
            raise NotFound("there is no tenant of this id")
        return tenant

    def _decided(self, call: Call, tenant_id: str, kind: str) -> tuple[Tenant, Decision]:
        """Decide first about the platform, so that only administrators learn who is a tenant."""
        self._guard.require(call, "administer", self._guard.platform(), reason=kind)
        tenant = self._tenant(tenant_id)
        about = self._guard.tenant(tenant_id)
        return tenant, self._guard.require(call, "administer", about, reason=kind)

    def _person(
        self, call: Call, tenant_id: str, person_id: str, kind: str
    ) -> tuple[Person, Decision]:
        _, decision = self._decided(call, tenant_id, kind)
        person = self._people.get(person_id)
        if person is None or person.tenant != tenant_id:
            raise NotFound("the tenant has no person of this id: sealgate person list shows them")
        return person, decision

    def _changing(
        self,
        call: Call,
        decision: Decision,
        kind: str,
        person: Person,
        facts: Mapping[str, str] | None = None,
    ) -> AbstractContextManager[Intent]:
        row = {"tenant": person.tenant, "person": person.id, **(facts or {})}
        if person.tenant != PLATFORM_TENANT:
            row[TOLD] = person.tenant
        return self._intents.changing(kind, PLATFORM_TENANT, row, by_call(call, decision))

    def _finish_invite(self, pending: Pending) -> Settled:
        if self._people.get(pending.facts["person"]) is None:
            return UNDONE
        self._revocation_state.changed()
        return FINISHED

    def _finish_reinvite(self, pending: Pending) -> Settled:
        """It may be there without anybody who was told it: another one ends it."""
        digest = bytes.fromhex(pending.facts["digest"])
        if self._tickets.get(INVITATION, digest) is None:
            return UNDONE
        self._tickets.withdraw(INVITATION, pending.facts["person"], but=digest)
        return FINISHED

    def _finish_roles(self, pending: Pending) -> Settled:
        person = self._people.get(pending.facts["person"])
        roles = frozenset(pending.facts["roles"].split())
        if person is None or person.roles != roles or str(person.revision) == pending.facts["was"]:
            return UNDONE
        self._revocation_state.changed()
        return FINISHED

    def _finish_suspend(self, pending: Pending) -> Settled:
        """It is shut out: nobody lets it in again before this is settled."""
        tenant, person = pending.facts["tenant"], pending.facts["person"]
        if self._people.get(person) is None:
            return UNDONE
        self._shut_out(tenant, person)
        return FINISHED

    def _finish_enable(self, pending: Pending) -> Settled:
        person = self._people.get(pending.facts["person"])
        if person is None or person.state == "suspended":
            return UNDONE
        self._revocation_state.changed()
        return FINISHED

    def _finish_delete(self, pending: Pending) -> Settled:
        """It is for ever, and is done again."""
        self._revocation_state.remove_person(pending.facts["tenant"], pending.facts["person"])
        return FINISHED


def _refuse_oneself(call: Call, person: Person) -> None:
    if call.principal.client_id == person.id:
        raise InvalidRequest("a person cannot do this to itself: another administrator can")


def _enabled(person: Person) -> Person:
    return replace(person, state="active" if person.password else "invited")


def _details(pending: Pending) -> Details:
    about = f"{pending.facts['tenant']}/{pending.facts['person']}"
    return {"reason": pending.kind, "resource": f"User::{about}"}
