"""A shared model by stock clients over both doors, and by a batch; both see its end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.house import House, until
from tests.e2e.test_stock_clients import address, grpc_address, run

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("still_well")]

SHARED = "clinic~digits"
OWNER = {
    "tenant": "bank",
    "name": "Model owner",
    "roles": ["owner"],
    "scopes": ["models", "artifacts"],
    "auth_method": "client_secret_basic",
    "token_binding": "none",
}


@pytest.fixture(scope="module")
def lent(house: House) -> Iterator[House]:
    """The house, whose clinic shares `digits` with the bank until the block ends."""
    with house.admin() as admin:
        made = admin.post("/v1/clients", {"id": "bank-owner", **OWNER})
    house.cast.secrets["bank-owner"] = made["client_secret"]
    consent(house)
    yield house
    house.sealgate("model", "unshare", "digits", "--with", "bank", "--confirm", "digits")


def consent(house: House) -> None:
    """Let both sides consent."""
    house.sealgate("model", "share", "digits", "--with", "bank", "--confirm", "digits")
    offer, theirs = f"{house.url}/v1/shared/clinic/digits", house.bearer("bank-owner")
    seen = house.cast.http.get(offer, headers=theirs).json()
    taken = house.cast.http.put(offer, headers=theirs, json={"offer": seen["offer"]})
    assert taken.json()["state"] == "accepted"


def rows(house: House, path: Path) -> Path:
    values = house.owned["digits"].rows[:3].tolist()
    path.write_text("".join(json.dumps({"image": value}) + "\n" for value in values))
    return path


@pytest.mark.clients
@pytest.mark.parametrize("client", ["triton", "kserve", "triton_grpc", "kserve_grpc"])
def test_stock_clients_use_the_name_as_it_is(lent: House, client: str) -> None:
    to = {"triton": address(lent), "kserve": lent.url}.get(client, grpc_address(lent))
    mine = run(client, to, lent.token(), lent)
    theirs = run(client, to, lent.token("bank-app"), lent, SHARED)
    assert "refusal" not in theirs or theirs["refusal"] is None, theirs
    for said in ("raw", "json", "binary", "typed", "version"):
        assert theirs.get(said) == mine.get(said)
    if "index" in theirs:
        assert SHARED in json.dumps(theirs["index"])
        assert '"digits"' not in json.dumps(theirs["index"])


def test_a_batch_of_a_shared_model_is_answered_and_ends_with_the_sharing(
    lent: House, tmp_path: Path
) -> None:
    def batch(*words: str | Path) -> Any:
        given = [str(word) for word in words]
        return lent.sealgate("model", "batch", *given, client="bank-app")

    key, out = tmp_path / "batch.key", tmp_path / "out.jsonl"
    job = batch("run", SHARED, rows(lent, tmp_path / "rows.jsonl"), "--out", out)
    assert (job["model"], job["state"]) == (SHARED, "finished")
    assert len(out.read_text().splitlines()) == 3
    kept = batch("run", SHARED, tmp_path / "rows.jsonl", "--no-wait", "--identity", key)
    until(lambda: batch("show", kept["id"])["state"] == "finished")
    result = f"{lent.url}/v1/batches/{kept['id']}/results/0"
    lent.sealgate("model", "unshare", "digits", "--with", "bank", "--confirm", "digits")
    gone = lent.cast.http.get(result, headers=lent.bearer("bank-app"))
    assert gone.status_code == 404
    consent(lent)
    assert lent.cast.http.get(result, headers=lent.bearer("bank-app")).status_code == 200
