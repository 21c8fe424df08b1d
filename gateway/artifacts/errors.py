"""The error tree of encrypted artifacts.

ArtifactError
├── AgeError
│   ├── HeaderInvalid        the age header breaks the format
│   ├── NoMatchingIdentity   no stanza opens with the identities at hand
│   ├── HeaderForged         a stanza opened, but the header's MAC is wrong
│   ├── PayloadInvalid       a chunk, the order of chunks or the length is wrong
│   ├── RecipientInvalid     the text is not an age public key
│   ├── IdentityInvalid      the text is not an age private key
│   └── RecipientsMixed      post-quantum and classical keys would share a file key
├── KeyFault
│   ├── KeyUnavailable       disabled, destroyed or never made; is an audit.KeyUnavailable too
│   │   └── KeyUnwrapFailed  the wrapped key is not genuine for this tenant and use
│   ├── KeystoreAbsent       there is no keystore at this place
│   ├── KeystorePresent      there is one already, and it is not overwritten
│   ├── KeystoreUnsafe       file modes or owner would give keys away
│   └── KeystoreCorrupt      the file does not open with this unlock secret
├── StoreError
│   ├── PayloadAbsent        nothing stored under that digest
│   ├── PayloadCorrupt       stored bytes do not have their digest or length
│   └── RangeOutside         the bytes that are asked for lie beyond the end
├── UploadError
│   ├── UploadTooLarge       more bytes than the limit, or than were declared
│   └── UploadTruncated      fewer bytes than were declared, or none
├── StatementInvalid         a manifest, owner's statement or link does not parse or verify
├── Interrupted              the gateway stops, and so does work that takes long
├── SandboxFailed            a confined job crashed, ran out of time or of memory
└── ModelRefused             admission said no; `reason` is stable
"""

from __future__ import annotations

from typing import Final, Literal

from audit.errors import KeyUnavailable as AuditKeyUnavailable
from gateway.errors import SealgateError


class ArtifactError(SealgateError):
    """Base of this package's errors."""

    code = "artifact"
    message = "the artifact could not be handled"


class AgeError(ArtifactError):
    """Base of failures of the age format (C2SP age.md)."""

    code = "age"
    message = "the encrypted file could not be read"


class HeaderInvalid(AgeError):
    """The header breaks the grammar or a stanza breaks its recipient type's rules."""

    code = "age_header"
    message = "the header of the encrypted file is malformed"


class NoMatchingIdentity(AgeError):
    """The file was not encrypted to any of the identities."""

    code = "age_no_match"
    message = "the file is not encrypted to this identity"


class HeaderForged(AgeError):
    """The header's MAC does not verify under the file key."""

    code = "age_header_mac"
    message = "the header of the encrypted file was altered"


class PayloadInvalid(AgeError):
    """The encrypted payload was altered, cut or extended."""

    code = "age_payload"
    message = "the encrypted payload was altered, cut short or extended"


class RecipientInvalid(AgeError):
    """The text is not a recipient that this version knows."""

    code = "age_recipient"
    message = "this is not an age public key (`age1…` or `age1pq1…`)"


class IdentityInvalid(AgeError):
    """The text is not an identity that this version knows."""

    code = "age_identity"
    message = "this is not an age identity (`AGE-SECRET-KEY-1…` or `AGE-SECRET-KEY-PQ-1…`)"


class RecipientsMixed(AgeError):
    """One classical wrap of a file key would undo the post-quantum ones."""

    code = "age_recipients_mixed"
    message = (
        "this artifact is delivered to one kind of key only: post-quantum and classical "
        "recipients cannot share it"
    )


class KeyFault(ArtifactError):
    """Base of failures of keys and of the keystore."""

    code = "key"
    message = "the key could not be used"


class KeyUnavailable(KeyFault, AuditKeyUnavailable):
    """The key, or the version of it that is needed, is disabled, destroyed or was never made.

    It is the audit log's error as well, so that a key provider serves as its key wrapper.
    """

    code = "key_unavailable"
    message = "the key is not available"


