"""Artifacts on their way in and out: sealed while they arrive, delivered to one key, resumable."""

from __future__ import annotations

import json
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import MakeHouse
from tests.e2e.house import House, keystore, problem, until
from tests.e2e.refusals import nameless
from tests.gateway.artifacts.hostile_models import HOSTILE
from tests.tools import require_tool

pytestmark = pytest.mark.usefixtures("still_well")

VERSION = "/v1/models/digits/versions/1.0"


def stored(house: House) -> set[Path]:
    """Every file of the artifact store, staged ones included."""
    return {path for path in (house.place.data / "artifacts").rglob("*") if path.is_file()}


def graph(house: House) -> tuple[str, int]:
    """Digest and length of the payload that may leave."""
    (payload,) = house.get(VERSION, "clinic-owner")["payloads"]
    assert payload["role"] == "graph"
    return str(payload["digest"]), int(payload["length"])


@pytest.fixture
def key(house: House, tmp_path: Path) -> tuple[Path, str]:
    """An identity file and its public key, made by the command."""
    path = tmp_path / "site.key"
    done = house.command("artifact", "keygen", "-o", str(path))
    assert done.returncode == 0, done.stderr
    assert path.stat().st_mode & 0o777 == 0o600
    return path, done.stdout.strip()


@pytest.fixture
def delivered(house: House, key: tuple[Path, str], tmp_path: Path) -> Path:
    """The model as an age file for that key, fetched by the command."""
    house.meet_partner("digits")
    path = tmp_path / "digits.onnx.age"
    done = house.command(
        *("model", "download", "digits", "1.0", "--recipient", key[1], "--out", str(path))
    )
    assert done.returncode == 0, done.stderr
    return path


def test_a_delivered_model_opens_with_our_command_and_with_age(
    house: House, key: tuple[Path, str], delivered: Path, tmp_path: Path
) -> None:
    plain = house.owned["digits"].onnx
    assert plain[:64] not in delivered.read_bytes()
    ours, theirs = tmp_path / "ours.onnx", tmp_path / "theirs.onnx"
    done = house.command("artifact", "decrypt", str(delivered), "-i", str(key[0]), "-o", str(ours))
    assert done.returncode == 0, done.stderr
    age = [require_tool("age"), "--decrypt", "-i", str(key[0]), "-o", str(theirs), str(delivered)]
    subprocess.run(age, check=True, timeout=60)
    assert ours.read_bytes() == theirs.read_bytes() == plain
    events = house.events(action="downloadArtifact", limit=3)
    assert [(e.get("phase", ""), e["outcome"], e["recipient"]) for e in events] == [
        ("result", "done", key[1]),
        ("intent", "allow", key[1]),
        ("", "allow", key[1]),  # the header
    ]
    assert events[0]["n_out"] == graph(house)[1]


def test_a_delivery_verifies_against_the_tenants_release_key(
    house: House, key: tuple[Path, str], delivered: Path, tmp_path: Path
) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    owner = house.bearer("clinic-owner")
    manifest = house.cast.http.get(f"{house.url}{VERSION}/manifest", headers=owner)
    signatures = house.cast.http.get(f"{house.url}{VERSION}/signatures", headers=owner)
    public = keystore(house).release_key("clinic").public_key()
    names = {}
    for name, content in (
        ("manifest", manifest.content),
        ("link", signatures.content),
        ("release-key", public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)),
    ):
        names[name] = tmp_path / name
        names[name].write_bytes(content)
    options = [part for name, path in names.items() for part in (f"--{name}", str(path))]

    def decrypt(out: str) -> subprocess.CompletedProcess[str]:
        files = (str(delivered), "-i", str(key[0]), "-o", str(tmp_path / out))
        return house.command("artifact", "decrypt", *files, *options)

    done = decrypt("good")
    assert done.returncode == 0, done.stderr
    assert "clinic/digits@1.0" in done.stderr
    altered = manifest.content.replace(b'"digits"', b'"biopsy"')
    assert altered != manifest.content
    names["manifest"].write_bytes(altered)
    assert decrypt("bad").returncode == 6
    assert not (tmp_path / "bad").exists()


def test_another_key_or_a_changed_file_opens_nothing(
    house: House, key: tuple[Path, str], delivered: Path, tmp_path: Path
) -> None:
    other, out = tmp_path / "other.key", tmp_path / "out"
    assert house.command("artifact", "keygen", "-o", str(other)).returncode == 0
    whole = delivered.read_bytes()
    changed = tmp_path / "changed.age"
    cases = [(delivered, other)]
    for name, content in (
        ("flipped", whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:]),
        ("cut_off", whole[:-100]),
        ("longer", whole + b"\0"),
        ("no_header", whole[whole.index(b"\n---") :]),
    ):
        changed = tmp_path / f"{name}.age"
        changed.write_bytes(content)
        cases.append((changed, key[0]))
    document = f"{delivered}.release.json"
    for file, identity in cases:
        done = house.command(
            *("artifact", "decrypt", str(file), "-i", str(identity), "-o", str(out)),
            *("--release", document),
        )
        assert done.returncode == 6, (file, done.stderr)
        assert done.stderr.startswith("error: ")
        assert "Traceback" not in done.stderr
        assert not out.exists()
    assert sorted(p.name for p in tmp_path.glob(".*")) == []


