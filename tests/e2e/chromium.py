"""A real Chromium with a virtual authenticator, and axe, for tests of pages."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from tests.tools import lacking, require_tool

AXE_OPTIONS = {"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]}


def axe_script() -> str:
    """The text of axe-core; the test is skipped where npm did not install it."""
    folder = Path(os.environ.get("NODE_CLIENTS", "/nowhere"), "node_modules", "axe-core")
    if not folder.is_dir():
        lacking("axe-core (npm; `NODE_CLIENTS` names the folder with its node_modules)")
    return (folder / "axe.min.js").read_text()


class Tab:
    """A page of Chromium, what it may do, and what it complained of.

    Attributes:
        page: Playwright's.
        complaints: Errors of scripts, and what the content policy kept from running.
    """

    def __init__(self, page: Page, axe: str) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._heard)
        self._protocol = page.context.new_cdp_session(page)
        self._axe = axe
        self._authenticator = ""

    def authenticator(self, *, verifies: bool = True) -> None:
        """Plug in an authenticator that keeps passkeys; another one goes."""
        if self._authenticator:
            self._call("WebAuthn.removeVirtualAuthenticator", authenticatorId=self._authenticator)
        else:
            self._call("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": verifies,
            "automaticPresenceSimulation": True,
        }
        made = self._call("WebAuthn.addVirtualAuthenticator", options=options)
        self._authenticator = made["authenticatorId"]

    def credentials(self) -> list[dict[str, Any]]:
        """What the authenticator keeps."""
        found = self._call("WebAuthn.getCredentials", authenticatorId=self._authenticator)
        kept: list[dict[str, Any]] = found["credentials"]
        return kept

    def plug(self, credential: dict[str, Any]) -> None:
        """Let the authenticator keep a passkey: a copy of one, for instance."""
        self._call(
            "WebAuthn.addCredential", authenticatorId=self._authenticator, credential=credential
        )

    def findings(self) -> list[str]:
        """What axe has against the page; it comes in past the content policy."""
        self._call("Runtime.evaluate", expression=self._axe)
        run = f"axe.run(document, {json.dumps(AXE_OPTIONS)})"
        told = f"{run}.then((r) => JSON.stringify(r.violations.map((v) => v.id + ': ' + v.help)))"
        answer = self._call("Runtime.evaluate", expression=told, awaitPromise=True)
        found: list[str] = json.loads(answer["result"]["value"])
        wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        self.page.set_viewport_size({"width": 320, "height": 640})
        if self._call("Runtime.evaluate", expression=wide)["result"]["value"]:
            found.append("it is wider than a small screen")
        self.page.set_viewport_size({"width": 1024, "height": 768})
        return found

    def _call(self, method: str, **given: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._protocol.send(method, given)
        return answer

    def _heard(self, message: Any) -> None:
        if message.type == "error" and "the server responded with a status" not in message.text:
            self.complaints.append(message.text)


@contextmanager
def chromium() -> Iterator[Tab]:
    """Start the Chromium of the system, without a screen; skips where there is none."""
    program, axe = require_tool("chromium"), axe_script()
    with sync_playwright() as made:
        # As root Chromium has no sandbox of its own to offer.
        browser = made.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield Tab(browser.new_context().new_page(), axe)
        finally:
            browser.close()
