from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from federated.longpoll import COLLECT, MAX_BODY_BYTES, PULL, PUSH, UNREGISTER, LongPoll


class SuperLink:
    """An ASGI app with one queue of messages a key, as the real one has."""

    def __init__(self) -> None:
        self.waiting: dict[bytes, list[bytes]] = {}
        self.known = {b"key-a", b"key-b"}
        self.looks = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        key = dict(scope["headers"]).get(b"flwr-public-key", b"")
        content, status = b"", 200
        if scope["path"] == PULL:
            self.looks += 1
            assert body == b"node"
            if key not in self.known:
                status, content = 401, b"no"
            elif self.waiting.get(key):
                content = self.waiting[key].pop(0)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": content})


class Call:
    """One request to the wrapped app."""

    def __init__(self, app: LongPoll, path: str, key: bytes = b"key-a", body: bytes = b"node"):
        self._incoming: asyncio.Queue[Any] = asyncio.Queue()
        self._incoming.put_nowait({"type": "http.request", "body": body, "more_body": False})
        self.sent: list[Any] = []
        scope = {"type": "http", "path": path, "headers": [(b"flwr-public-key", key)]}
        self.task = asyncio.ensure_future(app(scope, self._incoming.get, self._send))

    async def _send(self, message: Any) -> None:
        self.sent.append(message)

    def hang_up(self) -> None:
        self._incoming.put_nowait({"type": "http.disconnect"})

    async def answer(self) -> tuple[int, bytes]:
        await self.task
        return self.sent[0]["status"], self.sent[1]["body"]


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def scenario(body: Callable[[SuperLink, LongPoll], Coroutine[Any, Any, None]]) -> None:
    async def play() -> None:
        superlink = SuperLink()
        await body(superlink, LongPoll(superlink, hold_s=60))

    asyncio.run(play())


async def push(superlink: SuperLink, app: LongPoll, key: bytes, message: bytes) -> None:
    superlink.waiting.setdefault(key, []).append(message)
    await Call(app, PUSH).answer()
    await Call(app, COLLECT).answer()


def test_a_waiting_message_is_answered_at_once() -> None:
    async def body(superlink: SuperLink, app: LongPoll) -> None:
        superlink.waiting[b"key-a"] = [b"m"]
        assert await Call(app, PULL).answer() == (200, b"m")

    scenario(body)


def test_an_empty_pull_is_held_until_the_push_is_complete() -> None:
    async def body(superlink: SuperLink, app: LongPoll) -> None:
        held = Call(app, PULL)
        await settle()
        superlink.waiting[b"key-a"] = [b"m"]
        await Call(app, PUSH).answer()
        await settle()
        assert not held.task.done()
        await Call(app, COLLECT).answer()
        assert await held.answer() == (200, b"m")
        assert superlink.looks == 2

    scenario(body)


def test_a_push_for_another_node_leaves_the_poll_held() -> None:
    async def body(superlink: SuperLink, app: LongPoll) -> None:
        mine, other = Call(app, PULL), Call(app, PULL, b"key-b")
        await settle()
        await push(superlink, app, b"key-b", b"m")
        assert await other.answer() == (200, b"m")
        await settle()
        assert not mine.task.done()
        mine.hang_up()
        await mine.task

    scenario(body)


def test_looking_for_replies_wakes_only_after_a_push() -> None:
    async def body(superlink: SuperLink, app: LongPoll) -> None:
        held = Call(app, PULL)
        await settle()
        for _ in range(3):
            await Call(app, COLLECT).answer()
        await settle()
        assert superlink.looks == 1
        held.hang_up()
        await held.task

    scenario(body)


def test_no_message_is_taken_for_a_client_that_has_gone() -> None:
    async def body(superlink: SuperLink, app: LongPoll) -> None:
        held = Call(app, PULL)
        await settle()
        held.hang_up()
        await held.task
        assert held.sent == []
        await push(superlink, app, b"key-a", b"m")
        await settle()
        assert superlink.waiting[b"key-a"] == [b"m"]
        assert await Call(app, PULL).answer() == (200, b"m")

    scenario(body)


def test_a_second_poll_of_a_key_sends_the_first_away() -> None:
    async def body(superlink: SuperLink, app: LongPoll) -> None:
        first = Call(app, PULL)
        await settle()
        second = Call(app, PULL)
        assert await first.answer() == (200, b"")
        await push(superlink, app, b"key-a", b"m")
        assert await second.answer() == (200, b"m")

    scenario(body)


def test_refusals_are_not_held_and_a_removed_node_is_refused_at_once() -> None:
    async def body(superlink: SuperLink, app: LongPoll) -> None:
        assert await Call(app, PULL, b"stranger").answer() == (401, b"no")
        held = Call(app, PULL)
        await settle()
        superlink.known.clear()
        await Call(app, UNREGISTER).answer()
        assert await held.answer() == (401, b"no")

    scenario(body)


def test_time_is_bounded() -> None:
    async def body(superlink: SuperLink, _: LongPoll) -> None:
        assert await Call(LongPoll(superlink, hold_s=0), PULL).answer() == (200, b"")

    scenario(body)


def test_size_is_bounded() -> None:
    async def body(_: SuperLink, app: LongPoll) -> None:
        call = Call(app, PULL, body=b"x" * (MAX_BODY_BYTES + 1))
        assert (await call.answer())[0] == 413

    scenario(body)
