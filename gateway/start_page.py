"""`/` of a door: what runs here, whether it is well, what is left to do. Pure.

Safety argument.
1. Strangers, at the public door, hear what `/v2`, `/v2/health/ready` and `/openapi.json` tell them
   anyway: name, version, whether requests are taken. Not why it is unready, and not what is left to
   do: that nobody keeps a backup, or that one administrator acts alone, is what an attacker asks.
2. Operators, at the operations door, hear the rest. That door knows no sign-in, and is for this
   machine or a network of operators: `/metrics` there names tenants and models. Still a step is
   told as done or not, with a command that has placeholders: no tenant, client, model, person, path
   or number.
3. A page runs nothing and loads nothing: no script, no form, no address of anybody else. Its one
   style is allowed by its digest. It is kept in no store and framed by nobody.
4. Everything that is not written here is escaped. Nothing of it comes from a request.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

STYLE: Final = """
:root{color-scheme:light dark;--line:light-dark(#c4c8d0,#4a4f5a);
--quiet:light-dark(#454b57,#b9c0cc)}
body{font:1rem/1.5 system-ui,sans-serif;max-width:44rem;margin:0 auto;padding:1rem;
background:light-dark(#fff,#16181d);color:light-dark(#16181d,#eceff4);overflow-wrap:anywhere}
h1{font-size:1.6rem;margin:.5rem 0 0}h2{font-size:1.1rem;margin:1.6rem 0 .4rem}
p,ul,ol{margin:.4rem 0}li{margin:.5rem 0}small,.quiet{color:var(--quiet)}
a{color:light-dark(#0b4fb3,#9cc3ff)}
a:focus-visible{outline:3px solid currentColor;outline-offset:2px}
code{font:.875rem/1.5 ui-monospace,monospace}
pre{white-space:pre-wrap;margin:.3rem 0;padding:.5rem .6rem;border:1px solid var(--line);
border-radius:.3rem}
.state{font-weight:600}.well .state{color:light-dark(#0b6630,#7bdba0)}
.ill .state{color:light-dark(#a3161f,#ff9c9c)}.open .state{color:light-dark(#7a4500,#ffc471)}
footer{margin-top:2rem;border-top:1px solid var(--line)}
"""
_DIGEST: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
CONTENT_TYPE: Final = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that a gateway stands on.

    Attributes:
        name: What it is.
        well: Whether it is well.
        told: In words.
    """

    name: str
    well: bool
    told: str


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is done once, after a gateway was made.

    Attributes:
        title: What it is.
        done: Whether it is done; None when that could not be seen.
        why: What it is good for.
        command: What does it.
    """

    title: str
    done: bool | None
    why: str
    command: str


@dataclass(frozen=True, slots=True)
class Link:
    """Where to go on.

    Attributes:
        address: Of this door, or the gateway's public address.
        text: What is there.
    """

    address: str
    text: str


PUBLIC_LINKS: Final = (
    Link("/docs", "the addresses of this gateway, for people"),
    Link("/openapi.json", "the same for programs (OpenAPI)"),
    Link("/v2/health/ready", "health, for programs"),
    Link("/.well-known/oauth-authorization-server", "where tokens come from (RFC 8414)"),
)


def public_page(version: str, ready: bool) -> str:
    """Render what strangers see."""
    part = Part("this gateway", ready, "takes requests" if ready else "takes no requests now")
    body = (
        f"<p>It serves models to those who may ask them. Everything but this page, health and the "
        f"descriptions below needs an access token.</p>{_parts([part])}{_links(PUBLIC_LINKS)}"
    )
    return _page(version, "a gateway for models", body)


def operators_page(
    version: str, parts: Sequence[Part], steps: Sequence[Step], links: Sequence[Link]
) -> str:
    """Render what operators see."""
    return _page(version, "the operators' door", f"{_parts(parts)}{_steps(steps)}{_links(links)}")


def _page(version: str, what: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>sealgate: {escape(what)}</title><style>{STYLE}</style></head><body>"
        f'<header><h1>sealgate</h1><p class="quiet">version {escape(version)}, {escape(what)}</p>'
        f"</header><main>{body}</main>"
        "<footer><p><small>Shown as it was when you asked; load it again to see it anew."
        "</small></p></footer></body></html>"
    )


def _parts(parts: Sequence[Part]) -> str:
    ill = sum(not part.well for part in parts)
    summary = "All is well." if not ill else f"{ill} of {len(parts)} not well."
    if len(parts) == 1:
        summary = ""
    lines = "".join(
        f'<li class="{"well" if part.well else "ill"}">{escape(part.name)}: '
        f'<span class="state">{escape(part.told)}</span></li>'
        for part in parts
    )
    told = f"<p>{escape(summary)}</p>" if summary else ""
    return (
        '<section aria-labelledby="well"><h2 id="well">Is it well?</h2>'
        f"{told}<ul>{lines}</ul></section>"
    )


def _steps(steps: Sequence[Step]) -> str:
    left = sum(step.done is not True for step in steps)
    summary = "Nothing is left to do." if not left else f"{left} of {len(steps)} are left to do."
    lines = "".join(map(_step, steps))
    return (
        '<section aria-labelledby="first"><h2 id="first">First steps</h2>'
        f"<p>{summary}</p><ol>{lines}</ol></section>"
    )


def _step(step: Step) -> str:
    told = {True: "done", False: "to do", None: "could not be seen"}[step.done]
    head = f'{escape(step.title)}: <span class="state">{told}</span>'
    if step.done:
        return f'<li class="well">{head}</li>'
    return (
        f'<li class="open">{head}<br><span class="quiet">{escape(step.why)}</span>'
        f"<pre><code>{escape(step.command)}</code></pre></li>"
    )


def _links(links: Sequence[Link]) -> str:
    lines = "".join(
        f'<li><a href="{escape(link.address)}">{escape(link.address)}</a> {escape(link.text)}</li>'
        for link in links
    )
    return f'<nav aria-labelledby="on"><h2 id="on">Go on</h2><ul>{lines}</ul></nav>'