def test_a_delivery_verifies_offline_and_says_what_it_is(
    house: House, key: tuple[Path, str], delivered: Path
) -> None:
    told = json.loads(house.command("artifact", "verify", str(delivered), "--json").stdout)
    assert (told["verified"], told["tenant"], told["model"]) == (True, "clinic", "digits")
    assert told["digest"] == graph(house)[0]
    told = json.loads(house.command("artifact", "inspect", str(delivered), "--json").stdout)
    assert (told["verified"], told["recipients"]) == (False, 1)
    opens = house.command("artifact", "header", str(delivered), "-i", str(key[0]), "--json")
    assert json.loads(opens.stdout)["opens"] is True
    whole = delivered.read_bytes()
    delivered.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert house.command("artifact", "verify", str(delivered)).returncode == 6


def test_downloads_to_one_name_at_a_time_leave_a_whole_file(
    house: House, key: tuple[Path, str], tmp_path: Path
) -> None:
    house.meet_partner("digits")
    out = tmp_path / "digits.age"
    arguments = ("model", "download", "digits", "1.0", "-i", str(key[0]), "--out", str(out))
    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(lambda _: house.command(*arguments), range(4)))
    assert {done.returncode for done in ended} <= {0, 75}, [done.stderr for done in ended]
    assert 0 in {done.returncode for done in ended}
    assert sorted(path.name for path in tmp_path.iterdir() if "digits" in path.name) == [
        "digits.age",
        "digits.age.release.json",
    ]
    checked = house.command("artifact", "verify", str(out), "-i", str(key[0]), "--json")
    assert json.loads(checked.stdout)["content"] == "verified"


def test_a_cut_off_download_goes_on_where_it_was(
    house: House, key: tuple[Path, str], delivered: Path, tmp_path: Path
) -> None:
    digest, length = graph(house)
    whole, out = delivered.read_bytes(), tmp_path / "resumed.age"
    header_length = len(whole) - length
    (tmp_path / "resumed.age.part").write_bytes(whole[: header_length + 1000])
    notes = {"digest": digest, "recipient": key[1], "header_length": header_length}
    (tmp_path / "resumed.age.part.json").write_text(json.dumps(notes))
    done = house.command(
        *("model", "download", "digits", "1.0", "--recipient", key[1], "--out", str(out))
    )
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == whole
    assert house.events(action="downloadArtifact", limit=1)[0]["n_out"] == length - 1000
    assert list(tmp_path.glob("*.part*")) == []


def test_ranges_of_a_payload_join_to_the_payload(house: House, key: tuple[Path, str]) -> None:
    digest, length = graph(house)
    headers = {**house.bearer("clinic-owner"), "sealgate-recipient": key[1]}
    url = f"{house.url}{VERSION}/payloads/{digest}"

    def fetch(**more: str) -> tuple[int, bytes, str | None]:
        named = {name.replace("_", "-"): value for name, value in more.items()}
        answer = house.cast.http.get(url, headers={**headers, **named})
        return answer.status_code, answer.content, answer.headers.get("content-range")

    status, whole, _ = fetch()
    assert (status, len(whole)) == (200, length)
    parts = [
        fetch(range="bytes=0-999"),
        fetch(range=f"bytes=1000-{length - 11}", if_range=f'"{digest}"'),
        fetch(range="bytes=-10"),
    ]
    assert [part[0] for part in parts] == [206] * 3
    assert b"".join(part[1] for part in parts) == whole
    assert parts[0][2] == f"bytes 0-999/{length}"
    assert fetch(range=f"bytes={length}-")[0] == 416
    assert fetch(range="bytes=1000-", if_range='"another"')[:2] == (200, whole)
    assert whole in {path.read_bytes() for path in stored(house)}


def test_nothing_but_the_plain_graph_leaves(house: House, key: tuple[Path, str]) -> None:
    """The fused graph and the profile hold rows of the calibration set."""
    allowed = {graph(house)[0]}
    headers = {**house.bearer("clinic-owner"), "sealgate-recipient": key[1]}
    absent = house.cast.http.get(f"{house.url}{VERSION}/payloads/{'0' * 64}", headers=headers)
    assert absent.status_code == 404
    others = {path.name for path in stored(house)} - allowed
    assert len(others) >= 2
    for digest in others:
        url = f"{house.url}{VERSION}/payloads/{digest}"
        answer = house.cast.http.get(url, headers=headers)
        assert (answer.status_code, nameless(answer)) == (404, nameless(absent))
        assert house.cast.http.post(f"{url}/header", headers=headers).status_code == 404


