"""Pages on which people sign in, look where they are signed in, and sign out.

Nothing but a passkey needs script.

What went wrong is told on the page, with the status of the refusal. After a form that was taken the
browser is sent on (303), so that going back or reloading sends nothing twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool

from gateway.errors import EvidenceUnavailable, InvalidRequest, SealgateError
from gateway.identity.passwords import MIN_PASSWORD
from gateway.identity.people import SignIn
from gateway.identity.people_ports import SignInStore
from gateway.identity.person_details import SealedDetails
from gateway.origins import group_of
from gateway.people.browsers import Browsers, Here
from gateway.people.endings import MAX_SIGN_INS, Endings
from gateway.people.passkey_proofs import PasskeyProofs
from gateway.people.passkeys import Named, Passkeys
from gateway.people.signing_in import SigningIn
from gateway.web import forms
from gateway.web.pages import page
from gateway.web.problems import STATUS, note_code
from gateway.web.request_ids import request_id_of

ACCOUNT: Final = "/people"
SIGN_IN: Final = "/people/sign-in"
INVITATION: Final = "/people/invitation"
DEVICE: Final = "/people/device"
CONFIRM: Final = "/people/confirm"
NEW_PASSKEY: Final = "/people/passkeys/new"
AUTHORIZE: Final = "/oauth/authorize"
WITHOUT: Final = "&sealgate_without=1"
"""After a request: the person goes on without a passkey."""
MAX_THEN: Final = 4352
"""Characters of the request that a sign-in leads to, see `gateway.web.authorize`."""
_PLACES: Final = {"device": DEVICE, "passkeys": NEW_PASSKEY}
_ASKING: Final = re.compile(r"[A-Za-z0-9._~%+&=:/?@!$'()*,;-]*client_id=[!-~]*")


@dataclass(frozen=True, slots=True)
class PersonDoor:
    """What the pages need.

    Attributes:
        signing_in: Signs people in.
        browsers: Knows who is signed in with a browser.
        endings: Ends sign-ins.
        sign_ins: Lists them.
        details: Opens a person's own name.
        passkeys: Of people.
        proofs: Sign people in with them.
        origin: Ours.
        named: Our address has a name, as passkeys want it.
    """

    signing_in: SigningIn
    browsers: Browsers
    endings: Endings
    sign_ins: SignInStore
    details: SealedDetails
    passkeys: Passkeys
    proofs: PasskeyProofs
    origin: str
    named: bool


def build_router(door: PersonDoor) -> APIRouter:
    """Build the routes."""
    pages = _Pages(door)
    router = APIRouter(include_in_schema=False)
    routes: list[tuple[str, str, Callable[..., object]]] = [
        ("GET", SIGN_IN, pages.show_sign_in),
        ("POST", SIGN_IN, pages.sign_in),
        ("GET", INVITATION, pages.show_invitation),
        ("POST", INVITATION, pages.accept),
        ("GET", ACCOUNT, pages.account),
        ("POST", "/people/sign-out", pages.sign_out),
        ("POST", "/people/end", pages.end),
    ]
    for method, path, endpoint in routes:
        router.add_api_route(path, endpoint, methods=[method], response_model=None)
    return router


class Visit:
    """One request of a browser: what it holds, and the page that answers it.

    Args:
        request: The request.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.sign_in = forms.cookie(request, forms.SIGN_IN_COOKIE)
        self._page = forms.cookie(request, forms.PAGE_COOKIE)
        self._fresh = not self._page
        if self._fresh:
            self._page = forms.new_page_secret()

    @property
    def request_id(self) -> str:
        """Id of the request."""
        return request_id_of(self.request.scope)

    @property
    def caller(self) -> str:
        """Where who asks comes from: an address, of IPv6 the network."""
        return group_of(self.request.client) if self.request.client else ""

    @property
    def token(self) -> str:
        """What stands for what the browser holds: in forms, and in what asks for a passkey."""
        return forms.token_of(self._page, self.sign_in)

    def show(self, template: str, status: int = 200, **given: Any) -> Response:
        """Answer with a page whose forms will be taken."""
        answer = page(template, status, token=self.token, **given)
        if self._fresh:
            forms.set_cookie(answer, forms.PAGE_COOKIE, self._page)
        return answer

    def refused(self, refusal: SealgateError) -> int:
        """Count a refusal that is told on a page, and return its status."""
        note_code(self.request.scope, refusal.code)
        return STATUS[refusal.code]


