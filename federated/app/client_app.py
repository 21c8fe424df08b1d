"""The site's side of the app: decode, answer on local rows, encode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flwr.app import Message
from flwr.clientapp import ClientApp

from federated.errors import WireInvalid
from federated.rounds import Answer, SiteFailure
from federated.site.answer import answer
from federated.site.data import load
from federated.wire import answer_to_records, records_to_instruction

app = ClientApp()


@app.train()  # type: ignore[untyped-decorator]  # flwr ships no types
def train(message: Any, context: Any) -> Any:
    """Answer one instruction; settings come from the site's own node configuration."""
    return Message(answer_to_records(_answer(message, context.node_config)), reply_to=message)


def _answer(message: Any, settings: Any) -> Answer:
    try:
        instruction = records_to_instruction(message.content)
    except WireInvalid as refusal:
        return SiteFailure("", refusal.code)
    return answer(
        instruction,
        lambda: load(Path(str(settings["data"])), str(settings["label"])),
        site="",
        minimum_rows=int(settings["minimum-rows"]),
    )
