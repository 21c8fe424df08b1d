"""A tenant that publishes: real keys, real signatures, real sealed payloads, no gateway."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.artifacts.age import PayloadEncryptor, make_header, parse_recipient
from gateway.artifacts.kit import Kit, make_kit, owner_key_id
from gateway.artifacts.manifest import Manifest, PayloadEntry
from gateway.artifacts.release_document import ReleaseDocument
from gateway.artifacts.signature import LinkStatement, owner_statement, sign_link

NOW = int(time.time())


def public_pem(key: Ed25519PrivateKey | EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True)
class Published:
    """A version: what is signed, and what is stored."""

    manifest: Manifest
    document: ReleaseDocument
    payload: bytes
    file_key: bytes

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.payload).hexdigest()

    def header_for(self, *recipients: str) -> bytes:
        return make_header(self.file_key, [parse_recipient(r) for r in recipients], os.urandom)

    def file_for(self, *recipients: str) -> bytes:
        return self.header_for(*recipients) + self.payload

    def but(self, **changes: Any) -> Published:
        """The same with another part of the document."""
        return replace(self, document=msgspec.structs.replace(self.document, **changes))


@dataclass(frozen=True)
class Tenant:
    """Who publishes."""

    name: str = "clinic"
    release_key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    owner_key: EllipticCurvePrivateKey = field(
        default_factory=lambda: generate_private_key(SECP256R1())
    )

    def kit(self, created: int = NOW, **newest: int) -> Kit:
        signer = owner_key_id(public_pem(self.owner_key))
        return make_kit(self.name, self.release_key.public_key(), [signer], newest, created)

    def publish(
        self,
        model: str = "triage",
        version: str = "1.0",
        content: bytes = b"a model",
        created: int = NOW - 1000,
        files: dict[str, bytes] | None = None,
        **of_the_link: Any,
    ) -> Published:
        """Sign and seal a version; `files` is what the owner signs, if not the content alone."""
        file_key = os.urandom(16)
        encryptor = PayloadEncryptor(file_key, os.urandom)
        payload = encryptor.update(content) + encryptor.finish()
        entry = PayloadEntry(
            role="graph",
            digest=hashlib.sha256(payload).hexdigest(),
            length=len(payload),
            plain_digest=hashlib.sha256(content).hexdigest(),
            plain_length=len(content),
        )
        manifest = Manifest(
            tenant=self.name, model=model, version=version, payloads=(entry,), inputs=(),
            outputs=(), opset={"": 18}, created=created, lineage=("ward rows\x1b[2J",),
        )  # fmt: skip
        signed = files or {"model.onnx": content}
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in signed.items()}
        bundle = json.dumps(owner_statement(digests, self.owner_key)).encode()
        statement = LinkStatement(
            tenant=self.name, model=model, version=version, manifest=manifest.digest(),
            owner=hashlib.sha256(bundle).hexdigest(), payloads={"graph": entry.digest},
            created=created,
        )  # fmt: skip
        link = sign_link(self.release_key, msgspec.structs.replace(statement, **of_the_link))
        document = ReleaseDocument(
            manifest=manifest.encode(),
            link=link,
            owner_bundle=bundle,
            owner_key=public_pem(self.owner_key).decode(),
        )
        return Published(manifest, document, payload, file_key)
