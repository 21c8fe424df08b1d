"""The public door's answers to inference requests, as its clients read them."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
import structlog
from onnx import TensorProto, helper

from gateway.inference.body_budget import BodyBudget
from gateway.web.boundary import Boundary
from gateway.web.infer import InferEndpoint, PublicApp
from tests.gateway.inference.works import CLEAN, Works, row, works
from tests.gateway.web.in_process import call
from tests.gateway.web.test_hanging_up import nothing

MAX_BODY = 64 << 10
Post = Callable[..., httpx.Response]
TEXT = json.dumps(row(CLEAN[:2])).encode()


def logarithm() -> bytes:
    """A model that gives what is no number for some inputs, and an infinity for others."""
    graph = helper.make_graph(
        [helper.make_node("Log", ["in"], ["p"])],
        "logarithm",
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, ["n", 2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def widening() -> bytes:
    """A model of UINT16, whose arrays look like those of BF16."""
    graph = helper.make_graph(
        [helper.make_node("Cast", ["in"], ["p"], to=TensorProto.FLOAT)],
        "widening",
        [helper.make_tensor_value_info("in", TensorProto.UINT16, ["n", 2])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, ["n", 2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def brain() -> bytes:
    """A model that takes BF16 and gives it back, halved."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["in"], ["wide"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["wide", "half"], ["p"]),
            helper.make_node("Cast", ["p"], ["b"], to=TensorProto.BFLOAT16),
        ],
        "brain",
        [helper.make_tensor_value_info("in", TensorProto.BFLOAT16, ["n", 2])],
        [
            helper.make_tensor_value_info("p", TensorProto.FLOAT, ["n", 2]),
            helper.make_tensor_value_info("b", TensorProto.BFLOAT16, ["n", 2]),
        ],
        [helper.make_tensor("half", TensorProto.FLOAT, [], [0.5])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def shop() -> Iterator[Works]:
    with works() as made:
        made.publish()
        made.allow_unscreened()
        made.publish(model="log", graph=logarithm(), screened=False)
        made.publish(model="wide", graph=widening(), screened=False)
        made.publish(model="brain", graph=brain(), screened=False)
        yield made


@pytest.fixture(scope="module")
def budget() -> BodyBudget:
    return BodyBudget()


@pytest.fixture(scope="module")
def post(shop: Works, budget: BodyBudget) -> Post:
    endpoint = InferEndpoint(
        shop.pipeline, max_body_bytes=MAX_BODY, body_timeout=30.0, budget=budget
    )
    app = Boundary(PublicApp(endpoint, nothing), shop.house.new_id)

    def posted(
        body: bytes = TEXT, model: str = "m", role: str = "caller", **headers: str
    ) -> httpx.Response:
        sent = {"authorization": f"Bearer {shop.bearer(role)}"} if role else {}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return call(app, "POST", f"/v2/models/{model}/infer", content=body, headers=sent | named)

    return posted


def test_the_id_of_a_request_is_that_of_its_record(shop: Works, post: Post) -> None:
    for how in ({}, {"body": b"{"}, {"model": "absent"}):
        answer, events = post(**how), shop.events()
        event = events[-1]
        assert answer.headers["sealgate-audit"].endswith(f"/{len(events) - 1}")
        assert answer.headers["sealgate-request-id"] == event["id"] == event["request_id"]
        if answer.is_error:
            assert answer.json()["request_id"] == event["id"]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 400),
        (TEXT.replace(b"FP32", b"FP64"), {}, 422),
        (b" " * (MAX_BODY + 1), {}, 413),
        (TEXT, {"content_encoding": "br"}, 415),
        (TEXT, {"role": ""}, 401),
        (TEXT, {"model": "absent"}, 404),
    ],
)
def test_every_error_says_what_tritonclient_reads(
    post: Post, body: bytes, headers: Any, status: int
) -> None:
    answer = post(body, **headers)
    problem = answer.json()
    assert answer.status_code == problem["status"] == status
    assert problem["error"] == problem["detail"]
    assert problem["request_id"] == answer.headers["sealgate-request-id"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_another_method_is_refused_alike_for_every_name(shop: Works, method: str) -> None:
    endpoint = InferEndpoint(
        shop.pipeline, max_body_bytes=MAX_BODY, body_timeout=30.0, budget=BodyBudget()
    )
    app = Boundary(PublicApp(endpoint, nothing), lambda: "an id")
    known, unknown = (call(app, method, f"/v2/models/{name}/infer") for name in ("m", "absent"))
    assert (known.status_code, known.headers["allow"]) == (405, "POST")
    assert (known.content, known.headers) == (unknown.content, unknown.headers)


@pytest.mark.parametrize(
    ("coding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_a_compressed_body_is_answered_as_the_body_is(
    shop: Works, post: Post, budget: BodyBudget, coding: str, compress: Callable[[bytes], bytes]
) -> None:
    assert post(compress(TEXT), content_encoding=coding).json() == post().json()
    assert shop.events()[-2]["n_in"] == len(TEXT)
    x = CLEAN[:2].astype("<f4").tobytes()
    tensor = {**row(CLEAN[:2])["inputs"][0], "parameters": {"binary_data_size": len(x)}}
    del tensor["data"]
    head = json.dumps({"inputs": [tensor]}).encode()
    told = {"inference_header_content_length": str(len(head))}
    assert post(compress(head + x), content_encoding=coding, **told).json() == post().json()
    bomb = post(compress(bytes(MAX_BODY + 1)), content_encoding=coding)
    assert bomb.status_code == 413
    assert budget.held == 0


def test_another_coding_is_told_which_ones_are_read_but_not_for_a_hidden_model(post: Post) -> None:
    answer = post(content_encoding="zstd")
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "gzip, deflate")
    assert post(content_encoding="zstd", model="absent").status_code == 404


def values(*numbers: float) -> dict[str, Any]:
    tensor = {"name": "in", "shape": [1, 2], "datatype": "FP32", "data": list(numbers)}
    return {"inputs": [tensor]}


def test_what_json_cannot_carry_is_refused_and_recorded(shop: Works, post: Post) -> None:
    answer = post(json.dumps(values(-1, 0)).encode(), "log")
    assert answer.status_code == 422
    assert answer.json()["type"].endswith("/answer-not-finite")
    assert "`p` in binary form" in answer.json()["error"]
    event = shop.events()[-1]
    kept = (event["action"], event["outcome"], event["reason"])
    assert kept == ("releaseOutput", "error", "answer_not_finite")


def test_what_json_cannot_carry_goes_out_in_binary_to_who_takes_it(post: Post) -> None:
    body = {**values(-1, 0), "parameters": {"binary_data_output": True}}
    answer = post(json.dumps(body).encode(), "log")
    assert answer.status_code == 200
    found = np.frombuffer(answer.content[int(answer.headers["inference-header-content-length"]) :])
    np.testing.assert_array_equal(found.view("<f4"), [np.nan, -np.inf])


def test_answers_are_not_compressed_whatever_is_accepted(post: Post) -> None:
    answer = post(accept_encoding="gzip, deflate")
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize(("datatype", "status"), [("UINT16", 200), ("BF16", 422), ("INT16", 422)])
def test_bits_that_were_stated_as_another_datatype_are_not_taken(
    shop: Works, post: Post, datatype: str, status: int
) -> None:
    tensor = {"name": "in", "shape": [1, 2], "datatype": datatype, "data": [1, 2]}
    answer = post(json.dumps({"inputs": [tensor]}).encode(), "wide")
    assert answer.status_code == status
    assert status == 200 or answer.json()["reason"] == "datatype"
    assert shop.events()[-1].get("reason", "") == ("" if status == 200 else "contract.datatype")


def test_bfloat16_goes_in_and_comes_out_in_both_forms(post: Post) -> None:
    tensor: dict[str, Any] = {
        "name": "in",
        "shape": [1, 2],
        "datatype": "BF16",
        "data": [1.0, -3.0],
    }
    told = post(json.dumps({"inputs": [tensor]}).encode(), "brain").json()["outputs"]
    assert [(one["name"], one["datatype"], one["data"]) for one in told] == [
        ("p", "FP32", [0.5, -1.5]),
        ("b", "BF16", [0.5, -1.5]),
    ]
    bits = np.array([0x3F80, 0xC040], "<u2").tobytes()
    del tensor["data"]
    tensor["parameters"] = {"binary_data_size": len(bits)}
    asked = [{"name": "b", "parameters": {"binary_data": True}}]
    head = json.dumps({"inputs": [tensor], "outputs": asked}).encode()
    answer = post(head + bits, "brain", inference_header_content_length=str(len(head)))
    found = answer.content[int(answer.headers["inference-header-content-length"]) :]
    assert np.frombuffer(found, "<u2").tolist() == [0x3F00, 0xBFC0]
    stated = json.dumps({"inputs": [{**tensor, "datatype": "UINT16"}]}).encode()
    refused = post(stated + bits, "brain", inference_header_content_length=str(len(stated)))
    assert refused.json()["reason"] == "datatype"


class Broken:
    def known(self, *_: object) -> None:
        raise ValueError(TEXT)


def test_a_fault_of_ours_is_logged_with_the_id_of_its_request(shop: Works) -> None:
    pipeline = replace(shop.pipeline, routes=Broken())  # type: ignore[arg-type]
    endpoint = InferEndpoint(
        pipeline, max_body_bytes=MAX_BODY, body_timeout=30.0, budget=BodyBudget()
    )
    app = Boundary(PublicApp(endpoint, nothing), shop.house.new_id)
    headers = {"authorization": f"Bearer {shop.bearer()}"}
    with structlog.testing.capture_logs(
        processors=[structlog.contextvars.merge_contextvars]
    ) as lines:
        answer = call(app, "POST", "/v2/models/m/infer", content=TEXT, headers=headers)
    assert answer.status_code == 500
    assert lines == [
        {
            "event": "request_failed",
            "fault": "ValueError",
            "log_level": "error",
            "request_id": answer.headers["sealgate-request-id"],
        }
    ]
    assert shop.events()[-1]["id"] == answer.headers["sealgate-request-id"]
