"""Cancels requests that take long when their callers hang up meanwhile.

What a caller who is gone has asked for is not worth a model's time, and it is recorded as what it
is. A short request is not watched: one timer looks at all requests that are under way, and begins
to watch those that it meets a second time.
"""

from __future__ import annotations

import asyncio

from starlette.types import Receive

from gateway.web.body_reader import BodyReader


class HangUps:
    """Looks at the requests under way on one event loop.

    Args:
        every: Seconds from one look to the next: a request is watched after one to two of them.
    """

    def __init__(self, every: float) -> None:
        self._every = every
        self._under_way: set[Watch] = set()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, receive: Receive, body: BodyReader) -> Watch:
        """Look after the request of the current task; `end` its watch when it is over.

        Args:
            receive: The ASGI receive callable; used only after the body was read.
            body: Tells whether the body was read.
        """
        watch = Watch(receive, body)
        self._under_way.add(watch)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._every, self._look)
        return watch

    def end(self, watch: Watch) -> None:
        """Stop looking after a request."""
        self._under_way.discard(watch)
        watch.stop()

    def _look(self) -> None:
        for watch in self._under_way:
            watch.met()
        self._timer = None
        if self._under_way:
            self._timer = asyncio.get_running_loop().call_later(self._every, self._look)


class Watch:
    """One request under way.

    Attributes:
        gone: Its caller hung up, and it was cancelled for that.
    """

    __slots__ = ("_asker", "_body", "_met", "_receive", "_watcher", "gone")

    def __init__(self, receive: Receive, body: BodyReader) -> None:
        self._receive = receive
        self._body = body
        self._asker = asyncio.current_task()
        self._watcher: asyncio.Task[None] | None = None
        self._met = False
        self.gone = False

    def met(self) -> None:
        """Begin to wait for the end of the connection, if it was met before and is all read."""
        if self._met and self._body.ended and self._watcher is None:
            self._watcher = asyncio.ensure_future(self._wait())
        self._met = True

    def stop(self) -> None:
        """Wait no more."""
        if self._watcher is not None:
            self._watcher.cancel()

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        assert self._asker is not None
        self._asker.cancel()
