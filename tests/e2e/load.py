"""Concurrent callers, and what each of them was answered."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.e2e.house import PATIENCE, Event, House, until


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer that reached a caller.

    Attributes:
        begun: When the request was begun, by the monotonic clock.
        receipt: Its `Sealgate-Audit`, if it had one.
    """

    begun: float
    number: int
    model: str
    length: int
    status: int
    receipt: str | None
    code: str


@dataclass
class Load:
    """Callers that ask until the block ends or the gateway is gone.

    Attributes:
        house: Whom they ask.
        path: What they ask; by default some of everything.
        asks: The model that `path` is of.
        callers: How many at a time.
        headers: Of the next requests; may be changed at any time.
        answers: In the order in which they arrived.
    """

    house: House
    path: str | None = None
    asks: str = "digits"
    callers: int = 4
    headers: dict[str, str] = field(default_factory=dict)
    answers: list[Answered] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _numbers: Any = field(default_factory=itertools.count)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Load:
        self.headers = self.headers or self.house.bearer()
        for _ in range(self.callers):
            thread = threading.Thread(target=self._call)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, more: int) -> None:
        """Wait until that many more answers have arrived."""
        goal = len(self.answers) + more
        until(lambda: len(self.answers) >= goal)

    def begun_after(self, moment: float) -> list[Answered]:
        """The answers to requests that were begun after a moment."""
        return [answer for answer in reversed(self.answers[:]) if answer.begun > moment]

    def _call(self) -> None:
        with httpx.Client(timeout=PATIENCE) as client:
            while not self._stop.is_set():
                try:
                    self.answers.append(self._ask(client, next(self._numbers)))
                except httpx.TransportError:
                    return

    def _ask(self, client: httpx.Client, number: int) -> Answered:
        """Ask a model of numbers, one of people or one that is not there, each a little longer."""
        models = ("digits", "biopsy", "digits", "absent")
        model = self.asks if self.path else models[number % 4]
        owned = self.house.owned["biopsy" if model == "biopsy" else "digits"]
        body = owned.body(row=number % 50, subject=f"patient-{number % 7}")
        content = json.dumps({"id": "x" * (number % 400), **body}).encode()
        path = self.path or f"/v2/models/{model}/infer"
        headers, begun = self.headers, time.monotonic()
        answer = client.post(self.house.url + path, content=content, headers=headers)
        receipt = answer.headers.get("sealgate-audit")
        code = "" if answer.is_success else answer.json()["type"].rpartition("/")[2]
        return Answered(begun, number, model, len(content), answer.status_code, receipt, code)


def whole_log(house: House) -> dict[int, Event]:
    """The clinic's log by index, as its officer reads it."""
    events: dict[int, Event] = {}
    with house.client("clinic-officer") as officer:
        for entry in officer.items("/v1/audit/events", order="oldest", limit=200):
            events[entry["index"]] = entry["event"]
    return events


def hold_to_log(answers: list[Answered], log: dict[int, Event]) -> None:
    """Fail unless every answer is in the log at the place that it names."""
    given = [answer for answer in answers if answer.status == 200]
    receipts = [answer.receipt for answer in given]
    assert None not in receipts
    assert len(set(receipts)) == len(receipts)
    for answer in given:
        event = log[int(str(answer.receipt).rpartition("/")[2])]
        assert (event["action"], event["outcome"]) == ("releaseOutput", "allow")
        assert (event["model_id"], event["n_in"]) == (answer.model, answer.length)
        assert len(event.get("subject_refs", [])) == 1, (answer, event)
    refused = Counter(answer.code for answer in answers if answer.status != 200)
    recorded = Counter(event.get("reason", "").replace("_", "-") for event in log.values())
    for code in refused.keys() - {"audit-unavailable"}:
        assert refused[code] <= recorded[code]
