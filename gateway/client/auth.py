"""`SealgateAuth`: fetches, renews and proves tokens for httpx clients and what is built on them.

Safety argument.
1. A token, a secret and an assertion leave only for the address of the profile: a request to
   another one, a redirect's too, is refused before anything is sent.
2. A request is sent a second time only if the gateway said 401, that is did nothing, and if the
   body can be sent again; a third time never.
3. However many threads or tasks share one object, one at a time asks for a token; the others wait
   and use what it got.
4. Answers to the application's own requests are never read here: they may be streams.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final, Self
from weakref import WeakKeyDictionary

import httpx

from gateway.client.certificates import trust_of
from gateway.client.errors import AddressRefused
from gateway.client.profile import Profile, load_profile
from gateway.client.tokens import TOKEN_PATH, Tokens

MOST_TRIES: Final = 2
"""Times that one request is sent: once more, with what its refusal taught."""

TIMEOUT: Final = httpx.Timeout(60.0, connect=10.0)


class SealgateAuth(httpx.Auth):
    """Authenticates requests to one gateway. Safe for threads, and for tasks of asyncio.

    Give it to `httpx.Client(auth=…)`, `httpx.AsyncClient(auth=…)` or, for kserve,
    `RESTConfig(auth=…)`. It asks for tokens through the same client.

    Args:
        profile: Who calls which gateway.
    """

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.tokens = Tokens(
            profile, clock=time.time, monotonic=time.monotonic, random_bytes=os.urandom
        )
        self._url = httpx.URL(profile.url)
        self._asks = threading.Lock()
        self._finds = threading.Lock()
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]
        self._turns = WeakKeyDictionary()

    @classmethod
    def from_profile(cls, path: str | Path) -> Self:
        """Read a profile file, as commands do.

        Raises:
            ProfileInvalid: It cannot be used.
        """
        return cls(load_profile(Path(path).expanduser()))

    def headers(self, client: httpx.Client, method: str, path: str) -> dict[str, str]:
        """Return the headers of one request, for a program that sends it by itself.

        They are of use once, within a minute, and not for another request.

        Args:
            client: Asks for a token where there is none.
            method: As it will be sent.
            path: Percent-encoded as it will be sent, without a query.

        Raises:
            TokenRefused: The gateway gives no token.
            httpx.HTTPError: It does not answer.
        """
        with closing(self._token()) as flow:
            try:
                asking = next(flow)
                while True:
                    asking = flow.send(client.send(asking, auth=None))
            except StopIteration as end:
                token: str = end.value
        return self.tokens.headers(token, method, path)

    def http_client(self) -> httpx.Client:
        """Return a client that asks for tokens, for programs that have none of httpx.

        Raises:
            ProfileInvalid: `ca_file` of the profile cannot be used.
        """
        return httpx.Client(timeout=TIMEOUT, verify=trust_of(self.profile))

    def sync_auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        """Prove a request of a synchronous client, and once more where that is of use."""
        self.check_address(request.url)
        for _ in range(MOST_TRIES):
            token = yield from self._token()
            response = yield self._proven(request, token)
            if not self._again(request, response, token):
                return

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Prove a request of an asynchronous client, and once more where that is of use."""
        self.check_address(request.url)
        for _ in range(MOST_TRIES):
            token = self.tokens.current()
            if token is None:
                async with self._turn():
                    token, asked = self.tokens.current(), 0
                    while token is None:
                        answer = yield self._asking()
                        await answer.aread()
                        asked += 1
                        token = self._taken(answer, last=asked == MOST_TRIES)
            response = yield self._proven(request, token)
            if not self._again(request, response, token):
                return

    def _token(self) -> Generator[httpx.Request, httpx.Response, str]:
        token = self.tokens.current()
        if token is not None:
            return token
        with self._asks:
            token, asked = self.tokens.current(), 0
            while token is None:
                answer = yield self._asking()
                answer.read()
                asked += 1
                token = self._taken(answer, last=asked == MOST_TRIES)
        return token

    def _turn(self) -> asyncio.Lock:
        loop = asyncio.get_running_loop()
        with self._finds:
            return self._turns.setdefault(loop, asyncio.Lock())

    def _asking(self) -> httpx.Request:
        form = self.tokens.form()
        url = self._url.copy_with(path=TOKEN_PATH)
        return httpx.Request("POST", url, data=dict(form.fields), headers=dict(form.headers))

    def _taken(self, answer: httpx.Response, *, last: bool) -> str | None:
        """Return the token of an answer, or None where it is worth asking once more."""
        body = _json(answer)
        error = str(body.get("error", "")) if isinstance(body, dict) else ""
        learnt = self.tokens.learn(TOKEN_PATH, answer.status_code, answer.headers, error)
        if learnt and not last:
            return None
        return self.tokens.take(answer.status_code, body)

    def _proven(self, request: httpx.Request, token: str) -> httpx.Request:
        path = request.url.raw_path.partition(b"?")[0].decode("ascii")
        request.headers.update(self.tokens.headers(token, request.method, path))
        return request

    def learn(self, token: str, path: str, status: int, headers: Mapping[str, str]) -> bool:
        """Take what an answer teaches; tell whether the request is worth sending once more.

        Args:
            token: What the request was sent with.
            path: Of the request.
            status: Of the answer; only after 401 was nothing done.
            headers: Of the answer, found by lower-case names.
        """
        error = headers.get("www-authenticate") or ""
        learnt = self.tokens.learn(path, status, headers, error)
        if status != 401:
            return False
        if "invalid_token" in error:
            self.tokens.forget(token)
            learnt = True
        return learnt

    def check_address(self, url: str | httpx.URL) -> None:
        """Hold an address to the profile's.

        Raises:
            AddressRefused: It is another one.
        """
        if _origin(httpx.URL(url)) != _origin(self._url):
            raise AddressRefused(
                "a token goes to the gateway that gave it only",
                f"send the request to {self.profile.url}, or use the profile of its gateway",
            )

    def _again(self, request: httpx.Request, response: httpx.Response, token: str) -> bool:
        learnt = self.learn(token, request.url.path, response.status_code, response.headers)
        return learnt and isinstance(request.stream, httpx.ByteStream)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port  # httpx takes a scheme's own port for none


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None
