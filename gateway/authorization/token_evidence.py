"""Records what happened to a token, in the log of the client's tenant, before the answer leaves."""

from __future__ import annotations

from audit.event import Event
from gateway.authorization.recorder import Recorder
from gateway.identity.authorization_server import TokenEvent


class TokenEvidence:
    """Callable for `gateway.web.oauth`; runs in the event loop.

    Args:
        recorder: Makes events durable.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    async def __call__(self, event: TokenEvent) -> None:
        """Make the event durable.

        Raises:
            EvidenceUnavailable: It could not be recorded; the token must not be given out.
        """
        await self._recorder.write_async(self._event(event))

    def _event(self, event: TokenEvent) -> Event:
        return self._recorder.event_for(
            None,
            event.action,
            event.outcome,
            category="identity",
            tenant=event.tenant,
            client_id=event.client_id,
            reason=event.reason,
            resource=f"Token::{event.token_id}" if event.token_id else "",
            phase=event.phase,
        )
