"""What must hold of a data folder once a process that made a change is gone, or works again."""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from audit.event import Event
from gateway.authorization.event_ids import derived_id
from gateway.composition.foundation import ARTIFACTS, Foundation, open_foundation
from gateway.composition.gateway import compose
from gateway.pages import every
from gateway.settings import CONTROL_FILE, load_settings
from tests.kills.scenario import Notes, Scenario
from tests.kills.steps import Steps
from tests.kills.world import ENVIRONMENT, opened

FINISHED, UNDONE, NOT_BEGUN, WRONG = "✓", "↺", "·", "✗"

TELLS = frozenset(
    {
        *("create_tenant", "suspend_tenant", "resume_tenant", "create_client", "disable_client"),
        *("enable_client", "rotate_client", "rotate_tenant_key", "retire_tenant_key"),
        *("rotate_release_key", "replace_lost_release_key"),
        "rescue_policies",
        *("invite_person", "reinvite_person", "change_person_roles", "suspend_person"),
        *("enable_person", "delete_person"),
    }
)
"""Kinds whose tenant finds the change in its own log as well."""


@dataclass(frozen=True)
class Verdict:
    """What became of a change, and everything that is wrong about it."""

    mark: str
    wrong: tuple[str, ...] = ()


def recovered(data: Path, scenario: Scenario, notes: Notes, known: frozenset[str]) -> Verdict:
    """Start the real gateway in a folder and judge what it made of it; recover it once more.

    Args:
        data: The folder.
        scenario: What was done in it.
        notes: What was prepared.
        known: Ids of the intents that are older than the change.
    """
    with open_foundation(load_settings(data), ENVIRONMENT) as base:
        gateway = compose(base)
        gateway.start()
        try:
            verdict, first = judge(base, scenario, notes, known), fingerprint(base)
        finally:
            gateway.close()
    with opened(data, Steps()) as world:
        world.use.recovery.run()
        if fingerprint(world.base) != first:
            return Verdict(WRONG, (*verdict.wrong, "a second start changed something"))
    return verdict


def intents(base: Foundation) -> frozenset[str]:
    """The ids of all recorded intents."""
    events = [event for tenant in _tenants(base) for event in _events(base, tenant)]
    return frozenset(event.id for event in events if event.phase == "intent")


def judge(base: Foundation, scenario: Scenario, notes: Notes, known: frozenset[str]) -> Verdict:
    """Say what became of a change in an open folder, and what is wrong."""
    events = {tenant: list(_events(base, tenant)) for tenant in _tenants(base)}  # verified
    finished, undone = scenario.finished(base, notes), scenario.undone(base, notes)
    wrong = list(_leftovers(base))
    if scenario.leaves and finished == undone:
        wrong.append("half of the change is there")
    begun = [e for each in events.values() for e in each if e.phase == "intent"]
    wrong += [fault for intent in begun for fault in _unpaired(intent, events)]
    mine = [event for event in begun if event.id not in known]
    if not mine:
        if not undone:
            wrong.append("it is there without an intent")
        return _verdict(NOT_BEGUN, wrong)
    if len(mine) > 1:
        wrong.append("more than one intent")
    results = [e for e in events[mine[0].tenant] if e.intent_id == mine[0].id]
    done = bool(results) and results[0].outcome == "done"
    if not (finished if done else undone):
        wrong.append(f"the log says {'done' if done else 'not done'}")
    told = Counter(e.tenant for each in events.values() for e in each if e.id == _told(mine[0]))
    tells = scenario.tells or scenario.kind in TELLS
    if (mine[0].tenant in told) or sum(told.values()) != (1 if done and tells else 0):
        wrong.append(f"told {sum(told.values())} times")
    return _verdict(FINISHED if done else UNDONE, wrong)


def fingerprint(base: Foundation) -> str:
    """A digest of the control plane's database, the trees and the ciphertexts."""
    data = base.settings.data_dir
    digest = hashlib.sha256()
    with sqlite3.connect(data / CONTROL_FILE) as connection:
        for line in connection.iterdump():
            digest.update(line.encode())
    connection.close()
    for tenant in _tenants(base):
        digest.update(f"{tenant} {len(list(_events(base, tenant)))}".encode())
    for payload in sorted(_payloads(data)):
        digest.update(payload.encode())
    return digest.hexdigest()


def _verdict(mark: str, wrong: list[str]) -> Verdict:
    return Verdict(WRONG if wrong else mark, tuple(wrong))


def _unpaired(intent: Event, events: dict[str, list[Event]]) -> Iterator[str]:
    results = [e for each in events.values() for e in each if e.intent_id == intent.id]
    if [result.tenant for result in results] != [intent.tenant]:
        yield f"{len(results)} results of one intent"
    if any((e.phase, e.action) != ("result", intent.action) for e in results):
        yield "a result of another action"


def _told(intent: Event) -> str:
    return derived_id(f"sealgate told\n{intent.id}")


def _leftovers(base: Foundation) -> Iterator[str]:
    """What no change may leave behind, whichever it was."""
    if base.stores.pending.list_pending(after=(-1, ""), limit=1):
        yield "a pending row is left"
    named = set(_named(base))
    stored = _payloads(base.settings.data_dir)
    if stored - named:
        yield "a ciphertext that no record names"
    if named - stored:
        yield "a record of a ciphertext that is gone"
    if _payloads(base.settings.data_dir, "staging"):
        yield "a ciphertext is left in the staging area"


def _named(base: Foundation) -> Iterator[str]:
    """The digests of all ciphertexts that a record names; versions in quarantine name theirs."""
    stores = base.stores
    for tenant in _tenants(base):
        for upload in stores.uploads.list_uploads(tenant, after="", limit=100):
            yield upload.payload.digest
        yield from _of_batches(base, tenant)
        for federation in stores.federations.list_federations(tenant, after="", limit=100):
            if federation.calibration is not None:
                yield federation.calibration.digest
        for model in stores.registry.list_models(tenant, after="", limit=100):
            for version in stores.registry.list_versions(tenant, model.name, after="", limit=100):
                yield from (payload.digest for payload in version.payloads)


def _of_batches(base: Foundation, tenant: str) -> Iterator[str]:
    store = base.stores.batches
    for batch in store.list_batches(tenant, f"{tenant}-caller", after="", limit=100):
        if batch.source is not None:
            yield batch.source.digest
        for part in store.list_parts(tenant, batch.id, after=-1, limit=100):
            if part.source is not None:
                yield part.source.digest
            if part.digest:
                yield part.digest


def _payloads(data: Path, area: str = "payload") -> set[str]:
    folder = data / ARTIFACTS / area
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _tenants(base: Foundation) -> list[str]:
    return [tenant.id for tenant in base.stores.tenants.list(None, 100)]


def _events(base: Foundation, tenant: str) -> Iterator[Event]:
    def page(after: int, limit: int) -> list[tuple[int, Event]]:
        found = base.reader.events(tenant, after=after, limit=limit)
        return [(entry.index, entry.event) for entry in found]

    for _, event in every(page, lambda entry: entry[0], -1):
        yield event
