"""The page `docs/reference/api.md`, made from the API's own document.

.venv/bin/python -m tests.docs.api_reference      writes it anew
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx

from gateway.web.description import operations
from tests.docs.tables import REFERENCE
from tests.gateway.place import served_place

PAGE: Final = REFERENCE / "api.md"
COMMAND: Final = ".venv/bin/python -m tests.docs.api_reference"
HEAD: Final = f"""\
# API reference

Made from the document that a running gateway serves at `/openapi.json` (OpenAPI 3.1) and shows at
`/docs`; `{COMMAND}` makes it anew. What stands outside that
document is in [HTTP](http.md).

"""


def page(document: Mapping[str, Any]) -> str:
    """Render the page."""
    parts = [
        HEAD,
        _indented(document["info"]["description"]),
        _schemes(document),
        _addresses(document),
        _shared(document),
    ]
    for tag in document["tags"]:
        parts.append(f"## {_heading(tag['name'])}\n\n{tag['description']}\n\n")
        for method, path, operation in operations(document):
            if operation["tags"] == [tag["name"]]:
                parts.append(_operation(method, path, operation))
    parts.append("## Bodies and answers\n\n")
    for name, schema in document["components"]["schemas"].items():
        parts.append(_schema(name, schema))
    return "".join(parts).rstrip() + "\n"


def _indented(text: str) -> str:
    return text.strip() + "\n\n"


def _heading(tag: str) -> str:
    return tag[0].upper() + tag[1:]


def _addresses(document: Mapping[str, Any]) -> str:
    """Return a line for each address, in the order of the sections."""
    order = [tag["name"] for tag in document["tags"]]
    found = sorted(operations(document), key=lambda one: order.index(one[2]["tags"][0]))
    rows = [f"| `{method}` | `{path}` | {said['summary']}. |\n" for method, path, said in found]
    return "".join(["## Addresses\n\n| Method | Address | What |\n|---|---|---|\n", *rows, "\n"])


def _schemes(document: Mapping[str, Any]) -> str:
    lines = ["## How a caller is known\n\n| Scheme | What |\n|---|---|\n"]
    for name, scheme in document["components"]["securitySchemes"].items():
        lines.append(f"| `{name}` | {scheme['description']} |\n")
    scopes = document["components"]["securitySchemes"]["token"]["flows"]["clientCredentials"][
        "scopes"
    ]
    lines.append("\n| Scope | A token with it is good for |\n|---|---|\n")
    lines += [f"| `{scope}` | {what} |\n" for scope, what in scopes.items()]
    return "".join(lines) + "\n"


def _shared(document: Mapping[str, Any]) -> str:
    lines = ["## Problems that many operations share\n\n| Name | Problems |\n|---|---|\n"]
    for name, answer in document["components"]["responses"].items():
        lines.append(f"| {name} | {_problems(answer)} |\n")
    return "".join(lines) + "\n"


def _problems(answer: Mapping[str, Any]) -> str:
    lines = answer["description"].splitlines()
    return "<br>".join(line.removeprefix("- ") for line in lines)


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    parts = [
        f"### `{method} {path}`\n\n**{operation['summary']}.** `{operation['operationId']}`\n\n"
    ]
    if operation["description"]:
        parts.append(_indented(operation["description"]))
    parts.append(_who(operation))
    rows = list(_parameters(operation))
    if rows:
        parts += ["| Parameter | In | What |\n|---|---|---|\n", *rows, "\n"]
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"Body, `{kind}`: {_type(content['schema'])}\n\n")
        parts.append(_members(content["schema"]))
    parts += ["| Status | Answer |\n|---|---|\n", *_answers(operation), "\n"]
    return "".join(parts)


def _who(operation: Mapping[str, Any]) -> str:
    ways = operation["security"]
    scopes = sorted({scope for way in ways for found in way.values() for scope in found})
    if not ways:
        return "Open to everybody.\n\n"
    if {"client": []} in ways:
        return "The client authenticates itself.\n\n"
    return (
        f"Scope: {' or '.join(f'`{one}`' for one in scopes)}.\n\n" if scopes else "Any token.\n\n"
    )


def _parameters(operation: Mapping[str, Any]) -> Iterator[str]:
    for one in operation.get("parameters", ()):
        must = "" if one.get("required") else ", may be left out"
        what = one.get("description", "")
        yield f"| `{one['name']}` | {one['in']}{must} | {_type(one['schema'])} {what} |\n"


def _answers(operation: Mapping[str, Any]) -> Iterator[str]:
    for status, answer in operation["responses"].items():
        if "$ref" in answer:
            yield f"| {status} | {answer['$ref'].rpartition('/')[2]} |\n"
            continue
        kinds = [
            f"`{kind}` {_type(one['schema'])}".rstrip()
            for kind, one in answer.get("content", {}).items()
            if kind != "application/problem+json"
        ]
        yield f"| {status} | {_problems(answer)} {', '.join(kinds)} |\n".replace("  ", " ")


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"`{one}`" for one in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = schema.get("type", "anything")
    kinds = kind if isinstance(kind, list) else [kind]
    if kinds[0] == "array" and schema.get("items"):
        return f"array of {_type(schema['items'])}"
    return " or ".join(kinds)


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    about = " ".join(schema.get("description", "").split())
    return f"### {name}\n\n" + (f"{about}\n\n" if about else "") + _members(schema)


def _members(schema: Mapping[str, Any]) -> str:
    if not schema.get("properties"):
        return ""
    lines = ["| Member | Type | What |\n|---|---|---|\n"]
    for member, one in schema["properties"].items():
        must = "" if member in schema.get("required", ()) else ", may be left out"
        what = " ".join(one.get("description", "").split())
        lines.append(f"| `{member}` | {_type(one)}{must} | {what} |\n")
    return "".join(lines) + "\n"


def described() -> dict[str, Any]:
    """Return the document of a gateway that is founded for it."""
    with tempfile.TemporaryDirectory() as folder, served_place(Path(folder)) as place:
        found: dict[str, Any] = httpx.get(f"{place.url}/openapi.json", timeout=60).json()
        return found


if __name__ == "__main__":
    PAGE.write_text(page(described()))
