"""People: invited, given roles, suspended, let in again, deleted."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from gateway.composition.foundation import Foundation
from gateway.errors import AlreadyExists
from gateway.identity.errors import SignInRefused
from gateway.identity.passkeys import Passkey
from gateway.identity.people import Person, State
from gateway.identity.person_details import PersonDetails
from gateway.people.administration import INVITATION, People
from gateway.people.browsers import Here
from gateway.people.ceremonies import Answered
from gateway.people.rights import Rights
from tests.gateway.people.authenticator import Authenticator
from tests.kills.scenario import Notes, Scenario, never, nothing
from tests.kills.tenancy_changes import ADMINISTRATOR, CARE
from tests.kills.world import World

ISSUER = "http://127.0.0.1:8080"
PASSWORD = "correct horse battery staple"
ADA = PersonDetails("ada@acme.example", "Ada")
RIGHTS = Rights(frozenset({"caller"}), CARE, "care")
OWNER = replace(RIGHTS, roles=frozenset({"owner"}))


def _desk(world: World) -> People:
    return world.use.people.administration


def _people(base: Foundation) -> list[Person]:
    return list(base.stores.people.list("acme", "", 9))


def _ada(base: Foundation) -> Person:
    (person,) = _people(base)
    return person


def _invite(world: World, notes: Notes) -> object:
    return _desk(world).invite(ADMINISTRATOR, "acme", ADA, RIGHTS)


def _invited(world: World) -> Notes:
    _invite(world, {})
    return {}


def _code(world: World) -> Notes:
    return {"code": _desk(world).invite(ADMINISTRATOR, "acme", ADA, RIGHTS)[1].code}


def _accept(world: World, notes: Notes) -> object:
    return world.use.people.signing_in.accept("acme", notes["code"], PASSWORD, request_id="r")


def _has_password(base: Foundation) -> bool:
    return _ada(base).state == "active" and bool(_ada(base).password)


def _signed_in(world: World) -> Notes:
    secret = _accept(world, _code(world))
    here = world.use.people.browsers.here(str(secret))
    assert here is not None
    return {"sign_in": here.sign_in.id}


def _another_code(world: World) -> Notes:
    notes = _signed_in(world)
    person = _ada(world.base)
    code = _desk(world).reinvite(ADMINISTRATOR, "acme", person.id)[1].code
    return {**notes, "code": code, "password": person.password}


def _end(world: World, notes: Notes) -> object:
    sign_in = world.base.stores.sign_ins.get(notes["sign_in"])
    assert sign_in is not None
    world.use.people.endings.end(sign_in)
    return None


def _ended(base: Foundation, notes: Notes) -> bool:
    gone = base.stores.sign_ins.get(notes["sign_in"]) is None
    return gone and base.revocation_state.is_revoked(ISSUER, notes["sign_in"])


def _out(world: World) -> Notes:
    _invited(world)
    _desk(world).suspend(ADMINISTRATOR, "acme", _ada(world.base).id)
    return {}


def _is(state: State, base: Foundation) -> bool:
    return _ada(base).state == state


def _invitations(base: Foundation) -> int:
    return base.stores.tickets.count(INVITATION)


def _entered(world: World) -> Notes:
    """By an invitation: young and strong enough to add a passkey."""
    secret = str(_accept(world, _code(world)))
    return {"secret": secret, "sign_in": _here(world, secret).sign_in.id}


def _here(world: World, secret: str) -> Here:
    here = world.use.people.browsers.here(secret)
    assert here is not None
    return here


def _add_passkey(world: World, notes: Notes, device: Authenticator | None = None) -> object:
    passkeys, here = world.use.people.passkeys, _here(world, notes["secret"])
    form = (device or Authenticator(ISSUER)).create(passkeys.ask(here, "page", "ada"))
    return passkeys.add(here, Answered.of(form), "blue key", "page", "r")


def _passkeys(base: Foundation) -> Sequence[Passkey]:
    return base.stores.passkeys.list(_ada(base).id)


def _with_passkey(world: World, device: Authenticator | None = None) -> Notes:
    secret = str(_add_passkey(world, _entered(world), device))
    return {"secret": secret, "sign_in": _here(world, secret).sign_in.id}


def _remove_passkey(world: World, notes: Notes) -> object:
    (passkey,) = _passkeys(world.base)
    here = _here(world, notes["secret"])
    return world.use.people.passkeys.remove(here, passkey.id, "r")


def _with_copy(world: World) -> Notes:
    device = Authenticator(ISSUER, counter=9)
    notes = _with_passkey(world, device)
    device.counter = 3
    form = device.get(world.use.people.proofs.ask("page"))
    return {**notes, **form}


def _use_copy(world: World, notes: Notes) -> object:
    with suppress(SignInRefused):  # the refusal comes after the change
        world.use.people.proofs.sign_in(
            Answered.of(notes), "page", caller="", request_id="r", instead=""
        )
    return None


SCENARIOS = (
    Scenario(
        "invite_person",
        nothing,
        _invite,
        finished=lambda base, _: len(_people(base)) == 1,
        undone=lambda base, _: not _people(base),
    ),
    Scenario(
        "invite_person",
        _invited,
        _invite,
        way="the address is taken",
        finished=never,
        undone=lambda base, _: len(_people(base)) == 1,
        refused=AlreadyExists,
    ),
    Scenario(
        "reinvite_person",
        _invited,
        lambda world, _: _desk(world).reinvite(ADMINISTRATOR, "acme", _ada(world.base).id),
        finished=lambda base, _: _invitations(base) == 1,
        undone=lambda base, _: _invitations(base) == 1,
        leaves=False,
    ),
    Scenario(
        "change_person_roles",
        _invited,
        lambda world, _: _desk(world).change_roles(
            ADMINISTRATOR, "acme", _ada(world.base).id, OWNER
        ),
        finished=lambda base, _: _ada(base).roles == OWNER.roles,
        undone=lambda base, _: _ada(base).roles == RIGHTS.roles,
    ),
    Scenario(
        "suspend_person",
        _invited,
        lambda world, _: _desk(world).suspend(ADMINISTRATOR, "acme", _ada(world.base).id),
        finished=lambda base, _: _is("suspended", base) and not _invitations(base),
        undone=lambda base, _: _is("invited", base),
    ),
    Scenario(
        "enable_person",
        _out,
        lambda world, _: _desk(world).enable(ADMINISTRATOR, "acme", _ada(world.base).id),
        finished=lambda base, _: _is("invited", base),
        undone=lambda base, _: _is("suspended", base),
    ),
    Scenario(
        "accept_invitation",
        _code,
        _accept,
        finished=lambda base, _: _has_password(base),
        # The invitation may be spent: then another one is needed, and the log says why.
        undone=lambda base, _: not _ada(base).password,
    ),
    Scenario(
        "accept_invitation",
        _another_code,
        _accept,
        way="signed in elsewhere",
        finished=lambda base, notes: (
            _ada(base).password != notes["password"] and _ended(base, notes)
        ),
        undone=lambda base, notes: _ada(base).password == notes["password"],
    ),
    Scenario(
        "end_sign_in",
        _signed_in,
        _end,
        finished=_ended,
        undone=lambda base, notes: base.stores.sign_ins.get(notes["sign_in"]) is not None,
    ),
    Scenario(
        "add_passkey",
        _entered,
        _add_passkey,
        finished=lambda base, notes: bool(_passkeys(base)) and _ended(base, notes),
        undone=lambda base, _: not _passkeys(base),
    ),
    Scenario(
        "remove_passkey",
        _with_passkey,
        _remove_passkey,
        finished=lambda base, notes: not _passkeys(base) and _ended(base, notes),
        undone=lambda base, _: bool(_passkeys(base)),
    ),
    Scenario(
        "copied_passkey",
        _with_copy,
        _use_copy,
        finished=lambda base, notes: _passkeys(base)[0].copied and _ended(base, notes),
        undone=lambda base, _: not _passkeys(base)[0].copied,
    ),
    Scenario(
        "delete_person",
        _invited,
        lambda world, _: _desk(world).delete(ADMINISTRATOR, "acme", _ada(world.base).id),
        finished=lambda base, _: not _people(base) and not _invitations(base),
        undone=lambda base, _: len(_people(base)) == 1,
    ),
)
