from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from audit.errors import AuditError
from gateway.errors import SealgateError
from gateway.web.oip import ModelDirectory, build_router
from gateway.web.problems import install_problems
from tests.gateway.inference.works import Works, works
from tests.gateway.parts import TENANT
from tests.gateway.web.in_process import call

Get = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Works]:
    """`m` with the release 1 and the candidate 2, `hidden` with a candidate only."""
    with works("rival") as made:
        made.publish("1")
        made.publish("2", release=False)
        made.publish("1", model="hidden", release=False)
        made.publish("1", model="theirs", tenant="rival")
        yield made


@pytest.fixture(scope="module")
def ask(shop: Works) -> Get:
    directory = ModelDirectory(
        shop.authenticator,
        shop.house.guard,
        shop.routes,
        shop.models,
        shop.house.stores.registry,
    )
    app = FastAPI()
    install_problems(app, SealgateError, AuditError)
    app.include_router(build_router(directory, "9.9", lambda: True))

    def asked(
        path: str, role: str | None = "caller", tenant: str = TENANT, method: str = "GET"
    ) -> httpx.Response:
        token = shop.bearer(role, tenant) if role else None
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return call(app, method, f"/v2{path}", headers=headers)

    return asked


def test_health_and_server_metadata_are_for_everybody(ask: Get) -> None:
    assert ask("/health/live", None).json() == {"live": True}
    assert ask("/health/ready", None).json() == {"ready": True}
    for path in ("", "/"):
        assert ask(path, None).json() == {
            "name": "sealgate",
            "version": "9.9",
            "extensions": [
                "model_configuration",
                "model_repository",
                "statistics",
                "binary_tensor_data",
            ],
        }


def test_model_metadata_is_the_signed_manifests(ask: Get) -> None:
    expected = {
        "name": "m",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "in", "datatype": "FP32", "shape": [-1, 6]}],
        "outputs": [{"name": "p", "datatype": "FP32", "shape": [-1, 3]}],
    }
    assert ask("/models/m").json() == expected, "the screen's scores are not shown"
    assert ask("/models/m/versions/1").json() == expected


def test_what_triton_asks_for(ask: Get) -> None:
    assert ask("/models/m/config").json() == {
        "name": "m",
        "platform": "onnxruntime_onnx",
        "backend": "onnxruntime",
        "max_batch_size": 0,
        "version_policy": {"specific": {"versions": []}},
        "input": [{"name": "in", "data_type": "TYPE_FP32", "dims": [-1, 6]}],
        "output": [{"name": "p", "data_type": "TYPE_FP32", "dims": [-1, 3]}],
    }
    assert ask("/models/m/versions/1/stats").json() == {
        "model_stats": [{"name": "m", "version": "1"}]
    }


@pytest.mark.parametrize("path", ["/models/m/ready", "/models/m/versions/1/ready"])
def test_what_kserve_asks_for(ask: Get, path: str) -> None:
    assert ask(path).json() == {"name": "m", "ready": True}


FORMS = ["", "/ready", "/config", "/stats"]


@pytest.mark.parametrize("form", FORMS)
def test_absent_and_forbidden_look_the_same(ask: Get, form: str) -> None:
    absent = ask(f"/models/absent{form}")
    assert absent.status_code == 404
    for path, role, tenant in (
        (f"/models/m/versions/9{form}", "caller", TENANT),
        (f"/models/m/versions/2{form}", "caller", TENANT),  # a candidate
        (f"/models/hidden{form}", "caller", TENANT),  # without a release
        (f"/models/hidden/versions/1{form}", "caller", TENANT),
        (f"/models/m{form}", "convenor", TENANT),  # without a policy for it
        (f"/models/m{form}", "caller", "rival"),
        (f"/models/theirs{form}", "caller", TENANT),
        (f"/models/theirs/versions/1{form}", "owner", TENANT),
        (f"/models/%2e%2e{form}", "caller", TENANT),
        (f"/models/M{form}", "caller", TENANT),
    ):
        refused = ask(path, role, tenant)
        assert (refused.status_code, refused.content) == (404, absent.content), path
        assert refused.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("form", FORMS)
def test_a_candidate_is_for_those_who_may_read_it(ask: Get, form: str) -> None:
    assert ask(f"/models/m/versions/2{form}", "owner").status_code == 200


@pytest.mark.parametrize("form", FORMS)
def test_without_a_token_nothing_is_told_of_a_model(ask: Get, form: str) -> None:
    present, absent = ask(f"/models/m{form}", None), ask(f"/models/absent{form}", None)
    assert present.status_code == absent.status_code == 401
    assert present.content == absent.content
    assert "resource_metadata=" in present.headers["www-authenticate"]


def test_what_may_not_be_known_is_not_opened(shop: Works, ask: Get) -> None:
    before = len(shop.loads)
    for form in FORMS:
        ask(f"/models/theirs{form}")
        ask(f"/models/hidden/versions/1{form}")
    assert len(shop.loads) == before


def test_the_index_lists_what_the_caller_may_know_of(ask: Get) -> None:
    def listed(role: str, tenant: str = TENANT) -> list[dict[str, Any]]:
        answer = ask("/repository/index", role, tenant, method="POST")
        assert answer.status_code == 200
        rows: list[dict[str, Any]] = answer.json()
        return rows

    own = {"name": "m", "version": "1", "state": "READY", "reason": ""}
    assert listed("caller") == [own]
    assert listed("owner") == [own], "what has no release is not in the index"
    assert listed("convenor") == []
    assert listed("caller", "rival") == [{**own, "name": "theirs"}]
    assert ask("/repository/index", None, method="POST").status_code == 401


def test_looking_is_not_recorded(shop: Works, ask: Get) -> None:
    before = len(shop.events())
    for path in ("/models/m", "/models/absent", "/models/m/ready"):
        ask(path)
    assert len(shop.events()) == before


def test_a_model_that_cannot_be_served_is_not_ready(shop: Works, ask: Get) -> None:
    broken = shop.publish("3", model="broken", screened=False)
    shop.house.stores.registry.replace_version(replace(broken, owner_bundle=b"{}"))
    shop.house.changed()
    answer = ask("/models/broken/ready")
    assert answer.status_code == 503
    assert answer.json()["type"].endswith("/model-unavailable")
