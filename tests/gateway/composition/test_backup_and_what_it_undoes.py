"""What a restore undoes is told by exports, what must be done again at once before the rest."""

from __future__ import annotations

import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from audit.event import Event, new_event_id
from gateway.backup.since import MOST_TOLD
from gateway.composition.foundation import Foundation
from gateway.identity.people import digest_of
from gateway.people.administration import INVITATION
from tests.contracts.samples import APPROVAL
from tests.gateway.cli.command import sealgate
from tests.gateway.composition.backups import HOUSE, copied, fetched
from tests.gateway.people.browser import Browser
from tests.gateway.people.persons import Ada
from tests.gateway.place import served_place


def changed(
    base: Foundation, action: str, resource: str, reason: str = "", terms: str = ""
) -> None:
    """Put the result of a change into the log."""
    event = Event(
        id=new_event_id(base.environment.clock, secrets.token_bytes),
        ts=1,
        tenant=HOUSE,
        category="administration",
        action=action,
        outcome="done",
        resource=resource,
        reason=reason,
        terms=terms,
    )
    base.log.append_blocking(event)


def test_changes_are_told_with_their_reason_and_uploads_crowd_none_out(tmp_path: Path) -> None:
    """Once a suspension behind a thousand uploads was left out, and nobody was told."""
    with served_place(tmp_path) as place:
        place.tenant(HOUSE)
        place.profile(HOUSE, "officer")
        backup = copied(place, tmp_path / "backup")

        def upload(number: int) -> None:
            changed(place.foundation, "uploadArtifact", f"Version::m/{number}")

        with ThreadPoolExecutor(32) as pool:
            list(pool.map(upload, range(MOST_TOLD + 2)))
        changed(place.foundation, "administer", "Client::thief", "suspend_client")
        changed(place.foundation, "uploadArtifact", "Model::house/m", "end_sharing", "infer")
        export = fetched(place, "/v1/audit/export", tmp_path / "export.zip")
    unlock = ("--unlock-secret", tmp_path / "data/keystore/unlock.key")
    words = ("--to", tmp_path / "again", *unlock, "--export", export, "--accept-loss")
    told = sealgate("restore", backup, *words)
    lines = [line for line in told.err.splitlines() if "do again" in line]
    assert "do again: administer suspend_client Client::thief" in lines[0]
    assert "do again: uploadArtifact end_sharing Model::house/m" in lines[1]  # it stands again
    assert len(lines) == 2 + MOST_TOLD
    assert "2 more changes are not listed" in told.err
    checked = sealgate("backup", "verify", backup, *unlock, "--export", export, "--json").json
    assert checked["changes"][0]["reason"] == "suspend_client", json.dumps(checked["changes"][0])
    assert checked["changes_cut"] == 2


def test_nobody_is_signed_in_after_a_restore_and_no_used_secret_is_good_again(
    tmp_path: Path,
) -> None:
    """Whoever had stolen a browser, or an invitation that was used since, was back in."""
    with served_place(tmp_path) as place:
        place.tenant("acme")
        ada = Ada.accepted(place, "ada@acme.example")
        bob = Ada.invited(place, "bob@acme.example")
        place.foundation.stores.approvals.add_approval(replace(APPROVAL, tenant="acme"))
        backup = copied(place, tmp_path / "backup")
        with closing(Browser(place.url)) as browser:
            bob.accept(browser)
    (tmp_path / "again").mkdir()
    unlock = ("--unlock-secret", tmp_path / "data/keystore/unlock.key")
    sealgate("restore", backup, "--to", tmp_path / "again/data", *unlock)
    with served_place(tmp_path / "again") as place:
        stores = place.foundation.stores
        assert not stores.sign_ins.list(ada.id, 9)
        assert not stores.approvals.list_approvals("acme", after="", limit=9), "it may be granted"
        assert stores.tickets.get(INVITATION, digest_of(bob.code)) is None
        with closing(Browser(place.url)) as browser:
            assert ada.sign_in(browser).path == "/people"