def sent_on(to: str, sign_in: str | None = None) -> Response:
    """Send a browser on after a form.

    Args:
        to: A path of ours.
        sign_in: What it is to hold from now on; empty: nothing; None: what it holds.
    """
    answer = RedirectResponse(to, 303, {"cache-control": "no-store"})
    if sign_in:
        forms.set_cookie(answer, forms.SIGN_IN_COOKIE, sign_in)
        forms.set_cookie(answer, forms.PAGE_COOKIE, forms.new_page_secret())
    elif sign_in == "":
        forms.drop_cookie(answer, forms.SIGN_IN_COOKIE)
        forms.drop_cookie(answer, forms.PAGE_COOKIE)
    return answer


def after_sign_in(then: str) -> str:
    """Return where to go after signing in: never anywhere that a link has named."""
    if then in _PLACES:
        return _PLACES[then]
    asks = len(then) <= MAX_THEN and _ASKING.fullmatch(then) is not None
    return f"{AUTHORIZE}?{then}" if asks else ACCOUNT


class _Pages:
    def __init__(self, door: PersonDoor) -> None:
        self._door = door

    async def show_sign_in(self, request: Request, then: str = "") -> Response:
        """Ask who it is."""
        return self._ask(Visit(request), then=then)

    async def sign_in(self, request: Request) -> Response:
        """Sign a person in with a password."""
        visit, fields = Visit(request), dict[str, str]()
        try:
            fields = await forms.read_form(request, self._door.origin)
            here = await run_in_threadpool(self._door.browsers.here, visit.sign_in)
            secret = await run_in_threadpool(
                self._door.signing_in.with_password,
                fields.get("tenant", ""),
                fields.get("email", ""),
                fields.get("password", ""),
                caller=visit.caller,
                request_id=visit.request_id,
                instead=here.sign_in.id if here else "",
            )
        except SealgateError as refusal:
            return self._ask(
                visit, refusal, fields.get("then", ""), **_kept(fields, "tenant", "email")
            )
        return await self._go_on(secret, fields.get("then", ""))

    async def _go_on(self, secret: str, then: str) -> Response:
        """Ask who has a passkey for it: a second factor."""
        here = await run_in_threadpool(self._door.browsers.here, secret)
        listed = [] if here is None else await self._listed(here)
        if listed and self._door.named:
            return sent_on(f"{CONFIRM}?{urlencode({'then': then[:MAX_THEN]})}", secret)
        return sent_on(after_sign_in(then), secret)

    async def _listed(self, here: Here) -> list[Named]:
        return await run_in_threadpool(self._door.passkeys.list, here.person)

    async def show_invitation(self, request: Request) -> Response:
        """Ask for an invitation and a new password."""
        return self._ask_invitation(Visit(request))

    async def accept(self, request: Request) -> Response:
        """Set a password by an invitation."""
        visit, fields = Visit(request), dict[str, str]()
        try:
            fields = await forms.read_form(request, self._door.origin)
            if fields.get("password") != fields.get("again"):
                raise InvalidRequest("the two passwords are not the same")
            secret = await run_in_threadpool(
                self._door.signing_in.accept,
                fields.get("tenant", "").strip(),
                fields.get("code", "").strip(),
                fields.get("password", ""),
                request_id=visit.request_id,
            )
        except SealgateError as refusal:
            return self._ask_invitation(visit, refusal, **_kept(fields, "tenant"))
        return sent_on(ACCOUNT, secret)

    async def account(self, request: Request) -> Response:
        """Show where the person is signed in."""
        visit = Visit(request)
        here = await run_in_threadpool(self._door.browsers.here, visit.sign_in)
        if here is None:
            return sent_on(SIGN_IN)
        return await run_in_threadpool(self._account, visit, here)

    async def sign_out(self, request: Request) -> Response:
        """End the sign-in of this browser."""
        visit = Visit(request)
        try:
            await forms.read_form(request, self._door.origin)
            here = await run_in_threadpool(self._door.browsers.here, visit.sign_in)
            if here is not None:
                await run_in_threadpool(self._door.endings.end, here.sign_in)
        except SealgateError as refusal:
            return told(visit, refusal)
        return sent_on(SIGN_IN, "")

    async def end(self, request: Request) -> Response:
        """End another sign-in of the person."""
        visit = Visit(request)
        try:
            fields = await forms.read_form(request, self._door.origin)
            here = await run_in_threadpool(self._door.browsers.here, visit.sign_in)
            if here is None:
                return sent_on(SIGN_IN)
            await run_in_threadpool(self._end, here, fields.get("sign_in", ""))
        except SealgateError as refusal:
            return told(visit, refusal)
        return sent_on(ACCOUNT)

    def _end(self, here: Here, sign_in_id: str) -> None:
        other = self._door.sign_ins.get(sign_in_id)
        if other is not None and other.person == here.person.id:
            self._door.endings.end(other, "ended_by_person")

    def _ask(
        self, visit: Visit, refusal: SealgateError | None = None, then: str = "", **kept: str
    ) -> Response:
        given: dict[str, Any] = {"tenant": "", "email": "", **kept, "then": then[:MAX_THEN]}
        status, fault = (visit.refused(refusal), refusal.public) if refusal else (200, "")
        asked = as_json(self._door.proofs.ask(visit.token)) if self._door.named else ""
        return visit.show(
            "sign_in", status, scripted=bool(asked), fault=fault, asked=asked, **given
        )

    def _ask_invitation(
        self, visit: Visit, refusal: SealgateError | None = None, tenant: str = ""
    ) -> Response:
        status, fault = (visit.refused(refusal), refusal.public) if refusal else (200, "")
        return visit.show("invitation", status, fault=fault, tenant=tenant, shortest=MIN_PASSWORD)

    def _account(self, visit: Visit, here: Here) -> Response:
        person = here.person
        known = self._door.details.open(person.tenant, person.sealed, person.details)
        found = self._door.sign_ins.list(person.id, MAX_SIGN_INS)
        return visit.show(
            "account",
            fault="",
            name=known.name,
            tenant=person.tenant,
            person=person.id,
            passkeys=[shown_passkey(one) for one in self._door.passkeys.list(person)],
            sign_ins=[_shown(one, here.sign_in.id) for one in found],
        )


