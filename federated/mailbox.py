"""A mailbox over Flower's Grid: pushes messages and looks for replies by itself.

Flower's own `send_and_receive` sleeps three seconds between two looks; here `Rounds` decides when
to look. The first look after a push also tells the SuperLink that every object of the messages is
there (see `longpoll`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from flwr.app import Message

from federated.rounds import Answer, Instruction, SiteFailure
from federated.wire import instruction_to_records, records_to_answer

CODES: Final[Mapping[int, str]] = {
    1: "app_refused",
    2: "site_fault",
    3: "message_lost",
    4: "message_lost",
    5: "offline",
    7: "app_refused",
    8: "site_fault",
}
"""Flower's error codes (`flwr.common.constant.ErrorCode`) as stable words of ours."""


class GridMailbox:
    """Carries instructions over a Grid.

    Args:
        grid: Flower's Grid of the running ServerApp.
        nodes: Site name → the SuperLink's node id: the allow-list.
    """

    def __init__(self, grid: Any, nodes: Mapping[str, int]) -> None:
        self._grid = grid
        self._nodes = dict(nodes)
        self._names = {node: name for name, node in nodes.items()}
        self._open: dict[str, str] = {}

    def online(self, sites: Collection[str]) -> frozenset[str]:
        """Return those of `sites` that the SuperLink takes for connected."""
        connected = set(self._grid.get_node_ids())
        return frozenset(name for name in sites if self._nodes[name] in connected)

    def send(self, instruction: Instruction, sites: Collection[str], seconds: float) -> None:
        """Push one message to each site; missing replies to an earlier push are forgotten."""
        messages = [
            Message(
                instruction_to_records(instruction),
                self._nodes[site],
                "train",
                ttl=seconds,
                group_id=str(instruction.round),
            )
            for site in sites
        ]
        ids = list(self._grid.push_messages(messages))
        self._open = {key: site for key, site in zip(ids, sites, strict=True) if key}

    def receive(self) -> Iterable[Answer]:
        """Replies that have arrived; each names its site by the message that it replies to."""
        if not self._open:
            return []
        answers = [self._answer(reply) for reply in self._grid.pull_messages(list(self._open))]
        return [answer for answer in answers if answer is not None]

    def _answer(self, reply: Any) -> Answer | None:
        site = self._open.pop(reply.metadata.reply_to_message_id, None)
        if site is None:
            return None
        if reply.has_error():
            return SiteFailure(site, CODES.get(reply.error.code, "message_lost"))
        return records_to_answer(reply.content, site)
