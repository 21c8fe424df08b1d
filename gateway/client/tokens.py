"""One client's token: asked for, kept while it lives, proven with each request.

No I/O here, but for the file of a person's sign-in (`gateway.client.session`).

Safety argument.
1. What is kept of a token is in memory, and in no `repr`. `Kept` is what may be handed to the next
   process of the same client; `gateway.client.token_file` says how it is kept then.
2. A token that is bound is bound to a key that was made with it, and goes nowhere without it.
3. A proof is for one method and URL at the gateway's public address, whatever address a request
   takes, and has an identifier of its own: it is of no use for anything else.
4. A nonce is taken from the gateway's answers only, and is no secret (RFC 9449, section 8).
5. A clock that is off is corrected by the gateway's `Date`, after a refusal and by `MAX_SKEW` at
   most: nobody can have proofs signed for a day to come.
6. How long a token lives is told as a difference, and counted by the clock that was here when it
   came. One that comes from a time that this clock has not reached, or is due, is not taken over.

Threads may share one: each field is replaced as a whole, and a reader who sees an old one gets a
refusal and asks anew.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import quote_plus

from gateway.client.errors import TokenRefused
from gateway.client.profile import Profile
from gateway.client.proofs import (
    ASSERTION_TYPE,
    assertion,
    load_key,
    load_proof_key,
    new_proof_key,
    proof,
)

TOKEN_PATH: Final = "/oauth/token"  # noqa: S105 - an address
REVOCATION_PATH: Final = "/oauth/revoke"
EARLY_SECONDS: Final = 30.0
"""A token is renewed this long before it ends, so that none ends under way."""
MAX_SKEW: Final = 3600.0
"""Seconds that a clock is corrected by at most: an hour, as of a wrong time zone."""
NOTICED_SKEW: Final = 3.0
"""Seconds below which a clock is not what a refusal was about: `Date` has whole seconds."""
MAX_NONCE: Final = 256
"""Characters of a nonce that is taken; those of other servers have under 100."""
_PROOF_ERRORS: Final = ("invalid_dpop_proof", "use_dpop_nonce", "invalid_token", "invalid_client")


@dataclass(frozen=True, slots=True)
class Form:
    """A request for a token: fields of the form, and headers."""

    fields: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Kept:
    """A token for the next process of the same client, and what it is of use with.

    Attributes:
        token: The access token.
        since: Unix seconds by this machine's clock when it came.
        renew: Unix seconds by this machine's clock when another is to be asked for.
        skew: Seconds that the gateway's clock was found to be ahead.
        proof_key: The private key that it is bound to (JWK), or None.
    """

    token: str = field(repr=False)
    since: float
    renew: float
    skew: float
    proof_key: Mapping[str, Any] | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Token:
    text: str = field(repr=False)
    renew_at: float
    since: float
    renew: float


class Tokens:
    """Gets and proves the tokens of one profile.

    Args:
        profile: Who calls which gateway.
        clock: Unix seconds, for what is signed.
        monotonic: Seconds, for how long a token is kept.
        random_bytes: For identifiers.

    Raises:
        ProfileInvalid: The key cannot be used.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._profile = profile
        self._clock = clock
        self._monotonic = monotonic
        self._random_bytes = random_bytes
        self._key = None if profile.key is None else load_key(profile.key)
        self._proof_key = new_proof_key() if profile.binding == "dpop" else None
        if profile.session is not None:
            self._proof_key = load_proof_key(profile.session.read()[1])
        self._token: _Token | None = None
        # One for all that the gateway serves: it takes whichever it gave last. So a library that
        # shows us no answers (gRPC's) learns one with each token.
        self._nonce = ""
        self._skew = 0.0

    def current(self) -> str | None:
        """Return the token, or None where one is to be fetched first."""
        token = self._token
        return None if token is None or self._monotonic() >= token.renew_at else token.text

    def forget(self, token: str) -> None:
        """Keep this token no longer; one that came in its place stays."""
        if self._token is not None and self._token.text == token:
            self._token = None

    def kept(self) -> Kept | None:
        """Return what the next process may go on with, or None where there is no token."""
        token = self._token
        if token is None:
            return None
        key = None if self._proof_key is None else self._proof_key.as_dict(private=True)
        return Kept(token.text, token.since, token.renew, self._skew, key)

    def restore(self, kept: Kept) -> bool:
        """Go on with what an earlier process kept; tell whether it is of use still.

        Raises:
            ProfileInvalid: Its key is none.
        """
        now = self._clock()
        bound = self._proof_key is not None
        if not kept.since <= now < kept.renew or bound != (kept.proof_key is not None):
            return False
        if kept.proof_key is not None:
            self._proof_key = load_proof_key(dict(kept.proof_key))
        self._skew = max(-MAX_SKEW, min(MAX_SKEW, kept.skew))
        renew_at = self._monotonic() + kept.renew - now
        self._token = _Token(kept.token, renew_at, kept.since, kept.renew)
        return True

    def form(self) -> Form:
        """Return a request for a token (RFC 6749, section 4.4)."""
        session = self._profile.session
        if session is not None:
            fields = {"grant_type": "refresh_token", "refresh_token": session.read()[0]}
            form = self._authenticated(fields)
        else:
            form = self._authenticated({"grant_type": "client_credentials"})
        if self._proof_key is None:
            return form
        return Form(form.fields, {**form.headers, "dpop": self._proof("POST", TOKEN_PATH, "")})

    def revocation(self, token: str) -> Form:
        """Return a request that ends a token of this client (RFC 7009, section 2.1).

        A person's sign-in ends as a whole, with every token that came of it.
        """
        session = self._profile.session
        if session is not None:
            fields = {"token": session.read()[0], "token_type_hint": "refresh_token"}
            return self._authenticated(fields)
        return self._authenticated({"token": token, "token_type_hint": "access_token"})

    def _authenticated(self, fields: dict[str, str]) -> Form:
        """Add who the client is."""
        headers: dict[str, str] = {}
        client = self._profile.client_id
        if self._profile.session is not None:
            return Form({**fields, "client_id": client}, headers)
        if self._key is not None:
            signed = assertion(self._key, client, self._profile.url, self._now(), self._jti())
            fields |= {
                "client_id": client,
                "client_assertion_type": ASSERTION_TYPE,
                "client_assertion": signed,
            }
        else:
            # Both are form-encoded before they are put together (RFC 6749, section 2.3.1).
            pair = f"{quote_plus(client)}:{quote_plus(self._profile.secret or '')}"
            headers["authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        return Form(fields, headers)

    def take(self, status: int, body: Any) -> str:
        """Take the gateway's answer to a form, and return the token.

        Args:
            status: HTTP status.
            body: The parsed JSON, or None where it was none.

        Raises:
            TokenRefused: There is no token in it.
        """
        told = body if isinstance(body, dict) else {}
        token, error = told.get("access_token"), str(told.get("error", ""))
        if status != 200 or not isinstance(token, str) or not token:
            bound = self._proof_key is not None
            session = self._profile.session
            if session is not None and error == "invalid_grant":
                raise TokenRefused("you are not signed in any more", session.sign_in, status, error)
            raise TokenRefused(*_why(status, error, bound=bound), status, error)
        self._renew(told.get("refresh_token"))
        try:
            life = float(told.get("expires_in", 0))
        except (TypeError, ValueError):
            life = 0.0
        early = min(EARLY_SECONDS, life / 2)
        now = self._clock()
        renew_at = self._monotonic() + life - early
        self._token = _Token(token, renew_at, now, now + life - early)
        return token

    def _renew(self, refresh: object) -> None:
        """Keep the next refresh token, before the one that it follows is of no use."""
        session = self._profile.session
        if session is not None and isinstance(refresh, str) and self._proof_key is not None:
            session.write(refresh, self._proof_key.as_dict(private=True))

    def headers(self, token: str, method: str, path: str) -> dict[str, str]:
        """Return the headers of one request with a token.

        Args:
            token: From `current` or `take`.
            method: As it is sent.
            path: Percent-encoded as it is sent, without a query.
        """
        if self._proof_key is None:
            return {"authorization": f"Bearer {token}"}
        return {"authorization": f"DPoP {token}", "dpop": self._proof(method, path, token)}

    def learn(self, status: int, headers: Mapping[str, str], error: str) -> bool:
        """Take nonce and time from an answer; tell whether asking once more is of use.

        Args:
            status: HTTP status.
            headers: Of the answer; names in lower case.
            error: `error` of its body or challenge, or empty.
        """
        given = self._take_nonce(headers.get("dpop-nonce") or "")
        if status not in {400, 401} or not any(known in error for known in _PROOF_ERRORS):
            return False
        if "use_dpop_nonce" in error:
            return given
        return self._correct_clock(headers.get("date") or "")

    def _take_nonce(self, nonce: str) -> bool:
        """Keep a nonce; another request may have learnt the same one a moment ago."""
        if not nonce or len(nonce) > MAX_NONCE:
            return False
        self._nonce = nonce
        return True

    def _correct_clock(self, date: str) -> bool:
        try:
            there = parsedate_to_datetime(date).timestamp()
        except (TypeError, ValueError, OverflowError):
            return False
        skew = there - self._clock()
        if not NOTICED_SKEW <= abs(skew) <= MAX_SKEW:
            return False
        self._skew = skew
        return True

    def _proof(self, method: str, path: str, token: str) -> str:
        assert self._proof_key is not None
        url = self._profile.url + path
        return proof(
            self._proof_key, method, url, self._now(), self._jti(), token=token, nonce=self._nonce
        )

    def _now(self) -> int:
        return int(self._clock() + self._skew)

    def _jti(self) -> str:
        return self._random_bytes(16).hex()


def _why(status: int, error: str, *, bound: bool) -> tuple[str, str]:
    """Return what a refused client is told, and what it may do."""
    if status == 429 or status >= 500:
        return f"the gateway gives no token now (status {status})", "try again in a moment"
    if "dpop" in error and not bound:
        return (
            "tokens of this client must be bound to a key, and the profile does not say so",
            'add "binding": "dpop" to the profile',
        )
    if "dpop" in error:
        return (
            "the gateway does not accept the proof that came with these credentials",
            "compare the profile's `url` with the gateway's public_url, and this machine's clock",
        )
    return (
        "the gateway does not accept these credentials",
        "check the profile, and whether the client is still registered",
    )
