"""The document is that of the routes: which settings a gateway has does not change it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from tests.gateway.place import Place, served_place


def document(place: Place) -> Any:
    told = httpx.get(f"{place.url}/openapi.json", timeout=60).raise_for_status().json()
    assert [server.pop("url") for server in told["servers"]] == [place.url]
    return told


def test_the_document_is_the_same_whatever_is_set_but_for_the_address(tmp_path: Path) -> None:
    rates: dict[str, Any] = {"rate_limit": "7/second", "max_body_bytes": 1 << 16, "mode": "demo"}
    times: dict[str, Any] = {"body_timeout_seconds": 1.0, "run_timeout_seconds": 1.0}
    with served_place(tmp_path / "plain") as plain:
        usual = document(plain)
    with served_place(tmp_path / "other", **rates, **times) as other:
        assert document(other) == usual
