"""From the headers of a request to a principal, or to a refusal that says how to authenticate.

1. A token is verified in full before it is remembered, and remembered by its SHA-256 only.
2. What is remembered counts only under the epoch that was current *before* its client was looked
   up (`gateway.epoch_memo`): any revocation moves the epoch, and a withdrawn issuer key does too.
3. It counts for a minute at most and never past the expiry of the token, or the end of its key; of
   an opaque token no longer than what its issuer said of it.
4. A bound token is accepted with a fresh proof of its key, or over a connection on which its
   certificate was shown, and in no other way, remembered or not; a token that is not bound to a key
   is not accepted under the `DPoP` scheme. One request has one proof, used
   once, however often the request is asked about (`Proven`).
5. A repeated `Authorization` or `DPoP` header is refused: two readers could pick different ones.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, NoReturn

from gateway.epoch_memo import UNKNOWN, EpochMemo
from gateway.identity.delegation import Delegation, delegation_of, narrowed
from gateway.identity.dpop import ALGORITHMS, ProofChecker
from gateway.identity.errors import (
    InvalidProof,
    InvalidToken,
    TokenMissing,
    Unauthenticated,
)
from gateway.identity.foreign_refusals import ForeignRefusals
from gateway.identity.issuers import Issuers
from gateway.identity.key_admission import TrustedKey
from gateway.identity.opaque_tokens import Introspection, looks_signed
from gateway.identity.principal import (
    AGE_MARGIN_SECONDS,
    Principal,
    is_person,
    principal_of,
    registered_id,
    still_valid,
)
from gateway.identity.revocation import Registration, RevocationState
from gateway.identity.signed import MAX_COMPACT, Unverified
from gateway.identity.tokens import AccessClaims, parse_access_token, read_access_token
from gateway.identity.trust import IssuerTrust

MEMO_SECONDS: Final = AGE_MARGIN_SECONDS
"""How long a verified token is remembered: bounds how old `auth_age` and issuer keys can be."""
MEMO_CAPACITY: Final = 10_000
"""Tokens remembered at a time: about 10 MB; the oldest goes first."""
PROTECTED_RESOURCE_PATH: Final = "/.well-known/oauth-protected-resource"
"""Where the metadata of RFC 9728 is, for the challenge."""


@dataclass(frozen=True, slots=True)
class _Remembered:
    until: float
    principal: Principal
    thumbprint: str | None
    certificate: str | None


@dataclass(slots=True)
class Proven:
    """That the proof of a request was used, by this request: it is not used a second time.

    Attributes:
        thumbprint: Of the key that was proven; empty before.
    """

    thumbprint: str = ""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request says about who asks.

    Attributes:
        headers: Its raw headers, names in lower case.
        method: Its method, for the proof.
        path: Its path as sent, percent-encoded, without query, for the proof.
        proven: For a request that is asked about again and again, such as a stream.
        certificate: Thumbprint of the certificate that its caller showed; empty where none was.
    """

    headers: Iterable[tuple[bytes, bytes]]
    method: str
    path: str
    proven: Proven | None = None
    certificate: str = ""


@dataclass(slots=True)
class MemoCounters:
    """How often a verified token was remembered, and how often it had to be verified."""

    hits: int = 0
    misses: int = 0


