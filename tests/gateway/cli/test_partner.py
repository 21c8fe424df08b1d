"""`partner kit | accept | show | list`: nothing is trusted that nobody compared."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.artifacts.kit import parse_kit
from gateway.cli.failures import ExitCode
from tests.gateway.artifacts.publisher import NOW, Tenant, public_pem
from tests.gateway.cli.command import Said, sealgate
from tests.gateway.cli.false_gateway import FalseGateway, lying
from tests.gateway.cli.partner_side import Partner, partner_of


@pytest.fixture
def clinic() -> Tenant:
    return Tenant()


@pytest.fixture
def partner(tmp_path: Path, clinic: Tenant) -> Iterator[Partner]:
    with lying(tmp_path, clinic) as (gateway, profile):
        yield partner_of(tmp_path, gateway, profile)


@pytest.fixture
def gateway(partner: Partner) -> FalseGateway:
    return partner.gateway


def make(partner: Partner, *options: str | Path) -> Said:
    named = ("--out", partner.folder / "made.kit", "--profile", partner.profile)
    return sealgate("partner", "kit", "triage", *named, "--trust", partner.trust, *options)


def key_file(folder: Path, tenant: Tenant, *, private: bool) -> Path:
    path = folder / "owner.key"
    pem = tenant.owner_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(pem if private else public_pem(tenant.owner_key))
    return path


@pytest.mark.parametrize("private", [True, False])
def test_a_kit_holds_the_keys_and_the_hash_is_that_of_the_file(
    partner: Partner, clinic: Tenant, gateway: FalseGateway, private: bool
) -> None:
    gateway.add(clinic.publish(created=NOW - 300))
    gateway.add(clinic.publish(version="1.1", created=NOW - 100))
    gateway.current["triage"] = "1.0"
    said = make(partner, "--owner-key", key_file(partner.folder, clinic, private=private), "--json")
    assert said.code == 0, said.err
    data = (partner.folder / "made.kit").read_bytes()
    kit = parse_kit(data)
    assert said.json["sha256"] == hashlib.sha256(data).hexdigest()
    assert kit.release_key == clinic.release_key.public_key().public_bytes_raw().hex()
    assert kit.newest == {"triage": NOW - 300}, "a candidate is no reason to refuse what is served"
    assert "warning" not in said.json
    assert b"PRIVATE" not in data


def test_a_kit_with_owners_keys_from_the_gateway_says_so(
    partner: Partner, clinic: Tenant, gateway: FalseGateway
) -> None:
    gateway.add(clinic.publish())
    said = make(partner, "--json")
    assert said.code == 0
    assert "only the gateway tells" in said.err
    assert "only the gateway tells" in said.json["warning"]
    assert said.json["told_by_gateway"] == said.json["owner_keys"]


def test_a_kit_covers_what_its_keys_signed_and_says_what_not(
    partner: Partner, clinic: Tenant, gateway: FalseGateway
) -> None:
    """A federation's model is signed by a key that the gateway derives."""
    trained = Tenant("clinic", clinic.release_key)
    gateway.add(clinic.publish())
    gateway.add(trained.publish(version="2.0"))
    key = key_file(partner.folder, clinic, private=True)
    gateway.current["triage"] = "2.0"
    said = make(partner, "--owner-key", key)
    assert "`triage 2.0` is signed by none of the keys" in said.err
    made = parse_kit((partner.folder / "made.kit").read_bytes())
    assert made.newest == {}, "what is left out shuts out nothing"
    (partner.folder / "made.kit").unlink()
    both = make(partner, "--owner-key", key, "--also-told", "--json")
    assert len(both.json["owner_keys"]) == 2
    assert len(both.json["told_by_gateway"]) == 1
    assert parse_kit((partner.folder / "made.kit").read_bytes()).owner_keys == tuple(
        both.json["owner_keys"]
    )


