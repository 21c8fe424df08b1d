"""What of a request's head is kept, in a real server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
import uvicorn

from gateway.process.bounded_http import (
    IDLE_SECONDS,
    MAX_HEAD_BYTES,
    BoundedHttp,
    DoorState,
)
from tests.audit.samples import until

LINE = b"POST / HTTP/1.1\r\nhost: g\r\ncontent-length: 3\r\nx: "
END = b"\r\n\r\n"
PATIENCE = 240.0


async def _length(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the lengths of the longest header and of the body."""
    body = b""
    while (message := await receive()).get("more_body"):
        body += message["body"]
    body += message["body"]
    longest = max(len(value) for _, value in scope["headers"])
    told = f"{longest} {len(body)}".encode()
    headers = [(b"content-length", str(len(told)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": told})


async def _slow(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.sleep(0.5)
    await _length(scope, receive, send)


async def _late_end(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    headers = [(b"content-length", b"1")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"1", "more_body": True})
    await asyncio.sleep(0.1)
    await send({"type": "http.response.body"})


async def _large(scope: Any, receive: Any, send: Any) -> None:
    """Answer with more than the buffers of both sides hold."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(1_000):
        await send({"type": "http.response.body", "body": bytes(1 << 16), "more_body": True})


class Hasty(BoundedHttp):
    head_seconds = 0.5
    idle_seconds = 3.0
    look_seconds = 0.1


class Held(BoundedHttp):
    """Is known while it is open."""

    held: ClassVar[set[BoundedHttp]]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.held.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.held.discard(self)


class Unread(Held):
    held: ClassVar[set[BoundedHttp]] = set()
    look_seconds = 0.1
    send_seconds = 0.5


class Stalling(Held):
    held: ClassVar[set[BoundedHttp]] = set()
    stalled_seconds = 0.2

    @staticmethod
    def most() -> int:
        return 5


class Crowded(BoundedHttp):
    @staticmethod
    def most() -> int:
        return 5


class Counted(BoundedHttp):
    """Counts how often one is looked at when there are too many."""

    looks: ClassVar[int] = 0

    @staticmethod
    def most() -> int:
        return 40

    @property
    def spare(self) -> bool:
        Counted.looks += 1
        return super().spare


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving(BoundedHttp) as found:
        yield found


@pytest.fixture
def hasty() -> Iterator[int]:
    with serving(Hasty) as found:
        yield found


@pytest.fixture
def crowded() -> Iterator[int]:
    with serving(Crowded) as found:
        yield found


@contextlib.contextmanager
def serving(protocol: type[BoundedHttp], app: Any = None) -> Iterator[int]:
    server = uvicorn.Server(
        uvicorn.Config(
            app or _length,
            http=protocol,
            log_config=None,
            lifespan="off",
            ws="none",
            timeout_keep_alive=IDLE_SECONDS,
        )
    )
    server.server_state = DoorState()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def ask(port: int, *pieces: bytes) -> bytes:
    """Send pieces, leave the line open, and return what came until the other side closed it."""
    answer = b""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as line,
        contextlib.suppress(ConnectionError),
    ):
        for piece in pieces:
            line.sendall(piece)
        while part := line.recv(65_536):
            answer += part
            if b"HTTP/1.1 200" in answer and answer.endswith(b"3"):
                break
    return answer


def test_a_head_of_the_size_that_is_allowed_is_answered(port: int) -> None:
    room = MAX_HEAD_BYTES - len(LINE + END)
    assert ask(port, LINE + b"a" * room + END + b"abc").endswith(b"%d 3" % room)


@pytest.mark.parametrize("ended", [END + b"abc", b""], ids=["ended", "endless"])
@pytest.mark.parametrize("length", [MAX_HEAD_BYTES, 20 * MAX_HEAD_BYTES])
def test_a_larger_one_ends_its_connection(port: int, length: int, ended: bytes) -> None:
    told = ask(port, LINE + b"a" * length + ended)
    assert told.split()[1:2] in ([], [b"431"])


def test_what_is_no_request_and_what_is_too_large_are_problems(port: int) -> None:
    for sent, status in ((b"\0\1 marker\r\n\r\n", 400), (LINE + b"a" * MAX_HEAD_BYTES, 431)):
        head, _, body = ask(port, sent).partition(END)
        if not head:
            continue  # the answer is lost where what was still sent meets a closed connection
        problem = json.loads(body)
        assert head.split()[1] == str(problem["status"]).encode() == str(status).encode()
        assert problem["error"] == problem["detail"]
        assert f"sealgate-request-id: {problem['request_id']}".encode() in head
        assert b"marker" not in body


def test_many_small_headers_are_counted_together(port: int) -> None:
    told = ask(port, LINE + b"a\r\n", *[b"x: b\r\n" * 1_000] * 20)
    assert told.split()[1:2] in ([], [b"431"])


def test_each_request_of_a_connection_is_counted_by_itself(port: int) -> None:
    one = LINE + b"a" * (MAX_HEAD_BYTES // 2) + END + b"abc"
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as line:
        for _ in range(4):
            line.sendall(one)
            answer = b""
            while not answer.endswith(b"3"):
                answer += line.recv(65_536)
            assert answer.startswith(b"HTTP/1.1 200")
        line.sendall(LINE + b"a" * 2 * MAX_HEAD_BYTES)
        with contextlib.suppress(ConnectionError):
            answer = line.recv(65_536)
            assert answer.split()[1:2] in ([], [b"431"])
            assert line.recv(1) == b""


def test_requests_sent_ahead_of_an_answer_are_not_kept(port: int) -> None:
    """Each answer once let in thousands more: one stranger took a gigabyte in twelve seconds."""
    one = LINE + b"a" + END + b"abc"
    for ahead in (2, 20_000):
        with opened(port) as line, contextlib.suppress(ConnectionError):
            told = b""
            with contextlib.suppress(ConnectionError):
                line.sendall(one * (1 + ahead))
            while part := line.recv(65_536):
                told += part
            assert told.count(b"HTTP/1.1 200") == 2, "both answers are whole"
            assert told.endswith(b"1 3")


def test_requests_sent_one_by_one_ahead_wait_in_the_socket_and_are_answered_in_turn() -> None:
    with serving(BoundedHttp, _slow) as port, opened(port) as line:
        for _ in range(3):
            line.sendall(LINE + b"a" + END + b"abc")
            time.sleep(0.05)
        told = b""
        while told.count(b"1 3") < 3 and (part := line.recv(65_536)):
            told += part
        assert told.count(b"HTTP/1.1 200") == 3


def test_who_has_the_last_byte_may_ask_again_before_the_server_has_noticed() -> None:
    """What is streamed ends with a piece of its own, some time after its last byte."""
    with serving(BoundedHttp, _late_end) as port, opened(port) as line:
        for _ in range(5):
            line.sendall(LINE + b"a" + END + b"abc")
            told = b""
            while not told.endswith(END + b"1") and (part := line.recv(65_536)):
                told += part
            assert told.startswith(b"HTTP/1.1 200")


def test_who_does_not_read_is_not_waited_for() -> None:
    with serving(Unread, _large) as port, opened(port) as line:
        line.sendall(LINE + b"a" + END + b"abc")
        time.sleep(0.1)
        until(lambda: not Unread.held)


def test_who_does_not_read_gives_way_to_a_newcomer() -> None:
    """Once a crowd of them shut everybody out, for as long as it liked."""
    with serving(Stalling, _large) as port, contextlib.ExitStack() as stack:
        for _ in range(Stalling.most()):
            line = stack.enter_context(opened(port))
            line.sendall(LINE + b"a" + END + b"abc")
        until(lambda: len([one for one in Stalling.held if one.spare]) == Stalling.most())
        with opened(port) as line:
            line.sendall(LINE + b"a" + END + b"abc")
            assert line.recv(65_536).startswith(b"HTTP/1.1 200")


def opened(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def answered(line: socket.socket) -> bytes:
    """One answer, in however many pieces it comes."""
    answer = b""
    while not answer.endswith(b" 3") and (part := line.recv(9999)):
        answer += part
    return answer


def test_a_head_that_is_never_finished_is_not_waited_for(hasty: int) -> None:
    """Half-sent heads stayed for ever."""
    assert ask(hasty, LINE[:30]).split()[1] == b"408"


def test_a_head_that_drips_is_not_waited_for(hasty: int) -> None:
    with opened(hasty) as line, contextlib.suppress(ConnectionError):
        line.settimeout(0.02)
        for byte in LINE * 99:
            line.send(bytes([byte]))
            with contextlib.suppress(TimeoutError):
                told = line.recv(9999)
                assert told.split()[1:2] in ([], [b"408"])
                return
        raise AssertionError("all of it was waited for")


def test_who_asks_for_nothing_is_not_kept(hasty: int) -> None:
    """A thousand silent connections took every descriptor."""
    assert ask(hasty) == b""


def test_a_connection_that_is_used_again_and_again_is_kept(hasty: int) -> None:
    with opened(hasty) as line:
        for _ in range(9):
            line.sendall(LINE + b"a" + END + b"abc")
            assert answered(line).endswith(b"1 3")
            time.sleep(0.4)


def test_one_connection_more_takes_the_place_of_the_longest_silent(crowded: int) -> None:
    with contextlib.ExitStack() as stack:
        first, *others = [stack.enter_context(opened(crowded)) for _ in range(5)]
        time.sleep(0.1)  # the loop's clock has whole milliseconds
        for line in others:  # they have been asked later than the first
            line.sendall(LINE + b"a" + END + b"abc")
            assert answered(line).endswith(b"1 3")
        last = stack.enter_context(opened(crowded))
        last.sendall(LINE + b"a" + END + b"abc")
        assert answered(last).endswith(b"1 3")
        assert first.recv(9999) == b""
        for line in others:
            line.sendall(LINE + b"a" + END + b"abc")
            assert answered(line).endswith(b"1 3")


def test_one_more_is_let_in_without_a_look_at_all_of_them() -> None:
    with serving(Counted) as port, contextlib.ExitStack() as lines:
        for _ in range(Counted.most() + 20):
            line = lines.enter_context(opened(port))
            line.sendall(LINE + END + b"abc")
            assert answered(line).startswith(b"HTTP/1.1 200")
    assert 0 < Counted.looks <= 2 * 20


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nhost: a\r\nHost: b\r\n", b"400"),
        (b"GET / HTTP/1.0\r\nhost: a\r\nhost: a\r\n", b"400"),
        (b"GET / HTTP/1.0\r\nx: y\r\n", b"200"),
    ],
)
def test_a_request_names_its_host_once(port: int, head: bytes, status: bytes) -> None:
    assert ask(port, head + b"\r\n").split()[1] == status