class Authenticator:
    """Authenticates requests. One a process; used on one event loop.

    Args:
        issuers: Whose tokens are accepted.
        revocation_state: Which clients and tenants are valid; loaded.
        proofs: Checks proofs of possession for our public URL.
        public_url: Where the gateway is reached, for the challenge.
        clock: Unix seconds.

    Attributes:
        counters: Hits and misses of the memory.
        refusals: Number of refusals by error code.
        foreign: Why tokens of other issuers were refused.
    """

    def __init__(
        self,
        issuers: Issuers,
        revocation_state: RevocationState,
        proofs: ProofChecker,
        *,
        public_url: str,
        clock: Callable[[], float],
    ) -> None:
        self._issuers = issuers
        self._revocation_state = revocation_state
        self._proofs = proofs
        self._clock = clock
        self._memo: EpochMemo[bytes, _Remembered] = EpochMemo(self._epoch, MEMO_CAPACITY)
        self._challenges = _Challenges(public_url.rstrip("/") + PROTECTED_RESOURCE_PATH)
        self.counters = MemoCounters()
        self.refusals: Counter[str] = Counter()
        self.foreign = ForeignRefusals(clock)

    async def identify(self, credentials: Credentials) -> Principal:
        """Authenticate a request by its raw headers, as ASGI hands them over.

        Raises:
            Unauthenticated: See `authenticate`; also when a header is repeated.
        """
        authorization: bytes | None = None
        proof: bytes | None = None
        for name, value in credentials.headers:
            if name == b"authorization":
                if authorization is not None:
                    self._refuse(InvalidToken("the authorization header is repeated"), "Bearer")
                authorization = value
            elif name == b"dpop":
                if proof is not None:
                    self._refuse(InvalidProof("the proof header is repeated"), "DPoP")
                proof = value
        return await self.authenticate(
            authorization,
            proof,
            credentials.method,
            credentials.path,
            credentials.proven,
            credentials.certificate,
        )

    async def authenticate(
        self,
        authorization: bytes | None,
        dpop: bytes | None,
        method: str,
        path: str,
        proven: Proven | None = None,
        certificate: str = "",
    ) -> Principal:
        """Authenticate a request.

        Args:
            authorization: Value of its one `Authorization` header, or None.
            dpop: Value of its one `DPoP` header, or None.
            method: Its method.
            path: Its path as sent, percent-encoded, without query.
            proven: Remembers that this request's proof was used; the token is looked at each time.
            certificate: Thumbprint of the certificate that its caller showed, or empty.

        Raises:
            Unauthenticated: It carries no token, or one that must not be accepted; `challenge` is
                the value for `WWW-Authenticate`.
            IssuerUnavailable: The keys of a trusted issuer cannot be had right now.
        """
        if authorization is None:
            self._refuse(TokenMissing(), "")
        scheme, _, token = authorization.partition(b" ")
        token = token.lstrip(b" ")  # RFC 6750 section 2.1, RFC 9449 section 7.1: `1*SP`
        kind = _SCHEMES.get(scheme.lower())
        if kind is None or not token:
            self._refuse(TokenMissing(), "")
        try:
            known = self._recall(token) or await self._verify(token)
            if known.certificate is not None:
                _check_certificate(known.certificate, kind, certificate)
            elif known.thumbprint is not None or kind == "DPoP":
                self._check_binding(known, kind, token, dpop, method, path, proven)
        except Unauthenticated as refusal:
            self._refuse(refusal, "DPoP" if isinstance(refusal, InvalidProof) else kind)
        return known.principal

    @property
    def epoch(self) -> tuple[int, int]:
        """Changes with every revocation and every withdrawn key."""
        return self._epoch()

    async def reconfirm(self, principal: Principal) -> None:
        """Make sure that a principal is still valid as it was authenticated.

        For work that began under an older `epoch` and is about to show its result.

        Raises:
            InvalidToken: Its token was revoked, its client or tenant was changed or shut out, or
                its issuer is no longer trusted.
        """
        registration = await self._registered(principal.client_id)
        app = (await self._registered(principal.app))[0] if principal.app else None
        ended = self._revocation_state.has_ended(principal, app)
        ended = ended or principal.issuer not in self._issuers.names
        if principal.acting_for and not ended:
            ended = not await asyncio.to_thread(self._revocation_state.others_hold, principal)
        if ended or not still_valid(principal, *registration):
            self._refuse(InvalidToken(), "Bearer")

    def _recall(self, token: bytes) -> _Remembered | None:
        known = self._memo.now().get(hashlib.sha256(token).digest())
        if known is None or known is UNKNOWN or self._clock() >= known.until:
            self.counters.misses += 1
            return None
        self.counters.hits += 1
        return known

    def _epoch(self) -> tuple[int, int]:
        return self._revocation_state.epoch, self._issuers.generation

    async def _verify(self, token: bytes) -> _Remembered:
        if len(token) > MAX_COMPACT:
            raise InvalidToken
        # INVARIANT: the memory is taken before anything is read that a revocation could change.
        memory = self._memo.now()
        opaque = self._issuers.opaque
        if opaque is not None and not looks_signed(token):
            until = self._clock() + min(MEMO_SECONDS, opaque.settings.seconds)
            claims, principal = await self._ask(opaque, token)
            until = min(claims.expires, until)
        else:
            claims, principal, key = await self._read(token)
            until = min(claims.expires, self._clock() + MEMO_SECONDS, key.until)
        known = _Remembered(until, principal, claims.thumbprint, claims.certificate)
        memory.keep(hashlib.sha256(token).digest(), known)
        return known

    async def _read(self, token: bytes) -> tuple[AccessClaims, Principal, TrustedKey]:
        issuer, kid, unverified = parse_access_token(token)
        trust = self._trust(issuer)
        try:
            return await self._of(trust, kid, unverified)
        except InvalidToken as refusal:
            if trust is not self._issuers.own:
                self.foreign.add(trust, refusal)
            raise

    def _trust(self, issuer: str) -> IssuerTrust:
        try:
            return self._issuers.trust(issuer)
        except InvalidToken as refusal:
            self.foreign.add(None, refusal)
            raise

    async def _of(
        self, trust: IssuerTrust, kid: str | None, unverified: Unverified
    ) -> tuple[AccessClaims, Principal, TrustedKey]:
        issuer = trust.issuer
        key = await self._issuers.key(issuer, kid)
        now = self._clock()
        claims = read_access_token(unverified, key, trust, now)
        delegation = delegation_of(unverified.claims) if trust is self._issuers.own else None
        return claims, await self._principal(claims, trust, now, delegation), key

    async def _ask(self, opaque: Introspection, token: bytes) -> tuple[AccessClaims, Principal]:
        try:
            claims = await opaque.ask(token)
            return claims, await self._principal(claims, opaque.trust, self._clock())
        except InvalidToken as refusal:
            self.foreign.add(opaque.trust, refusal)
            raise

    async def _principal(
        self,
        claims: AccessClaims,
        trust: IssuerTrust,
        now: float,
        delegation: Delegation | None = None,
    ) -> Principal:
        own = trust is self._issuers.own
        client, tenant = await self._registered(registered_id(claims, trust, own=own))
        app = None
        if own and is_person(claims):
            app, _ = await self._registered(claims.client_id)
        principal = principal_of(claims, trust, client, tenant, now, own=own, app=app)
        if delegation is not None:
            principal = await asyncio.to_thread(self._narrowed, principal, delegation)
        if self._revocation_state.has_ended(principal, app):
            raise InvalidToken("the access token has been revoked")
        return principal

    async def _registered(self, client_id: str) -> Registration:
        registration = self._revocation_state.remembered(client_id)
        if registration is None:
            registration = await asyncio.to_thread(self._revocation_state.look_up, client_id)
        return registration

    def _narrowed(self, principal: Principal, delegation: Delegation) -> Principal:
        others = map(self._revocation_state.look_up, delegation.others)
        return narrowed(principal, delegation, others)

    def _check_binding(
        self,
        known: _Remembered,
        kind: str,
        token: bytes,
        dpop: bytes | None,
        method: str,
        path: str,
        proven: Proven | None,
    ) -> None:
        if known.thumbprint is None or kind != "DPoP":
            raise InvalidToken("the token does not fit the authentication scheme")
        if proven is not None and proven.thumbprint == known.thumbprint:
            return
        if dpop is None:
            raise InvalidProof("a proof of possession is required")
        proof = self._proofs.check(dpop, method, path, token)
        self._proofs.use(proof, known.principal.client_id, known.thumbprint)
        if proven is not None:
            proven.thumbprint = known.thumbprint

    def _refuse(self, refusal: Unauthenticated, kind: str) -> NoReturn:
        self.refusals[refusal.code] += 1
        refusal.challenge = self._challenges.of(refusal, kind)
        raise refusal


def _check_certificate(bound_to: str, kind: str, shown: str) -> None:
    """Hold a token to the certificate that it is bound to (RFC 8705 section 3).

    Raises:
        InvalidToken: Its caller has shown another one, or none.
    """
    if kind != "Bearer" or not hmac.compare_digest(bound_to.encode(), shown.encode()):
        raise InvalidToken("the access token is bound to a certificate that was not shown")


_SCHEMES: Final = {b"bearer": "Bearer", b"dpop": "DPoP"}


class _Challenges:
    """The values of `WWW-Authenticate` (RFC 6750 section 3, 9449 section 7.1, 9728 section 5.1)."""

    def __init__(self, metadata_url: str) -> None:
        algorithms = f'algs="{" ".join(ALGORITHMS)}"'
        metadata = f'resource_metadata="{metadata_url}"'
        self._missing = f"DPoP {algorithms}, {metadata}, Bearer {metadata}"
        self._parameters = {"Bearer": metadata, "DPoP": f"{algorithms}, {metadata}"}

    def of(self, refusal: Unauthenticated, kind: str) -> str:
        if kind not in self._parameters:
            return self._missing
        return f'{kind} error="{refusal.code}", {self._parameters[kind]}'
