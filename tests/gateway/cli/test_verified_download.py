"""`model download` against operators who lie: nothing is fetched, named or opened unverified."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.artifacts.age import generate_identity
from gateway.artifacts.release_document import parse_release_document
from gateway.cli.failures import ExitCode
from tests.gateway.artifacts.publisher import NOW, Published, Tenant
from tests.gateway.cli.command import Said
from tests.gateway.cli.false_gateway import lying
from tests.gateway.cli.partner_side import Partner, partner_of

CONTENT = os.urandom(200_000)


@pytest.fixture(scope="module")
def clinic() -> Tenant:
    return Tenant()


@pytest.fixture
def partner(tmp_path: Path, clinic: Tenant) -> Iterator[Partner]:
    """One who has accepted the clinic's kit, before a gateway with version 1.0."""
    with lying(tmp_path, clinic) as (gateway, profile):
        found = partner_of(tmp_path, gateway, profile)
        gateway.add(clinic.publish(content=CONTENT))
        assert found.accept(clinic.kit()).code == 0
        yield found


def refused(partner: Partner, said: Said, reason: str) -> None:
    """Exit code 6, a way on, and not one byte fetched or written."""
    assert said.code == ExitCode.UNVERIFIED, said.err
    assert reason in said.err
    assert "\nnext: " in said.err
    assert partner.gateway.bytes_fetched() == 0
    assert partner.files() == []


def test_a_download_is_verified_before_it_is_fetched_and_opened_after_it_is_whole(
    partner: Partner,
) -> None:
    plain = partner.out.parent / "model.onnx"
    said = partner.download("1.0", "--decrypt-to", str(plain), "--json")
    assert said.code == 0, said.err
    told = said.json
    assert (told["verified"], told["tenant"], told["version"]) == (True, "clinic", "1.0")
    assert plain.read_bytes() == CONTENT
    assert partner.files() == ["model.age", "model.age.release.json", "model.onnx"]
    parse_release_document(Path(told["release"]).read_bytes())
    assert "warning" not in told


def test_a_post_quantum_key_takes_the_same_way(partner: Partner) -> None:
    partner.key.write_text(generate_identity(os.urandom, post_quantum=True).secret)
    plain = partner.out.parent / "model.onnx"
    assert partner.download("1.0", "--decrypt-to", str(plain)).code == 0
    assert plain.read_bytes() == CONTENT
    assert "age 1.3 or newer" in partner.artifact("header").out


def test_a_swapped_release_key_is_told_and_nothing_is_fetched(
    partner: Partner, clinic: Tenant
) -> None:
    swapped = Tenant("clinic", Ed25519PrivateKey.generate(), clinic.owner_key)
    partner.gateway.add(swapped.publish(content=CONTENT))
    partner.gateway.tenant = swapped
    refused(partner, partner.download(), "another release key")
    partner.gateway.tenant = clinic  # shows the right key, and signed with another
    refused(partner, partner.download(), "not signed by this key")


def test_a_gateway_that_shows_two_release_keys_is_refused(partner: Partner) -> None:
    path = "/v1/models/triage/versions/1.0/signatures"
    _, body = partner.gateway.answer("GET", path, "")
    told = json.loads(body)
    other = Tenant()
    partner.gateway.tenant = other
    two = (
        told["release_key"] + json.loads(partner.gateway.answer("GET", path, "")[1])["release_key"]
    )
    partner.gateway.answers["GET", path] = 200, json.dumps({**told, "release_key": two}).encode()
    refused(partner, partner.download(), "more than one release key")


def test_an_older_sealed_version_is_refused_until_a_person_allows_it(
    partner: Partner, clinic: Tenant
) -> None:
    partner.gateway.add(clinic.publish(version="1.1", created=NOW - 10))
    assert partner.download("1.1").code == 0
    for path in partner.out.parent.iterdir():
        path.unlink()
    partner.gateway.seen.clear()
    refused(partner, partner.download(), "older than the newest release seen here")
    allowed = partner.download("1.0", "--allow-older", "--json")
    assert allowed.code == 0
    assert "older than the newest" in allowed.err
    assert "older than the newest" in allowed.json["warning"]
    partner.gateway.add(clinic.publish(version="0.9", created=NOW - 500))
    assert partner.download("0.9").code == ExitCode.UNVERIFIED, "the newest seen did not go down"


