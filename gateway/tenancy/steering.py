"""Who could steer a tenant: its real clients and people, as they are registered now.

INVARIANT: only those who would be let in are named: a disabled client steers nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, Protocol

from gateway.authorization.guard import Guard
from gateway.authorization.recorder import Call
from gateway.identity.ports import ClientStore
from gateway.identity.records import Client
from gateway.pages import every
from policies.standing import Candidate, Standing

MAX_READ: Final = 5_000
"""Clients of a tenant that are looked through for those who could steer it."""
_LIKELY: Final = frozenset({"policies", "audit"})
"""Scopes of the starter set for steering: who has them is asked for first."""


class People(Protocol):
    """The people of a tenant, where there are any."""

    def __call__(self, tenant: str, /) -> Iterable[Candidate]:
        """Return those who may sign in now, with the widest tokens that they may have."""
        ...


def nobody(_: str) -> Iterable[Candidate]:
    """Return the people of a gateway that knows only clients."""
    return ()


class Steering:
    """Gathers who could steer a tenant.

    Args:
        clients: Where clients are registered.
        guard: Knows the circumstances.
        clock: Unix seconds.
        people: Of a tenant.
    """

    def __init__(
        self,
        clients: ClientStore,
        guard: Guard,
        clock: Callable[[], float],
        people: People = nobody,
    ) -> None:
        self._clients = clients
        self._guard = guard
        self._clock = clock
        self._people = people

    def standing(self, call: Call, tenant: str) -> Standing:
        """Return who could steer a tenant, whoever asks first."""
        circumstances = self._guard.circumstances(call)
        found = [*map(_candidate, self._enabled(tenant)), *islice(self._people(tenant), MAX_READ)]
        first = call.principal.client_id

        def rank(candidate: Candidate) -> tuple[bool, bool]:
            return candidate.id != first, _LIKELY.isdisjoint(candidate.scopes)

        return Standing(
            tenant=self._guard.tenant(tenant),
            candidates=tuple(sorted(found, key=rank)),
            region=circumstances.region,
            epoch=circumstances.epoch,
            solo=circumstances.solo,
            now=int(self._clock()),
        )

    def _enabled(self, tenant: str) -> Iterator[Client]:
        def page(after: str, limit: int) -> Sequence[Client]:
            return self._clients.list(tenant, after or None, limit)

        clients = every(page, lambda client: client.id, "")
        return (client for client in islice(clients, MAX_READ) if not client.disabled)


def _candidate(client: Client) -> Candidate:
    return Candidate(
        id=client.id,
        kind=client.kind,
        roles=client.roles,
        scopes=client.scopes,
        purposes=client.purposes,
        binding=client.token_binding,
        purpose=client.default_purpose,
    )
