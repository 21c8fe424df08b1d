"""The pages on which a person types the code of a device, and lets it act for it."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from gateway.errors import SealgateError
from gateway.people.browsers import Browsers, Here
from gateway.people.devices import Devices
from gateway.web import forms
from gateway.web.authorize import SCOPES
from gateway.web.person_pages import CONFIRM, DEVICE, SIGN_IN, Visit, moment, sent_on

DECIDE = f"{DEVICE}/decision"


@dataclass(frozen=True, slots=True)
class DeviceDoor:
    """What the pages need.

    Attributes:
        devices: Finds devices and decides on them.
        browsers: Knows who is signed in with a browser.
        origin: Ours.
    """

    devices: Devices
    browsers: Browsers
    origin: str


def build_router(door: DeviceDoor) -> APIRouter:
    """Build the routes of the pages."""
    pages = _Pages(door)
    router = APIRouter(include_in_schema=False)
    router.add_api_route(DEVICE, pages.ask, methods=["GET"], response_model=None)
    router.add_api_route(DEVICE, pages.show, methods=["POST"], response_model=None)
    router.add_api_route(DECIDE, pages.decide, methods=["POST"], response_model=None)
    return router


class _Pages:
    def __init__(self, door: DeviceDoor) -> None:
        self._door = door

    async def ask(self, request: Request) -> Response:
        """Ask for the code."""
        visit = Visit(request)
        here = await run_in_threadpool(self._door.browsers.here, visit.sign_in)
        if here is None:
            return sent_on(f"{SIGN_IN}?then=device")
        return visit.show("device", fault="")

    async def show(self, request: Request) -> Response:
        """Show who asks."""
        visit = Visit(request)
        try:
            fields = await forms.read_form(request, self._door.origin)
            here = await run_in_threadpool(self._door.browsers.here, visit.sign_in)
            if here is None:
                return sent_on(f"{SIGN_IN}?then=device")
            typed = fields.get("code", "")
            device = await run_in_threadpool(self._door.devices.find, typed, here)
        except SealgateError as refusal:
            return visit.show("device", visit.refused(refusal), fault=refusal.public)
        if not self._door.devices.is_enough(device, here):
            to = CONFIRM if here.sign_in.acr < device.acr else SIGN_IN
            return sent_on(f"{to}?then=device")
        return visit.show(
            "device_consent",
            client=device.client.name,
            client_id=device.client.id,
            owner=device.client.tenant,
            tenant=here.person.tenant,
            scopes=[(scope, SCOPES[scope]) for scope in sorted(device.scopes)],
            began=moment(device.began),
            code=f"{device.code[:4]}-{device.code[4:]}",
        )

    async def decide(self, request: Request) -> Response:
        """Take the person's decision."""
        visit = Visit(request)
        try:
            fields = await forms.read_form(request, self._door.origin)
            here = await run_in_threadpool(self._door.browsers.here, visit.sign_in)
            if here is None:
                return sent_on(f"{SIGN_IN}?then=device")
            allowed = fields.get("decision") == "allow"
            typed = fields.get("code", "")
            await run_in_threadpool(self._decide, typed, here, allowed)
        except SealgateError as refusal:
            return visit.show("device", visit.refused(refusal), fault=refusal.public)
        heading = "The device is signed in" if allowed else "The device is not signed in"
        text = "You can close this page." if allowed else "It was told that you declined."
        return visit.show(
            "message", heading=heading, text=text, wrong=False, link="/people",
            link_text="Your account",
        )  # fmt: skip

    def _decide(self, typed: str, here: Here, allowed: bool) -> None:
        self._door.devices.decide(typed, here, allowed=allowed)
