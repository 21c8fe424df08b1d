"""Records what happens to tokens, in the log of the tenant they act for, before answers leave."""

from __future__ import annotations

from collections.abc import Callable

from gateway.authorization.intents import Intents
from gateway.authorization.kinds import FINISHED, Attribution, Kind, Settled
from gateway.authorization.recorder import Details, Recorder
from gateway.authorization.records import Pending
from gateway.identity.authorization_server import Revocation, TokenEvent

Revoke = Callable[[str, str, int], object]
"""(issuer, token id, expiry) → nothing: when it returns the token is accepted nowhere."""


class TokenEvidence:
    """Records tokens that are issued or refused, and makes revocations.

    Args:
        recorder: Makes events durable.
        intents: Begin and end revocations.
        revoke: Revokes a token; repeating it changes nothing.
    """

    def __init__(self, recorder: Recorder, intents: Intents, revoke: Revoke) -> None:
        self._recorder = recorder
        self._intents = intents
        self._revoke = revoke
        intents.register(Kind("revoke_token", "revokeToken", _details, self._finish))

    async def record(self, event: TokenEvent) -> None:
        """Make an event durable.

        Raises:
            EvidenceUnavailable: It could not be recorded; the token must not be given out.
        """
        resource = f"Token::{event.token_id}" if event.token_id else ""
        details: Details = {
            "tenant": event.tenant,
            "client_id": event.client_id,
            "reason": event.reason,
            "resource": resource,
            **({"actor_ref": event.subject, "actor_type": "service"} if event.subject else {}),
        }
        if event.person:
            details["actor_ref"], details["actor_type"] = event.person, "user"
            details["session_ref"] = event.sign_in
        recorded = self._recorder.event_for(None, event.action, event.outcome, **details)
        await self._recorder.write_async(recorded)

    def revoke(self, revocation: Revocation) -> None:
        """Carry a revocation out, recorded; when this returns it holds everywhere. Blocks.

        Raises:
            EvidenceUnavailable: It could not be recorded.
        """
        claims = revocation.claims
        row = {
            "client": revocation.client.id,
            "issuer": claims.issuer,
            "token": claims.token_id,
            "expires": str(claims.expires),
        }
        # Of the person, where the token is about one: a client of the platform serves all tenants.
        tenant = claims.tenant or revocation.client.tenant
        with self._intents.changing("revoke_token", tenant, row, Attribution()):
            self._revoke(claims.issuer, claims.token_id, claims.expires)

    def _finish(self, pending: Pending) -> Settled:
        """A token that was to be revoked is revoked: that is for ever anyway."""
        facts = pending.facts
        self._revoke(facts["issuer"], facts["token"], int(facts["expires"]))
        return FINISHED


def _details(pending: Pending) -> Details:
    facts = pending.facts
    return {
        "client_id": facts["client"],
        "reason": "ok",
        "resource": f"Token::{facts['token']}",
    }
