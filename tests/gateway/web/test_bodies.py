from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gateway.composition import public_door
from gateway.web.bodies import Body

BODIES = Body.__subclasses__()


def _loose(schema: dict[str, Any], at: str) -> Iterator[str]:
    """Name every text and list in a JSON schema that has no bound."""
    kind = schema.get("type")
    if kind == "string" and not {"maxLength", "enum", "const"} & schema.keys():
        yield at
    if kind == "array" and "maxItems" not in schema:
        yield at
    for name, inner in schema.get("properties", {}).items():
        yield from _loose(inner, f"{at}.{name}")
    for inner in [*schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else ())]:
        yield from _loose(inner, at)


@pytest.mark.parametrize("body", BODIES)
def test_every_text_and_list_of_a_body_is_bounded(body: type[Body]) -> None:
    assert list(_loose(body.model_json_schema(), body.__name__)) == []


def test_all_bodies_are_looked_at() -> None:
    assert public_door.public_app is not None  # has imported every router
    assert len(BODIES) >= 11