def told(visit: Visit, refusal: SealgateError) -> Response:
    """Answer a form that was not taken with a page that says why."""
    known = isinstance(refusal, EvidenceUnavailable)
    heading = "Not now" if known else "That did not work"
    return visit.show(
        "message",
        visit.refused(refusal),
        heading=heading,
        text=refusal.public,
        wrong=True,
        link=ACCOUNT,
        link_text="Go on",
    )


def _kept(fields: dict[str, str], *names: str) -> dict[str, str]:
    return {name: fields[name][:254] for name in names if name in fields}


def as_json(asked: dict[str, Any]) -> str:
    """Return what a page asks a browser for, for an attribute."""
    return json.dumps(asked, separators=(",", ":"))


def shown_passkey(one: Named) -> dict[str, object]:
    """Return a passkey for the page of its owner."""
    passkey = one.passkey
    return {
        "id": passkey.id,
        "label": one.label,
        "copied": passkey.copied,
        "created": moment(passkey.created),
        "used": moment(passkey.used) if passkey.used else "",
    }


def _shown(one: SignIn, here: str) -> dict[str, object]:
    return {
        "id": one.id,
        "client": one.client,
        "scopes": sorted(one.scopes),
        "here": one.id == here,
        "created": moment(one.created),
        "seen": moment(one.seen),
    }


def moment(seconds: int) -> str:
    """Return a time for people."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
