"""`artifact verify | inspect | header | decrypt` on files that somebody sent, without a gateway."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyrage
import pytest

from gateway.artifacts.age import generate_identity
from gateway.cli.failures import ExitCode
from tests.gateway.artifacts.publisher import NOW, Published, Tenant
from tests.gateway.cli.command import sealgate
from tests.gateway.cli.false_gateway import FalseGateway
from tests.gateway.cli.partner_side import Partner, partner_of
from tests.tools import require_tool

CONTENT = os.urandom(200_000)


@pytest.fixture(scope="module")
def clinic() -> Tenant:
    return Tenant()


@pytest.fixture
def partner(tmp_path: Path, clinic: Tenant) -> Partner:
    """One who was sent a file and its document, and has accepted the kit."""
    found = partner_of(tmp_path, FalseGateway(clinic), tmp_path / "none.json")
    assert found.accept(clinic.kit()).code == 0
    send(found, clinic.publish(content=CONTENT))
    return found


def send(partner: Partner, one: Published) -> None:
    partner.out.write_bytes(one.file_for(partner.identity.recipient))
    document(partner).write_bytes(one.document.encode())


def document(partner: Partner) -> Path:
    return partner.out.with_name("model.age.release.json")


def decrypt(partner: Partner, name: str, *options: str | Path) -> int:
    out = partner.folder / name
    said = partner.artifact("decrypt", "-i", partner.key, "-o", out, *options)
    assert out.exists() == (said.code == 0)
    return said.code


def test_a_file_is_verified_offline_without_a_key(partner: Partner) -> None:
    said = partner.artifact("verify", "--trust", partner.trust, "--json")
    assert said.code == 0, said.err
    told = said.json
    assert (told["tenant"], told["model"], told["version"]) == ("clinic", "triage", "1.0")
    assert (told["verified"], told["content"], told["role"]) == (True, "not opened", "graph")
    opened = partner.artifact("verify", "--trust", partner.trust, "-i", partner.key, "--json")
    assert opened.json["content"] == "verified"


def test_a_file_is_verified_with_the_kits_file_alone(partner: Partner, clinic: Tenant) -> None:
    kit = partner.folder / "clinic.kit"
    said = partner.artifact("verify", "--kit", kit, "--trust", partner.folder / "nowhere")
    assert said.code == 0, said.err
    assert clinic.kit().digest() in said.out
    assert "compare its hash" in said.err
    kit.write_bytes(Tenant("clinic").kit().encode())
    assert partner.artifact("verify", "--kit", kit).code == ExitCode.UNVERIFIED


def test_changed_files_do_not_verify(partner: Partner, clinic: Tenant) -> None:
    whole, good = partner.out.read_bytes(), document(partner).read_bytes()
    other = clinic.publish(version="2.0", content=CONTENT)
    for file, beside in (
        (whole[:-1] + bytes([whole[-1] ^ 1]), good),
        (whole + b"x", good),
        (whole, other.document.encode()),
        (whole, Tenant("clinic").publish(content=CONTENT).document.encode()),
        (whole, good[:-1]),
        (b"nonsense", good),
    ):
        partner.out.write_bytes(file)
        document(partner).write_bytes(beside)
        said = partner.artifact("verify", "--trust", partner.trust)
        assert said.code == ExitCode.UNVERIFIED
        assert "\nnext: " in said.err
        assert decrypt(partner, "out", "--trust", partner.trust) == ExitCode.UNVERIFIED


def test_a_payload_forged_with_the_file_key_does_not_verify(
    partner: Partner, clinic: Tenant
) -> None:
    send(partner, clinic.publish(content=CONTENT[::-1]))
    document(partner).write_bytes(clinic.publish(content=CONTENT).document.encode())
    said = partner.artifact("verify", "--trust", partner.trust)
    assert "no payload of this version" in said.err


def test_decrypting_remembers_and_refuses_an_older_version(
    partner: Partner, clinic: Tenant
) -> None:
    trust = ("--trust", str(partner.trust))
    out = partner.folder / "first"
    said = partner.artifact("decrypt", "-i", partner.key, "-o", out, *trust, "--json")
    assert (said.code, said.json["verified"], said.json["role"]) == (0, True, "graph")
    send(partner, clinic.publish(version="0.9", content=b"older", created=NOW - 5000))
    assert decrypt(partner, "older", *trust) == ExitCode.UNVERIFIED
    said = partner.artifact("verify", *trust)
    assert (said.code, "--allow-older" in said.err) == (ExitCode.UNVERIFIED, True)
    said = partner.artifact("verify", *trust, "--allow-older", "--json")
    assert (said.code, "older" in said.json["warning"]) == (0, True)
    assert decrypt(partner, "allowed", *trust, "--allow-older") == 0
    send(partner, clinic.publish(content=b"another", created=NOW))
    assert decrypt(partner, "changed", *trust, "--allow-older") == ExitCode.UNVERIFIED


def test_another_model_than_was_expected_is_refused(partner: Partner, clinic: Tenant) -> None:
    """Who carries two genuine models can exchange them, and their documents with them."""
    trust = ("--trust", str(partner.trust))
    assert partner.artifact("verify", *trust, "--expect", "triage@1.0").code == 0
    send(partner, clinic.publish(model="other", content=CONTENT))
    said = partner.artifact("verify", *trust, "--expect", "triage@1.0")
    assert said.code == ExitCode.UNVERIFIED
    assert "another model or version" in said.err
    expected = ("--expect", "triage@1.0")
    assert decrypt(partner, "out", *trust, *expected) == ExitCode.UNVERIFIED
    assert decrypt(partner, "out", *trust, "--expect", "other@1.0") == 0
    assert decrypt(partner, "no", *trust, "--expect", "triage") == ExitCode.USAGE
    assert decrypt(partner, "no", *trust, *expected, "--unverified") == ExitCode.USAGE
    listed = partner.artifact("verify", *trust, "--expect", "@1.0")
    assert listed.code == ExitCode.USAGE


def test_taking_the_document_away_does_not_switch_the_check_off(partner: Partner) -> None:
    document(partner).unlink()
    trust = ("--trust", str(partner.trust))
    assert decrypt(partner, "out", *trust) == ExitCode.UNVERIFIED
    out = partner.folder / "loud"
    loud = ("--unverified", "--json")
    said = partner.artifact("decrypt", "-i", partner.key, "-o", out, *trust, *loud)
    assert said.code == 0
    assert said.json["verified"] is False
    assert "not checked" in said.json["warning"]
    assert said.err.startswith("warning: who released it was not checked")


def test_inspecting_says_what_a_file_says_and_that_it_is_not_verified(
    partner: Partner, clinic: Tenant
) -> None:
    other = generate_identity(os.urandom).recipient
    one = clinic.publish(content=CONTENT)
    partner.out.write_bytes(one.file_for(partner.identity.recipient, other))
    told = partner.artifact("inspect", "--json").json
    assert told["verified"] is False
    assert (told["recipients"], told["kinds"]) == (2, {"X25519": 2})
    assert (told["payload_bytes"], told["content_bytes"]) == (len(one.payload), len(CONTENT))
    assert told["lineage"] == ["ward rows\x1b[2J"]
    said = partner.artifact("inspect")
    assert "\x1b" not in said.out, "what others wrote does not steer the terminal"
    assert "ward rows" in said.out
    document(partner).unlink()
    assert "no manifest" in partner.artifact("inspect").err


def test_times_that_no_calendar_has_are_told_all_the_same(partner: Partner, clinic: Tenant) -> None:
    send(partner, clinic.publish(content=CONTENT, created=2**53 - 1))
    said = partner.artifact("inspect")
    assert said.code == 0, said.err
    assert partner.artifact("verify", "--trust", partner.trust).code == ExitCode.UNVERIFIED
    kit = partner.folder / "clinic.kit"
    kit.write_bytes(clinic.kit(created=2**53 - 1).encode())
    assert sealgate("partner", "show", kit).code == 0


def test_the_header_tells_what_opens_a_file(partner: Partner) -> None:
    told = partner.artifact("header", "--json").json
    assert told["needs"] == ["an age identity, AGE-SECRET-KEY-1…"]
    assert partner.artifact("header", "-i", partner.key, "--json").json["opens"] is True
    other = generate_identity(os.urandom)
    partner.key.write_text(other.secret)
    said = partner.artifact("header", "-i", partner.key, "--json")
    assert said.code == ExitCode.UNVERIFIED
    assert other.recipient in said.err
    partner.out.write_bytes(pyrage.passphrase.encrypt(b"x", "open sesame"))
    assert "the passphrase" in partner.artifact("header").out
    partner.out.write_bytes(b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n")
    assert "armored" in partner.artifact("header").err
    assert "armored" in partner.artifact("inspect").err


@pytest.mark.parametrize(
    ("make", "said_of_it", "remedy"),
    [
        (lambda text: text.encode("utf-16"), "UTF-16", "iconv"),
        (lambda text: text.encode("utf-16-be"), "UTF-16", "iconv"),
        (lambda text: b"\xef\xbb\xbf" + text.encode(), "byte order mark", "sed -i"),
        (lambda text: pyrage.passphrase.encrypt(text.encode(), "x"), "passphrase", "age --decrypt"),
        (
            lambda _: b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n",
            "passphrase",
            "age --decrypt",
        ),
        (lambda _: b"-----BEGIN OPENSSH PRIVATE KEY-----\nx\n", "SSH", "keygen"),
        (lambda _: b"AGE-PLUGIN-YUBIKEY-1QQ\n", "plugin", "age --decrypt"),
        (lambda _: generate_identity(os.urandom).recipient.encode(), "public key", "private key"),
    ],
    ids=["utf16", "utf16be", "bom", "scrypt", "armored", "ssh", "plugin", "public"],
)
def test_identity_files_that_cannot_be_used_are_told_apart(
    partner: Partner, make: object, said_of_it: str, remedy: str
) -> None:
    secret = partner.identity.secret
    partner.key.write_bytes(make(f"# created\n{secret}\n"))  # type: ignore[operator]
    said = partner.artifact(
        "decrypt", "-i", partner.key, "-o", partner.folder / "x", "--unverified"
    )
    assert said.code == ExitCode.USAGE
    assert said_of_it in said.err
    assert remedy in said.err.partition("\nnext: ")[2]
    assert secret not in said.err


@pytest.mark.e2e
@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_the_remedy_for_an_encoding_mends_it(partner: Partner, encoding: str) -> None:
    partner.key.write_bytes(f"{partner.identity.secret}\n".encode(encoding))
    said = partner.artifact("header", "-i", partner.key)
    remedy = said.err.partition("\nnext: ")[2].strip()
    subprocess.run(["/bin/bash", "-c", remedy], cwd=partner.out.parent, check=True)
    mended = partner.key if encoding == "utf-8-sig" else partner.out.parent / "site.key"
    assert sealgate("artifact", "header", partner.out, "-i", mended).code == 0


@pytest.mark.e2e
def test_an_encrypted_file_and_an_identity_come_by_pipes(partner: Partner) -> None:
    command = [sys.executable, "-m", "gateway", "artifact", "decrypt"]
    release = ("--release", str(document(partner)), "--trust", str(partner.trust))

    def run(file: str, key: str, out: str, data: bytes, *more: str) -> tuple[int, str]:
        arguments = [*command, file, "-i", key, "-o", str(partner.folder / out), *release, *more]
        done = subprocess.run(arguments, input=data, capture_output=True, timeout=60)
        return done.returncode, done.stderr.decode()

    key, whole = str(partner.key), partner.out.read_bytes()
    code, err = run("-", key, "piped", whole)
    assert code == 0, err
    assert (partner.folder / "piped").read_bytes() == CONTENT
    code, err = run("/dev/stdin", key, "named", whole)
    assert code == 0, err
    code, err = run(str(partner.out), "-", "by-key", partner.key.read_bytes())
    assert code == 0, err
    assert run("-", "-", "both", whole)[0] == ExitCode.USAGE
    for data in (b"", whole[:50], whole[:-1], b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n"):
        code, err = run("-", key, "broken", data)
        assert (code, err.startswith("error: ")) == (ExitCode.UNVERIFIED, True), err
        assert not (partner.folder / "broken").exists()


@pytest.mark.e2e
def test_what_is_verified_is_an_ordinary_age_file(partner: Partner) -> None:
    age = require_tool("age")
    opened = subprocess.run(
        [age, "--decrypt", "-i", str(partner.key), str(partner.out)],
        capture_output=True,
        check=True,
    )
    assert opened.stdout == CONTENT


def test_a_link_in_place_of_the_output_is_not_written_through(partner: Partner) -> None:
    precious, link = partner.folder / "precious", partner.folder / "out"
    for target in (precious, partner.folder / "absent"):
        link.unlink(missing_ok=True)
        precious.write_text("precious")
        link.symlink_to(target)
        said = partner.artifact("decrypt", "-i", partner.key, "-o", link, "--trust", partner.trust)
        assert said.code == ExitCode.FAILED
        assert "exists already" in said.err
        assert precious.read_text() == "precious"
        assert link.is_symlink()
