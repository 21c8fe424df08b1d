"""SIGHUP and SIGTERM while a gateway has much to do: nothing is lost, and it ends in its time."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from gateway.demo.place import _make_certificates
from tests.e2e.conftest import MakeHouse
from tests.e2e.house import PATIENCE, House, configure, told, until
from tests.e2e.load import Answered, Load, hold_to_log, whole_log
from tests.e2e.slow import slow
from tests.gateway.grpc.peer import STREAM, Peer

DRAIN: Final = 2.0
WHOLE: Final = 15.0
"""What the documentation gives a gateway to end, beside `drain_seconds`."""
SLACK: Final = 10.0
"""For a loaded machine to notice that a process is gone."""
EVENTS: Final = "/v1/audit/follow"


def authority(*folders: Path) -> ssl.SSLContext:
    context = ssl.create_default_context()
    for folder in folders:
        context.load_verify_locations(folder / "ca.pem")
    return context


@dataclass
class Callers:
    """Callers over TLS: some keep their connection, some make one for each request.

    Attributes:
        answers: Status, receipt and certificate of each request, and when it began.
        faults: What was lost.
    """

    house: House
    trust: ssl.SSLContext
    token: str
    answers: list[tuple[float, int, str, bytes]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Callers:
        for kept in (True, True, False, False):
            thread = threading.Thread(target=self._call, args=(kept,))
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, more: int) -> None:
        goal = len(self.answers) + more
        until(lambda: len(self.answers) >= goal or self.faults)

    def shown_since(self, moment: float) -> set[bytes]:
        """The certificates of connections that were made for a request after a moment."""
        return {shown for begun, _, _, shown in self.answers if begun > moment and shown}

    def has_shown(self, moment: float) -> bool:
        assert self.faults == []
        return bool(self.shown_since(moment))

    def _call(self, kept: bool) -> None:
        with ExitStack() as stack:
            client = stack.enter_context(self._client()) if kept else None
            while not self._stop.is_set():
                try:
                    if client is not None:
                        self._ask(client, new=False)
                    else:
                        with self._client() as fresh:
                            self._ask(fresh, new=True)
                except Exception as fault:
                    self.faults.append(repr(fault))

    def _client(self) -> httpx.Client:
        return httpx.Client(verify=self.trust, timeout=PATIENCE)

    def _ask(self, client: httpx.Client, *, new: bool) -> None:
        url = f"https://127.0.0.1:{self.house.place.port}/v2/models/digits/infer"
        headers, begun = {"authorization": f"Bearer {self.token}"}, time.monotonic()
        body = self.house.owned["digits"].body()
        with client.stream("POST", url, json=body, headers=headers) as answer:
            line = answer.extensions["network_stream"].get_extra_info("ssl_object")
            answer.read()
        shown = line.getpeercert(True) if new else b""
        receipt = answer.headers.get("sealgate-audit", "")
        self.answers.append((begun, answer.status_code, receipt, shown))


def a_token(house: House, trust: ssl.SSLContext) -> str:
    answer = httpx.post(
        f"https://127.0.0.1:{house.place.port}/oauth/token",
        data={"grant_type": "client_credentials"},
        auth=("clinic-app", house.cast.secrets["clinic-app"]),
        verify=trust,
        timeout=PATIENCE,
    )
    return str(answer.raise_for_status().json()["access_token"])


def reloaded(house: House, number: int) -> dict[str, Any] | None:
    """What the log says of that reload, once it does."""
    lines = [line for line in told(house) if line["event"] == "reloaded"]
    return lines[-1] if len(lines) == number else None


def test_hang_ups_under_load_lose_no_request_and_serve_the_new_certificate(
    fresh: MakeHouse, tmp_path: Path
) -> None:
    house = fresh(started=False)
    used, *pairs = (tmp_path / name for name in ("used", "first", "second"))
    for folder in pairs:
        folder.mkdir()
        _make_certificates(folder)
    shutil.copytree(pairs[0], used)
    pair = {"tls_certificate": str(used / "sites.pem"), "tls_key": str(used / "sites.key")}
    configure(house.place, **pair)
    house.start()
    trust = authority(*pairs)
    with Callers(house, trust, a_token(house, trust)) as callers:
        callers.wait_for(20)
        for number in range(1, 5):
            shutil.copytree(pairs[number % 2], used, dirs_exist_ok=True)
            level = "debug" if number % 2 else "info"
            configure(house.place, log_level=level, run_timeout_seconds=20.0 + number)
            os.kill(house.pid, signal.SIGHUP)
            line = until(partial(reloaded, house, number))
            done = time.monotonic()
            assert line["changed"] == ["log_level", "run_timeout_seconds"]
            assert (line["needs_restart"], line["certificates"]) == ([], ["public", "grpc"])
            until(partial(callers.has_shown, done))
            callers.wait_for(10)
            wanted = ssl.PEM_cert_to_DER_cert((used / "sites.pem").read_text())
            assert callers.shown_since(done) == {wanted}, "new connections see the new one"
    assert callers.faults == []
    assert {status for _, status, _, _ in callers.answers} == {200}
    receipts = {receipt for _, _, receipt, _ in callers.answers}
    assert len(receipts) == len(callers.answers), "each has a place of its own in the log"
    house.stop()
    verified = house.verify()
    assert verified.returncode == 0, verified.stdout + verified.stderr


def asks_slow(house: House, headers: dict[str, str], answers: list[Answered]) -> None:
    """Ask the slow model about all of its rows, and note what came of it."""
    body = house.owned["slow"].body(count=1_000, subject="patient-0")
    begun = time.monotonic()
    url = f"{house.url}/v2/models/slow/infer"
    with contextlib.suppress(httpx.TransportError):
        answer = httpx.post(url, json=body, headers=headers, timeout=PATIENCE)
        length = len(answer.request.content)
        receipt = answer.headers.get("sealgate-audit")
        code = "" if answer.is_success else answer.json()["type"].rpartition("/")[2]
        answers.append(Answered(begun, 0, "slow", length, answer.status_code, receipt, code))


def as_recorded(answers: list[Answered]) -> list[Answered]:
    """What a stopping gateway cuts off is told as `interrupted` and recorded as cancelled."""
    return [
        replace(answer, code="cancelled") if answer.code == "interrupted" else answer
        for answer in answers
    ]


def dripping_upload(house: House, stack: ExitStack) -> None:
    """Begin an upload whose bytes come for as long as somebody takes them."""
    head = (
        "POST /v1/uploads?model=digits HTTP/1.1\r\nhost: g\r\ncontent-length: 50000000\r\n"
        "content-type: application/octet-stream\r\n"
        f"authorization: Bearer {house.token('clinic-owner')}\r\n\r\n"
    )
    line = stack.enter_context(
        socket.create_connection(("127.0.0.1", house.place.port), timeout=PATIENCE)
    )
    line.sendall(head.encode())
    stopped = threading.Event()

    def drip() -> None:
        with contextlib.suppress(OSError):
            while not stopped.wait(0.05):
                line.sendall(b"x" * 4096)

    thread = threading.Thread(target=drip)
    thread.start()
    stack.callback(thread.join)
    stack.callback(stopped.set)


@contextlib.contextmanager
def busy(house: House, answers: list[Answered]) -> Iterator[Load]:
    """Give a gateway all kinds of work, none of which ends by itself."""
    slow_ones = [
        threading.Thread(target=asks_slow, args=(house, house.bearer(), answers)) for _ in range(3)
    ]
    officer = house.bearer("clinic-officer")
    with ExitStack() as stack:
        for thread in slow_ones:
            thread.start()
            stack.callback(thread.join)
        dripping_upload(house, stack)
        client = stack.enter_context(httpx.Client(timeout=PATIENCE))
        follows = client.stream("GET", house.url + EVENTS, headers=officer)
        assert stack.enter_context(follows).status_code == 200
        peer = stack.enter_context(Peer(house.place.grpc_port))
        peer.begin(STREAM, ("authorization", f"Bearer {house.token()}"))
        half = stack.enter_context(socket.create_connection(("127.0.0.1", house.place.port)))
        half.sendall(b"POST /v2/models/digits/infer HTTP/1.1\r\nhost: g\r\n")
        with Load(house) as load:
            load.wait_for(40)
            until(lambda: engines_at_work(house))
            yield load


def engines_at_work(house: House) -> bool:
    """Whether a run takes its time: then requests for the slow model wait for it."""
    waiting = "sealgate_engine_waiting"
    lines = httpx.get(f"{house.place.operations_url}/metrics").text.splitlines()
    return any(line.startswith(waiting) and float(line.split()[-1]) > 0 for line in lines)


def ended(house: House) -> int:
    """Wait for the end of a process that was asked to stop, for as long as was stated."""
    assert house.running is not None
    code = house.running.wait(DRAIN + WHOLE + SLACK)
    house.running = None
    return code


@pytest.fixture
def slowed(fresh: MakeHouse) -> House:
    house = fresh(started=False, drain_seconds=DRAIN, run_timeout_seconds=120.0)
    house.owned = {**house.owned, "slow": slow()}
    house.start()
    house.release(house.owned["slow"])
    return house


def test_a_gateway_with_slow_runs_and_streams_ends_in_its_time_and_has_recorded_its_answers(
    slowed: House,
) -> None:
    house, slow_answers = slowed, list[Answered]()
    ready = f"{house.place.operations_url}/health/ready"
    with busy(house, slow_answers) as load:
        asked = time.monotonic()
        os.kill(house.pid, signal.SIGTERM)
        until(lambda: httpx.get(ready).text == "stopping\n")
        heard = time.monotonic()
        until(lambda: load.begun_after(heard))
        assert load.begun_after(heard)[0].status in {200, 404}, "it goes on answering"
        code = ended(house)
        print(f"ended after {time.monotonic() - asked:.1f} s with {code}")
    assert code == 0
    done = house.verify()
    assert done.returncode == 0, done.stdout + done.stderr
    house.start()
    log = whole_log(house)
    hold_to_log(as_recorded(load.answers + slow_answers), log)
    cut_off = [event for event in log.values() if event.get("model_id") == "slow"]
    assert "cancelled" in {event.get("reason") for event in cut_off}


def test_children_that_hang_do_not_keep_a_gateway(slowed: House) -> None:
    """Whatever a part waits for when it is closed, the process ends."""
    house, slow_answers = slowed, list[Answered]()
    children = descendants(house.pid)
    try:
        with busy(house, slow_answers) as load:
            for child in children:
                os.kill(child, signal.SIGSTOP)
            os.kill(house.pid, signal.SIGTERM)
            code = ended(house)
    finally:
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
    assert code in {0, 70}
    done = house.verify()
    assert done.returncode == 0, done.stdout + done.stderr
    house.start()
    hold_to_log(as_recorded(load.answers + slow_answers), whole_log(house))


def descendants(process: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{process}/task").iterdir():
        with contextlib.suppress(OSError):
            for child in (task / "children").read_text().split():
                found += [int(child), *descendants(int(child))]
    return found