class KeyUnwrapFailed(KeyUnavailable):
    """The wrapped key is not genuine for this tenant, purpose and version."""

    code = "key_unwrap"
    message = "the wrapped key is not genuine"


class KeystoreAbsent(KeyFault):
    """There is no keystore, or no secret that unlocks it, at this place."""

    code = "keystore_absent"
    message = "there is no keystore at this place"


class KeystorePresent(KeyFault):
    """There is a keystore already; making one anew would lose its keys."""

    code = "keystore_present"
    message = "there is a keystore at this place already"


class KeystoreUnsafe(KeyFault):
    """A file that guards keys can be read or replaced by others."""

    code = "keystore_unsafe"
    message = "the keystore can be read by other users"


class KeystoreCorrupt(KeyFault):
    """The keystore does not open: wrong unlock secret, or altered bytes."""

    code = "keystore_corrupt"
    message = "the keystore does not open with this unlock secret"


class StoreError(ArtifactError):
    """Base of failures of the payload store."""

    code = "artifact_store"
    message = "the artifact store failed"
    retry_after = "10"  # a disk or a mount that somebody has to see to


class PayloadAbsent(StoreError):
    """Nothing is stored under the digest."""

    code = "payload_absent"
    message = "there is no such payload"
    retry_after = ""


class PayloadCorrupt(StoreError):
    """What is stored does not have the digest or length that was signed."""

    code = "payload_corrupt"
    message = "the stored payload is not the one that was signed"
    retry_after = ""


class RangeOutside(StoreError):
    """A range of what is stored begins beyond its end (RFC 9110, section 15.5.17).

    Args:
        length: Bytes that there are.
    """

    code = "range_outside"
    message = "the range lies beyond the end of the payload"

    def __init__(self, length: int) -> None:
        super().__init__()
        self.content_range = f"bytes */{length}"


class UploadError(ArtifactError):
    """Base of refusals of an upload."""

    code = "upload"
    message = "the upload was refused"


class UploadTooLarge(UploadError):
    """More bytes came than the limit or the declared length allow."""

    code = "upload_too_large"
    message = "the upload is larger than allowed"


class UploadTruncated(UploadError):
    """Fewer bytes came than were declared."""

    code = "upload_truncated"
    message = "the upload ended before its declared length"


class StatementInvalid(ArtifactError):
    """A signed statement does not parse, does not verify or says something else."""

    code = "statement_invalid"
    message = "the signed statement does not verify"


_AT_HOME: Final = (
    "try it at home: `sealgate model push … --dry-run`; if it works there, send it again"
)
SandboxFailure = Literal["crashed", "time", "memory", "output"]


class SandboxFailed(ArtifactError):
    """A confined job did not finish.

    Attributes:
        kind: `crashed`, `time`, `memory` or `output` (its result was malformed or too large).
        diagnostics: The end of its standard error, for the operator's log only: it may hold
            what the hostile input made a library print.
        remedy: What whoever sent the input can do about it.
    """

    code = "sandbox_failed"
    message = "the confined job did not finish"

    def __init__(self, kind: SandboxFailure, diagnostics: str = "") -> None:
        super().__init__()
        self.kind: SandboxFailure = kind
        small = "send fewer rows, or a smaller model"
        self.remedy = small if kind in ("time", "memory") else _AT_HOME
        self.diagnostics = diagnostics


class Interrupted(ArtifactError):
    """The gateway is stopping: the work was ended, and nobody is to blame."""

    code = "interrupted"
    message = "the gateway is being stopped"
    retry_after = "5"  # another takes its place, or it starts again


class ModelRefused(ArtifactError):
    """Admission refused the model.

    Attributes:
        reason: One of `gateway.artifacts.admission.REASONS`; stable, for machines.
        remedy: What its owner can do about it; empty where nothing general helps.
    """

    code = "model_refused"
    message = "the model was refused"
    reason: str

    def __init__(self, reason: str, explanation: str, remedy: str = "") -> None:
        super().__init__(f"the model was refused: {explanation}")
        self.reason = reason
        self.remedy = remedy