@pytest.mark.parametrize("client", ["clinic-app", "clinic-officer", "bank-app"])
def test_a_model_is_handed_to_those_only_who_may_have_it(
    house: House, key: tuple[Path, str], client: str
) -> None:
    headers = {**house.bearer(client), "sealgate-recipient": key[1]}
    url = f"{house.url}{VERSION}/payloads/{graph(house)[0]}"
    for answer in (
        house.cast.http.get(url, headers=headers),
        house.cast.http.post(f"{url}/header", headers=headers),
    ):
        assert answer.status_code in (403, 404)
        assert problem(answer) in ("forbidden", "not-found")
    if client == "bank-app":
        nobodys = url.replace("digits", "absent")
        theirs = house.cast.http.get(url, headers=headers)
        assert nameless(theirs) == nameless(house.cast.http.get(nobodys, headers=headers))


def test_an_upload_that_is_cut_off_leaves_nothing(house: House) -> None:
    before, known = stored(house), len(house.events(action="uploadArtifact"))
    head = (
        "POST /v1/uploads?model=digits HTTP/1.1\r\nhost: gateway\r\n"
        f"authorization: {house.bearer('clinic-owner')['authorization']}\r\n"
        "content-type: application/octet-stream\r\ncontent-length: 9000000\r\n\r\n"
    )
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", house.place.port), timeout=20) as line:
            line.sendall(head.encode() + bytes(4_000_000))
    until(lambda: stored(house) == before)
    assert len(house.events(action="uploadArtifact")) == known
    # What stays stored must be what it was, also after the next upload has come and gone.
    answer = house.cast.http.post(
        f"{house.url}/v1/uploads?model=digits",
        content=b"",
        headers=house.bearer("clinic-owner"),
    )
    assert answer.status_code in (400, 422)
    assert stored(house) == before


def test_what_a_killed_upload_left_is_removed_at_the_next_start(fresh: MakeHouse) -> None:
    house = fresh()
    before, authorization = stored(house), house.bearer("clinic-owner")["authorization"]
    head = (
        "POST /v1/uploads?model=digits HTTP/1.1\r\nhost: gateway\r\n"
        f"authorization: {authorization}\r\ncontent-length: 99000000\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", house.place.port), timeout=20) as line:
        line.sendall(head.encode() + bytes(40_000_000))
        until(lambda: stored(house) != before)
        house.kill()
    assert stored(house) != before
    house.start()
    until(lambda: stored(house) == before)
    assert house.infer().status_code == 200


def sent(house: House, file: Path, version: str, signed: Path | None = None) -> dict[str, Any]:
    """Publish a file of `digits` past the look that `model push` takes; return the job's error."""
    from gateway.cli.owner_key import sign_model
    from gateway.cli.transfer import upload

    signature = sign_model(house.owner_key(), signed or file, "digits")
    with house.client("clinic-owner") as owner:
        body = {
            "version": version,
            "upload": upload(owner, "digits", file, quiet=True),
            "owner_bundle": signature.bundle,
            "owner_key": signature.public_key,
        }
        job = owner.post("/v1/models/digits/versions", body)["id"]
        ended = until(lambda: (j := owner.get(f"/v1/jobs/{job}"))["state"] != "running" and j)
    error: dict[str, Any] = ended["error"]
    return error


@pytest.mark.parametrize(
    "kind",
    ["garbage", "truncated", "external_initializer", "custom_domain", "function_bomb", "crowded"],
)
def test_a_broken_or_hostile_model_is_refused_by_name(house: House, kind: str) -> None:
    make, reason = HOSTILE[kind]
    made = make()
    content = made if isinstance(made, bytes) else made.SerializeToString()
    folder, before = house.place.folder / "hostile", stored(house)
    folder.mkdir(exist_ok=True)
    file = folder / f"{kind}.onnx"
    file.write_bytes(content)
    version = f"0.{list(HOSTILE).index(kind)}"
    assert sent(house, file, version)["reason"] == reason
    shown = house.get(f"/v1/models/digits/versions/{version}", "clinic-owner")
    assert (shown["state"], shown["reason"]) == ("rejected", reason)
    assert stored(house) == before, "the sealed upload was given back"
    event = house.events(action="uploadArtifact", outcome="error", limit=1)[0]
    assert (event["model_version"], event["reason"]) == (version, reason)
    unserved = house.cast.infer(
        house.token("clinic-owner"), "digits", house.owned["digits"].body(), version
    )
    assert unserved.status_code == 404


def test_a_model_that_its_owner_did_not_sign_is_refused(house: House) -> None:
    """The owner signed other bytes than those that arrived."""
    folder = house.place.folder / "unsigned"
    folder.mkdir()
    signed, file, before = folder / "signed.onnx", folder / "model.onnx", stored(house)
    signed.write_bytes(house.owned["digits"].onnx)
    file.write_bytes(house.owned["biopsy"].onnx)
    assert sent(house, file, "0.99", signed)["reason"] == "owner_signature"
    assert stored(house) == before


def test_a_refused_calibration_set_refuses_the_version(house: House) -> None:
    before = stored(house)
    bad = replace(house.owned["digits"], calibration=b"PK\x03\x04 no npz")
    with pytest.raises(AssertionError):
        house.push(bad, "0.98")
    shown = house.get("/v1/models/digits/versions/0.98", "clinic-owner")
    assert shown["state"] == "rejected"
    assert shown["reason"].startswith("calibration_")
    assert stored(house) == before, "neither uploads nor anything that was made of them"
