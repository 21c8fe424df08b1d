from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from audit.errors import SubjectErased
from audit.event import Event
from audit.ports import Filter
from gateway.authorization.records import Pending
from gateway.composition.foundation import open_foundation
from gateway.registry.records import Model, ModelVersion
from gateway.settings import load_settings
from tests.gateway.place import ENVIRONMENT, served_place
from tests.gateway.web.test_subjects import consulted

HOUSE = "reborn"


def _id(number: int) -> str:
    return f"00000000-0000-7000-8000-{number:012d}"


def test_what_a_dead_process_left_is_ended_before_the_next_one_serves(tmp_path: Path) -> None:
    with served_place(tmp_path) as place:
        place.tenant(HOUSE)
        place.profile(HOUSE, "officer")
        place.profile(HOUSE, "owner")
    with open_foundation(load_settings(tmp_path / "data"), ENVIRONMENT) as base:
        base.log.start()
        ref = consulted(base, HOUSE, "MRN-4")
        staged = base.sealer.seal_bytes(HOUSE, b"fused graph", "fused")
        base.stores.registry.add_model(Model(HOUSE, "m", False, "internal", frozenset(), 1, "c"))
        half = ModelVersion(HOUSE, "m", "1", "quarantined", 1, "c", payloads=(staged,))
        base.stores.registry.add_version(half)
        action = {"erase": "eraseSubject", "publish": "uploadArtifact"}
        for number, (kind, facts) in enumerate(
            [
                ("erase", {"ref": ref}),
                ("publish", {"model": "m", "version": "1"}),
                ("download", {"model": "m", "version": "1", "digest": "d"}),
            ]
        ):
            base.log.append_blocking(
                Event(
                    id=_id(number), ts=1, tenant=HOUSE, category="artifact", outcome="allow",
                    action=action.get(kind, "downloadArtifact"), phase="intent",
                )
            )  # fmt: skip
            base.stores.pending.add_pending(Pending(_id(number), HOUSE, kind, facts, 1))
    with served_place(tmp_path) as place:
        base = place.foundation
        assert base.stores.pending.list_pending(after=(-1, ""), limit=10) == []
        assert base.vault.find(HOUSE, "MRN-4") is None
        version = base.stores.registry.get_version(HOUSE, "m", "1")
        assert version is not None
        assert (version.state, version.reason, version.payloads) == ("rejected", "interrupted", ())
        assert not base.artifacts.exists(staged.digest)
        with place.client(HOUSE, "officer") as officer:
            events = [item["event"] for item in officer.get("/v1/audit/events", limit=9)["items"]]
    ended = {event["intent_id"]: event for event in events if "intent_id" in event}
    assert {ended[_id(number)]["phase"] for number in range(3)} == {"result"}
    assert [ended[_id(number)]["outcome"] for number in range(3)] == ["done", "error", "error"]


DIES_BETWEEN = """
import os, signal, sys
from pathlib import Path
from tests.gateway.place import served_place

with served_place(Path(sys.argv[1])) as place:
    # The change has two steps; the process ends where the second one begins.
    place.foundation.log.erase_subject = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    with place.client(sys.argv[2], "officer") as officer:
        officer.post(f"/v1/subjects/{sys.argv[3]}/erase", {"confirm": sys.argv[3]})
"""


@pytest.mark.e2e
def test_an_erasure_whose_process_is_killed_half_way_is_finished(tmp_path: Path) -> None:
    with served_place(tmp_path) as place:
        place.tenant(HOUSE)
        place.profile(HOUSE, "officer")
        ref = consulted(place.foundation, HOUSE, "MRN-5")
        (entry,) = place.foundation.reader.search(HOUSE, Filter(subject_ref=ref))
    done = subprocess.run(
        [sys.executable, "-c", DIES_BETWEEN, str(tmp_path), HOUSE, ref],
        cwd=Path(__file__).parents[3],
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    with open_foundation(load_settings(tmp_path / "data"), ENVIRONMENT) as base:
        (pending,) = base.stores.pending.list_pending(after=(-1, ""), limit=10)
        assert (pending.kind, pending.facts) == ("erase", {"ref": ref})
        assert base.vault.find(HOUSE, "MRN-5") is None
        (kept,) = base.reader.sealed(HOUSE, entry.index)
        with pytest.raises(SubjectErased):
            base.vault.seal(HOUSE, ref, b"more", _id(9))
        assert kept.subject_ref == ref
    with served_place(tmp_path) as place:
        base = place.foundation
        assert base.stores.pending.list_pending(after=(-1, ""), limit=10) == []
        assert base.reader.sealed(HOUSE, entry.index) == []
        with place.client(HOUSE, "officer") as officer:
            found = officer.get("/v1/audit/events", action="eraseSubject")["items"]
    result, intent = (item["event"] for item in found)
    assert (intent["phase"], result["phase"]) == ("intent", "result")
    assert (result["intent_id"], result["reason"]) == (intent["id"], "reconciled")
