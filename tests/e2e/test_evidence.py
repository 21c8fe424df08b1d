"""No answer without evidence: not after a kill, not on a full disk, not after somebody's edit."""

from __future__ import annotations

import contextlib
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import pytest

from audit import verify
from tests.e2e.conftest import MakeHouse
from tests.e2e.house import House, problem, until
from tests.e2e.load import Answered, Load, hold_to_log, whole_log
from tests.tools import NOT_ALLOWED, require_tool


@pytest.mark.parametrize("times", [3, pytest.param(20, marks=pytest.mark.soak)])
def test_a_killed_gateway_has_recorded_all_that_it_answered(
    fresh: MakeHouse, tmp_path: Path, times: int
) -> None:
    house = fresh(started=False)
    answers: list[Answered] = []
    for number in range(times):
        house.start()
        with Load(house) as load:
            load.wait_for(40 + 7 * number)
            house.kill()
        answers += load.answers
        done = house.verify()
        assert done.returncode == 0, done.stdout + done.stderr
    house.start()
    hold_to_log(answers, whole_log(house))
    assert {200, 404} <= {a.status for a in answers} <= {200, 403, 404}
    export = house.export(tmp_path / "audit.zip")
    assert verify.verify_export(export, house.log_keys()[1]).status == "VERIFIED"


@contextmanager
def full_disk(house: House) -> Iterator[Callable[[], None]]:
    """Start the house on a small disk of its own and fill that; yields what makes room again."""
    data, aside = house.place.data, house.place.data.with_name("aside")
    data.rename(aside)
    data.mkdir(mode=0o700)
    options = ["-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", str(data)]
    mount = subprocess.run([require_tool("mount"), *options], capture_output=True, check=False)
    if mount.returncode != 0:
        pytest.skip(f"{NOT_ALLOWED}a small disk can only be mounted by root")
    try:
        shutil.copytree(aside, data, dirs_exist_ok=True)
        house.start()
        assert house.infer().status_code == 200
        filler = data / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        yield filler.unlink
        house.stop()
    finally:
        house.stop()
        subprocess.run([require_tool("umount"), str(data)], check=True)


@contextmanager
def bounded_files(house: House) -> Iterator[Callable[[], None]]:
    """Start the house and let none of its files grow any more; yields what lifts that."""
    house.start()
    assert house.infer().status_code == 200
    size = max(path.stat().st_size for path in house.place.data.glob("audit.db*"))
    _, hard = resource.prlimit(house.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(house.pid, resource.RLIMIT_FSIZE, (size, hard))

    def lift() -> None:
        resource.prlimit(house.pid, resource.RLIMIT_FSIZE, (hard, hard))

    yield lift
    house.stop()


Filled = Callable[[House], AbstractContextManager[Callable[[], None]]]


@pytest.mark.parametrize("filled", [full_disk, bounded_files])
def test_without_room_for_evidence_there_are_no_answers(
    fresh: MakeHouse,
    filled: Filled,
) -> None:
    house = fresh(started=False)
    with filled(house) as make_room:
        ready = f"{house.place.operations_url}/health/ready"
        with Load(house) as load:
            until(lambda: any(answer.status == 503 for answer in load.answers))
            load.wait_for(40)
        assert {answer.status for answer in load.answers} <= {200, 403, 404, 503}
        told = {a.code for a in load.answers if a.status == 503}
        assert "audit-unavailable" in told
        assert told <= {"audit-unavailable", "store-fault"}  # the log, or where subjects are kept
        # What the log empties on the way it uses again: now and then there is room for one more.
        answer = until(lambda: (a := house.infer()).status_code == 503 and a)
        assert problem(answer) in ("audit-unavailable", "store-fault")
        assert "sealgate-audit" not in answer.headers
        assert "retry-after" in answer.headers
        until(lambda: httpx.get(ready).status_code == 503)
        credentials = {"grant_type": "client_credentials"}
        client = ("clinic-app", house.cast.secrets["clinic-app"])
        until(
            lambda: (
                house.cast.http.post(
                    f"{house.url}/oauth/token", data=credentials, auth=client
                ).status_code
                == 503
            )
        )
        make_room()
        until(lambda: httpx.get(ready).is_success)
        assert house.infer().status_code == 200
        hold_to_log(load.answers, whole_log(house))
        house.stop()
        done = house.verify()
        assert done.returncode == 0, done.stdout + done.stderr
