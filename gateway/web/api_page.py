"""`/docs`: the API for people, rendered here; no script, no style or font of anybody else.

The stock page of the framework loads code from an outside host into the gateway's own origin.
"""

from __future__ import annotations

from html import escape
from typing import Any, Final

from fastapi import APIRouter, Request, Response

HEADERS: Final = {
    "content-security-policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}

router = APIRouter(include_in_schema=False)


@router.get("/docs")
def api_page(request: Request) -> Response:
    """Render the list of routes."""
    return Response(render(request.app.openapi()), media_type="text/html", headers=HEADERS)


def render(schema: dict[str, Any]) -> str:
    """Render an OpenAPI document as one page, a table for each tag."""
    rows: dict[str, list[str]] = {}
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            tag = (operation.get("tags") or ["other"])[0]
            cells = (method.upper(), path, operation.get("description") or operation["summary"])
            row = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
            rows.setdefault(tag, []).append(f"<tr>{row}</tr>")
    sections = "".join(
        f"<h2>{escape(tag)}</h2><table><tr><th>Method</th><th>Path</th><th>What</th></tr>"
        f"{''.join(found)}</table>"
        for tag, found in sorted(rows.items())
    )
    title = escape(f"{schema['info']['title']} {schema['info']['version']}")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>'
        f'<body><h1>{title}</h1><p>Machines read <a href="/openapi.json">openapi.json</a>. '
        f"A token comes from <code>POST /oauth/token</code>.</p>{sections}</body></html>"
    )
