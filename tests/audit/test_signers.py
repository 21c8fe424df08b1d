from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.note import LogSigner
from audit.signers import Signers


def test_a_thread_that_asked_before_another_does_not_undo_what_that_has_done() -> None:
    """Once a key that was replaced meanwhile came back, and the log could not be started again."""
    stale, fresh = (LogSigner("log/acme", Ed25519PrivateKey.generate()) for _ in range(2))
    asked: list[str] = []

    def ask(tenant: str) -> LogSigner:
        asked.append(tenant)
        if len(asked) > 1:
            return fresh
        assert signers(tenant) is fresh  # another is quicker
        return stale

    signers = Signers(ask, lambda _: None)
    assert signers("acme") is fresh
    assert signers("acme") is fresh
    assert asked == ["acme", "acme"]
