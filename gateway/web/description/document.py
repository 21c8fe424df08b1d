"""From what the framework knows of the routes to the whole document. Pure.

1. Every operation says how a caller is known, with which scope, and with which problems it may end.
   What all operations of a kind have in common is added here, and nowhere else.
2. Inference, which no route of the framework answers, is added as the others are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from gateway.web.description import examples, inference, refusals, security
from gateway.web.operations import DECISION, REFUSALS

TAGS: Final = (
    {"name": "OAuth", "description": "Tokens, and how they are got and verified."},
    {
        "name": "Open Inference Protocol",
        "description": "Ask models, and ask about them: version 2 of the protocol, with Triton's"
        " extensions for binary tensors, classification, configuration, statistics and the index.",
    },
    {"name": "models", "description": "Publish, describe, release and share models."},
    {"name": "uploads", "description": "Files that are sealed while they arrive."},
    {"name": "artifacts", "description": "Sealed models for partners."},
    {"name": "jobs", "description": "Long work, and how far it is."},
    {"name": "batches", "description": "A file of rows in, sealed answers out."},
    {"name": "audit", "description": "The caller's own log: events, checkpoints, proofs."},
    {"name": "sharing", "description": "Models that tenants share with each other."},
    {"name": "subjects", "description": "Rights of the people whom data is about."},
    {"name": "policies", "description": "Who may do what: Cedar policies of the caller's tenant."},
    {"name": "federations", "description": "Training across sites that keep their data."},
    {"name": "administration", "description": "Tenants and clients."},
)
GUIDE: Final = """\
What the gateway answers to applications and to its own command line.

**Getting in.** `POST /oauth/token` with the client's credentials gives a token for five minutes. By
default it is bound to a key of the client: each request carries a proof of that key (`DPoP`).

**Errors** are problem details (RFC 9457, `application/problem+json`), but for `/oauth`, whose are
OAuth's. The end of `type` is a heading of the page of problems. Statuses 429, 503 and 504 may be
tried again, after `Retry-After` where it is there; others end the same until something changes.
What is absent and what a caller may not know of answer alike.

**Every answer** has `Sealgate-Request-Id`: name it when you ask for help.

**Lists** under `/v1` are paged: `limit` and `after`; the answer has `items` and `next`.

**Bodies** are strict JSON: a name given twice, or a field that nobody knows, is refused. A request
that is no HTTP is 400, one with too long a head 431, and one that does not arrive 408, before any
operation; a method that a path does not know is 405 with `Allow`. Where there is GET below `/v2`,
HEAD is answered, too.
"""
_METHODS: Final = ("get", "put", "post", "delete", "patch")
_STOCK: Final = ("HTTPValidationError", "ValidationError")
"""Schemas of the framework's own refusal, which is replaced (`gateway.web.problems`)."""
_UNTOLD: Final = "Successful Response"
"""What the framework says of an answer of which nobody said anything."""
_OPEN: Final = ("/v2", "/v2/health/live", "/v2/health/ready")


def describe(stock: Mapping[str, Any], server: str) -> dict[str, Any]:
    """Complete a document.

    Args:
        stock: What the framework made of the routes; it is left as it is.
        server: Where the API is reached.
    """
    document = dict(stock)
    document["info"] = {**stock["info"], "description": GUIDE, "license": {"name": "Apache-2.0"}}
    document["servers"] = [{"url": server}]
    document["tags"] = list(TAGS)
    paths = {path: dict(methods) for path, methods in stock["paths"].items()} | inference.paths()
    components = dict(stock.get("components", {}))
    schemas = {k: v for k, v in components.get("schemas", {}).items() if k not in _STOCK}
    schemas |= {"Problem": refusals.PROBLEM, **inference.SCHEMAS}
    components |= {
        "schemas": dict(sorted(schemas.items())),
        "responses": refusals.shared_responses(),
        "headers": dict(refusals.HEADERS),
        "securitySchemes": security.schemes(),
    }
    for path, methods in paths.items():
        for method, operation in methods.items():
            methods[method] = _completed(path, operation, schemas)
    return document | {"paths": paths, "components": components}


def operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, path and description of every operation."""
    for path, methods in document["paths"].items():
        for method in _METHODS:
            if method in methods:
                yield method.upper(), path, methods[method]


def _completed(path: str, given: Mapping[str, Any], schemas: Mapping[str, Any]) -> dict[str, Any]:
    operation = dict(given)
    own = operation.pop(REFUSALS, ())
    decisions = operation.get(DECISION, ())
    summary, _, rest = operation.get("description", "").partition("\n\n")
    operation["summary"] = " ".join(summary.split()).rstrip(".")
    sentences = [" ".join(rest.split())]
    sentences += [security.told(one["action"], one["on"]) for one in decisions]
    operation["description"] = "\n\n".join(sentence for sentence in sentences if sentence)
    if not path.startswith("/oauth/"):
        operation["security"] = _security(path, decisions)
    answers = {status: one for status, one in operation["responses"].items() if status != "422"}
    for answer in answers.values():
        if answer.get("description") == _UNTOLD:
            answer["description"] = _told(answer, schemas)
        answer["headers"] = {
            **answer.get("headers", {}),
            "Sealgate-Request-Id": refusals.REQUEST_ID,
        }
    codes = {*own, *_common(path, operation)}
    operation["responses"] = dict(sorted({**answers, **refusals.responses(codes, path)}.items()))
    for parameter in operation.get("parameters", ()):
        _set_or_not(parameter)
    _exemplify(operation, schemas)
    return operation


def _told(answer: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    """Return what an answer is: what its type says."""
    for one in answer.get("content", {}).values():
        name = one.get("schema", {}).get("$ref", "").rpartition("/")[2]
        text = schemas.get(name, {}).get("description", "")
        if text:
            return " ".join(text.split())
    return "Done."


def _set_or_not(parameter: dict[str, Any]) -> None:
    """Say of a parameter that may be left out only that: there is no null in a URL or a header."""
    choices = parameter["schema"].get("anyOf", ())
    if {"type": "null"} in choices:
        (rest,) = [choice for choice in choices if choice != {"type": "null"}]
        parameter["schema"] = {**rest, "title": parameter["schema"].get("title", "")}


def _security(path: str, decisions: Collection[Mapping[str, str]]) -> list[dict[str, list[str]]]:
    if path in _OPEN or path.startswith("/.well-known/"):
        return []
    return security.wanted(*((one["action"], one["on"]) for one in decisions))


def _common(path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    """Yield codes of problems that operations of a kind have in common."""
    yield "internal"
    if "requestBody" in operation:
        yield from ("body_too_large", "body_timeout")
    if operation.get("security") and not path.startswith("/oauth/"):
        yield from refusals.UNAUTHENTICATED
    if path.startswith("/v1/"):
        yield from refusals.UNAVAILABLE
        if DECISION in operation or "{" in path:
            yield "not_found"
        if DECISION in operation:
            yield "forbidden"
    if path.startswith(("/v1/", "/v2")):
        yield "invalid_request"


def _exemplify(operation: dict[str, Any], schemas: Mapping[str, Any]) -> None:
    """Give an example to each body and JSON answer that has none."""
    contents = [answer.get("content", {}) for answer in operation["responses"].values()]
    contents.append(operation.get("requestBody", {}).get("content", {}))
    for content in contents:
        for kind, one in content.items():
            if kind.endswith(("json", "urlencoded")) and not {"example", "examples"} & one.keys():
                one["example"] = examples.example_of(one["schema"], schemas)
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path" and "example" not in parameter:
            parameter["example"] = examples.example_of(
                parameter["schema"], schemas, parameter["name"]
            )
