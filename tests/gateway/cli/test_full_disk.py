"""A partner's disk is full: nothing is lost, it is said, and the command can be given again."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from gateway.cli.failures import ExitCode
from tests.gateway.artifacts.publisher import Tenant
from tests.gateway.cli.command import Said
from tests.gateway.cli.false_gateway import lying
from tests.gateway.cli.partner_side import Partner, partner_of
from tests.tools import NOT_ALLOWED, require_tool

CONTENT = os.urandom(3_000_000)
Filled = Callable[[Path], AbstractContextManager[Callable[[], None]]]


@contextmanager
def full_disk(folder: Path) -> Iterator[Callable[[], None]]:
    """Mount a small disk on a folder and fill it; yields what makes room again."""
    options = ["-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", str(folder)]
    mount = subprocess.run([require_tool("mount"), *options], capture_output=True, check=False)
    if mount.returncode != 0:
        pytest.skip(f"{NOT_ALLOWED}a small disk can only be mounted by root")
    filler = folder / "filler"
    try:
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        yield filler.unlink
    finally:
        subprocess.run([require_tool("umount"), str(folder)], check=True)


@contextmanager
def bounded_files(folder: Path) -> Iterator[Callable[[], None]]:
    """Let files of this process not grow any more; yields what lifts that.

    What is trusted fits where models are downloaded to, as on a disk that has a little room.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    most = 0 if folder.name == "trust" else 1 << 20
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))

    def lift() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    try:
        yield lift
    finally:
        lift()


FULL = [pytest.param(full_disk, marks=pytest.mark.e2e), bounded_files]


@pytest.fixture(scope="module")
def clinic() -> Tenant:
    return Tenant()


@pytest.fixture
def partner(tmp_path: Path, clinic: Tenant) -> Iterator[Partner]:
    with lying(tmp_path, clinic) as (gateway, profile):
        found = partner_of(tmp_path, gateway, profile)
        gateway.add(clinic.publish(content=CONTENT))
        found.trust.mkdir(mode=0o700)
        (tmp_path / "clinic.kit").write_bytes(clinic.kit().encode())
        yield found


def refused(said: Said) -> None:
    assert said.code == ExitCode.FAILED, said.err
    first, second, *more = said.err.strip().splitlines()[-2:]
    assert first.startswith("error: cannot write"), said.err
    assert any(reason in first for reason in ("no space left", "file too large"))
    assert second.startswith("next: make room"), said.err
    assert more == []


@pytest.mark.parametrize("filled", FULL)
def test_a_first_kit_that_found_no_room_can_be_accepted_again(
    partner: Partner, clinic: Tenant, filled: Filled
) -> None:
    """It left a lock without a record, and so the second try was told that its record was lost."""
    with filled(partner.trust) as make_room:
        refused(partner.accept(clinic.kit(), written=True))
        make_room()
        said = partner.accept(clinic.kit())
        assert said.code == 0, said.err


def test_a_kit_that_takes_anothers_place_and_finds_no_room_loses_nothing(
    partner: Partner, clinic: Tenant
) -> None:
    assert partner.accept(clinic.kit()).code == 0
    before = partner.record.read_bytes()
    with bounded_files(partner.trust) as make_room:
        refused(partner.accept(clinic.kit(), "--replace", written=True))
        assert partner.record.read_bytes() == before
        make_room()
        assert partner.accept(clinic.kit(), "--replace").code == 0


@pytest.mark.parametrize("filled", FULL)
def test_a_download_that_found_no_room_goes_on_when_there_is_some(
    partner: Partner, clinic: Tenant, filled: Filled
) -> None:
    assert partner.accept(clinic.kit()).code == 0
    with filled(partner.out.parent) as make_room:
        refused(partner.download())
        assert not partner.out.exists()
        make_room()
        said = partner.download()
        assert said.code == 0, said.err
        assert partner.out.stat().st_size > len(CONTENT)
        assert partner.files() == ["model.age", "model.age.release.json"]
