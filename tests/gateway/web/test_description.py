"""The API's document as such: whole, consistent, and true to what the code says elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import httpx
import jsonschema
import pytest

from gateway.identity.records import SCOPES
from gateway.inference.oip import parse
from gateway.web.description import operations
from gateway.web.description.examples import example_of
from gateway.web.problems import PROBLEM_TYPE
from tests.gateway.place import Place

pytestmark = pytest.mark.e2e
OPEN: Final = ("/oauth/", "/.well-known/", "/v2/health/")
OAUTH: Final = "/oauth/"


@pytest.fixture(scope="module")
def document(place: Place) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{place.url}/openapi.json").raise_for_status().json()
    return found


def resolved(node: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reference of the document leads to."""
    while "$ref" in node:
        _, components, kind, name = node["$ref"].split("/")
        node = document[components][kind][name]
    return node


def told(document: Mapping[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    found = list(operations(document))
    assert len(found) > 70
    return found


def contents(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Each body and answer: where it is, its content type, what is said of it."""
    for method, path, operation in told(document):
        where = f"{method} {path}"
        for kind, one in operation.get("requestBody", {}).get("content", {}).items():
            yield where, kind, one
        for status, answer in operation["responses"].items():
            for kind, one in resolved(answer, document).get("content", {}).items():
                yield f"{where} {status}", kind, one


def test_every_operation_has_a_name_of_its_own_and_says_what_it_is(
    document: dict[str, Any],
) -> None:
    names = [operation["operationId"] for _, _, operation in told(document)]
    assert len(set(names)) == len(names)
    tags = {tag["name"] for tag in document["tags"]}
    for method, path, operation in told(document):
        assert operation["summary"], (method, path)
        assert set(operation["tags"]) <= tags, (method, path)


def test_every_operation_says_what_it_answers(document: dict[str, Any]) -> None:
    for method, path, operation in told(document):
        well = {status: one for status, one in operation["responses"].items() if status < "300"}
        assert well, (method, path)
        for status, answer in well.items():
            assert answer["description"] != "Successful Response"
            assert "Sealgate-Request-Id" in answer["headers"]
            if status == "204" or path == "/oauth/revoke":
                continue
            for kind, one in answer["content"].items():
                empty = kind == "application/json" and not one["schema"]
                assert not empty, f"{method} {path}: say the type of what it returns"


def test_every_operation_says_how_it_refuses(document: dict[str, Any]) -> None:
    for method, path, operation in told(document):
        bad = {status for status in operation["responses"] if status >= "400"}
        assert "500" in bad, (method, path)
        if not path.startswith(OPEN) and path != "/v2":
            assert {"401", "422", "503"} <= bad, (method, path)
            answer = resolved(operation["responses"]["401"], document)
            assert "WWW-Authenticate" in answer["headers"]
        for status in bad:
            answer = resolved(operation["responses"][status], document)
            kinds = set(answer["content"])
            if not path.startswith(OAUTH) and (path, status) != ("/v2/health/ready", "503"):
                assert kinds == {PROBLEM_TYPE}, (method, path, status)
            if status in {"429", "503"} and PROBLEM_TYPE in kinds:
                assert "Retry-After" in answer["headers"], (method, path, status)


def test_agreeing_is_refused_as_what_is_agreed_to(document: dict[str, Any]) -> None:
    """A rescue that is agreed to is made there and then, and its refusals were told nowhere."""

    def refusals(path: str) -> set[str]:
        answers = document["paths"][path]["post"]["responses"].values()
        said = "".join(resolved(answer, document)["description"] for answer in answers)
        return set(re.findall(r"`([a-z-]+)`:", said))

    agreed = refusals("/v1/approvals/{approval}/grant")
    assert {"policy-set-invalid", "state-conflict"} <= agreed
    assert refusals("/v1/policies/rescue") <= agreed


def test_every_operation_says_who_may_ask(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    scopes = schemes["token"]["flows"]["clientCredentials"]["scopes"]
    assert set(scopes) == SCOPES
    assert schemes["bound_token"]["scheme"] == "DPoP"
    for method, path, operation in told(document):
        ways = operation["security"]
        assert {name for way in ways for name in way} <= set(schemes)
        if not path.startswith(OPEN) and path != "/v2":
            assert {name for way in ways for name in way} == {"token", "bound_token"}, path
            asked = {scope for way in ways for found in way.values() for scope in found}
            assert asked <= SCOPES
            assert asked or "x-sealgate-decision" not in operation, (method, path)


def test_every_example_fits_its_schema(document: dict[str, Any]) -> None:
    seen = 0
    for where, kind, one in contents(document):
        given = [case["value"] for case in one.get("examples", {}).values()]
        given += [one["example"]] if "example" in one else []
        assert given or not kind.endswith("json"), where
        for value in given:
            if isinstance(value, str):
                continue
            jsonschema.validate(value, {**one["schema"], "components": document["components"]})
            seen += 1
    assert seen > 100


def test_the_examples_of_inference_are_ones_that_are_read(document: dict[str, Any]) -> None:
    body = document["paths"]["/v2/models/{model}/infer"]["post"]["requestBody"]
    example = body["content"]["application/json"]["example"]
    request = parse(json.dumps(example).encode(), None)
    assert request.inputs["x"].shape == (1, 2)
    assert request.purpose == "care"


def test_an_example_of_a_schema_that_nobody_named_is_made_from_its_type() -> None:
    schema = {
        "type": "object",
        "required": ["count", "state"],
        "properties": {
            "count": {"type": "integer", "minimum": 7},
            "state": {"enum": ["odd", "even"]},
            "spare": {"type": "string", "default": ""},
            "either": {"anyOf": [{"type": "null"}, {"type": "string"}]},
        },
    }
    assert example_of(schema, {}) == {"count": 7, "state": "odd", "either": None}
