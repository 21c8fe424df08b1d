from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.artifacts.age import (
    PayloadEncryptor,
    generate_identity,
    make_header,
    parse_identity,
    parse_recipient,
)
from gateway.artifacts.manifest import Manifest, PayloadEntry
from gateway.artifacts.signature import LinkStatement, sign_link
from tests.tools import require_tool

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of click, as typer imports it
    from gateway.cli.main import invoke

CONTENT = os.urandom(300_000)


class Site:
    """A folder with an identity, and what was downloaded for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.identity = generate_identity(os.urandom)
        self.key = folder / "site.key"
        self.key.write_text(f"# a comment\n\n{self.identity.secret}\n")
        self.file = folder / "model.onnx.age"
        self.out = folder / "model.onnx"
        self.payload = b""
        self.download(CONTENT)

    def download(self, content: bytes) -> None:
        file_key = os.urandom(16)
        encryptor = PayloadEncryptor(file_key, os.urandom)
        self.payload = encryptor.update(content) + encryptor.finish()
        recipients = [parse_recipient(self.identity.recipient)]
        self.file.write_bytes(make_header(file_key, recipients, os.urandom) + self.payload)

    def release(self, key: Ed25519PrivateKey, **changes: str) -> list[str]:
        """Write manifest, link and public key; return the options."""
        digest = hashlib.sha256(self.payload).hexdigest()
        plain = hashlib.sha256(CONTENT).hexdigest()
        entry = PayloadEntry(
            role="graph",
            digest=changes.get("digest", digest),
            length=len(self.payload),
            plain_digest=changes.get("plain", plain),
            plain_length=len(CONTENT),
        )
        manifest = Manifest(
            tenant="acme", model="triage", version="1.0", payloads=(entry,), inputs=(),
            outputs=(), opset={"": 18}, created=1,
        )  # fmt: skip
        statement = LinkStatement(
            tenant="acme", model="triage", version="1.0", manifest=manifest.digest(),
            owner="0" * 64, payloads={"graph": entry.digest}, created=1,
        )  # fmt: skip
        pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        parts = {"manifest": manifest.encode(), "link": sign_link(key, statement)}
        options = []
        for name, data in {**parts, "release-key": pem}.items():
            (self.folder / name).write_bytes(data)
            options += [f"--{name}", str(self.folder / name)]
        return options

    def decrypt(self, *options: str) -> int:
        places = [str(self.file), "-i", str(self.key), "-o", str(self.out)]
        places += ["--trust", str(self.folder / "nothing-accepted")]
        return invoke(["artifact", "decrypt", *places, *options])

    def leftovers(self) -> list[str]:
        return [path.name for path in self.folder.iterdir() if path.name.startswith(".")]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """Standard error of a failed command: what is wrong, and what to do next."""
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert "\nnext: " in err
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize("post_quantum", [False, True])
def test_keygen_makes_an_identity_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], post_quantum: bool
) -> None:
    path = tmp_path / "site.key"
    options = ["--post-quantum"] if post_quantum else []
    assert invoke(["artifact", "keygen", "-o", str(path), *options]) == 0
    printed = capsys.readouterr().out.strip()
    created, public, secret = path.read_text().splitlines()
    assert created.startswith("# created: 20")
    assert public == f"# public key: {printed}"
    assert parse_identity(secret).recipient == printed
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_keygen_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "site.key"
    path.write_text("precious")
    assert invoke(["artifact", "keygen", "-o", str(path)]) == 1
    assert "not overwritten" in said(capsys)
    assert path.read_text() == "precious"


def test_keygen_prints_the_file_when_it_is_given_no_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert invoke(["artifact", "keygen"]) == 0
    captured = capsys.readouterr()
    secret = captured.out.splitlines()[-1]
    assert captured.err.strip() == f"public key: {parse_identity(secret).recipient}"


@pytest.mark.e2e
def test_the_age_command_takes_our_identity_file(tmp_path: Path) -> None:
    age = require_tool("age")
    path = tmp_path / "site.key"
    assert invoke(["artifact", "keygen", "-o", str(path)]) == 0
    public = path.read_text().splitlines()[1].removeprefix("# public key: ")
    sealed = subprocess.run([age, "-r", public], input=CONTENT, capture_output=True, check=True)
    opened = subprocess.run(
        [age, "-d", "-i", str(path)],
        input=sealed.stdout,
        capture_output=True,
        check=True,
    )
    assert opened.stdout == CONTENT


def test_decrypting(site: Site) -> None:
    assert site.decrypt() == 0
    assert site.out.read_bytes() == CONTENT
    assert stat.S_IMODE(site.out.stat().st_mode) == 0o600
    assert site.leftovers() == []


def test_decrypting_what_another_tool_made(site: Site) -> None:
    recipient = pyrage.x25519.Recipient.from_str(site.identity.recipient)
    site.file.write_bytes(pyrage.encrypt(CONTENT, [recipient]))
    assert site.decrypt() == 0
    assert site.out.read_bytes() == CONTENT


def test_decrypting_a_released_version(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.decrypt(*site.release(Ed25519PrivateKey.generate())) == 0
    assert site.out.read_bytes() == CONTENT
    assert "verified: `graph` of acme/triage@1.0" in capsys.readouterr().err


@pytest.mark.parametrize("changes", [{"digest": "0" * 64}, {"plain": "0" * 64}])
def test_a_payload_of_another_version_gets_no_name(
    site: Site, capsys: pytest.CaptureFixture[str], changes: dict[str, str]
) -> None:
    options = site.release(Ed25519PrivateKey.generate(), **changes)
    assert site.decrypt(*options) == 6
    assert "no payload of this version" in said(capsys)
    assert not site.out.exists()
    assert site.leftovers() == []


def test_a_payload_forged_with_the_file_key_gets_no_name(site: Site) -> None:
    """Stock age opens it: only the signed digest tells."""
    options = site.release(Ed25519PrivateKey.generate())
    site.download(CONTENT[::-1])
    assert site.decrypt(*options) == 6
    assert not site.out.exists()


def test_a_release_by_another_key_is_refused(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    options = site.release(Ed25519PrivateKey.generate())
    stranger = Ed25519PrivateKey.generate().public_key()
    pem = stranger.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (site.folder / "release-key").write_bytes(pem)
    assert site.decrypt(*options) == 6
    assert "not signed by this key" in said(capsys)
    assert not site.out.exists()


def test_half_a_release_is_refused(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    options = site.release(Ed25519PrivateKey.generate())
    assert site.decrypt(*options[:2]) == 2
    assert "go together" in said(capsys)
    assert not site.out.exists()


@pytest.mark.parametrize("position", [10, 100, 150, 190, 300, 70_000, -1])
def test_an_altered_file_gets_no_name(
    site: Site, capsys: pytest.CaptureFixture[str], position: int
) -> None:
    data = bytearray(site.file.read_bytes())
    data[position] ^= 1
    site.file.write_bytes(data)
    assert site.decrypt() == 6
    said(capsys)
    assert not site.out.exists()
    assert site.leftovers() == []


def test_a_file_cut_short_or_extended_gets_no_name(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    data = site.file.read_bytes()
    for changed in (data[:-1], data[:70_000], data[:50], b"", data + b"x", site.payload):
        site.file.write_bytes(changed)
        assert site.decrypt() == 6
        said(capsys)
        assert not site.out.exists()
    assert site.leftovers() == []


def test_a_file_for_somebody_else_names_the_key_to_ask_for(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    other = generate_identity(os.urandom)
    site.key.write_text(other.secret)
    assert site.decrypt() == 6
    assert f"ask for a header for {other.recipient}" in said(capsys)


def test_an_armored_file_says_so(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.file.write_bytes(b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n")
    assert site.decrypt() == 6
    assert "armored" in said(capsys)


def test_an_existing_output_is_kept(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.out.write_text("precious")
    assert site.decrypt() == 1
    said(capsys)
    assert site.out.read_text() == "precious"


def test_a_spoiled_identity_file_is_not_repeated(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = site.identity.secret[:-1]
    for text, what in (
        (f"# x\n{secret}\n", "line 2"),
        ("# x\n", "no identity"),
        ("\xff", "line 1"),
    ):
        site.key.write_bytes(text.encode("latin-1"))
        assert site.decrypt() == 2
        err = said(capsys)
        assert what in err
        assert secret not in err


def test_what_cannot_be_read_or_written_is_said(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.out = site.folder / "absent" / "model.onnx"
    assert site.decrypt() == 1
    assert "cannot write" in said(capsys)
    site.out, site.file = site.folder / "out", site.folder
    assert site.decrypt() == 1
    assert "cannot read" in said(capsys)


@pytest.mark.e2e
def test_the_command_itself(site: Site) -> None:
    command = [sys.executable, "-c", "from gateway.cli.main import run; run()", "artifact"]
    helped = subprocess.run([*command, "--help"], capture_output=True, text=True)
    assert helped.returncode == 0
    assert "Example" in helped.stdout
    site.file.write_bytes(b"nonsense")
    arguments = ["decrypt", str(site.file), "-i", str(site.key), "-o", str(site.out)]
    failed = subprocess.run([*command, *arguments], capture_output=True, text=True)
    assert failed.returncode == 6
    assert failed.stderr.startswith("error: ")
    assert failed.stdout == ""
