from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from prometheus_client import generate_latest

from gateway.engine.errors import RunTimeout
from gateway.errors import SealgateError
from gateway.identity.authenticate import Credentials
from gateway.identity.errors import InvalidToken, TokenMissing
from gateway.inference.errors import (
    BodyTooLarge,
    ContractViolation,
    MalformedRequest,
    ModelNotFound,
    ModelUnavailable,
    OutputRefused,
    TooManyRequests,
)
from gateway.inference.models import ServableModel
from gateway.inference.oip import OipCodec
from gateway.inference.pipeline import MAX_SUBJECTS, InferCall
from gateway.screening.verdict import ATLAS, Verdict
from tests.gateway.artifacts.hostile_models import words
from tests.gateway.artifacts.odd_models import boosted, graph_network, with_default
from tests.gateway.parts import TENANT

from .works import CLEAN, STRANGE, Works, ask, head, row, works

MARKER = "Marta-Example-1971"


def subjects(x: Any, *names: str) -> dict[str, Any]:
    asked = row(x)
    column = {
        "name": "sealgate_subject",
        "shape": [len(names), 1],
        "datatype": "BYTES",
        "data": list(names),
    }
    return {**asked, "inputs": [*asked["inputs"], column]}


def test_an_answer_and_its_evidence(shop: Works) -> None:
    answer = ask(shop, {**row(CLEAN), "id": "mine"})
    said = head(answer)
    assert (said["model_name"], said["model_version"], said["id"]) == ("m", "1", "mine")
    assert [output["name"] for output in said["outputs"]] == ["p"], "no score leaves"
    assert "parameters" not in said
    event = shop.house.reader.entry(TENANT, answer.receipt.index).event
    assert event.id == answer.receipt.event_id
    assert (event.action, event.outcome, event.model_id) == ("releaseOutput", "allow", "m")


def test_nothing_that_was_sent_is_read_before_the_caller_is_known(shop: Works) -> None:
    async def read(_: str) -> bytes:
        raise AssertionError("the body was read")

    before = len(shop.events())
    for token, refusal in (("", TokenMissing), ("nonsense", InvalidToken)):
        with pytest.raises(refusal):
            ask(shop, token=token, read=read)
    assert len(shop.events()) == before, "an unauthenticated caller cannot fill the log"
    sample = shop.metrics.registry.get_sample_value
    for code in ("token_missing", "invalid_token"):
        assert sample("sealgate_refused_before_tenant_total", {"code": code}) == 1.0


def test_a_client_over_its_rate_is_refused_before_its_body_is_read() -> None:
    async def read(_: str) -> bytes:
        raise AssertionError("the body was read")

    with works(rate="1/day") as shop:
        shop.publish()
        ask(shop)
        with pytest.raises(TooManyRequests) as refused:
            ask(shop, read=read)
        assert int(refused.value.retry_after) > 60, "a day has not gone by"
        limited = shop.metrics.registry.get_sample_value(
            "sealgate_rate_limited_total", {"tenant": TENANT}
        )
        assert limited == 1.0


async def too_large(_: str) -> bytes:
    raise BodyTooLarge


