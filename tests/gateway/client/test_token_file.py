"""The file between two commands: of use to one profile, for a while, and to nobody else."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from gateway.client import SealgateAuth
from gateway.client.profile import Profile
from gateway.client.token_file import MAX_FILE, TokenFile
from gateway.client.tokens import MAX_SKEW, Kept, Tokens
from tests.gateway.client.issuer import URL, Issuer, claims_of, profile
from tests.gateway.client.test_auth import Wire

NOW = 1_800_000_000.0
KEPT = Kept("token-text", NOW - 10, NOW + 200, 0.0, None)


def file(folder: Path, of: Profile | None = None, name: str = "app.json") -> TokenFile:
    return TokenFile(folder / name, of or profile("none"))


def ask(folder: Path, issuer: Issuer, of: Profile | None = None) -> int:
    """One command."""
    mine = of or profile()
    auth = SealgateAuth(mine, file(folder, mine))
    with httpx.Client(auth=auth, transport=Wire(issuer), base_url=URL) as http:
        return http.get("/v2").status_code


@pytest.mark.parametrize("binding", ["dpop", "none"])
def test_commands_share_one_token(tmp_path: Path, binding: str) -> None:
    issuer, mine = Issuer(), profile(binding)
    assert {ask(tmp_path, issuer, mine) for _ in range(10)} == {200}
    assert issuer.issued == 1
    if binding == "dpop":
        proofs = [claims_of(request) for request in issuer.seen]
        assert len({claims["jti"] for claims in proofs}) == len(proofs) == 11


def test_it_is_private_and_holds_nothing_in_clear(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        ask(tmp_path, Issuer())
    finally:
        os.umask(before)
    (made,) = tmp_path.iterdir()
    assert made.name == ".app.json.token"
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    for told in (b"token-1", b"s3cr3t", b"OKP", URL.encode()):
        assert told not in made.read_bytes()


@pytest.mark.parametrize(
    "other",
    [
        replace(profile("none"), url="https://other.example"),
        replace(profile("none"), client_id="another"),
        replace(profile("none"), secret="another"),
        replace(profile("none"), binding="dpop"),
    ],
    ids=["gateway", "client", "credential", "binding"],
)
def test_another_profile_finds_nothing_and_throws_it_away(tmp_path: Path, other: Profile) -> None:
    file(tmp_path).write(KEPT)
    assert file(tmp_path).read() == KEPT
    assert file(tmp_path, other).read() is None
    assert list(tmp_path.iterdir()) == []


def test_one_of_another_name_is_not_taken_over(tmp_path: Path) -> None:
    file(tmp_path).write(KEPT)
    file(tmp_path).path.rename(tmp_path / ".admin.json.token")
    assert file(tmp_path, name="admin.json").read() is None


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"sealgate kept 1\n", b"sealgate kept 1\n" + bytes(99), bytes(MAX_FILE + 9)],
    ids=["empty", "short", "head", "zeros", "large"],
)
def test_a_spoiled_one_is_as_if_it_were_not_there(tmp_path: Path, content: bytes) -> None:
    path = file(tmp_path).path
    path.write_bytes(content)
    path.chmod(0o600)
    assert file(tmp_path).read() is None
    assert ask(tmp_path, Issuer()) == 200


def test_one_that_others_may_read_or_that_is_a_link_is_passed_over(tmp_path: Path) -> None:
    keep = file(tmp_path)
    keep.write(KEPT)
    keep.path.chmod(0o640)
    assert keep.read() is None
    keep.path.chmod(0o600)
    keep.path.rename(tmp_path / "elsewhere")
    keep.path.symlink_to(tmp_path / "elsewhere")
    assert keep.read() is None
    keep.write(replace(KEPT, token="mine"))
    assert not keep.path.is_symlink()
    assert file(tmp_path).read() == replace(KEPT, token="mine")
    os.mkfifo(tmp_path / ".pipe.json.token", 0o600)
    assert file(tmp_path, name="pipe.json").read() is None


def test_a_folder_that_cannot_be_written_is_no_fault_of_a_command(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    assert ask(gone, Issuer()) == 200
    assert not gone.exists()


def test_two_commands_at_once_each_read_a_whole_one(tmp_path: Path) -> None:
    def turn(number: int) -> bool:
        mine = file(tmp_path)
        mine.write(replace(KEPT, token=f"token-{number}"))
        found = mine.read()
        return found is not None and found.token.startswith("token-")

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(turn, range(80)))
    assert [path.name for path in tmp_path.iterdir()] == [".app.json.token"], "no draft is left"


def test_one_that_was_revoked_is_replaced_once_and_thrown_away(tmp_path: Path) -> None:
    issuer = Issuer()
    ask(tmp_path, issuer)
    issuer.dead = {"token-1"}
    assert ask(tmp_path, issuer) == 200
    assert issuer.issued == 2
    issuer.dead = {"token-2", "token-3"}
    assert ask(tmp_path, issuer) == 401
    assert issuer.issued == 3, "once"
    assert list(tmp_path.iterdir()) == []


def test_one_of_another_command_is_not_thrown_away(tmp_path: Path) -> None:
    keep = file(tmp_path)
    keep.write(KEPT)
    keep.discard("an older one")
    assert keep.read() == KEPT
    keep.discard(KEPT.token)
    assert keep.read() is None


def test_a_body_that_can_be_sent_once_is_not_risked_on_one_that_is_not_tried(
    tmp_path: Path,
) -> None:
    issuer = Issuer()
    ask(tmp_path, issuer)
    issuer.dead = {"token-1"}
    auth = SealgateAuth(profile(), file(tmp_path, profile()))
    with httpx.Client(auth=auth, transport=Wire(issuer), base_url=URL) as http:
        assert http.post("/v1/uploads", content=iter([b"rows"])).status_code == 200


def tokens(now: float) -> Tokens:
    return Tokens(
        profile("none"), clock=lambda: now, monotonic=lambda: 5.0, random_bytes=os.urandom
    )


@pytest.mark.parametrize(
    ("now", "taken"),
    [(NOW, True), (NOW + 199, True), (NOW + 200, False), (NOW - 10, True), (NOW - 11, False)],
    ids=["now", "almost", "due", "just made", "the clock went back"],
)
def test_it_is_renewed_ahead_of_its_end_and_not_trusted_to_a_clock_that_went_back(
    now: float, taken: bool
) -> None:
    mine = tokens(now)
    assert mine.restore(KEPT) is taken
    assert mine.current() == ("token-text" if taken else None)


def test_how_much_the_clock_is_off_is_kept_and_bounded() -> None:
    mine = tokens(NOW)
    assert mine.restore(replace(KEPT, skew=1e9))
    kept = mine.kept()
    assert kept is not None
    assert kept.skew == MAX_SKEW


def test_a_token_without_the_key_that_it_is_bound_to_is_of_no_use() -> None:
    mine = Tokens(profile(), clock=lambda: NOW, monotonic=lambda: 5.0, random_bytes=os.urandom)
    assert not mine.restore(KEPT)


def test_no_representation_tells_it() -> None:
    assert "token-text" not in repr(KEPT)
