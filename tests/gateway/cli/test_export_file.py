"""`audit export` to one name twice at a time: each is whole, the last one has the name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from gateway.cli.audit import fetch_export
from gateway.cli.connection import Connection
from gateway.cli.profile import Profile


class Blocks(httpx.SyncByteStream):
    """Two blocks, and something that happens in between."""

    def __init__(self, between: Callable[[], object]) -> None:
        self._between = between

    def __iter__(self) -> Iterator[bytes]:
        yield b"first "
        self._between()
        yield b"second"


def export(out: Path, between: Callable[[], object] = bool) -> int:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/oauth/token":
            return httpx.Response(200, json={"access_token": "t", "expires_in": 300})
        return httpx.Response(200, headers={"sealgate-log-size": "2"}, stream=Blocks(between))

    profile = Profile("http://127.0.0.1:1", "officer", None, "secret", None, "none")
    with Connection(profile, transport=httpx.MockTransport(answer)) as connection:
        return fetch_export(connection, out)


def test_two_exports_to_one_name_are_both_whole(tmp_path: Path) -> None:
    out, seen = tmp_path / "log.zip", []

    def meanwhile() -> None:
        assert export(out) == 2
        seen.append(out.read_bytes())

    assert export(out, meanwhile) == 2
    assert [*seen, out.read_bytes()] == [b"first second"] * 2
    assert [path.name for path in tmp_path.iterdir()] == ["log.zip"]
    assert out.stat().st_mode & 0o777 == 0o600
