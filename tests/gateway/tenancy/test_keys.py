"""Rotations of keys, as administrators ask for them."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from audit.export import export_log
from audit.succession import ACTION
from audit.verify import verify_export
from gateway.artifacts.age import decrypt_stream, generate_identity, read_header
from gateway.artifacts.errors import KeyUnwrapFailed
from gateway.artifacts.upload import SealedPayload
from gateway.authorization.recorder import Call
from gateway.authorization.records import Pending
from gateway.batch.records import Batch
from gateway.composition.identity import make_identity
from gateway.errors import InvalidRequest, NotFound, StateConflict
from gateway.federation.records import Federation
from gateway.registry.records import Model, ModelVersion, Upload
from gateway.tenancy.keys import LEAST_TENANT_OVERLAP, TENANT_OVERLAP, TOKEN_OVERLAP
from tests.contracts import samples
from tests.gateway.parts import NOW, TENANT, House, call, client_record, house
from tests.sharings import sharing

ADMINISTRATOR = call("administrator", "platform")
CONTENT = b"a graph, as far as sealing is concerned" * 100


@dataclass
class Clock:
    now: float = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def home(clock: Clock) -> Iterator[House]:
    with house("rival", clock=clock) as made:
        made.stores.clients.add(
            client_record("platform-administrator", "platform", "administrator")
        )
        yield made


def seal(home: House, role: str = "graph") -> SealedPayload:
    return home.base.sealer.seal_bytes(TENANT, CONTENT, role)


def version(home: House) -> ModelVersion:
    """A version with a payload that is really stored."""
    registry = home.stores.registry
    registry.add_model(Model(TENANT, "m", False, "internal", frozenset(), int(NOW), "o"))
    made = ModelVersion(
        TENANT, "m", "1", "candidate", int(NOW), "o", payloads=(seal(home), seal(home, "fused"))
    )
    registry.add_version(made)
    return made


def stored(home: House) -> ModelVersion:
    found = home.stores.registry.get_version(TENANT, "m", "1")
    assert found is not None
    return found


def opened(home: House, sealed: SealedPayload) -> bytes:
    content = home.base.sealer.open_payload(TENANT, sealed)
    try:
        return bytes(content)
    finally:
        content.wipe()


def told(home: House, tenant: str = TENANT) -> list[tuple[object, object]]:
    """What the tenant finds in its own log: what was done to its keys."""
    return [
        (event["action"], event.get("reason"))
        for event in home.events(tenant)
        if str(event.get("resource", "")).startswith(("Key::", "AuditLog::"))
    ]


# Who may.


@pytest.mark.parametrize(
    "who", [call("owner"), call("officer"), call("owner", "rival"), call("officer", "rival")]
)
def test_nobody_but_the_platforms_administrators_rotates_or_lists_keys(
    home: House, who: Call
) -> None:
    """Not a tenant's own people, and those of another tenant do not learn of it."""
    keys = home.use.keys
    for ask in (
        lambda: keys.rotate_token(who),
        lambda: keys.rotate_log(who, TENANT),
        lambda: keys.rotate_tenant(who, TENANT),
        lambda: home.use.key_list.of_platform(who),
        lambda: home.use.key_list.of_tenant(who, TENANT),
        lambda: home.use.overviews.show(who, TENANT),
    ):
        with pytest.raises(NotFound):
            ask()
    assert home.base.keys.ring("token").number == 1
    assert home.base.keys.tenant_key(TENANT).version == 1


def test_a_tenant_that_does_not_exist_has_no_keys(home: House) -> None:
    for ask in (home.use.keys.rotate_log, home.use.keys.rotate_tenant):
        with pytest.raises(NotFound):
            ask(ADMINISTRATOR, "nobody")


@pytest.mark.parametrize("overlap", [-1, 30 * 86400 + 1])
def test_an_overlap_out_of_bounds_is_refused(home: House, overlap: int) -> None:
    with pytest.raises(InvalidRequest):
        home.use.keys.rotate_token(ADMINISTRATOR, overlap)
    with pytest.raises(InvalidRequest):
        home.use.keys.rotate_tenant(ADMINISTRATOR, TENANT, overlap)
    with pytest.raises(InvalidRequest):
        home.use.keys.rotate_tenant(ADMINISTRATOR, TENANT, LEAST_TENANT_OVERLAP - 1)


