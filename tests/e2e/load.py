"""Concurrent callers, and what each of them was answered."""

from __future__ import annotations

import itertools
import json
import threading
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.e2e.house import House, until


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer that reached a caller: `receipt` is its `Sealgate-Audit`, if it had one."""

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
        callers: How many at a time.
        answers: In the order in which they arrived.
    """

    house: House
    callers: int = 4
    answers: list[Answered] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _numbers: Any = field(default_factory=itertools.count)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Load:
        headers = self.house.bearer()
        for _ in range(self.callers):
            thread = threading.Thread(target=self._call, args=(headers,))
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
        until(lambda: len(self.answers) >= goal, 60.0)

    def _call(self, headers: dict[str, str]) -> None:
        with httpx.Client(timeout=20.0, headers=headers) as client:
            while not self._stop.is_set():
                try:
                    self.answers.append(self._ask(client, next(self._numbers)))
                except httpx.TransportError:
                    return

    def _ask(self, client: httpx.Client, number: int) -> Answered:
        """Ask a model of numbers, one of people or one that is not there, each a little longer."""
        model = ("digits", "biopsy", "digits", "absent")[number % 4]
        owned = self.house.owned["biopsy" if model == "biopsy" else "digits"]
        body = owned.body(row=number % 50, subject=f"patient-{number % 7}")
        content = json.dumps({"id": "x" * (number % 400), **body}).encode()
        url = f"{self.house.url}/v2/models/{model}/infer"
        answer = client.post(url, content=content)
        receipt = answer.headers.get("sealgate-audit")
        code = "" if answer.is_success else answer.json()["type"].rpartition("/")[2]
        return Answered(number, model, len(content), answer.status_code, receipt, code)