def test_an_older_version_under_a_newer_name_is_refused(partner: Partner, clinic: Tenant) -> None:
    partner.gateway.add(clinic.publish(version="0.9", created=NOW - 2000), version="1.0")
    refused(partner, partner.download(), "another model or version than was asked for")


def test_a_manifest_of_another_model_or_tenant_is_refused(partner: Partner, clinic: Tenant) -> None:
    partner.gateway.served["triage", "1.0"] = clinic.publish(model="other")
    refused(partner, partner.download(), "another model or version than was asked for")
    bank = Tenant("bank", clinic.release_key, clinic.owner_key)
    partner.gateway.served["triage", "1.0"] = bank.publish()
    refused(partner, partner.download(), "another tenant's")


def test_the_tenant_is_chosen_by_the_partner_and_never_by_the_gateway(partner: Partner) -> None:
    """A tenant whose kit was accepted as well cannot answer for the clinic."""
    bank = Tenant("bank")
    assert partner.accept(bank.kit()).code == 0
    partner.gateway.add(bank.publish(content=b"theirs"))
    partner.gateway.tenant = bank
    said = partner.download()
    assert said.code == ExitCode.USAGE
    assert "--from bank" in said.err
    refused(partner, partner.download("1.0", "--from", "clinic"), "another release key")
    assert partner.download("1.0", "--from", "bank").code == 0


def test_an_owners_bundle_with_extra_files_is_refused(partner: Partner, clinic: Tenant) -> None:
    files = {"model.onnx": CONTENT, "setup.py": b"import os"}
    partner.gateway.add(clinic.publish(content=CONTENT, files=files))
    refused(partner, partner.download(), "the owner signed other files")


def test_another_payload_than_the_signed_one_gets_no_name(partner: Partner, clinic: Tenant) -> None:
    """The operator knows the file key and can make a payload that stock age opens."""
    good = partner.gateway.served["triage", "1.0"]
    forged = clinic.publish(content=CONTENT[::-1])
    path = f"/v1/models/triage/versions/1.0/payloads/{good.digest}"
    for body, reason in (
        (forged.payload, "does not have its signed digest"),
        (good.payload + bytes(10), "more than the payload is long"),
    ):
        partner.gateway.answers["GET", path] = 206, body
        said = partner.download()
        assert said.code == ExitCode.UNVERIFIED
        assert reason in said.err
        assert not partner.out.exists()
        assert not [name for name in partner.files() if ".part" in name]


def test_a_header_that_opens_nothing_makes_no_file(partner: Partner) -> None:
    one = partner.gateway.served["triage", "1.0"]
    path = f"/v1/models/triage/versions/1.0/payloads/{one.digest}/header"
    mine = one.header_for(partner.identity.recipient)
    theirs = one.header_for(generate_identity(os.urandom).recipient)
    for header in (theirs, mine + b"x", mine[:-1], b"", bytes(2 << 20)):
        partner.gateway.answers["POST", path] = 200, header
        said = partner.download()
        assert said.code == ExitCode.UNVERIFIED
        assert "\nnext: " in said.err
        assert partner.files() == []


def test_what_an_unverified_gateway_says_is_held_to_its_form(partner: Partner) -> None:
    path = "/v1/models/triage/versions/1.0"
    good = {"role": "graph", "digest": "a" * 64, "length": 3}
    for listed, code in (
        ([{**good, "digest": "../../v1/tenants"}], ExitCode.UNVERIFIED),
        ([{**good, "length": "3"}], ExitCode.UNVERIFIED),
        ([{**good, "length": -1}], ExitCode.UNVERIFIED),
        ([{"role": "graph"}], ExitCode.UNVERIFIED),
        (["graph"], ExitCode.NOT_FOUND),
        (None, ExitCode.NOT_FOUND),
    ):
        partner.gateway.answers["GET", path] = 200, json.dumps({"payloads": listed}).encode()
        said = partner.download("1.0", "--unverified")
        assert said.code == code, said.err
        assert partner.files() == []


