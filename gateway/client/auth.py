"""`SealgateAuth`: fetches, renews and proves tokens for httpx clients and what is built on them.

Safety argument.
1. A token, a secret and an assertion leave only for the address of the profile: a request to
   another one, a redirect's too, is refused before anything is sent.
2. A request is sent a second time only if the gateway said 401, that is did nothing, and if the
   body can be sent again; a third time never.
3. However many threads or tasks share one object, one at a time asks for a token; the others wait
   and use what it got.
4. Answers to the application's own requests are never read here: they may be streams.
5. A token that an earlier process kept is tried like any other. One that the gateway does not take
   is thrown away, and the request sent again with a fresh one; a body that can be sent once is not
   risked on it.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, closing, nullcontext
from pathlib import Path
from typing import Any, Final, Protocol, Self
from weakref import WeakKeyDictionary

import httpx

from gateway.client.certificates import certificate_fault, trust_of
from gateway.client.errors import AddressRefused, TokenRefused
from gateway.client.profile import Profile, load_profile
from gateway.client.session import SessionFile
from gateway.client.tokens import REVOCATION_PATH, TOKEN_PATH, Kept, Tokens

MOST_TRIES: Final = 2
"""Times that one request is sent: once more, with what its refusal taught."""

TIMEOUT: Final = httpx.Timeout(60.0, connect=10.0)


class TokenKeep(Protocol):
    """Where a token outlives a process. Nothing here ever raises: it is a help, no need."""

    def read(self) -> Kept | None:
        """Return what was kept for this client, or None."""

    def write(self, kept: Kept) -> None:
        """Keep it in place of what was there."""

    def discard(self, token: str | None = None) -> None:
        """Keep this token no longer; without one, whatever is kept."""


class SealgateAuth(httpx.Auth):
    """Authenticates requests to one gateway. Safe for threads, and for tasks of asyncio.

    Give it to `httpx.Client(auth=…)`, `httpx.AsyncClient(auth=…)` or, for kserve,
    `RESTConfig(auth=…)`. It asks for tokens through the same client.

    Args:
        profile: Who calls which gateway.
        keep: Where a token outlives this process; by default nowhere.
    """

    def __init__(self, profile: Profile, keep: TokenKeep | None = None) -> None:
        self.profile = profile
        self.tokens = Tokens(
            profile, clock=time.time, monotonic=time.monotonic, random_bytes=os.urandom
        )
        self._url = httpx.URL(profile.url)
        self._asks = threading.Lock()
        self._finds = threading.Lock()
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]
        self._turns = WeakKeyDictionary()
        self._keep = keep
        kept = None if keep is None else keep.read()
        self._untried = kept is not None and self.tokens.restore(kept)

    @property
    def untried(self) -> bool:
        """Whether the token is one that an earlier process kept, and no answer was seen to it."""
        return self._untried

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

    def sign_out(self, client: httpx.Client) -> bool:
        """End the token, here and at the gateway; tell whether there was one.

        What is kept here is gone whatever the gateway answers.

        Args:
            client: Tells the gateway.

        Raises:
            TokenRefused: The gateway does not know this client.
            httpx.HTTPError: It does not answer.
        """
        session = self.profile.session
        with self._session_turn():  # or another process would keep what it renews just now
            token = self.tokens.current()
            self._forget(token)
            if self._keep is not None:
                self._keep.discard()
            if token is None and session is None:
                return False
            form = self.tokens.revocation(token or "")
            if session is not None:
                session.remove()
        url = self._url.copy_with(path=REVOCATION_PATH)
        asking = httpx.Request("POST", url, data=dict(form.fields), headers=dict(form.headers))
        try:
            answer = client.send(asking, auth=None)
        except httpx.TransportError as cause:
            if session is None or certificate_fault(cause) is not None:
                raise
            raise _not_ended(httpx.codes.SERVICE_UNAVAILABLE, session) from cause
        if answer.status_code != httpx.codes.OK:
            raise _not_ended(answer.status_code, session)
        return True

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
        self._risk_nothing(request)
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
        self._risk_nothing(request)
        for _ in range(MOST_TRIES):
            token = self.tokens.current()
            if token is None:
                async with self._turn(), self._session_turn_async():
                    token, asked = self.tokens.current() or self._taken_over(), 0
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
        with self._asks, self._session_turn():
            token, asked = self.tokens.current() or self._taken_over(), 0
            while token is None:
                answer = yield self._asking()
                answer.read()
                asked += 1
                token = self._taken(answer, last=asked == MOST_TRIES)
        return token

    def _session_turn(self) -> AbstractContextManager[None]:
        """Let one process at a time renew a person's sign-in."""
        session = self.profile.session
        return nullcontext() if session is None else session.turn()

    @asynccontextmanager
    async def _session_turn_async(self) -> AsyncIterator[None]:
        turn = self._session_turn()
        await asyncio.to_thread(turn.__enter__)
        try:
            yield
        finally:
            turn.__exit__(None, None, None)

    def _taken_over(self) -> str | None:
        """Return the token that another process has renewed and kept meanwhile, if there is one."""
        if self.profile.session is None or self._keep is None:
            return None
        kept = self._keep.read()
        restored = kept is not None and self.tokens.restore(kept)
        return self.tokens.current() if restored else None

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
        learnt = self.tokens.learn(answer.status_code, answer.headers, error)
        if learnt and not last:
            return None
        token = self.tokens.take(answer.status_code, body)
        kept = self.tokens.kept()
        if self._keep is not None and kept is not None:
            self._keep.write(kept)
        return token

    def _risk_nothing(self, request: httpx.Request) -> None:
        """Forget a kept token that was not tried yet, before a body that can be sent once."""
        if self._untried and not isinstance(request.stream, httpx.ByteStream):
            self._forget(self.tokens.current())

    def _forget(self, token: str | None) -> None:
        self._untried = False
        if token is None:
            return
        self.tokens.forget(token)
        if self._keep is not None:
            self._keep.discard(token)

    def _proven(self, request: httpx.Request, token: str) -> httpx.Request:
        path = request.url.raw_path.partition(b"?")[0].decode("ascii")
        request.headers.update(self.tokens.headers(token, request.method, path))
        return request

    def learn(self, token: str, status: int, headers: Mapping[str, str]) -> bool:
        """Take what an answer teaches; tell whether the request is worth sending once more.

        Args:
            token: What the request was sent with.
            status: Of the answer; only after 401 was nothing done.
            headers: Of the answer, found by lower-case names.
        """
        error = headers.get("www-authenticate") or ""
        learnt = self.tokens.learn(status, headers, error)
        if status != 401:
            self._untried = False
            return False
        if "invalid_token" in error:
            self._forget(token)
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
        learnt = self.learn(token, response.status_code, response.headers)
        return learnt and isinstance(request.stream, httpx.ByteStream)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port  # httpx takes a scheme's own port for none


def _not_ended(status: int, session: SessionFile | None) -> TokenRefused:
    if session is None:
        what, advice = "the token", "it ends by itself within minutes"
    else:
        what = "the sign-in"
        advice = "end it on your page there (/people); it ends by itself after a week"
    return TokenRefused(
        f"the gateway did not end {what}; it is no longer kept here", advice, status, ""
    )


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None