REFUSED: dict[str, tuple[dict[str, Any], type[SealgateError], str, str]] = {
    "model before body": ({"read": too_large, "model": "absent"}, ModelNotFound, "", "deny"),
    "body": ({"read": too_large}, BodyTooLarge, "m", "error"),
    "syntax": ({"body": b"{"}, MalformedRequest, "m", "error"),
    "absent": ({"model": "absent"}, ModelNotFound, "", "deny"),
    "absent version": ({"version": "9"}, ModelNotFound, "", "deny"),
    "candidate, for a caller": ({"version": "2"}, ModelNotFound, "m", "deny"),
    "policy before contract": (
        {"version": "2", "body": row(CLEAN[:, :3])},
        ModelNotFound,
        "m",
        "deny",
    ),
    "purpose": ({"body": row(purpose="spite")}, ModelNotFound, "m", "deny"),
    "shape": ({"body": row(CLEAN[:, :3])}, ContractViolation, "m", "error"),
    "range": ({"body": row(CLEAN + 1e6)}, ContractViolation, "m", "error"),
    "screen": ({"body": row(STRANGE)}, OutputRefused, "m", "deny"),
    "unknown output": (
        {"body": {**row(), "outputs": [{"name": MARKER}]}},
        MalformedRequest,
        "m",
        "error",
    ),
    "score of the screen": (
        {"body": {**row(), "outputs": [{"name": "sealgate.screen.scores"}]}},
        MalformedRequest,
        "m",
        "error",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_each_refusal_is_in_the_log_before_the_caller_hears_of_it(shop: Works, kind: str) -> None:
    options, refusal, model, outcome = REFUSED[kind]
    shop.publish("2", release=False)
    before = len(shop.events())

    async def scenario() -> int:
        try:
            await shop.infer(**options)
        except refusal:
            return len(shop.events())
        raise AssertionError("it was answered")

    assert asyncio.run(scenario()) == before + 1
    event = shop.events()[-1]
    assert event["outcome"] == outcome
    assert event["reason"].startswith((refusal.code, "contract."))
    assert event.get("model_id", "") == model
    assert event["client_id"] == "acme-caller"
    assert MARKER not in json.dumps(event)


def test_another_tenants_model_is_absent_and_recorded_with_the_one_who_asked(shop: Works) -> None:
    before = len(shop.events())
    with pytest.raises(ModelNotFound) as theirs:
        ask(shop, token=shop.bearer(tenant="rival"))
    with pytest.raises(ModelNotFound) as absent:
        ask(shop, token=shop.bearer(tenant="rival"), model="absent")
    assert str(theirs.value) == str(absent.value)
    assert len(shop.events()) == before
    entries = [msgspec.structs.asdict(entry.event) for entry in shop.house.reader.events("rival")]
    assert [event["model_id"] for event in entries] == ["", ""]
    assert shop.loads == [], "nothing was opened for a caller who may not use it"


def test_nothing_is_decrypted_for_a_caller_who_may_not_ask(shop: Works) -> None:
    shop.publish("2", release=False)
    with pytest.raises(ModelNotFound):
        ask(shop, version="2")
    assert shop.loads == []
    assert head(ask(shop, version="2", token=shop.bearer("owner")))["model_version"] == "2"


def test_an_unscreened_answer_stays_in_unless_policy_lets_it_out(shop: Works) -> None:
    shop.publish("2", screened=False)
    with pytest.raises(OutputRefused):
        ask(shop)
    event = shop.events()[-1]
    assert event["policy_ids"] == ("acme/screened-only",)
    shop.allow_unscreened()
    assert head(ask(shop))["model_version"] == "2"
    assert "profile" not in shop.events()[-1]["screening"]


def test_a_version_that_is_not_what_was_signed_is_refused_and_recorded(shop: Works) -> None:
    registry = shop.house.stores.registry
    registry.replace_version(replace(shop.version(), link=shop.version().link[:-9]))
    shop.house.changed()
    with pytest.raises(ModelUnavailable):
        ask(shop)
    assert (shop.events()[-1]["outcome"], shop.events()[-1]["reason"]) == (
        "error",
        "model_unavailable",
    )


def test_a_run_that_never_ends_is_stopped_and_recorded() -> None:
    with works(timeout=0.05) as shop:
        shop.publish(screened=False)
        gate = shop.gate()
        with pytest.raises(RunTimeout):
            ask(shop)
        gate.go.set()
        assert (shop.events()[-1]["outcome"], shop.events()[-1]["reason"]) == (
            "error",
            "run_timeout",
        )


def test_a_fault_of_ours_is_recorded_as_one_and_says_nothing(shop: Works) -> None:
    def prepare(model: ServableModel) -> ServableModel:
        raise KeyError(MARKER)

    shop.prepare = prepare
    with pytest.raises(KeyError):
        ask(shop)
    event = shop.events()[-1]
    assert (event["outcome"], event["reason"]) == ("error", "internal")
    assert MARKER not in json.dumps(event)


def test_texts_go_in_and_out(shop: Works) -> None:
    shop.allow_unscreened()
    shop.publish(model="words", graph=words().SerializeToString(), screened=False)
    texts = ["a", "", "žluťoučký", "\u0000"]
    asked = {"inputs": [{"name": "x", "shape": [4, 1], "datatype": "BYTES", "data": texts}]}
    assert head(ask(shop, asked, model="words"))["outputs"][0]["data"] == texts


def test_a_degraded_answer_is_the_label_only_and_says_so(shop: Works) -> None:
    verdict = Verdict("degrade", "p<0.05", ("screen.trust",), ATLAS, (0,))
    shop.prepare = lambda model: replace(model, judge=lambda *_: verdict)  # type: ignore[arg-type]
    answer = head(ask(shop, row(CLEAN)))
    assert answer["parameters"] == {"sealgate_degraded": "label-only"}
    assert set(answer["outputs"][0]["data"]) == {0.0, 1.0}
    assert sum(answer["outputs"][0]["data"]) == len(CLEAN)
    assert shop.events()[-1]["screening"]["rules"] == ("screen.trust",)


def test_a_flagged_answer_leaves_whole(shop: Works) -> None:
    verdict = Verdict("flag", "p<0.05", ("screen.trust",), ATLAS, (0,))
    shop.prepare = lambda model: replace(model, judge=lambda *_: verdict)  # type: ignore[arg-type]
    answer = head(ask(shop))
    assert "parameters" not in answer
    assert shop.events()[-1]["screening"]["bucket"] == "p<0.05"


@pytest.mark.parametrize("outcome", ["block", "", "perhaps"])
def test_a_verdict_that_nobody_knows_keeps_the_answer_in(shop: Works, outcome: Any) -> None:
    verdict = Verdict(outcome)
    shop.prepare = lambda model: replace(model, judge=lambda *_: verdict)  # type: ignore[arg-type]
    with pytest.raises(OutputRefused):
        ask(shop)


def test_a_subject_a_row_goes_sealed_into_the_record_and_not_to_the_model(shop: Works) -> None:
    shop.publish(model="p", personal=True)
    names = [f"{MARKER}-{number % 3}" for number in range(len(CLEAN))]
    answer = ask(shop, subjects(CLEAN, *names), model="p")
    event = shop.events()[-1]
    assert len(event["subject_refs"]) == len(event["sealed_commit"]) == 3
    assert MARKER not in json.dumps(event)
    assert MARKER.encode() not in b"".join(answer.rendered.parts)
    refs = [shop.vault.find(TENANT, name) for name in names[:3]]
    assert list(event["subject_refs"]) == refs


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (row(), "subject_missing"),
        (subjects(CLEAN[:1]), "subject_missing"),
        (subjects(CLEAN[:3], "a", "b"), "subject_rows"),
        (subjects(CLEAN[:1], "a", "b"), "subject_rows"),
    ],
)
def test_a_personal_model_wants_to_know_whom_it_is_asked_about(
    shop: Works, asked: dict[str, Any], reason: str
) -> None:
    shop.publish(model="p", personal=True)
    with pytest.raises(ContractViolation) as refused:
        ask(shop, asked, model="p")
    assert refused.value.reason == reason
    assert shop.events()[-1]["reason"] == "contract_violation"
    assert shop.loads == []


