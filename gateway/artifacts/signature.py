"""The two signatures of a model version.

The safety argument:

1. The owner signs the plaintext files, in the layout of OpenSSF Model Signing v1.0, so that any
   holder of the files can check them with the public `model-signing` tool.
2. The tenant's release key signs the link: from the owner's statement and the manifest to the
   payloads that are stored and served. Sealing anew renews the link and nothing else.
3. Both are DSSE envelopes: the type is signed together with the content, so that no statement
   can be taken for one of another kind.
4. A verifier compares every digest with what it holds; a valid signature over other files is no
   reason to trust these.

What the caller still owes: the right public key, and the newest version it has trusted before,
against a replay of an older release.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from gateway.artifacts import dsse
from gateway.artifacts.canonical import (
    MALFORMED,
    encode_canonical,
    parse_canonical,
    well_formed,
)
from gateway.artifacts.errors import StatementInvalid
from gateway.artifacts.manifest import Digest, Name, Seconds, Version
from gateway.strict_json import strict_json

MODEL_FILE: Final = "model.onnx"
"""The name under which the owner signs the one file of a model."""
BUNDLE_LIMIT: Final = 1 << 20  # ten thousand files
LINK_LIMIT: Final = 64 << 10

_LINK_TYPE: Final = "application/vnd.sealgate.link.v1+json"
_IN_TOTO: Final = "application/vnd.in-toto+json"
_BUNDLE_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
_STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
_PREDICATE_TYPE: Final = "https://model_signing/signature/v1.0"
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_IGNORED: Final = [".git", ".gitattributes", ".github", ".gitignore"]


class LinkStatement(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What the tenant's release key vouches for.

    Attributes:
        tenant: Whose model it is.
        model: Its name.
        version: Its version.
        manifest: SHA-256 of the manifest's canonical bytes, hex.
        owner: SHA-256 of the owner's bundle as stored, hex.
        payloads: SHA-256 of each encrypted payload, hex, by role.
        created: Unix seconds.
        fused: SHA-256 of the fused graph that the gateway runs, hex.
        profile: SHA-256 of the screening profile, hex.
        format: Of this record.
    """

    tenant: Name
    model: Name
    version: Version
    manifest: Digest
    owner: Digest
    payloads: Annotated[dict[Name, Digest], msgspec.Meta(min_length=1, max_length=16)]
    created: Seconds
    fused: Digest | None = None
    profile: Digest | None = None
    format: Literal[1] = 1


def owner_statement(
    files: Mapping[str, str], key: ec.EllipticCurvePrivateKey, *, name: str = "model"
) -> dict[str, Any]:
    """Sign the plaintext files of a model.

    Args:
        files: SHA-256 in hex by path, relative, with forward slashes.
        key: The owner's, on P-256.
        name: Of the model, for people.

    Returns:
        A Sigstore bundle of OpenSSF Model Signing, to be stored as JSON.

    Raises:
        ValueError: No files, a digest that is none, or a key on another curve.
    """
    _check_files(files)
    _check_curve(key.curve)
    statement = _statement(files, name)
    payload = msgspec.json.encode(statement, order="sorted")
    signature = key.sign(dsse.preauthentication(_IN_TOTO, payload), ec.ECDSA(hashes.SHA256()))
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return {
        "mediaType": _BUNDLE_TYPE,
        "verificationMaterial": {
            "publicKey": {"hint": hashlib.sha256(public).hexdigest()},
            "tlogEntries": [],
        },
        "dsseEnvelope": dsse.envelope(_IN_TOTO, payload, signature, ""),
    }


