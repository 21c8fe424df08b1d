"""A browser without a screen: keeps cookies as browsers do, reads forms, sends them back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import httpx


@dataclass
class Form:
    """A form of a page: where it goes, what it holds, and what it asks an authenticator for."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)
    passkey: str = ""


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(given.get("action", ""), {}, given.get("data-passkey", "")))
        elif tag in {"input", "button"} and self.forms and "name" in given:
            self.forms[-1].fields.setdefault(given["name"], given.get("value", ""))
        elif tag == "a":
            self.links.append(given.get("href", ""))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


class Browser:
    """Opens pages and sends forms; follows redirects within the gateway.

    Args:
        url: Of the gateway.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.cookies: dict[str, str] = {}
        self.set: list[str] = []
        self._client = httpx.Client(base_url=url, timeout=60)
        self.answer = httpx.Response(200)
        self._read = _Reader()

    def close(self) -> None:
        self._client.close()

    @property
    def status(self) -> int:
        return self.answer.status_code

    @property
    def path(self) -> str:
        return self.answer.request.url.path

    @property
    def text(self) -> str:
        return " ".join("".join(self._read.text).split())

    @property
    def links(self) -> list[str]:
        return self._read.links

    def form(self, action: str) -> Form:
        return next(form for form in self._read.forms if form.action == action)

    def open(self, path: str, **query: str) -> Browser:
        return self._send("GET", path, params=query or None)

    def asked(self, action: str) -> dict[str, Any]:
        """What a form of the page that is open asks an authenticator for."""
        found: dict[str, Any] = json.loads(self.form(action).passkey)
        return found

    def send(self, action: str, *, origin: str | None = None, **fields: str) -> Browser:
        """Fill in a form of the page that is open, and send it."""
        data = self.form(action).fields | fields
        return self.post(action, data, origin=origin)

    def post(self, path: str, data: dict[str, str], *, origin: str | None = None) -> Browser:
        headers = {"origin": self.url if origin is None else origin}
        return self._send("POST", path, data=data, headers=headers)

    def _send(self, method: str, path: str, **given: Any) -> Browser:
        headers = given.pop("headers", {})
        if self.cookies:
            headers["cookie"] = "; ".join(f"{name}={v}" for name, v in self.cookies.items())
        self.answer = self._client.request(method, path, headers=headers, **given)
        self.set = self.answer.headers.get_list("set-cookie")
        for line in self.set:
            name, _, rest = line.partition("=")
            value = rest.partition(";")[0]
            self.cookies[name] = value
            if not value:
                del self.cookies[name]
        self._read = _Reader()
        if self.answer.headers.get("content-type", "").startswith("text/html"):
            self._read.feed(self.answer.text)
        if self.answer.status_code == 303:
            return self.open(self.answer.headers["location"])
        return self