def test_answers_that_are_too_large_or_no_answers_are_refused(partner: Partner) -> None:
    base = "/v1/models/triage/versions/1.0"
    for path, body in (
        (f"{base}/manifest", bytes(1 << 20)),
        (f"{base}/signatures", b"[" * 10_000_000),
        (f"{base}/signatures", b'{"release_key":7}'),
        (f"{base}/signatures", b"[" * 99_999),
    ):
        partner.gateway.answers = {("GET", path): (200, body)}
        refused(partner, partner.download(), "not one of a sealgate gateway")


def test_what_is_not_verified_is_said_loudly(partner: Partner, clinic: Tenant) -> None:
    partner.gateway.tenant = Tenant()
    said = partner.download("1.0", "--unverified", "--json")
    assert said.code == 0
    assert said.err.startswith("warning: not verified")
    assert said.json["verified"] is False
    assert "not verified" in said.json["warning"]
    assert partner.files() == ["model.age"], "no document speaks for it"
    plain = partner.download("1.0", "--unverified")
    assert plain.err.startswith("warning: not verified")
    assert "verified no" in " ".join(plain.out.split())


def test_without_a_kit_nothing_is_fetched(tmp_path: Path, clinic: Tenant) -> None:
    with lying(tmp_path, clinic) as (gateway, profile):
        nobody = partner_of(tmp_path, gateway, profile)
        gateway.add(clinic.publish())
        said = nobody.download()
        refused(nobody, said, "no partner's kit was accepted here")
        assert "sealgate partner accept" in said.err
        assert not nobody.trust.exists(), "no key is pinned by itself"


@pytest.mark.parametrize(
    "how", ["gone", "emptied", "blank", "cut", "an object", "a link to nothing"]
)
def test_a_lost_record_is_not_a_first_run(partner: Partner, clinic: Tenant, how: str) -> None:
    assert partner.download().code == 0
    for path in partner.out.parent.iterdir():
        path.unlink()
    partner.gateway.seen.clear()
    kept = partner.record.read_bytes()
    partner.record.unlink()
    if how == "a link to nothing":
        partner.record.symlink_to(partner.folder / "nothing")
    elif how != "gone":
        changed = {"emptied": b"", "blank": b"\n", "cut": kept[:-20], "an object": b"{}"}
        partner.record.write_bytes(changed[how])
    before = sorted(partner.trust.iterdir())
    said = partner.download()
    refused(partner, said, "this is not a first run")
    assert partner.gateway.seen == [], "the gateway is not even asked"
    assert sorted(partner.trust.iterdir()) == before, "nothing was pinned anew"
    assert partner.accept(clinic.kit()).code != 0, "nor does accepting do so unsaid"
    again = partner.accept(clinic.kit(), "--start-again", "--json")
    assert again.code == 0, again.err
    assert "what you had seen is lost" in again.err
    assert "warning" in again.json
    assert partner.download().code == 0


@pytest.mark.parametrize("what", ["record", "folder"])
def test_what_others_may_have_changed_is_not_trusted(partner: Partner, what: str) -> None:
    path = partner.record if what == "record" else partner.trust
    path.chmod(path.stat().st_mode | 0o020)
    said = partner.download()
    refused(partner, said, "others may write")
    assert f"chmod go-w '{path}'" in said.err
    path.chmod(path.stat().st_mode & ~0o022)
    assert partner.download().code == 0


def test_a_record_of_an_older_backup_holds_only_what_it_knew(
    partner: Partner, clinic: Tenant
) -> None:
    """What cannot be known is not promised: the kit's floor is what is left."""
    partner.accept(clinic.kit(created=NOW + 5, triage=NOW - 100), "--replace")
    partner.gateway.seen.clear()
    refused(partner, partner.download(), "older than the newest release seen here")


def test_of_two_downloads_to_one_name_the_second_is_refused_and_the_first_is_whole(
    partner: Partner,
) -> None:
    gateway, first = partner.gateway, []
    gateway.sending.clear()
    running = threading.Thread(target=lambda: first.append(_quiet(partner)))
    running.start()
    assert gateway.asked.wait(60)
    second = partner.download()
    assert second.code == ExitCode.TRY_AGAIN
    assert "another download writes" in second.err
    gateway.sending.set()
    running.join()
    assert first == [0]
    assert partner.files() == ["model.age", "model.age.release.json"]
    assert partner.artifact("verify", "--trust", partner.trust).code == 0


