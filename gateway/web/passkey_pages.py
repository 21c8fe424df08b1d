"""Pages on which people sign in with a passkey, confirm with one, add and remove them.

Safety argument:
1. A browser's answer comes as a form of a page of ours (`gateway.web.forms`); what it was asked for
   is bound to the two cookies that the form is bound to.
2. These pages alone run script: the one file of ours. They say what to do without.
3. Who is confirmed, or has changed its passkeys, holds another secret from then on.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from gateway.errors import InvalidRequest, SealgateError
from gateway.people.browsers import Here
from gateway.people.ceremonies import Answered
from gateway.people.passkeys import FIRST, MAX_LABEL
from gateway.web import forms
from gateway.web.pages import SCRIPT_PATH, script
from gateway.web.person_pages import (
    ACCOUNT,
    AUTHORIZE,
    CONFIRM,
    MAX_THEN,
    NEW_PASSKEY,
    SIGN_IN,
    WITHOUT,
    PersonDoor,
    Visit,
    after_sign_in,
    as_json,
    sent_on,
    told,
)

NAMELESS = (
    "passkeys are for a name, and this gateway is reached by a number: whoever runs it sets "
    "`public_url` to an address with a name"
)


def build_router(door: PersonDoor) -> APIRouter:
    """Build the routes."""
    pages = _Pages(door)
    router = APIRouter(include_in_schema=False)
    routes: list[tuple[str, str, Callable[..., object]]] = [
        ("GET", SCRIPT_PATH, script),
        ("POST", f"{SIGN_IN}/passkey", pages.sign_in),
        ("GET", CONFIRM, pages.show_confirm),
        ("POST", CONFIRM, pages.confirm),
        ("GET", NEW_PASSKEY, pages.show_new),
        ("POST", NEW_PASSKEY, pages.add),
        ("POST", "/people/passkeys/remove", pages.remove),
    ]
    for method, path, endpoint in routes:
        router.add_api_route(path, endpoint, methods=[method], response_model=None)
    return router


class _Pages:
    def __init__(self, door: PersonDoor) -> None:
        self._door = door

    async def sign_in(self, request: Request) -> Response:
        """Sign a person in with a passkey alone."""
        visit = Visit(request)
        try:
            fields = await forms.read_form(request, self._door.origin)
            here = await self._here(visit)
            secret = await run_in_threadpool(
                self._door.proofs.sign_in,
                Answered.of(fields),
                visit.token,
                caller=visit.caller,
                request_id=visit.request_id,
                instead=here.sign_in.id if here else "",
            )
        except SealgateError as refusal:
            return told(visit, refusal)
        return sent_on(after_sign_in(fields.get("then", "")), secret)

    async def show_confirm(self, request: Request, then: str = "") -> Response:
        """Ask who is signed in to confirm."""
        visit = Visit(request)
        here = await self._here(visit)
        if here is None:
            return sent_on(f"{SIGN_IN}?{urlencode({'then': then[:MAX_THEN]})}")
        return await run_in_threadpool(self._ask_confirm, visit, here, then[:MAX_THEN], None)

    async def confirm(self, request: Request) -> Response:
        """Confirm with a passkey."""
        visit, then = Visit(request), ""
        here: Here | None = None
        try:
            fields = await forms.read_form(request, self._door.origin)
            then = fields.get("then", "")
            here = await self._here(visit)
            if here is None:
                return sent_on(SIGN_IN)
            secret = await run_in_threadpool(
                self._door.proofs.confirm,
                Answered.of(fields),
                visit.token,
                here,
                caller=visit.caller,
                request_id=visit.request_id,
            )
        except SealgateError as refusal:
            if here is None or await self._here(visit) is None:
                return told(visit, refusal)
            return await run_in_threadpool(self._ask_confirm, visit, here, then, refusal)
        return sent_on(after_sign_in(then), secret)

    async def show_new(self, request: Request) -> Response:
        """Ask for a new passkey."""
        visit = Visit(request)
        here = await self._here(visit)
        if here is None:
            return sent_on(f"{SIGN_IN}?then=passkeys")
        return await run_in_threadpool(self._ask_new, visit, here, None, "")

    async def add(self, request: Request) -> Response:
        """Add a passkey."""
        visit, label = Visit(request), ""
        here: Here | None = None
        try:
            fields = await forms.read_form(request, self._door.origin)
            label = fields.get("label", "")[:MAX_LABEL]
            here = await self._here(visit)
            if here is None:
                return sent_on(f"{SIGN_IN}?then=passkeys")
            secret = await run_in_threadpool(
                self._door.passkeys.add,
                here,
                Answered.of(fields),
                fields.get("label", "").strip(),
                visit.token,
                visit.request_id,
            )
        except SealgateError as refusal:
            if here is None:
                return told(visit, refusal)
            return await run_in_threadpool(self._ask_new, visit, here, refusal, label)
        return sent_on(ACCOUNT, secret)

    async def remove(self, request: Request) -> Response:
        """Remove a passkey."""
        visit = Visit(request)
        try:
            fields = await forms.read_form(request, self._door.origin)
            here = await self._here(visit)
            if here is None:
                return sent_on(SIGN_IN)
            if not self._door.passkeys.may_change(here.sign_in):
                return sent_on(CONFIRM)
            secret = await run_in_threadpool(
                self._door.passkeys.remove, here, fields.get("passkey", ""), visit.request_id
            )
        except SealgateError as refusal:
            return told(visit, refusal)
        return sent_on(ACCOUNT, secret)

    async def _here(self, visit: Visit) -> Here | None:
        return await run_in_threadpool(self._door.browsers.here, visit.sign_in)

    def _ask_confirm(
        self, visit: Visit, here: Here, then: str, refusal: SealgateError | None
    ) -> Response:
        if not self._door.named:
            return told(visit, InvalidRequest(NAMELESS))
        status, fault = (visit.refused(refusal), refusal.public) if refusal else (200, "")
        asked = self._door.proofs.ask_again(here, visit.token)
        again = f"?{urlencode({'then': then})}" if then else ""
        return visit.show(
            "confirm",
            status,
            scripted=asked is not None,
            fault=fault,
            asked=as_json(asked) if asked else "",
            first=FIRST[0].upper() + FIRST[1:],
            tenant=here.person.tenant,
            person=here.person.id,
            then=then,
            again=again,
            without=_without(then),
        )

    def _ask_new(
        self, visit: Visit, here: Here, refusal: SealgateError | None, label: str
    ) -> Response:
        if not self._door.named:
            return told(visit, InvalidRequest(NAMELESS))
        try:
            asked = self._door.passkeys.ask(here, visit.token, self._name(here))
        except SealgateError as not_enough:
            if self._door.passkeys.list(here.person):
                return sent_on(f"{CONFIRM}?then=passkeys")
            return told(visit, not_enough)
        status, fault = (visit.refused(refusal), refusal.public) if refusal else (200, "")
        return visit.show(
            "new_passkey",
            status,
            scripted=True,
            fault=fault,
            asked=as_json(asked),
            label=label,
            longest=MAX_LABEL,
        )

    def _name(self, here: Here) -> str:
        """Return what the authenticator shows its owner: its own address, which stays with it."""
        person = here.person
        return self._door.details.open(person.tenant, person.sealed, person.details).address


def _without(then: str) -> str:
    """Return where a person goes on who does not confirm."""
    to = after_sign_in(then)
    if to.startswith(f"{AUTHORIZE}?"):
        return to + WITHOUT
    return ACCOUNT if to == NEW_PASSKEY else to
