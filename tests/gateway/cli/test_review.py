from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

import pytest

from audit.event import Event, new_event_id
from gateway.cli.failures import ExitCode
from tests.gateway.cli.command import sealgate
from tests.gateway.place import Place

HOUSE = "review"


@pytest.fixture(scope="module")
def officer(place: Place) -> Path:
    place.tenant(HOUSE)
    place.profile(HOUSE, "owner")
    return place.profile(HOUSE, "officer")


def test_events_are_lines_in_a_pipe_and_objects_as_json(officer: Path) -> None:
    said = sealgate("audit", "search", "--action", "administer", "--profile", officer)
    rows = [line.split("\t") for line in said.out.splitlines()]
    assert {row[2] for row in rows} == {"administer"}
    listed = sealgate("audit", "search", "--limit", "2", "--profile", officer, "--json").json
    assert len(listed) == 2
    nothing = sealgate("audit", "search", "--model", "none", "--profile", officer)
    assert (nothing.out, nothing.err) == ("", "nothing matches\n")
    empty = sealgate("audit", "search", "--model", "none", "--profile", officer, "--json")
    assert empty.json == []
    tail = sealgate("audit", "tail", "-n", "3", "--profile", officer)
    indices = [int(line.split()[0]) for line in tail.out.splitlines()]
    assert indices == sorted(indices)


def test_verification_needs_the_key_and_the_right_one(officer: Path, tmp_path: Path) -> None:
    key = sealgate("audit", "key", "--profile", officer).out.strip()
    good = sealgate("audit", "verify", "--key", key, "--profile", officer)
    assert (good.code, good.out.splitlines()[0]) == (ExitCode.OK, "VERIFIED")
    unpinned = sealgate("audit", "verify", "--profile", officer)
    assert (unpinned.code, unpinned.out.splitlines()[0]) == (ExitCode.UNVERIFIED, "UNPINNED")
    out = tmp_path / "audit.zip"
    assert sealgate("audit", "export", "--out", out, "--profile", officer).code == ExitCode.OK
    assert sealgate("audit", "verify", out, "--key", key, "--json").json["status"] == "VERIFIED"
    damaged = bytearray(out.read_bytes())
    damaged[len(damaged) // 3] ^= 1
    out.write_bytes(damaged)
    assert sealgate("audit", "verify", out, "--key", key).code == ExitCode.UNVERIFIED
    assert sealgate("audit", "verify", out, "--key", "nonsense").code == ExitCode.USAGE


def test_what_is_written_of_the_log_is_for_its_owner_only(officer: Path, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        for command in (["export"], ["proof", "0"]):
            out = tmp_path / command[0]
            for name in (out.name, f"{out.name}.part"):
                (tmp_path / name).write_bytes(b"left by an earlier one, for everybody to read")
                (tmp_path / name).chmod(0o644)
            assert sealgate("audit", *command, "--out", out, "--profile", officer).code == 0
            assert stat.S_IMODE(out.stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_a_person_is_erased_only_when_the_reference_is_repeated(
    place: Place, officer: Path, tmp_path: Path
) -> None:
    base = place.foundation
    ref = base.vault.ref(HOUSE, "MRN-7")
    base.log.append_blocking(
        Event(
            id=new_event_id(base.environment.clock, secrets.token_bytes), ts=1, tenant=HOUSE,
            category="inference", action="infer", outcome="allow", subject_refs=(ref,),
        )
    )  # fmt: skip
    identifier = tmp_path / "identifier"
    identifier.write_text("MRN-7\n")
    found = sealgate("subject", "lookup", "--file", identifier, "--profile", officer)
    assert found.out == f"{ref}\n"
    shown = sealgate("subject", "show", ref, "--profile", officer)
    assert shown.out.splitlines()[0].split("\t")[2] == "infer"
    assert sealgate("subject", "erase", ref, "--profile", officer).code == ExitCode.USAGE
    plan = sealgate("subject", "erase", ref, "--plan", "--profile", officer, "--json")
    assert plan.json == {"would": "erase", "subject": ref}
    assert base.vault.find(HOUSE, "MRN-7") == ref
    done = sealgate("subject", "erase", ref, "--confirm", ref, "--profile", officer)
    assert done.code == ExitCode.OK
    assert base.vault.find(HOUSE, "MRN-7") is None
    gone = sealgate("subject", "lookup", "--file", identifier, "--profile", officer)
    assert gone.code == ExitCode.NOT_FOUND


def test_policies_are_checked_published_and_explained(officer: Path, tmp_path: Path) -> None:
    text = sealgate("policy", "show", "--profile", officer).out
    file = tmp_path / "policies.cedar"
    file.write_text(
        text + '\n@id("none") forbid (principal, action == Action::"promot", resource);'
    )
    wrong = sealgate("policy", "validate", file, "--profile", officer)
    assert wrong.code == ExitCode.FAILED
    assert wrong.out
    assert sealgate("policy", "publish", file, "--profile", officer).code == ExitCode.USAGE
    extra = '\n@id("no-rounds") forbid (principal, action == Action::"startRound", resource);\n'
    file.write_text(text + extra)
    assert sealgate("policy", "validate", file, "--profile", officer).code == ExitCode.OK
    published = sealgate("policy", "publish", file, "--profile", officer, "--json").json
    assert published["epoch"] == 2
    assert "no-rounds" in sealgate("policy", "show", "--profile", officer).out


def test_a_denied_command_names_the_policies_and_its_exit_code(place: Place, officer: Path) -> None:
    denied = sealgate("audit", "search", "--profile", place.profile(HOUSE, "owner"))
    assert denied.code == ExitCode.DENIED
    assert denied.err.startswith("error: ")
