from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import msgspec
import pytest
from fastapi import FastAPI

from audit.errors import AuditError
from gateway.artifacts.signature import sign_link, verify_link
from gateway.errors import SealgateError
from gateway.inference.directory import ModelDirectory
from gateway.inference.errors import (
    ContractViolation,
    MalformedRequest,
    ModelNotFound,
    ModelUnavailable,
)
from gateway.web.oip import build_router
from gateway.web.problems import install_problems
from tests.gateway.inference.works import CLEAN, Works, row, works
from tests.gateway.parts import NOW, TENANT
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
    return asking(shop)


def asking(shop: Works) -> Get:
    directory = ModelDirectory(
        shop.authenticator,
        shop.house.guard,
        shop.routes,
        shop.models,
        shop.house.stores.registry,
        shop.manifests,
        shop.made.statistics,
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
                "classification",
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
    never = {"count": 0, "ns": 0}
    uncalled = {
        "name": "m",
        "version": "1",
        "last_inference": 0,
        "inference_count": 0,
        "execution_count": 0,
        "inference_stats": {
            "success": never,
            "fail": never,
            "queue": never,
            "compute_input": never,
            "compute_infer": never,
            "compute_output": never,
        },
        "batch_stats": [],
    }
    assert ask("/models/m/versions/1/stats").json() == {"model_stats": [uncalled]}
    assert ask("/models/stats").json() == {"model_stats": [uncalled]}


def test_statistics_without_a_name_are_of_what_the_caller_may_know_of(ask: Get) -> None:
    def names(role: str, tenant: str = TENANT) -> list[str]:
        return [one["name"] for one in ask("/models/stats", role, tenant).json()["model_stats"]]

    assert names("caller") == ["m"]
    assert names("convenor") == []
    assert names("caller", "rival") == ["theirs"]
    assert ask("/models/stats", None).status_code == 401


def test_requests_are_counted_by_version_and_by_how_they_ended() -> None:
    with works() as shop:
        shop.publish("1")
        made = shop.pipeline
        asyncio.run(shop.infer(row(CLEAN[:3])))
        asyncio.run(shop.infer(row(CLEAN[:2]), version="1"))
        for body, kind in (({"inputs": []}, ContractViolation), (b"{", MalformedRequest)):
            with pytest.raises(kind):
                asyncio.run(shop.infer(body))
        with pytest.raises(ModelNotFound):
            asyncio.run(shop.infer(token=shop.bearer("convenor")))
        with pytest.raises(ModelNotFound):
            asyncio.run(shop.infer(model="absent"))
        counted = made.statistics.of((TENANT, "m", "1"))
        runs = shop.models.runs((TENANT, "m", "1"))
    assert (counted.inference_count, runs) == (5, 2)
    assert (counted.success.count, counted.fail.count) == (2, 2), "a hidden model was not called"
    assert counted.last_inference == int(NOW * 1000)


def test_what_a_model_takes_is_told_without_opening_it() -> None:
    with works() as shop:
        shop.publish("1")
        ask = asking(shop)
        for form in ("", "/config", "/stats", "/versions/1", "/versions/1/config"):
            assert ask(f"/models/m{form}").status_code == 200
        assert shop.loads == []
        assert ask("/models/m/ready").status_code == 200
        assert len(shop.loads) == 1


@pytest.mark.parametrize("change", ["link", "manifest", "other"])
def test_a_manifest_that_was_not_signed_is_not_told(change: str) -> None:
    with works() as shop:
        stored, other = shop.publish("1"), shop.publish("2")
        altered = {
            "link": replace(stored, link=stored.link.replace(b'"', b"'")),
            "manifest": replace(stored, manifest=other.manifest),
            "other": replace(stored, manifest=other.manifest, link=other.link),
        }[change]
        shop.house.stores.registry.replace_version(altered)
        shop.house.changed()
        answer = asking(shop)("/models/m/versions/1")
    assert answer.status_code == 503
    assert answer.json()["type"].endswith("/model-unavailable")


def test_an_expired_version_is_told_of_no_more() -> None:
    now = [NOW]
    with works(clock=lambda: now[0]) as shop:
        version = shop.publish("1")
        key = shop.keys.release_key(TENANT)
        manifest = msgspec.structs.replace(shop.manifests(version), expires=int(NOW) + 60)
        link = verify_link(key.public_key(), version.link)
        link = msgspec.structs.replace(link, manifest=manifest.digest())
        dated = replace(version, manifest=manifest.encode(), link=sign_link(key, link))
        shop.house.changed()
        assert shop.manifests(dated) == manifest
        now[0] += 60
        with pytest.raises(ModelUnavailable):
            shop.manifests(dated)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/health/live",
        "/health/ready",
        "/models/stats",
        "/models/m",
        "/models/m/versions/1",
    ],
)
def test_whatever_answers_get_answers_head(ask: Get, path: str) -> None:
    got, head = ask(path), ask(path, method="HEAD")
    assert (got.status_code, got.headers) == (head.status_code, head.headers)


@pytest.mark.parametrize(
    ("path", "method", "allow"),
    [
        ("/models/m", "POST", "GET, HEAD"),
        ("/models/absent", "POST", "GET, HEAD"),
        ("/health/live", "DELETE", "GET, HEAD"),
        ("/repository/index", "GET", "POST"),
        ("/models/m/ready", "OPTIONS", "GET, HEAD"),
    ],
)
def test_another_method_is_told_which_ones_there_are(
    ask: Get, path: str, method: str, allow: str
) -> None:
    answer = ask(path, method=method)
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)
    assert answer.json()["error"] == "method not allowed"


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