def _quiet(partner: Partner) -> int:
    """Download in a thread: what is said there is not caught."""
    from gateway.cli.connection import connect
    from gateway.cli.download import Wanted, download_verified
    from gateway.cli.trust_folder import TrustFolder

    wanted = Wanted("triage", "1.0", "graph", partner.identity.recipient, partner.out)
    with connect(partner.profile) as connection:
        trust = TrustFolder(partner.trust)
        download_verified(connection, wanted, trust, None, allow_older=False)
    return 0


def _interrupted(partner: Partner, length: int) -> Published:
    """Leave what a download leaves that was cut off after `length` bytes of the payload."""
    one = partner.gateway.served["triage", "1.0"]
    header = one.header_for(partner.identity.recipient)
    part = partner.out.with_name("model.age.part")
    part.write_bytes(header + (one.payload + bytes(1000))[:length])
    kept = {
        "digest": one.digest,
        "recipient": partner.identity.recipient,
        "header_length": len(header),
    }
    part.with_name("model.age.part.json").write_text(json.dumps(kept))
    return one


def test_a_part_that_is_too_long_starts_again(partner: Partner) -> None:
    one = _interrupted(partner, len(CONTENT) + 1000)
    assert len(partner.out.with_name("model.age.part").read_bytes()) > len(one.payload)
    said = partner.download()
    assert said.code == 0, said.err
    assert "starting again" in said.err
    assert partner.out.read_bytes().endswith(one.payload)


def test_a_part_that_fits_goes_on(partner: Partner) -> None:
    one = _interrupted(partner, 1000)
    assert partner.download().code == 0
    assert ("GET", f"/v1/models/triage/versions/1.0/payloads/{one.digest}", "bytes=1000-") in (
        partner.gateway.seen
    )


@pytest.mark.parametrize("name", ["model.age", "model.age.part", "model.age.part.json"])
def test_a_symbolic_link_is_not_written_through(partner: Partner, name: str) -> None:
    precious = partner.folder / "precious"
    precious.write_text("precious")
    link = partner.out.with_name(name)
    link.symlink_to(precious)
    said = partner.download()
    assert precious.read_text() == "precious"
    if name == "model.age.part.json":
        assert said.code == 0, "a note is replaced, not followed"
    else:
        assert said.code == ExitCode.USAGE
        assert "symbolic link" in said.err
        assert link.is_symlink()


def test_a_part_with_a_second_name_is_not_written(partner: Partner) -> None:
    precious = partner.out.parent / "precious"
    precious.write_text("precious")
    os.link(precious, partner.out.with_name("model.age.part"))
    said = partner.download()
    assert said.code == ExitCode.USAGE
    assert precious.read_text() == "precious"


def test_a_pipe_of_that_name_is_refused_and_hangs_nothing(partner: Partner) -> None:
    part = partner.out.with_name("model.age.part")
    os.mkfifo(part)
    assert partner.download().code == ExitCode.USAGE
    part.unlink()
    os.mkfifo(part.with_name("model.age.part.json"))
    assert partner.download().code == 0, "a note is replaced"


def test_a_recipient_or_an_identity_must_be_named(partner: Partner) -> None:
    from tests.gateway.cli.command import sealgate

    said = sealgate("model", "download", "triage", "1.0", "--out", partner.out)
    assert said.code == ExitCode.USAGE
    assert "--recipient" in said.err
    said = sealgate(
        *("model", "download", "triage", "1.0", "--out", partner.out),
        *("--recipient", partner.identity.recipient, "--decrypt-to", partner.folder / "x"),
    )
    assert said.code == ExitCode.USAGE
    assert "-i site.key" in said.err
    other = ("--recipient", generate_identity(os.urandom).recipient)
    said = partner.download("1.0", *other, "--decrypt-to", str(partner.folder / "x"))
    assert said.code == ExitCode.USAGE
    assert "could not open the file" in said.err
