"""What a person may be and name, and what administrators are told of people. Pure.

1. A person is never a site, nor what acts for other clients (`delegate`): those are machines.
2. Only the platform's people can be administrators, and purposes are the tenant's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from audit.event import PLATFORM_TENANT
from gateway.identity.errors import RegistrationRefused
from gateway.identity.people import Person
from gateway.identity.person_details import PersonDetails
from gateway.identity.records import ROLES, Tenant

OF_PEOPLE: Final = ROLES - {"site", "delegate"}
"""Roles that people can have."""


@dataclass(frozen=True, slots=True)
class Rights:
    """What a person may be and name.

    Attributes:
        roles: Out of `gateway.identity.records.ROLES`.
        purposes: Out of the tenant's.
        default_purpose: One of these, or None.
    """

    roles: frozenset[str]
    purposes: frozenset[str]
    default_purpose: str | None


@dataclass(frozen=True, slots=True)
class Invitation:
    """A secret with which a person signs in for the first time, or anew.

    Attributes:
        code: To be handed to the person by another way than the log.
        expires: Unix seconds.
    """

    code: str = field(repr=False)
    expires: int


@dataclass(frozen=True, slots=True)
class Known:
    """A person and who it is."""

    person: Person
    details: PersonDetails


def check_rights(rights: Rights, tenant: Tenant) -> None:
    """Check what a person is to be against itself and its tenant.

    Raises:
        RegistrationRefused: Something in it does not hold.
    """
    if not rights.roles <= OF_PEOPLE:
        what = "`roles` names one that does not exist for people"
        raise RegistrationRefused(what).among("roles", OF_PEOPLE)
    if "administrator" in rights.roles and tenant.id != PLATFORM_TENANT:
        raise RegistrationRefused("only the platform tenant has administrators")
    if not rights.purposes <= tenant.purposes:
        what = "`purposes` names one that is not registered for the tenant"
        raise RegistrationRefused(what).among("purposes", tenant.purposes)
    if rights.default_purpose is not None and rights.default_purpose not in rights.purposes:
        raise RegistrationRefused("the default purpose is not one of the purposes")
