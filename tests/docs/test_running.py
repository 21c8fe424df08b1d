"""What the reference says of a running gateway, compared with one."""

from __future__ import annotations

import json

import httpx
import jsonschema
import pytest

from gateway.web.fleet import CALLS, PREFIX
from tests.docs.api_reference import COMMAND, PAGE, page
from tests.docs.conftest import DEMO_FOLDER, Demo
from tests.docs.tables import REFERENCE, rows

pytestmark = [pytest.mark.e2e, pytest.mark.screening]


def addresses(heading: str) -> set[tuple[str, str]]:
    return {(row[0], row[1]) for row in rows("http.md", heading)}


def test_the_api_reference_is_what_the_gateway_says_of_itself(demo: Demo) -> None:
    document = httpx.get(f"{demo.place.url}/openapi.json").json()
    assert PAGE.read_text() == page(document), f"make it anew: {COMMAND}"


def test_the_schema_is_where_it_is_said_to_be(demo: Demo) -> None:
    for method, path in addresses("Pages, and the document itself"):
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
