"""`/docs` and `/openapi.json`: the API for people and for programs; no script, nothing of others.

The stock page of the framework loads code from an outside host into the gateway's own origin. Both
texts are made once, when they are first asked for, and in a thread: callers do not wait for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from html import escape
from threading import Lock
from typing import Any, Final

import orjson
from fastapi import APIRouter, Response

from gateway.web.description import operations

HEADERS: Final = {
    "content-security-policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "public, max-age=300",
}


class Pages:
    """The API's document and page.

    Args:
        describe: Makes the document.
    """

    def __init__(self, describe: Callable[[], Mapping[str, Any]]) -> None:
        self._describe = describe
        self._making = Lock()

    @cached_property
    def document(self) -> Mapping[str, Any]:
        """The document."""
        return self._describe()

    @cached_property
    def as_json(self) -> bytes:
        """The document as it is sent."""
        return orjson.dumps(self.document)

    @cached_property
    def as_html(self) -> str:
        """The page."""
        return render(self.document)

    def router(self) -> APIRouter:
        """Return the routes of both."""
        router = APIRouter(include_in_schema=False)

        @router.get("/openapi.json")
        def document() -> Response:
            with self._making:
                return Response(self.as_json, 200, HEADERS, "application/json")

        @router.get("/docs")
        def page() -> Response:
            with self._making:
                return Response(self.as_html, 200, HEADERS, "text/html")

        return router


def render(document: Mapping[str, Any]) -> str:
    """Render an OpenAPI document as one page, a section for each tag."""
    rows: dict[str, list[str]] = {}
    for method, path, operation in operations(document):
        tag = (operation.get("tags") or ["other"])[0]
        rows.setdefault(tag, []).append(_operation(method, path, operation))
    about = {tag["name"]: tag["description"] for tag in document.get("tags", ())}
    sections = "".join(
        f"<h2>{escape(tag)}</h2><p>{escape(about.get(tag, ''))}</p>{''.join(rows[tag])}"
        for tag in sorted(rows, key=[*about, *rows].index)
    )
    title = escape(f"{document['info']['title']} {document['info']['version']}")
    guide = "".join(
        f"<p>{escape(part)}</p>" for part in document["info"].get("description", "").split("\n\n")
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>'
        f'<body><h1>{title}</h1><p>Machines read <a href="/openapi.json">openapi.json</a>. '
        f"A token comes from <code>POST /oauth/token</code>.</p>{guide}{sections}</body></html>"
    )


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    told = "".join(f"<li>{escape(line)}</li>" for line in _facts(operation))
    summary = escape(operation.get("summary") or "")
    more = "".join(
        f"<p>{escape(part)}</p>" for part in operation.get("description", "").split("\n\n") if part
    )
    return (
        f"<details><summary><code>{method} {escape(path)}</code> {summary}</summary>"
        f"{more}<ul>{told}</ul></details>"
    )


def _facts(operation: Mapping[str, Any]) -> Iterator[str]:
    for parameter in operation.get("parameters", ()):
        must = "required" if parameter.get("required") else "optional"
        what = parameter.get("description", "")
        yield f"{parameter['in']} {parameter['name']} ({must}) {what}".rstrip()
    for kind in operation.get("requestBody", {}).get("content", ()):
        yield f"body: {kind}"
    for status, answer in operation["responses"].items():
        name = answer.get("$ref", "").rpartition("/")[2]
        yield f"{status}: {answer.get('description') or name}"
