"""An authenticated connection to the gateway; every failure is a `CommandFailed`.

Commands of one profile share its token while it lives (`gateway.client.token_file`): each token
that is asked for is a record in the tenant's log.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import httpx

from gateway.cli.failures import CommandFailed, ExitCode, failure_of
from gateway.cli.guessing import MOST_LISTED, absent_things, name_the_wrong
from gateway.cli.profile import Profile, find_profile, load_profile, told
from gateway.client import ClientFault, SealgateAuth, TokenRefused
from gateway.client.auth import TIMEOUT, TokenKeep
from gateway.client.certificates import certificate_fault, trust_of
from gateway.client.token_file import TokenFile

UNREACHABLE: Final = "check that the gateway runs: sealgate serve"


class Connection:
    """Calls of one command.

    Args:
        profile: Who calls which gateway.
        keep: Where the token outlives this command; by default nowhere.
        transport: Replaces the network in tests.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        keep: TokenKeep | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.profile = profile
        try:
            self._auth, verify = SealgateAuth(profile, keep), trust_of(profile)
        except ClientFault as fault:
            raise told(fault) from fault
        self._client = httpx.Client(
            base_url=profile.url,
            timeout=TIMEOUT,
            verify=verify,
            transport=transport,
            auth=self._auth,
            follow_redirects=False,
        )

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def headers(self, method: str, path: str) -> dict[str, str]:
        """Return the headers that make one request an authenticated one, for another program.

        Raises:
            CommandFailed: The gateway gives no token.
        """
        self._try_token()  # nobody would see here that it is taken no more
        with _as_failures():
            return self._auth.headers(self._client, method, path)

    def _try_token(self) -> None:
        """See whether a token that an earlier command kept is taken still; it leaves no record."""
        if self._auth.untried:
            self.get("/v1/whoami")

    def sign_out(self) -> bool:
        """End the token, here and at the gateway; tell whether there was one.

        Raises:
            CommandFailed: The gateway did not end it; here it is gone.
        """
        with _as_failures():
            return self._auth.sign_out(self._client)

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """Return the JSON object at `path`; query values that are None are left out."""
        params = {name: value for name, value in query.items() if value is not None}
        return _object(self.send("GET", path, params=params))

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send a JSON object and return the one that comes back."""
        answer = self.send("POST", path, json=dict(body or {}))
        return _object(answer) if answer.content else {}

    def put(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Send a JSON object and return the one that comes back."""
        return _object(self.send("PUT", path, json=dict(body)))

    def items(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Return every item of a paged list."""
        after: str | None = None
        while True:
            page = self.get(path, after=after, **query)
            yield from page["items"]
            after = page["next"]
            if after is None:
                return

    def send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Send a request and return its successful answer.

        Raises:
            CommandFailed: No answer, or one that is no success.
        """
        try:
            with self.stream(method, path, **arguments) as answer:
                answer.read()
                return answer
        except CommandFailed as refused:
            name_the_wrong(refused, arguments.get("json") or arguments.get("params") or {})
            self._name_the_near(refused, path)
            raise

    def _name_the_near(self, refused: CommandFailed, path: str) -> None:
        """Say what may be meant instead of a thing that is not there, out of what one may list."""
        if refused.code is not ExitCode.NOT_FOUND or "field" in refused.problem:
            return
        for absent in absent_things(path):
            with suppress(CommandFailed):
                with self.stream("GET", absent.path, params={"limit": MOST_LISTED}) as answer:
                    answer.read()
                if meant := absent.meant(_object(answer).get("items")):
                    refused.advice = meant
                    return

    @contextmanager
    def stream(self, method: str, path: str, **arguments: Any) -> Iterator[httpx.Response]:
        """Send a request and hand over its successful answer, unread.

        Raises:
            CommandFailed: No answer, or one that is no success.
        """
        if not isinstance(arguments.get("content", b""), bytes):
            self._try_token()  # the body could not be sent again
        with _as_failures(), self._client.stream(method, path, **arguments) as answer:
            if not answer.is_success:
                answer.read()
                raise failure_of(answer.status_code, _problem(answer))
            yield answer


def connect(profile: Path | None) -> Connection:
    """Open a connection with the profile that applies."""
    path = find_profile(profile)
    found = load_profile(path)
    try:
        keep = TokenFile(path, found)
    except ClientFault as fault:
        raise told(fault) from fault
    return Connection(found, keep=keep)


@contextmanager
def _as_failures() -> Iterator[None]:
    """Turn every fault of a call into the end of a command."""
    try:
        yield
    except TokenRefused as fault:
        again = fault.status == 429 or fault.status >= 500
        code = ExitCode.TRY_AGAIN if again else ExitCode.SIGN_IN
        raise CommandFailed(fault.what, code, fault.advice) from fault
    except ClientFault as fault:
        raise told(fault) from fault
    except httpx.HTTPError as cause:
        if refused := certificate_fault(cause):
            raise CommandFailed(refused.what, ExitCode.UNVERIFIED, refused.advice) from cause
        raise CommandFailed(
            "the gateway does not answer", ExitCode.TRY_AGAIN, UNREACHABLE
        ) from cause


def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise CommandFailed("the answer is not one of a sealgate gateway")
    return body


def _problem(answer: httpx.Response) -> dict[str, Any]:
    try:
        return _object(answer)
    except CommandFailed:
        return {}
