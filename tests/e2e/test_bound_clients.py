"""Default clients, whose tokens are bound to a key, through other makers' libraries.

Each runs in a process of its own, with a profile and an address.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from gateway.client import SealgateAuth
from gateway.client.tokens import Tokens
from tests.e2e.house import House

pytestmark = [pytest.mark.clients, pytest.mark.usefixtures("still_well")]

SCRIPT = Path(__file__).parent / "clients" / "bound_clients.py"
CLIENT = "ward-app"
KINDS = ("triton", "triton_aio", "triton_grpc", "kserve", "kserve_grpc")


def start(house: House, kind: str, address: str = "", client: str = CLIENT) -> Any:
    package = kind.partition("_")[0].replace("triton", "tritonclient")
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    rows = io.BytesIO()
    np.save(rows, house.owned["digits"].rows[:2])
    own = {"kserve": house.url}.get(kind, house.url.removeprefix("http://"))
    if kind.endswith("_grpc"):
        own = f"127.0.0.1:{house.place.grpc_port}"
    profile = str(house.cast.profile(client))
    return subprocess.run(
        [
            sys.executable,
            "-P",
            "-W",
            "ignore",
            str(SCRIPT),
            kind,
            address or own,
            profile,
            "digits",
        ],
        input=rows.getvalue(),
        capture_output=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def expected(house: House) -> Any:
    return pytest.approx(house.infer(count=2).json()["outputs"][0]["data"], abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_default_clients_call_through_stock_libraries(
    house: House, kind: str, expected: Any
) -> None:
    profile = json.loads(house.cast.profile(CLIENT).read_text())
    assert profile["binding"] == "dpop"
    done = start(house, kind)
    assert done.returncode == 0, done.stderr.decode()
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["answers"] == [expected] * len(said["answers"])
    if kind == "triton":
        assert "digits" in said["index"]
        assert (said["metadata"], said["afterwards"]) == ("digits", "401")


@pytest.mark.parametrize("kind", ["triton", "triton_aio", "kserve"])
def test_a_client_of_another_address_gets_no_token_there(house: House, kind: str) -> None:
    elsewhere = house.place.operations_url
    done = start(house, kind, elsewhere if kind == "kserve" else elsewhere.removeprefix("http://"))
    assert done.returncode != 0
    assert "a token goes to the gateway that gave it only" in done.stderr.decode()


@pytest.mark.parametrize("kind", KINDS)
def test_another_tenants_default_client_finds_no_such_model(house: House, kind: str) -> None:
    done = start(house, kind, client="bank-app")
    assert done.returncode != 0
    assert (
        b"no such model" in done.stderr or b"404" in done.stderr or b"AssertionError" in done.stderr
    )


@pytest.mark.parametrize("off", [-600, 600])
def test_a_client_whose_clock_is_off_is_answered_all_the_same(house: House, off: int) -> None:
    auth = SealgateAuth.from_profile(house.cast.profile(CLIENT))
    auth.tokens = Tokens(
        auth.profile,
        clock=lambda: time.time() + off,
        monotonic=time.monotonic,
        random_bytes=os.urandom,
    )
    with httpx.Client(auth=auth, base_url=house.url) as client:
        assert client.get("/v2/models/digits").status_code == 200