@pytest.mark.parametrize("count", [MAX_SUBJECTS, MAX_SUBJECTS + 1, 1100])
def test_more_subjects_than_an_event_holds_are_refused_and_recorded(
    shop: Works, count: int
) -> None:
    names = [f"subject-{number}" for number in range(count)]
    x = np.repeat(CLEAN[:1], count, axis=0)
    if count <= MAX_SUBJECTS:
        ask(shop, subjects(x, *names))
        assert len(shop.events()[-1]["subject_refs"]) == count
        return
    with pytest.raises(ContractViolation) as refused:
        ask(shop, subjects(x, *names))
    assert refused.value.reason == "too_many_subjects"
    event = shop.events()[-1]
    assert (event["outcome"], event["reason"]) == ("error", "contract_violation")
    assert shop.vault.find(TENANT, "subject-0") is None, "nobody was given a reference in vain"


def test_many_rows_of_one_subject_are_one_subject(shop: Works) -> None:
    x = np.repeat(CLEAN[:1], 1100, axis=0)
    ask(shop, subjects(x, *([MARKER] * 1100)))
    assert len(shop.events()[-1]["subject_refs"]) == 1


def test_requests_are_counted_under_names_that_exist(shop: Works) -> None:
    ask(shop)
    for options in ({"model": MARKER.lower()}, {"body": row(STRANGE)}, {"version": MARKER}):
        with pytest.raises(SealgateError):
            ask(shop, **options)
    text = generate_latest(shop.metrics.registry).decode()
    labels = 'model="m",outcome="{}",tenant="acme",version="1"'
    for outcome in ("answered", "output_refused"):
        assert f"sealgate_requests_total{{{labels.format(outcome)}}} 1.0" in text
    assert MARKER.lower() not in text.lower()
    assert 'verdict="block"' in text


