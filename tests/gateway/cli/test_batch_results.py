from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from gateway.artifacts.age import generate_identity
from gateway.batch.results import encode, seal
from gateway.cli.batch import format_of
from gateway.cli.batch_results import fetch
from gateway.cli.connection import Connection
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.identity import identity_for
from gateway.cli.profile import Profile

KEY = generate_identity(secrets.token_bytes)
JOB = {"id": "job"}


def sealed(first: int, answered: list[int], refused: dict[int, str]) -> bytes:
    scores = np.array([[row / 8, 1 - row / 8] for row in answered], np.float32)
    outputs = {"scores": scores, "label": np.array([f"ü{row}" for row in answered])}
    plain = encode(answered, outputs, refused, degraded=first > 0)
    return seal(plain, str(KEY.recipient), secrets.token_bytes)


RESULTS = [sealed(0, [0, 2], {1: "output_refused"}), sealed(3, [3], {})]


def part(number: int, first: int, rows: int, state: str = "ready") -> dict[str, Any]:
    content = RESULTS[number] if state == "ready" else b""
    digest = hashlib.sha256(content).hexdigest() if content else None
    told = {"number": number, "first": first, "rows": rows, "state": state, "refused": 0}
    return {**told, "digest": digest, "length": len(content)}


PARTS = [part(0, 0, 3), part(1, 3, 1), part(2, 4, 2, "dropped"), part(3, 6, 1, "erased")]


class Gateway(httpx.BaseTransport):
    """Hands out a token and results; what `fails` says of a number, once, is a 503."""

    def __init__(self, *fails: int, spoil: Callable[[bytes], bytes] = bytes) -> None:
        self.fails, self.spoil = list(fails), spoil
        self.asked: list[int] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/oauth/token":
            return httpx.Response(200, json={"access_token": "t", "expires_in": 300})
        if path.endswith("/results"):
            return httpx.Response(200, json={"items": PARTS, "next": None})
        number = int(path.rpartition("/")[2])
        self.asked.append(number)
        if number in self.fails:
            self.fails.remove(number)
            return httpx.Response(503, json={"detail": "later"})
        return httpx.Response(200, content=self.spoil(RESULTS[number]))


def fetched(gateway: Gateway, out: Path, form: str = "jsonl", key: Any = KEY) -> None:
    profile = Profile("http://127.0.0.1:1", "app", None, "secret", None, "none")
    with Connection(profile, transport=gateway) as connection:
        fetch(connection, JOB, key, out, form, quiet=True)


def test_of_two_fetches_to_one_name_the_second_is_refused_and_the_first_is_whole(
    tmp_path: Path,
) -> None:
    out = tmp_path / "a.jsonl"
    refusals: list[int] = []

    def meanwhile(content: bytes) -> bytes:
        if not refusals:
            with pytest.raises(CommandFailed) as refused:
                fetched(Gateway(), out)
            refusals.append(refused.value.code)
        return content

    fetched(Gateway(spoil=meanwhile), out)
    assert refusals == [ExitCode.TRY_AGAIN]
    assert len(out.read_text().splitlines()) == 7
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_an_identity_in_another_encoding_is_told_apart(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(KEY.secret.encode("utf-16"))
    with pytest.raises(CommandFailed) as refused:
        identity_for(key)
    assert "UTF-16" in refused.value.what
    key.write_text(f"{KEY.secret}\n{KEY.secret}\n")
    with pytest.raises(CommandFailed, match="more than one"):
        identity_for(key)


def test_lines_hold_every_row_in_order(tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    fetched(Gateway(), out)
    assert [json.loads(line) for line in out.read_text().splitlines()] == [
        {"sealgate_row": 0, "scores": [0.0, 1.0], "label": "ü0"},
        {"sealgate_row": 1, "sealgate_reason": "output_refused"},
        {"sealgate_row": 2, "scores": [0.25, 0.75], "label": "ü2"},
        {"sealgate_row": 3, "sealgate_degraded": True, "scores": [0.375, 0.625], "label": "ü3"},
        {"sealgate_row": 4, "sealgate_reason": "not_asked"},
        {"sealgate_row": 5, "sealgate_reason": "not_asked"},
        {"sealgate_row": 6, "sealgate_reason": "subject_erased"},
    ]
    assert out.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_an_archive_says_which_rows_its_arrays_have(tmp_path: Path) -> None:
    out = tmp_path / "a.npz"
    fetched(Gateway(), out, "npz")
    with np.load(out, allow_pickle=False) as found:
        assert found["sealgate_row"].tolist() == [0, 2, 3]
        assert found["sealgate_refused_row"].tolist() == [1, 4, 5, 6]
        assert found["sealgate_reason"].tolist()[0] == "output_refused"
        assert found["sealgate_degraded"].tolist() == [False, False, True]
        assert found["scores"].shape == (3, 2)
        assert found["label"].tolist() == ["ü0", "ü2", "ü3"]


def test_parquet_has_a_null_where_there_is_no_answer(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "a.parquet"
    fetched(Gateway(), out, "parquet")
    table = pq.read_table(out).to_pydict()
    assert table["sealgate_row"] == list(range(7))
    assert [value is None for value in table["scores"]] == [False, True, False, False, *[True] * 3]
    assert table["label"][2] == "ü2"
    assert table["sealgate_reason"][:2] == [None, "output_refused"]


def test_a_fetch_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    gateway, out = Gateway(1), tmp_path / "a.jsonl"
    with pytest.raises(CommandFailed) as cut_off:
        fetched(gateway, out)
    assert cut_off.value.code is ExitCode.TRY_AGAIN
    assert not out.exists()
    gateway.asked.clear()
    fetched(gateway, out)
    assert gateway.asked == [1]
    assert len(out.read_text().splitlines()) == 7


def test_a_spoilt_result_is_noticed_and_asked_for_again(tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    with pytest.raises(CommandFailed) as refused:
        fetched(Gateway(spoil=lambda content: content[:-1] + b"\0"), out)
    assert refused.value.code is ExitCode.UNVERIFIED
    folder = tmp_path / "a.jsonl.parts"
    (folder / "000000.age").write_bytes(b"spoilt on the disk")
    fetched(Gateway(), out)
    assert len(out.read_text().splitlines()) == 7


def test_another_key_opens_nothing(tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    with pytest.raises(CommandFailed) as refused:
        fetched(Gateway(), out, key=generate_identity(secrets.token_bytes))
    assert refused.value.code is ExitCode.UNVERIFIED
    assert not out.exists()


def test_an_identity_is_made_once_and_kept_private(tmp_path: Path) -> None:
    path = tmp_path / "batch.key"
    made = identity_for(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert str(identity_for(path).recipient) == str(made.recipient)
    assert str(identity_for(None).recipient) != str(made.recipient)
    path.write_text("nonsense\n")
    with pytest.raises(CommandFailed):
        identity_for(path)


def test_the_ending_of_a_file_names_its_format() -> None:
    for name, form in (("a.npz", "npz"), ("A.JSONL", "jsonl"), ("b.c.parquet", "parquet")):
        assert format_of(Path(name)) == form
    with pytest.raises(CommandFailed) as refused:
        format_of(Path("rows.csv"))
    assert "jsonl" in refused.value.advice
