"""Clients that were not made for this gateway, unchanged but for a token in a header.

Each runs in a process of its own: they bring their own event loops, and see only an address.
"""

from __future__ import annotations

import importlib.util
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.e2e.house import House

pytestmark = [pytest.mark.clients, pytest.mark.usefixtures("still_well")]

GRPC = {"triton_grpc": "tritonclient.grpc", "kserve_grpc": "kserve"}
SCRIPTS = Path(__file__).parent / "clients"


def run(client: str, address: str, token: str, house: House, model: str = "digits") -> Any:
    package = {"triton": "tritonclient", "kserve": "kserve", **GRPC}[client]
    if importlib.util.find_spec(package.partition(".")[0]) is None:
        pytest.skip(f"{package} is not installed")
    rows = io.BytesIO()
    np.save(rows, house.owned["digits"].rows[:2])
    script = str(SCRIPTS / f"{client}_client.py")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script, address, token, model],
        input=rows.getvalue(),
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def expected(house: House) -> Any:
    answer = house.infer(count=2)
    return pytest.approx(answer.json()["outputs"][0]["data"], abs=1e-6)


def address(house: House) -> str:
    return house.url.removeprefix("http://")


def test_tritonclient_gets_all_that_it_asks_for(house: House, expected: Any) -> None:
    said = run("triton", address(house), house.token(), house)
    assert said.get("refusal") is None
    assert (said["live"], said["ready"], said["model_ready"]) == (True, True, True)
    assert said["server"]["name"] == "sealgate"
    assert "binary_tensor_data" in said["server"]["extensions"]
    assert {"name": "digits", "version": "1.0", "state": "READY", "reason": ""} in said["index"]
    assert said["metadata"]["inputs"] == [
        {"name": "image", "datatype": "FP32", "shape": [-1, 1, 8, 8]}
    ]
    assert [output["name"] for output in said["metadata"]["outputs"]] == ["probabilities"]
    assert said["config"]["name"] == "digits"
    assert said["config"]["input"][0]["data_type"] == "TYPE_FP32"
    assert said["stats"]["model_stats"][0]["name"] == "digits"
    assert said["json"] == said["binary"] == said["version"] == expected
    for coding in ("gzip", "deflate"):
        assert said[f"{coding} True"] == said[f"{coding} False"] == expected
    assert said["classes True"] == said["classes False"]
    holds_the_best(said["classes True"], said["json"])


def holds_the_best(classes: list[list[str]], values: list[float]) -> None:
    """Hold texts to the three highest of two rows of values."""
    for told, row in zip(classes, np.reshape(values, (2, -1)), strict=True):
        best = np.argsort(-row)[:3]
        assert [int(text.split(":")[1]) for text in told] == best.tolist()
        assert [float(text.split(":")[0]) for text in told] == pytest.approx(row[best], abs=1e-6)


def test_tritonclient_is_told_how_often_a_model_was_asked(house: House) -> None:
    def counted() -> Any:
        stats = run("triton", address(house), house.token(), house)["counted"]["model_stats"]
        return {one["name"]: one for one in stats}["digits"]

    before, after = counted(), counted()
    assert after["inference_count"] - before["inference_count"] == 2 * 10
    ran = after["execution_count"] - before["execution_count"]
    assert ran == 11, "the request for an output that the model has not ran, too"
    success, failed = (after["inference_stats"][name] for name in ("success", "fail"))
    assert success["count"] - before["inference_stats"]["success"]["count"] == 10
    assert success["ns"] > before["inference_stats"]["success"]["ns"]
    assert failed["count"] > before["inference_stats"]["fail"]["count"]
    assert after["last_inference"] > before["last_inference"] > 1_700_000_000_000