def plain(shop: Works, graph: Any, **more: Any) -> None:
    shop.allow_unscreened()
    shop.publish(model="odd", graph=graph.SerializeToString(), screened=False, **more)


def asked(**arrays: Any) -> dict[str, Any]:
    datatypes = {"f": "FP32", "i": "INT64"}
    tensors = []
    for name, values in arrays.items():
        array = np.asarray(values)
        datatype = datatypes[array.dtype.kind]
        tensors.append(
            {"name": name, "datatype": datatype, "shape": list(array.shape), "data": array.tolist()}
        )
    return {"inputs": tensors}


def test_a_graph_network_takes_as_many_edges_as_there_are(shop: Works) -> None:
    plain(shop, graph_network())
    edges, nodes = np.array([0, 1, 1, 0, 1]), np.ones((2, 8))
    for given in ({"edges": edges, "nodes": nodes}, {"nodes": nodes, "edges": edges}):
        assert head(ask(shop, asked(**given), model="odd"))["outputs"][0]["data"] == [40.0]


def test_subjects_are_one_a_row_of_the_models_first_input_wherever_it_is_named(
    shop: Works,
) -> None:
    plain(shop, graph_network())
    given = asked(edges=np.array([0, 1, 1]), nodes=np.ones((2, 8)))
    named = {"name": "sealgate_subject", "datatype": "BYTES", "shape": [3], "data": ["a", "b", "c"]}
    with pytest.raises(ContractViolation) as refused:
        ask(shop, {"inputs": [*given["inputs"], named]}, model="odd")
    assert refused.value.reason == "subject_rows"
    named |= {"shape": [2], "data": ["a", "b"]}
    ask(shop, {"inputs": [*given["inputs"], named]}, model="odd")


def test_an_input_with_a_default_may_be_left_out(shop: Works) -> None:
    plain(shop, with_default())
    x = np.ones((1, 3))
    assert head(ask(shop, asked(x=x), model="odd"))["outputs"][0]["data"] == [2.0, 2.0, 2.0]
    given = asked(k=np.array([5.0]), x=x)
    assert head(ask(shop, given, model="odd"))["outputs"][0]["data"] == [5.0] * 3


def test_missing_values_reach_the_model_where_its_owner_allows_them(shop: Works) -> None:
    missing = np.full((1, 3), np.nan, np.float32)
    body = json.dumps(
        {
            "inputs": [
                {
                    "name": "x", "datatype": "FP32", "shape": [1, 3],
                    "parameters": {"binary_data_size": missing.nbytes},
                }
            ]
        }
    ).encode()  # fmt: skip
    plain(shop, boosted(), allow_nan=frozenset({"x"}))
    shop.publish(
        "2", model="odd", graph=boosted().SerializeToString(), screened=False, release=False
    )
    split = len(body)

    def sent(version: str | None) -> Any:
        codec = OipCodec(split)
        call = InferCall(
            credentials=Credentials(
                [(b"authorization", b"Bearer " + shop.bearer("owner").encode())], "POST", "/v2"
            ),
            model="odd", version=version, codec=codec, read=given,
        )  # fmt: skip
        return asyncio.run(shop.pipeline.infer(call))

    async def given(_: str) -> bytes:
        return body + missing.tobytes()

    assert head(sent(None))["outputs"][0]["data"] == [1.0], "the left leaf, as it was trained"
    with pytest.raises(ContractViolation) as refused:
        sent("2")
    assert refused.value.reason == "not_finite"
