from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from audit.event import Event, new_event_id
from audit.ports import SealedField
from audit.verify import verify_export
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.composition.foundation import Foundation
from tests.gateway.place import Place


@pytest.fixture(scope="module")
def house(place: Place) -> str:
    tenant = place.tenant("rights")
    for role in ("officer", "owner"):
        place.profile(tenant, role)
    return tenant


def _consulted(place: Place, tenant: str, person: str) -> str:
    return consulted(place.foundation, tenant, person)


def consulted(base: Foundation, tenant: str, person: str) -> str:
    """Put an event about a person into the log, as an inference does."""
    ref = base.vault.ref(tenant, person)
    event = Event(
        id=new_event_id(base.environment.clock, secrets.token_bytes),
        ts=1,
        tenant=tenant,
        category="inference",
        action="infer",
        outcome="allow",
        subject_refs=(ref,),
    )
    sealed = base.vault.seal(tenant, ref, person.encode(), event.id)
    base.log.append_blocking(event, [SealedField(ref, sealed)])
    return ref


def test_a_person_is_found_shown_and_erased(place: Place, house: str, tmp_path: Path) -> None:
    ref = _consulted(place, house, "MRN-1")
    with place.client(house, "officer") as officer:
        assert officer.post("/v1/subjects/lookup", {"identifier": "MRN-1"}) == {"ref": ref}
        shown = list(officer.items(f"/v1/subjects/{ref}"))
        assert shown[0]["event"]["action"] == "infer"
        done = officer.post(f"/v1/subjects/{ref}/erase", {"confirm": ref})
        assert done["ref"] == ref
        with pytest.raises(CommandFailed) as gone:
            officer.post("/v1/subjects/lookup", {"identifier": "MRN-1"})
        assert gone.value.code == ExitCode.NOT_FOUND
        export = tmp_path / "audit.zip"
        export.write_bytes(officer.send("GET", "/v1/audit/export").content)
        key = officer.get("/v1/audit/key")["key"]
        phases = officer.get("/v1/audit/events", action="eraseSubject")["items"]
    index = shown[0]["index"]
    assert place.foundation.reader.sealed(house, index) == []
    assert verify_export(export, key).status == "VERIFIED"
    assert [item["event"]["phase"] for item in phases] == ["result", "intent"]
    assert "MRN-1" not in export.read_bytes().decode("latin-1")


def test_an_erasure_must_be_confirmed(place: Place, house: str) -> None:
    ref = _consulted(place, house, "MRN-2")
    with place.client(house, "officer") as officer:
        with pytest.raises(CommandFailed) as refused:
            officer.post(f"/v1/subjects/{ref}/erase", {"confirm": "sub_" + 32 * "0"})
        assert refused.value.problem["status"] == 422
        assert officer.post("/v1/subjects/lookup", {"identifier": "MRN-2"}) == {"ref": ref}


def test_only_officers_see_subjects(place: Place, house: str) -> None:
    ref = _consulted(place, house, "MRN-3")
    with place.client(house, "owner") as owner:
        for path in (f"/v1/subjects/{ref}",):
            with pytest.raises(CommandFailed) as refused:
                owner.get(path)
            assert refused.value.code == ExitCode.DENIED
        for body, path in (
            ({"identifier": "MRN-3"}, "/v1/subjects/lookup"),
            ({"identifier": "nobody"}, "/v1/subjects/lookup"),
            ({"confirm": ref}, f"/v1/subjects/{ref}/erase"),
        ):
            with pytest.raises(CommandFailed) as refused:
                owner.post(path, body)
            assert refused.value.code == ExitCode.DENIED
