"""The people of a tenant, as administrators see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from gateway.identity.people import State
from gateway.identity.person_details import MAX_ADDRESS, PersonDetails
from gateway.people.administration import People
from gateway.people.rights import Invitation, Known, Rights
from gateway.web.answers import Moment, Page
from gateway.web.bodies import Body, Name, Title, Words
from gateway.web.dependencies import CallDep, PageDep, provided
from gateway.web.operations import says
from gateway.web.shapes import page_body
from gateway.web.strict_route import StrictRoute

INVITATION_PATH = "/people/invitation"


@dataclass(frozen=True, slots=True)
class PeopleDesk:
    """What the routes need.

    Attributes:
        people: The use case.
        url: Where people accept invitations.
    """

    people: People
    url: str


router = APIRouter(
    route_class=StrictRoute, prefix="/v1/tenants/{tenant}/people", tags=["administration"]
)
Use = Annotated[PeopleDesk, provided(PeopleDesk)]


class PersonRights(Body):
    """What a person may be and name."""

    roles: Words
    purposes: Words = frozenset()
    default_purpose: Name | None = None

    def rights(self) -> Rights:
        """Return what the use case takes."""
        return Rights(self.roles, self.purposes, self.default_purpose)


class NewPerson(PersonRights):
    """A person to be invited."""

    email: Annotated[str, Field(max_length=MAX_ADDRESS, examples=["ada@clinic.example"])]
    name: Title


class PersonAnswer(TypedDict):
    """A person."""

    id: Annotated[str, Field(description="The pseudonym that the log has.")]
    tenant: str
    email: str
    name: str
    roles: list[str]
    purposes: list[str]
    default_purpose: str | None
    state: State
    password: Annotated[bool, Field(description="Whether it has one.")]
    created: Moment


class InvitationAnswer(TypedDict):
    """What a person signs in with for the first time, or anew."""

    person: str
    tenant: str
    accept_at: Annotated[str, Field(description="Page that asks for tenant and code.")]
    code: Annotated[str, Field(description="Shown this once.")]
    expires: Moment


@router.get("", openapi_extra=says(decides="administer", on="Tenant"))
def list_people(tenant: str, call: CallDep, use: Use, page: PageDep) -> Page[PersonAnswer]:
    """List the people of a tenant; the look is recorded."""
    found = use.people.list(call, tenant, after=page.after, limit=page.limit)
    following = found[-1].person.id if len(found) == page.limit else None
    return page_body([_body(known) for known in found], following)


@router.post(
    "",
    status_code=201,
    openapi_extra=says("already_exists", "registration_refused", decides="administer", on="Tenant"),
)
def invite_person(tenant: str, body: NewPerson, call: CallDep, use: Use) -> InvitationAnswer:
    """Invite a person; the code is shown this once."""
    details = PersonDetails(body.email, body.name)
    person, invitation = use.people.invite(call, tenant, details, body.rights())
    return _invitation(use, tenant, person.id, invitation)


@router.get("/{person}", openapi_extra=says(decides="administer", on="Tenant"))
def show_person(tenant: str, person: str, call: CallDep, use: Use) -> PersonAnswer:
    """Show a person; the look is recorded."""
    return _body(use.people.show(call, tenant, person))


@router.post(
    "/{person}/invite", openapi_extra=says("state_conflict", decides="administer", on="Tenant")
)
def reinvite_person(tenant: str, person: str, call: CallDep, use: Use) -> InvitationAnswer:
    """Give a person another invitation, for one that was lost or a password that was forgotten."""
    found, invitation = use.people.reinvite(call, tenant, person)
    return _invitation(use, tenant, found.id, invitation)


@router.put(
    "/{person}/roles",
    openapi_extra=says("registration_refused", "state_conflict", decides="administer", on="Tenant"),
)
def change_person_roles(
    tenant: str, person: str, body: PersonRights, call: CallDep, use: Use
) -> PersonAnswer:
    """Replace roles and purposes of a person at once."""
    use.people.change_roles(call, tenant, person, body.rights())
    return _body(use.people.show(call, tenant, person))


@router.post(
    "/{person}/suspend", openapi_extra=says("state_conflict", decides="administer", on="Tenant")
)
def suspend_person(tenant: str, person: str, call: CallDep, use: Use) -> PersonAnswer:
    """Shut a person out at once."""
    use.people.suspend(call, tenant, person)
    return _body(use.people.show(call, tenant, person))


@router.post(
    "/{person}/enable", openapi_extra=says("state_conflict", decides="administer", on="Tenant")
)
def enable_person(tenant: str, person: str, call: CallDep, use: Use) -> PersonAnswer:
    """Let a suspended person in again."""
    use.people.enable(call, tenant, person)
    return _body(use.people.show(call, tenant, person))


@router.delete("/{person}", status_code=204, openapi_extra=says(decides="administer", on="Tenant"))
def delete_person(tenant: str, person: str, call: CallDep, use: Use) -> None:
    """Forget a person for ever; the log keeps the pseudonym."""
    use.people.delete(call, tenant, person)


def _body(known: Known) -> PersonAnswer:
    person = known.person
    return {
        "id": person.id,
        "tenant": person.tenant,
        "email": known.details.address,
        "name": known.details.name,
        "roles": sorted(person.roles),
        "purposes": sorted(person.purposes),
        "default_purpose": person.default_purpose,
        "state": person.state,
        "password": bool(person.password),
        "created": person.created,
    }


def _invitation(
    use: PeopleDesk, tenant: str, person: str, invitation: Invitation
) -> InvitationAnswer:
    return {
        "person": person,
        "tenant": tenant,
        "accept_at": use.url + INVITATION_PATH,
        "code": invitation.code,
        "expires": invitation.expires,
    }
