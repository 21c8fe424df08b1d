"""What the reference says of a running gateway, compared with one."""

from __future__ import annotations

import json

import httpx
import jsonschema
import pytest

from gateway.web.fleet import CALLS, PREFIX
from gateway.web.infer import infer_target
from tests.docs.conftest import DEMO_FOLDER, Demo
from tests.docs.tables import REFERENCE, rows

pytestmark = [pytest.mark.e2e, pytest.mark.screening]
APART = ("The schema itself", "The site door", "The operators' door")


def addresses(heading: str) -> set[tuple[str, str]]:
    return {(row[0], row[1]) for row in rows("http.md", heading)}


def test_every_address_of_the_public_door_is_described(demo: Demo) -> None:
    paths = httpx.get(f"{demo.place.url}/openapi.json").json()["paths"]
    served = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    told = {(row[0], row[1]) for row in rows("http.md")}
    told -= set().union(*(addresses(heading) for heading in APART))
    assert len(told) == len(rows("http.md")) - sum(len(addresses(heading)) for heading in APART)
    past_the_framework = {one for one in told if one[0] == "POST" and infer_target(one[1])}
    assert len(past_the_framework) == 2
    assert told - past_the_framework == served


def test_the_schema_is_where_it_is_said_to_be(demo: Demo) -> None:
    for method, path in addresses("The schema itself"):
        assert httpx.request(method, demo.place.url + path).status_code == 200, path


def test_the_calls_of_a_site_are_those_that_are_passed_on() -> None:
    assert addresses("The site door") == {("POST", PREFIX + call) for call in CALLS}


def test_the_operators_door_has_these_addresses_and_no_more(demo: Demo) -> None:
    told = addresses("The operators' door")
    for method, path in told:
        assert httpx.request(method, demo.place.operations_url + path).status_code == 200, path
    hint = httpx.get(f"{demo.place.operations_url}/nothing").text
    assert all(path in hint for _, path in told)


def test_a_written_demo_json_keeps_its_contract(demo: Demo) -> None:
    written = json.loads((demo.folder / DEMO_FOLDER / "demo.json").read_text())
    schema = json.loads((REFERENCE / "demo.schema.json").read_text())
    jsonschema.validate(written, schema)
    del written["issuer"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(written, schema)
