from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace

import onnx
import pytest

from gateway.artifacts.manifest import parse_manifest
from gateway.engine.trial import SIZES
from gateway.inference.measuring import KIND, ROWS, TRIAL, rows_of
from tests.gateway.artifacts.hostile_models import node, tensor, words
from tests.gateway.parts import TENANT

from .works import CLASSIFIER, CLEAN, Works, ask, head, row, works


@pytest.fixture(scope="module")
def shop() -> Iterator[Works]:
    with works() as made:
        yield made


def test_what_engines_can_do_with_a_version_is_kept_with_it(shop: Works) -> None:
    facts = shop.publish().facts
    assert facts[KIND] == "plain"
    assert int(facts[ROWS]) in SIZES
    measured = json.loads(facts[TRIAL])
    assert set(measured["run_us"]) == {"plain"}
    assert measured["us_a_row"]


def test_requests_that_come_together_share_a_run_and_keep_their_own_verdicts(shop: Works) -> None:
    version = shop.publish(model="shared")
    assert rows_of(version.facts) > 1
    before = shop.server.runs

    async def scenario() -> list[str]:
        asked = [shop.infer(row(CLEAN[i : i + 1]), model="shared") for i in range(8)]
        answers = await asyncio.gather(*asked)
        return [json.dumps(head(answer)["outputs"]) for answer in answers]

    found = asyncio.run(scenario())
    alone = [
        json.dumps(head(ask(shop, row(CLEAN[i : i + 1]), model="shared"))["outputs"])
        for i in range(8)
    ]
    assert [json.loads(one)[0]["data"] for one in found] == [
        pytest.approx(json.loads(one)[0]["data"], abs=1e-5) for one in alone
    ]
    assert shop.server.runs - before < 8 + 8, "fewer runs than requests"
    told = [(event["outcome"], event["screening"]["bucket"]) for event in shop.events()[-16:]]
    assert told == [("allow", "p>=0.05")] * 16


def test_a_classifier_whose_label_is_declared_for_one_row_shares_runs(shop: Works) -> None:
    """LightGBM's export says `[1]` of its label: it was never batched, and metadata were wrong."""
    model = onnx.load_from_string(CLASSIFIER)
    scores = model.graph.output[0].name
    model.graph.node.append(node("ArgMax", [scores], ["label"], axis=1, keepdims=0))
    model.graph.output.append(tensor("label", [1], onnx.TensorProto.INT64))
    version = shop.publish(model="lightgbm", graph=model.SerializeToString())
    described = {spec.name: spec.shape for spec in parse_manifest(version.manifest).outputs}
    assert described["label"] == (-1,)
    assert rows_of(version.facts) > 1
    answer = head(ask(shop, row(CLEAN[:5]), model="lightgbm"))
    assert {tuple(output["shape"][:1]) for output in answer["outputs"]} == {(5,)}


def test_texts_are_served_as_they_came(shop: Works) -> None:
    assert (
        rows_of(
            shop.publish(model="words", graph=words().SerializeToString(), screened=False).facts
        )
        == 1
    )


@pytest.mark.parametrize(("kept", "rows"), [("32", 32), ("", 1), ("-1", 1), ("many", 1)])
def test_what_was_kept_before_or_is_nonsense_shares_nothing(kept: str, rows: int) -> None:
    assert rows_of({ROWS: kept}) == rows
    assert rows_of({}) == 1


def test_a_kind_that_is_gone_is_served_by_the_plain_one(shop: Works) -> None:
    version = shop.publish("2", model="moved", release=False)
    registry = shop.house.stores.registry
    registry.replace_version(replace(version, facts={**version.facts, KIND: "elsewhere"}))
    shop.release("2", "moved", TENANT)
    assert head(ask(shop, model="moved"))["model_version"] == "2"
