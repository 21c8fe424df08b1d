"""No plaintext of a model, no key and no token on any disk; nobody else at the data folder."""

from __future__ import annotations

import hashlib
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.canary import Canary, files_of, hatch
from tests.e2e.conftest import MakeHouse
from tests.e2e.house import House, sealgate_command


def temporary() -> set[Path]:
    """Where the gateway may write beside its folder."""
    return {Path(tempfile.gettempdir()), Path("/var/tmp"), Path("/dev/shm")}


def leaks(canary: Canary, *folders: Path, since: float = 0.0, but: Path | None = None) -> list[str]:
    """Files that hold weights in clear; `but` is the owner's own folder."""
    found = []
    for path in files_of(*folders, since=since):
        if but is not None and but in path.parents:
            continue
        try:
            if canary.seen_in(path):
                found.append(str(path))
        except OSError:
            continue
    return found


@contextmanager
def watched(canary: Canary, house: House) -> Iterator[list[str]]:
    """Search the house again and again while the block runs; the owner's folder is its own."""
    found: list[str] = []
    done, rounds = threading.Event(), []

    def search() -> None:
        while not done.is_set():
            found.extend(leaks(canary, house.place.data))
            rounds.append(1)

    thread = threading.Thread(target=search)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()
    assert rounds


def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    canary = hatch()
    assert leaks(canary, tmp_path) == []
    for name, content in (
        ("whole", canary.owned.onnx),
        ("piece", bytes(7) + canary.weights[1001:1065] + bytes(9)),
        ("text", canary.weights[333:420].hex().encode()),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        assert leaks(canary, tmp_path) == [str(path)]
        path.unlink()


def test_no_weight_of_a_model_ever_reaches_a_disk(fresh: MakeHouse, tmp_path: Path) -> None:
    house, canary, began = fresh(), hatch(), time.time()
    owners = house.place.folder / "owner"
    with watched(canary, house) as meanwhile:
        house.release(canary.owned)
        asked = house.cast.infer(house.token(), "canary", canary.owned.body())
        assert asked.status_code == 200
        key, out = tmp_path / "site.key", tmp_path / "canary.age"
        recipient = house.command("artifact", "keygen", "-o", str(key)).stdout.strip()
        house.meet_partner("canary")
        got = house.command(
            *("model", "download", "canary", "1.0", "--recipient", recipient, "--out", str(out))
        )
        assert got.returncode == 0, got.stderr
        house.kill()
        house.start()
        asked = house.cast.infer(house.token(), "canary", canary.owned.body())
        assert asked.status_code == 200
    assert meanwhile == []
    assert leaks(canary, *temporary(), tmp_path, since=began, but=owners) == []
    house.stop()
    assert leaks(canary, house.place.folder, but=owners) == []
    assert list(owners.glob("*.onnx")) == []
    opened = tmp_path / "canary.onnx"
    done = house.command("artifact", "decrypt", str(out), "-i", str(key), "-o", str(opened))
    assert done.returncode == 0, done.stderr
    assert leaks(canary, tmp_path / "place", opened.parent, but=owners) == [str(opened)]


def token_of(house: House, client: str) -> str:
    """A token of a client as its profile gets one: bound to a key, where it is registered so."""
    with house.cast.connection(client) as connection:
        return connection.headers("GET", "/v1/whoami")["authorization"].split()[1]


def test_no_secret_of_a_caller_reaches_the_data_folder_or_the_log(fresh: MakeHouse) -> None:
    house = fresh()
    tokens = [token_of(house, client) for client in house.cast.secrets]
    assert house.infer().status_code == 200
    wrong = "wrong-secret-5f1d"
    refused = house.cast.http.post(
        f"{house.url}/oauth/token",
        data={"grant_type": "client_credentials"},
        auth=("clinic-app", wrong),
    )
    assert refused.status_code == 401
    house.stop()
    administrator = json.loads((house.place.data / "admin.key").read_text())["d"]
    secrets = [*tokens, *(t.split(".")[2] for t in tokens), *house.cast.secrets.values(), wrong]
    own = {"admin.key": administrator, "unlock.key": None}
    for path in [house.log_path, *files_of(house.place.data)]:
        content = path.read_bytes()
        assert not [secret for secret in secrets if secret.encode() in content], path
        if path.name not in own:
            assert administrator.encode() not in content, path


def test_the_process_keeps_its_memory_to_itself(house: House) -> None:
    limits = Path(f"/proc/{house.pid}/limits").read_text()
    (core,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
    assert core.split()[4:6] == ["0", "0"]


def test_init_makes_a_folder_for_its_owner_only_and_overwrites_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    done = sealgate_command("init", "--data", str(data), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["log_key"].startswith("127.0.0.1/platform+")
    assert data.stat().st_mode & 0o777 == 0o700
    for path in data.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    assert {"admin.key", "admin.json", "sealgate.toml"} <= {path.name for path in data.iterdir()}

    def fingerprint() -> dict[str, str]:
        files = {p for p in data.rglob("*") if p.is_file()}
        return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    before = fingerprint()
    again = sealgate_command("init", "--data", str(data))
    assert again.returncode == 1
    assert "nothing was changed" in again.stderr
    assert "Traceback" not in again.stderr
    assert fingerprint() == before
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_serving_leaves_everything_to_its_owner_only(house: House) -> None:
    assert house.infer("biopsy").status_code == 200
    open_to_others = [
        str(path) for path in house.place.data.rglob("*") if path.lstat().st_mode & 0o077
    ]
    assert open_to_others == []


def test_a_second_gateway_on_the_folder_is_refused(house: House) -> None:
    done = house.command("serve", "--data", str(house.place.data))
    assert done.returncode == 1
    assert done.stderr.startswith("error: another gateway owns this data folder (process ")
    assert house.infer().status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
def test_a_demo_folder_is_not_served_off_loopback(founded: House, host: str) -> None:
    done = founded.command("serve", "--data", str(founded.place.data), "--host", host)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "loopback" in done.stderr


def test_a_folder_without_tls_is_not_served_off_loopback(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    assert sealgate_command("init", "--data", data).returncode == 0
    done = sealgate_command("serve", "--data", data, "--host", "0.0.0.0")
    assert done.returncode == 1
    assert "without TLS" in done.stderr


@pytest.mark.parametrize("missing", ["keystore/unlock.key", "keystore/keys", "sealgate.toml"])
def test_a_trust_anchor_that_is_gone_is_not_made_anew(fresh: MakeHouse, missing: str) -> None:
    house = fresh(started=False)
    path = house.place.data / missing
    path.unlink()
    done = house.command("serve", "--data", str(house.place.data))
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert not path.exists()