def test_tritonclient_shows_what_was_wrong(house: House) -> None:
    shown = run("triton", address(house), house.token(), house)["mistakes"]
    assert {name: status for name, (status, _) in shown.items()} == {
        "output": "400",
        "datatype": "422",
        "shared memory": "400",
        "sequence": "400",
        "absent": "404",
        "loading": "404",
        "token": "401",
    }
    assert shown["output"][1] == "the request names an output that the model does not have"
    assert shown["datatype"][1] == "an input has another datatype than the model's: `image`"
    assert shown["shared memory"][1].startswith("shared memory is not offered")
    assert shown["absent"][1] == "no such model"
    for _, message in shown.values():
        assert "exception" not in message


def test_tritonclient_without_a_token_is_refused(house: House) -> None:
    said = run("triton", address(house), "", house)
    assert (said["live"], said["ready"]) == (True, True)
    assert said["refusal"][0] == said["infer_refusal"][0] == "401"


def test_kserve_gets_all_that_it_asks_for(house: House, expected: Any) -> None:
    said = run("kserve", house.url, house.token(), house)
    assert said.get("refusal") is None
    assert (said["live"], said["ready"], said["model_ready"]) == (True, True, True)
    assert said["json"] == said["binary"] == expected


def test_kserve_without_a_token_is_told_where_to_get_one(house: House) -> None:
    said = run("kserve", house.url, "", house)
    status, challenge, _ = said["infer_refusal"]
    assert status == 401
    assert "resource_metadata=" in challenge


def test_another_tenants_model_looks_absent_to_stock_clients(house: House) -> None:
    bank = house.token("bank-app")
    theirs = run("triton", address(house), bank, house)
    assert theirs["index"] == []
    assert theirs["infer_refusal"][0] == "404"
    assert theirs == run("triton", address(house), bank, house, "absent")
    theirs = run("kserve", house.url, bank, house)
    assert theirs["infer_refusal"][0] == 404
    assert theirs == run("kserve", house.url, bank, house, "absent")


def grpc_address(house: House) -> str:
    return f"127.0.0.1:{house.place.grpc_port}"


def test_tritonclient_gets_the_same_over_grpc(house: House, expected: Any) -> None:
    said = run("triton_grpc", grpc_address(house), house.token(), house)
    assert "refusal" not in said, said
    assert (said["live"], said["ready"], said["model_ready"]) == (True, True, True)
    assert said["server"]["name"] == "sealgate"
    assert {"name": "digits", "version": "1.0", "state": "READY"} in said["index"]["models"]
    assert said["metadata"]["inputs"] == [
        {"name": "image", "datatype": "FP32", "shape": ["-1", "1", "8", "8"]}
    ]
    assert said["config"]["config"]["input"][0]["data_type"] == "TYPE_FP32"
    assert said["stats"]["model_stats"][0]["name"] == "digits"
    assert said["raw"] == said["gzip"] == said["deflate"] == said["version"] == expected
    assert said["classes"] == said["classes of a stream"]
    holds_the_best(said["classes"], said["raw"])
    assert said["stream"] == [[str(at), said["raw"]] for at in range(20)]
    assert said["mixed"] == ["", "no such model", ""]
    assert said["load"] == "StatusCode.UNIMPLEMENTED"


def test_kserve_gets_the_same_over_grpc(house: House, expected: Any) -> None:
    said = run("kserve_grpc", grpc_address(house), house.token(), house)
    assert "refusal" not in said, said
    assert (said["live"], said["ready"], said["model_ready"]) == (True, True, True)
    assert said["raw"] == said["typed"] == expected


@pytest.mark.parametrize("client", GRPC)
def test_without_a_token_grpc_clients_are_refused(house: House, client: str) -> None:
    said = run(client, grpc_address(house), "", house)
    assert (said["live"], said["ready"]) == (True, True)
    assert said["refusal"] == said["infer_refusal"]
    assert said["refusal"][0] == "StatusCode.UNAUTHENTICATED"


@pytest.mark.parametrize("client", GRPC)
def test_another_tenants_model_looks_absent_to_grpc_clients(house: House, client: str) -> None:
    bank = house.token("bank-app")
    theirs = run(client, grpc_address(house), bank, house)
    assert theirs["infer_refusal"] == ["StatusCode.NOT_FOUND", "no such model"]
    assert theirs == run(client, grpc_address(house), bank, house, "absent")