def test_each_rotation_is_recorded_as_intent_and_result(home: House) -> None:
    home.use.keys.rotate_token(ADMINISTRATOR)
    home.use.keys.rotate_log(ADMINISTRATOR, TENANT)
    home.use.keys.rotate_tenant(ADMINISTRATOR, TENANT)
    events = [event for event in home.events("platform") if event.get("phase")]
    assert [(event["reason"], event["phase"], event["outcome"]) for event in events] == [
        (reason, phase, outcome)
        for reason in ("rotate_token_key", "rotate_log_key", "rotate_tenant_key")
        for phase, outcome in (("intent", "allow"), ("result", "done"))
    ]
    assert told(home) == [(ACTION, "rotate_log_key"), ("administer", "rotate_tenant_key")]


def test_rotations_at_once_happen_one_at_a_time_or_are_refused(home: House) -> None:
    start, ends = threading.Barrier(4), list[bool]()

    def rotate() -> None:
        start.wait()
        try:
            home.use.keys.rotate_token(ADMINISTRATOR)
            ends.append(True)
        except StateConflict:
            ends.append(False)

    threads = [threading.Thread(target=rotate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ends) == 4
    assert home.base.keys.ring("token").number == 1 + sum(ends) > 1
    assert len(home.identity.server.jwks["keys"]) == 1 + sum(ends)


@pytest.mark.parametrize("kind", ["rotate_log_key", "rotate_tenant_key"])
def test_a_key_waits_for_its_earlier_rotation_to_be_settled(home: House, kind: str) -> None:
    facts = {"tenant": TENANT, "after": "1"}
    left = Pending(home.new_id(), "platform", kind, facts, int(NOW))
    home.stores.pending.add_pending(left)
    rotate = home.use.keys.rotate_log if kind == "rotate_log_key" else home.use.keys.rotate_tenant
    with pytest.raises(StateConflict):
        rotate(ADMINISTRATOR, TENANT)
    rotate(ADMINISTRATOR, "rival")  # that of another tenant does not


# Tokens.


def test_the_running_gateway_signs_with_the_new_key_and_publishes_both(
    home: House, clock: Clock
) -> None:
    old = home.identity.server.jwks["keys"]
    home.use.keys.rotate_token(ADMINISTRATOR)
    both = home.identity.server.jwks["keys"]
    assert (len(both), both[1:]) == (2, old)
    assert home.use.key_list.token().id == both[0]["kid"]
    clock.now += TOKEN_OVERLAP
    assert home.identity.server.jwks["keys"] == both[:1]


def test_a_process_that_starts_in_the_overlap_publishes_both(home: House) -> None:
    home.use.keys.rotate_token(ADMINISTRATOR)
    assert make_identity(home.base).server.jwks == home.identity.server.jwks


# Logs.


def export(home: House, path: Path) -> Path:
    out = io.BytesIO()
    export_log(home.reader, TENANT, out)
    path.write_bytes(out.getvalue())
    return path


def test_an_export_of_after_the_rotation_verifies_with_nothing_but_the_old_key(
    home: House, tmp_path: Path
) -> None:
    version(home)
    anchor = home.log.verifier(TENANT).vkey
    home.use.catalogue.create_model(call("owner"), "n", personal=False, data_class="internal")
    before = home.log.checkpoint(TENANT)
    home.use.keys.rotate_log(ADMINISTRATOR, TENANT)
    home.use.keys.rotate_log(ADMINISTRATOR, TENANT)
    home.use.catalogue.create_model(call("owner"), "o", personal=False, data_class="internal")
    path = export(home, tmp_path / "audit.zip")
    report = verify_export(path, anchor, [before])
    assert (report.status, len(report.trees[0].keys)) == ("VERIFIED", 3)
    assert home.use.audit.keys(call("officer")) == tuple(reversed(report.trees[0].keys))
    assert verify_export(path, home.log.verifier("rival").vkey).status == "FAILED"


def test_the_rotation_of_one_log_is_of_no_other(home: House) -> None:
    others = [home.log.verifier(tenant).vkey for tenant in ("rival", "platform")]
    home.use.keys.rotate_log(ADMINISTRATOR, TENANT)
    assert [home.log.verifier(tenant).vkey for tenant in ("rival", "platform")] == others
    home.use.keys.rotate_log(ADMINISTRATOR, "platform")
    assert home.log.verifier("platform").vkey != others[1]


# What a tenant's key wraps.


def test_everything_is_wrapped_anew_and_opens_and_nothing_is_encrypted_anew(home: House) -> None:
    made, stores = version(home), home.stores
    upload = Upload("u", TENANT, "c", seal(home), int(NOW), int(NOW) + 60)
    stores.uploads.add_upload(upload)
    batch = replace(samples.BATCH, id="b", tenant=TENANT, source=seal(home))
    stores.batches.add_batch(batch)
    part = replace(samples.PART, batch="b", tenant=TENANT, source=seal(home))
    stores.batches.put_part(part)
    federation = replace(samples.TRIAL, tenant=TENANT, calibration=seal(home))
    stores.federations.add_federation(federation)
    ref = home.base.vault.ref(TENANT, "a person")
    field = home.base.vault.seal(TENANT, ref, b"field", "event")
    home.use.keys.rotate_tenant(ADMINISTRATOR, TENANT)
    found = held(home)
    assert len(found) == 6
    for sealed in found:
        assert home.base.keys.wraps_newest(TENANT, sealed.wrapped_key)
        assert opened(home, sealed) == CONTENT
    assert {p.digest for p in stored(home).payloads} == {p.digest for p in made.payloads}
    assert stored(home).revision == 0
    home.base.vault.forget(TENANT)
    assert home.base.vault.open(TENANT, ref, field, "event") == b"field"


def held(home: House) -> list[SealedPayload]:
    """Every sealed payload that a record of the tenant names."""
    stores = home.stores
    upload, batch = stores.uploads.get_upload(TENANT, "u"), stores.batches.get_batch(TENANT, "b")
    part = stores.batches.get_part(TENANT, "b", samples.PART.number)
    federation: Federation | None = stores.federations.get_federation(TENANT, samples.TRIAL.name)
    assert upload is not None
    assert batch is not None
    assert part is not None
    assert federation is not None
    others = (upload.payload, batch.source, part.source, federation.calibration)
    return [*stored(home).payloads, *(one for one in others if one is not None)]


def test_a_header_made_before_the_rotation_and_one_made_after_open_the_same_file(
    home: House,
) -> None:
    """What a site was given stays good; what it is given now is of the same ciphertext."""
    version(home)
    identity = generate_identity(os.urandom)
    sealed = stored(home).payloads[0]
    before = home.base.sealer.header_for(TENANT, sealed, [identity.recipient])
    home.use.keys.rotate_tenant(ADMINISTRATOR, TENANT)
    sealed = stored(home).payloads[0]
    after = home.base.sealer.header_for(TENANT, sealed, [identity.recipient])
    payload = b"".join(home.base.artifacts.read(sealed.digest))
    for header in (before, after):
        stream = io.BytesIO(header + payload)
        content = b"".join(decrypt_stream(read_header(stream).open([identity]), stream))
        assert content == CONTENT


def test_the_old_version_ends_after_its_time_and_not_before(home: House, clock: Clock) -> None:
    old = version(home).payloads[0]
    home.use.keys.rotate_tenant(ADMINISTRATOR, TENANT)
    clock.now += TENANT_OVERLAP - 1
    home.use.key_retirement.sweep()
    assert opened(home, old) == CONTENT
    clock.now += 1
    home.use.key_retirement.sweep()
    with pytest.raises(KeyUnwrapFailed):
        opened(home, old)
    assert opened(home, stored(home).payloads[0]) == CONTENT
    assert told(home)[-1] == ("administer", "retire_tenant_key")


def test_what_comes_back_wrapped_by_the_old_version_keeps_it(home: House, clock: Clock) -> None:
    """A job that read a record before the rotation writes it back as a whole after it."""
    made = version(home)
    home.use.keys.rotate_tenant(ADMINISTRATOR, TENANT)
    home.stores.registry.replace_version(replace(made, state="released"))
    clock.now += TENANT_OVERLAP
    home.use.key_retirement.sweep()  # it finds that, wraps it anew, and destroys nothing yet
    assert home.base.keys.tenant_key(TENANT).oldest == 1
    home.use.key_retirement.sweep()
    assert home.base.keys.tenant_key(TENANT).oldest == 2
    assert opened(home, stored(home).payloads[0]) == CONTENT
    assert stored(home).state == "released"


def test_a_batch_that_began_before_the_rotation_keeps_the_old_version(
    home: House, clock: Clock
) -> None:
    batch: Batch = replace(samples.BATCH, id="b", tenant=TENANT, source=None, created=int(NOW))
    home.stores.batches.add_batch(replace(batch, state="running"))
    home.use.keys.rotate_tenant(ADMINISTRATOR, TENANT)
    clock.now += 10 * TENANT_OVERLAP
    home.use.key_retirement.sweep()
    assert home.base.keys.tenant_key(TENANT).oldest == 1
    running = home.stores.batches.get_batch(TENANT, "b")
    assert running is not None
    home.stores.batches.replace_batch(replace(running, state="finished"))
    home.use.key_retirement.sweep()
    assert home.base.keys.tenant_key(TENANT).oldest == 2


def test_a_record_that_no_key_opens_is_left_and_hinders_nothing(home: House, clock: Clock) -> None:
    """It was lost before the rotation; the gateway must start and retire keys all the same."""
    made = version(home)
    broken = replace(made.payloads[1], wrapped_key=made.payloads[1].wrapped_key[:-1] + b"x")
    home.stores.registry.replace_version(replace(made, payloads=(made.payloads[0], broken)))
    home.use.keys.rotate_tenant(ADMINISTRATOR, TENANT)
    assert stored(home).payloads[1] == broken
    clock.now += TENANT_OVERLAP
    home.use.key_retirement.sweep()
    assert home.base.keys.tenant_key(TENANT).oldest == 2


def test_another_tenants_keys_stay_as_they_are(home: House) -> None:
    wrapped = home.base.keys.wrap("rival", b"k" * 16, b"aad")
    home.use.keys.rotate_tenant(ADMINISTRATOR, TENANT)
    assert home.base.keys.wraps_newest("rival", wrapped)
    assert told(home, "rival") == []


# What is shown.


def test_the_list_tells_age_and_end_of_keys_and_no_private_half(home: House) -> None:
    home.use.keys.rotate_token(ADMINISTRATOR, 60)
    home.use.keys.rotate_tenant(ADMINISTRATOR, TENANT)
    home.use.keys.rotate_log(ADMINISTRATOR, TENANT)
    token, policy = home.use.key_list.of_platform(ADMINISTRATOR)
    log, files, release = home.use.key_list.of_tenant(ADMINISTRATOR, TENANT)
    assert (token.kind, token.number, token.made, token.former[0].ends) == (
        *("token", 2, NOW),
        NOW + 60,
    )
    assert (policy.number, policy.former) == (1, ())
    assert (log.number, log.former[0].ends) == (2, None)
    assert log.former[0].endorsement.startswith("sealgate log key succession v1\n")
    assert (files.number, files.former[0].ends, files.id) == (2, NOW + TENANT_OVERLAP, "")
    assert release.number == 1


def test_a_tenant_at_a_glance_says_what_it_is_near_to(home: House) -> None:
    version(home)
    home.stores.registry.offer(sharing(TENANT, "m", "rival"))
    for number in range(26):
        upload = Upload(f"u{number}", TENANT, "c", samples.PAYLOAD, int(NOW), int(NOW) + 60)
        home.stores.uploads.add_upload(replace(upload, payload=replace(samples.PAYLOAD, length=1)))
    found = home.use.overviews.show(ADMINISTRATOR, TENANT)
    assert (found.models, dict(found.versions)) == (1, {"candidate": 1})
    assert dict(found.shares_with) == {"rival": 1}
    assert found.clients["owner"] == 2
    assert found.policy is not None
    near = {limit.name for limit in found.limits if limit.near}
    assert near == {"uploads_waiting"}
    looks = [e for e in home.events("platform") if e.get("reason") == "show_tenant"]
    assert len(looks) == 1