def verify_owner_statement(bundle: object, public_key_pem: bytes, files: Mapping[str, str]) -> None:
    """Check that the owner signed exactly these files.

    Args:
        bundle: Parsed JSON of anybody's.
        public_key_pem: The owner's public key, on P-256.
        files: SHA-256 in hex by path, of what is at hand.

    Raises:
        StatementInvalid: The key, the signature or the list of files is wrong.
    """
    public = parse_owner_key(public_key_pem)
    inner = bundle.get("dsseEnvelope") if isinstance(bundle, dict) else None
    payload, signature = dsse.unwrap(inner, _IN_TOTO)
    try:
        covered = dsse.preauthentication(_IN_TOTO, payload)
        public.verify(signature, covered, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise StatementInvalid("the owner's signature is not by this key") from None
    if _listed_files(payload) != dict(files):
        raise StatementInvalid("the owner signed other files")


def sign_link(release_key: Ed25519PrivateKey, statement: LinkStatement) -> bytes:
    """Sign the link of a version.

    Returns:
        A DSSE envelope as JSON.

    Raises:
        StatementInvalid: A field breaks its constraint.
    """
    payload = encode_canonical(statement, LINK_LIMIT)
    signature = release_key.sign(dsse.preauthentication(_LINK_TYPE, payload))
    key_id = _key_id(release_key.public_key())
    return msgspec.json.encode(dsse.envelope(_LINK_TYPE, payload, signature, key_id))


def verify_link(public: Ed25519PublicKey, data: bytes) -> LinkStatement:
    """Check the signature of a link, then read it.

    Args:
        public: The tenant's release key, from a source that is trusted.
        data: The envelope, of anybody's.

    Raises:
        StatementInvalid: It is malformed, or not signed by this key.
    """
    if len(data) > 2 * LINK_LIMIT:
        raise StatementInvalid("the signed statement is too large")
    payload, signature = dsse.unwrap(_parse_json(data), _LINK_TYPE)
    try:
        public.verify(signature, dsse.preauthentication(_LINK_TYPE, payload))
    except InvalidSignature:
        raise StatementInvalid("the release is not signed by this key") from None
    return parse_canonical(payload, LinkStatement, LINK_LIMIT)


def _statement(files: Mapping[str, str], name: str) -> dict[str, Any]:
    resources = [
        {"name": path, "algorithm": "sha256", "digest": files[path]} for path in sorted(files)
    ]
    root = hashlib.sha256(b"".join(bytes.fromhex(files[path]) for path in sorted(files)))
    return {
        "_type": _STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": root.hexdigest()}}],
        "predicateType": _PREDICATE_TYPE,
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": _IGNORED,
            },
            "resources": resources,
        },
    }


def _listed_files(payload: bytes) -> dict[str, str]:
    """Return the files of a statement; their digest over all must fit, and none may repeat."""
    match _parse_json(payload):
        case {
            "_type": str(kind),
            "predicateType": str(predicate_type),
            "subject": [{"digest": {"sha256": str(root)}}],
            "predicate": {"resources": [*resources]},
        } if kind == _STATEMENT_TYPE and predicate_type == _PREDICATE_TYPE:
            files: dict[str, str] = {}
            for resource in resources:
                match resource:
                    case {"name": str(path), "algorithm": "sha256", "digest": str(digest)} if (
                        path not in files and _SHA256.fullmatch(digest)
                    ):
                        files[path] = digest
                    case _:
                        raise StatementInvalid(MALFORMED)
            joined = b"".join(bytes.fromhex(files[path]) for path in sorted(files))
            if files and hashlib.sha256(joined).hexdigest() == root:
                return files
    raise StatementInvalid(MALFORMED)


def _parse_json(data: bytes) -> object:
    with well_formed():
        value: object = strict_json(data)
    return value


def parse_owner_key(pem: bytes) -> ec.EllipticCurvePublicKey:
    """Read an owner's public key.

    Raises:
        StatementInvalid: It is none, or not on P-256.
    """
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise StatementInvalid("the owner's public key is malformed") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise StatementInvalid("the owner's public key is not on P-256")
    return key


def _check_files(files: Mapping[str, str]) -> None:
    if not files or not all(_SHA256.fullmatch(digest) for digest in files.values()):
        raise ValueError("give each file's SHA-256 in lowercase hex")


def _check_curve(curve: ec.EllipticCurve) -> None:
    if not isinstance(curve, ec.SECP256R1):
        raise ValueError("the owner's key must be on P-256")


def _key_id(public: Ed25519PublicKey) -> str:
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()