def test_no_kit_is_made_of_what_does_not_verify(
    partner: Partner, clinic: Tenant, gateway: FalseGateway
) -> None:
    theirs = Tenant()
    swapped = Tenant("clinic", Ed25519PrivateKey.generate(), clinic.owner_key)
    key = key_file(partner.folder, clinic, private=True)
    for served, reason in (
        (swapped.publish(), "not signed by this key"),
        (clinic.publish(model="other"), "another model or version"),
        (Tenant("clinic", clinic.release_key).publish(), "none of the keys signed a version"),
        (clinic.publish(files={"a": b"a"}), "the owner signed other files"),
    ):
        gateway.served["triage", "1.0"] = served
        said = make(partner, "--owner-key", key)
        assert (said.code, reason in said.err) == (ExitCode.UNVERIFIED, True), said.err
        assert not (partner.folder / "made.kit").exists()
    gateway.served = {}
    assert "no version yet" in make(partner, "--owner-key", key).err
    (partner.folder / "wrong").write_bytes(public_pem(theirs.release_key))
    gateway.add(clinic.publish())
    assert make(partner, "--owner-key", partner.folder / "wrong").code == ExitCode.USAGE


def test_who_made_a_kit_before_is_told_that_the_release_key_was_swapped(
    partner: Partner, clinic: Tenant, gateway: FalseGateway
) -> None:
    assert partner.accept(clinic.kit()).code == 0
    gateway.tenant = Tenant("clinic", Ed25519PrivateKey.generate(), clinic.owner_key)
    gateway.add(gateway.tenant.publish())
    said = make(partner)
    assert said.code == ExitCode.UNVERIFIED
    assert "another release key than the kit that you accepted" in said.err


def test_a_kit_is_accepted_with_the_hash_that_was_heard_and_not_without(
    partner: Partner, clinic: Tenant
) -> None:
    kit = clinic.kit()
    file = partner.folder / "clinic.kit"
    file.write_bytes(kit.encode())
    unsaid = sealgate("partner", "accept", file, "--trust", partner.trust)
    assert unsaid.code == ExitCode.USAGE
    assert kit.digest() in unsaid.err
    assert partner.accept(kit, told=Tenant().kit().digest()).code == ExitCode.UNVERIFIED
    assert not partner.trust.exists()
    spoken = " ".join(kit.digest()[at : at + 8].upper() for at in range(0, 64, 8))
    assert partner.accept(kit, told=spoken).code == 0
    assert partner.record.stat().st_mode & 0o777 == 0o600
    assert partner.trust.stat().st_mode & 0o777 == 0o700
    assert partner.accept(kit).code == 0, "a second time changes nothing"


def test_another_kit_takes_the_place_of_one_only_when_that_is_said(
    partner: Partner, clinic: Tenant
) -> None:
    assert partner.accept(clinic.kit()).code == 0
    kept = partner.record.read_bytes()
    other = Tenant("clinic").kit(created=NOW + 1)
    said = partner.accept(other)
    assert said.code == ExitCode.UNVERIFIED
    assert "the release key is another one" in said.err
    assert partner.accept(other, "--start-again").code == ExitCode.USAGE, "nothing is lost"
    partner.trust.chmod(0o777)
    assert partner.accept(other, "--start-again").code == ExitCode.UNVERIFIED, "nor if others write"
    partner.trust.chmod(0o700)
    assert partner.record.read_bytes() == kept
    assert partner.accept(other, "--replace").code == 0
    older = partner.accept(clinic.kit(), "--replace")
    assert "older than the one that was accepted" in older.err


def test_what_is_trusted_is_listed_and_a_kit_is_shown(partner: Partner, clinic: Tenant) -> None:
    empty = sealgate("partner", "list", "--trust", partner.trust, "--json")
    assert (empty.code, empty.json) == (0, [])
    kit = clinic.kit(triage=NOW - 10)
    assert partner.accept(kit).code == 0
    (row,) = sealgate("partner", "list", "--trust", partner.trust, "--json").json
    assert (row["tenant"], row["model"]) == ("clinic", "triage")
    shown = sealgate("partner", "show", partner.folder / "clinic.kit", "--json").json
    assert (shown["sha256"], shown["newest"]) == (kit.digest(), {"triage": NOW - 10})
    spoiled = partner.folder / "spoiled.kit"
    spoiled.write_bytes(kit.encode() + b" ")
    said = sealgate("partner", "show", spoiled)
    assert said.code == ExitCode.UNVERIFIED
    assert "ask the owner for the file again" in said.err
