"""Pages for people: rendered, and what browsers may do with them.

Safety argument:
1. Everything that is put into a template is escaped; a name that is not given is an error.
2. A page runs nothing and loads nothing; its one style is allowed by its digest. Only where a
   browser is asked for a passkey, which takes script, it runs the one file that is ours. It is kept
   in no store and framed by nobody.
3. Its address is told to no other site; to ours it is, because a browser that tells nothing also
   hides where a form comes from.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import Final

from fastapi import Response
from jinja2 import Environment, PackageLoader, StrictUndefined

STYLE: Final = """
:root{color-scheme:light dark;--line:light-dark(#6b7280,#8a93a3)}
body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:0 auto;padding:1rem;
background:light-dark(#fff,#16181d);color:light-dark(#16181d,#eceff4);overflow-wrap:anywhere}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:1.8rem}
label{display:block;font-weight:600;margin:.9rem 0 .2rem}
input{font:inherit;box-sizing:border-box;width:100%;max-width:26rem;padding:.5rem;color:inherit;
background:transparent;border:1px solid var(--line);border-radius:.3rem}
button{font:inherit;font-weight:600;margin:1rem .6rem 0 0;padding:.55rem 1.1rem;min-height:2.75rem;
border:1px solid var(--line);border-radius:.3rem;color:light-dark(#fff,#0d1017);
background:light-dark(#0b4fb3,#9cc3ff)}
button.quiet{color:inherit;background:transparent}
a{color:light-dark(#0b4fb3,#9cc3ff)}
:focus-visible{outline:3px solid currentColor;outline-offset:2px}
.fault{border-left:.35rem solid light-dark(#a3161f,#ff9c9c);padding:.3rem .8rem}
.quiet-text{color:light-dark(#454b57,#b9c0cc)}
code{font:1rem/1.5 ui-monospace,monospace}
li{margin:.7rem 0}
"""
_DIGEST: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
_ENVIRONMENT: Final = Environment(
    loader=PackageLoader("gateway.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


_DO: Final = ("create", "get")
SCRIPT_PATH: Final = "/people/passkeys.js"
SCRIPT: Final = (files("gateway.web") / "static" / "passkeys.js").read_bytes()
"""The one script of these pages: it asks the browser for a passkey."""


def page(template: str, status: int = 200, *, scripted: bool = False, **given: object) -> Response:
    """Return a page.

    Args:
        template: Name of its template, without the ending.
        status: HTTP status.
        scripted: It runs our script.
        **given: What the template needs.
    """
    text = _ENVIRONMENT.get_template(f"{template}.html").render(
        style=STYLE, script=SCRIPT_PATH, **given
    )
    policy = (
        f"default-src 'none'; style-src 'sha256-{_DIGEST}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    if scripted:
        policy += "; script-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'"
    headers = {
        "content-security-policy": policy,
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": ", ".join(f"publickey-credentials-{do}=(self)" for do in _DO),
    }
    return Response(text, status, headers, "text/html; charset=utf-8")


def script() -> Response:
    """Return our script."""
    headers = {"cache-control": "no-cache", "x-content-type-options": "nosniff"}
    return Response(SCRIPT, headers=headers, media_type="text/javascript; charset=utf-8")
