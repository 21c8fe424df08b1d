"""The one table from error class to gRPC status.

Safety argument. A status says what is wrong and what to do, never what was sent: its message comes
from our classes, and an error that is not ours becomes a bare INTERNAL, as in a problem of the HTTP
door. Code and message of what is absent and of what is forbidden are the same.

Source: "Status codes and their use in gRPC", and "gRPC over HTTP2" for `grpc-message`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from gateway.errors import SealgateError


class Status(IntEnum):
    """Status codes of gRPC."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


# Status → stable codes of our errors. A code that is missing here fails a test, and is INTERNAL.
# Clients may try UNAVAILABLE again by themselves, RESOURCE_EXHAUSTED after a pause.
_CODES: Final[dict[Status, frozenset[str]]] = {
    Status.UNAUTHENTICATED: frozenset(
        {
            "unauthenticated",
            "token_missing",
            "invalid_token",
            "insufficient_user_authentication",
            "invalid_dpop_proof",
            "use_dpop_nonce",
        }
    ),
    Status.PERMISSION_DENIED: frozenset(
        {"forbidden", "output_refused", "sign_in_refused", "form_refused", "passkey_refused"}
    ),
    Status.NOT_FOUND: frozenset(
        {
            *("model_not_found", "not_found", "unknown_record", "payload_absent", "log_empty"),
            *("entry_unknown", "subject_erased"),
        }
    ),
    Status.UNAVAILABLE: frozenset(
        {
            *("issuer_unavailable", "key_unavailable", "artifact_store", "interrupted"),
            *("model_unavailable", "evidence_unavailable", "coordinator_unavailable"),
            *("model_set_aside", "engines_down", "sign_in_busy"),
            *("storage_unavailable", "audit_unavailable", "erasure_incomplete", "store_fault"),
        }
    ),
    Status.RESOURCE_EXHAUSTED: frozenset(
        {
            *("too_many_requests", "limit_reached", "body_too_large", "upload_too_large"),
            "sign_in_later",
            "engine_busy",
        }
    ),
    Status.DEADLINE_EXCEEDED: frozenset({"body_timeout", "run_timeout", "deadline_exceeded"}),
    Status.UNIMPLEMENTED: frozenset(
        {"unknown_method", "unknown_compression", "unsupported_encoding"}
    ),
    Status.INVALID_ARGUMENT: frozenset(
        {
            *("answer_not_finite", "unsupported_parameter", "rows_refused"),
            *("malformed_request", "contract_violation", "run_failed", "invalid_request"),
            *("oauth_refusal", "signature_refused", "key_refused", "registration_refused"),
            *("policy_set_invalid", "policy_bundle_refused", "age", "age_header", "age_no_match"),
            *("age_header_mac", "age_payload", "age_recipient", "age_identity", "upload"),
            *("upload_truncated", "statement_invalid", "sandbox_failed", "model_refused"),
            "range_outside",
            *("calibration_refused", "publish_refused", "value_refused", "subject_invalid"),
        }
    ),
    Status.ALREADY_EXISTS: frozenset({"already_exists"}),
    Status.ABORTED: frozenset(
        # A client that tried it again by itself would end the next engine.
        {"state_conflict", "policy_epoch_exists", "event_conflict", "engine_failed"}
    ),
    Status.FAILED_PRECONDITION: frozenset({"illegal_move", "age_recipients_mixed"}),
    Status.INTERNAL: frozenset(
        {
            *("internal", "grpc", "engine", "configuration", "identity", "policy", "artifact"),
            *("key", "key_unwrap", "keystore_absent", "keystore_present", "keystore_unsafe"),
            *("keystore_corrupt", "payload_corrupt", "screening", "profile_invalid"),
            *("screen_mismatch", "inference"),
            *("storage", "database_refused", "database_too_new", "audit", "event_invalid"),
            *("entry_tampered", "log_rolled_back", "note_invalid", "proof_invalid"),
            *("seal_invalid", "duplicate_event"),
        }
    ),
}
STATUS: Final[dict[str, Status]] = {
    code: status for status, all_ in _CODES.items() for code in all_
}


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ended.

    Attributes:
        status: For gRPC's machinery.
        message: Public text for people; empty for OK.
        metadata: What else is told: names in lower case.
    """

    status: Status
    message: str
    metadata: tuple[tuple[bytes, bytes], ...]


def ending_of(error: BaseException) -> Ending:
    """Say how a call ended that raised `error`; what is not ours tells nothing."""
    code = getattr(error, "code", None)
    if not isinstance(code, str) or code not in STATUS:
        return Ending(Status.INTERNAL, SealgateError.message, ((b"sealgate-problem", b"internal"),))
    message = error.public if isinstance(error, SealgateError) else str(error)
    told = [(b"sealgate-problem", code.encode())]
    for attribute, name in _METADATA.items():
        if isinstance(value := getattr(error, attribute, None), str) and value:
            told.append((name, value.encode("latin-1")))
    return Ending(STATUS[code], message, tuple(told))


_METADATA: Final = {
    "reason": b"sealgate-reason",
    "receipt": b"sealgate-audit",
    "challenge": b"www-authenticate",
    "nonce": b"dpop-nonce",
    "retry_after": b"retry-after",
}
"""Attribute of an error → metadata that tells it."""


def percent_encoded(message: str) -> bytes:
    """Write a message as `grpc-message` wants it: printable ASCII as it is, but for `%`."""
    return b"".join(
        b"%c" % byte if 0x20 <= byte <= 0x7E and byte != 0x25 else b"%%%02X" % byte
        for byte in message.encode()
    )
