from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from federated.aggregation import Contribution
from federated.rounds import Instruction, SiteFailure
from federated.task import TrainingSettings

pytestmark = [
    pytest.mark.federated,
    pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning"),
]
pytest.importorskip("flwr")

from flwr.clientapp.client_app import LoadClientAppError  # noqa: E402 - needs the extra
from flwr.supercore.task_identity import TaskIdentity  # noqa: E402

from federated.executor import _check_app, installed_app  # noqa: E402
from federated.mailbox import GridMailbox  # noqa: E402
from federated.wire import answer_to_records  # noqa: E402

INSTRUCTION = Instruction("train", 1, 1, np.zeros(4), TrainingSettings(1, 0.1, 0.0))


class Grid:
    """Keeps what is pushed; hands out what a test puts into `replies`."""

    def __init__(self) -> None:
        self.pushed: list[Any] = []
        self.asked: list[list[str]] = []
        self.replies: list[Any] = []
        self.refused: set[int] = set()

    def get_node_ids(self) -> list[int]:
        return [1, 3, 99]

    def push_messages(self, messages: list[Any]) -> list[str]:
        self.pushed = list(messages)
        nodes = [message.metadata.dst_node_id for message in messages]
        return ["" if node in self.refused else f"message-{node}" for node in nodes]

    def pull_messages(self, ids: list[str]) -> list[Any]:
        self.asked.append(sorted(ids))
        replies, self.replies = self.replies, []
        return replies


def reply(node: int, content: Any = None, error: int | None = None) -> Any:
    return SimpleNamespace(
        metadata=SimpleNamespace(reply_to_message_id=f"message-{node}"),
        has_error=lambda: error is not None,
        error=SimpleNamespace(code=error, reason="the text of an exception"),
        content=content,
    )


@pytest.fixture
def grid(monkeypatch: pytest.MonkeyPatch) -> Grid:
    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)
    return Grid()


@pytest.fixture
def mailbox(grid: Grid) -> GridMailbox:
    return GridMailbox(grid, {"a": 1, "b": 2, "c": 3})


def test_only_listed_nodes_are_seen_and_addressed(grid: Grid, mailbox: GridMailbox) -> None:
    assert mailbox.online(["a", "b", "c"]) == {"a", "c"}
    mailbox.send(INSTRUCTION, ["a", "c"], 9.0)
    assert [message.metadata.dst_node_id for message in grid.pushed] == [1, 3]
    assert all(message.metadata.ttl == 9.0 for message in grid.pushed)


def test_an_answer_is_named_by_the_message_that_it_replies_to(
    grid: Grid, mailbox: GridMailbox
) -> None:
    mailbox.send(INSTRUCTION, ["a", "c"], 9.0)
    records = answer_to_records(Contribution("c", 5, np.zeros(2)))
    grid.replies = [reply(1, records), reply(99, records)]
    (answer,) = mailbox.receive()
    assert answer.site == "a"
    grid.replies = [reply(1, records)]
    assert list(mailbox.receive()) == []
    assert grid.asked == [["message-1", "message-3"], ["message-3"]]


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (1, "app_refused"),
        (2, "site_fault"),
        (5, "offline"),
        (7, "app_refused"),
        (77, "message_lost"),
    ],
)
def test_errors_of_flower_become_words(
    grid: Grid, mailbox: GridMailbox, code: int, word: str
) -> None:
    mailbox.send(INSTRUCTION, ["a"], 9.0)
    grid.replies = [reply(1, error=code)]
    assert list(mailbox.receive()) == [SiteFailure("a", word)]


def test_nothing_is_asked_for_when_nothing_is_owed(grid: Grid, mailbox: GridMailbox) -> None:
    assert list(mailbox.receive()) == []
    grid.refused = {1}
    mailbox.send(INSTRUCTION, ["a"], 9.0)
    assert list(mailbox.receive()) == []
    assert grid.asked == []


def test_a_site_loads_no_app_but_its_own() -> None:
    _check_app(installed_app(), skip_prompt=True)
    with pytest.raises(LoadClientAppError) as refusal:
        _check_app(b"another app", skip_prompt=True)
    assert "installed" in str(refusal.value)
