"""Client authentication at the OAuth endpoints.

`private_key_jwt` (RFC 7523 section 2.2) and client secrets (RFC 6749 section 2.3.1).

1. Exactly one way of authenticating in a request, and it must be the registered one.
2. An unknown client, a disabled one, a suspended tenant and a wrong secret or signature get the
   same answer after the same work: a stand-in is used where there is nothing real to compare with,
   and a refusal has cost two reads of the store, also where nothing had to be read.
3. A secret has 256 random bits, so its SHA-256 is enough; the comparison takes constant time.
4. What a client authenticated with before a rotation is accepted until its end, with the same work
   for clients that have none such and for those that do not exist.
5. Assertions are accepted as `gateway.identity.client_assertions` promises.
6. A certificate that a client has shown stands for a key that it registered, and is looked at where
   nothing else proves who it is.
7. Failures are bounded in a way that locks nobody out (`gateway.identity.failure_bounds`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from gateway.identity.assertion_rules import DEFAULT_PROFILE, AssertionRules, Profile, rules_of
from gateway.identity.client_assertions import Assertions
from gateway.identity.client_certificate import ClientCertificate
from gateway.identity.errors import OAuthRefusal, SignatureRefused
from gateway.identity.failure_bounds import FailureBounds
from gateway.identity.records import MAX_FORMER, AuthMethod, Client, FormerCredential
from gateway.identity.revocation import RevocationState
from gateway.names import is_name

MAX_CREDENTIAL: Final = 512
"""Bytes of a `Basic` credential: id and secret have under 120."""

_NO_HASH: Final = bytes(32)
FAILED: Final = "client authentication failed"


@dataclass(frozen=True, slots=True)
class Connection:
    """What is known of the connection that a request came over.

    Attributes:
        origin: What connections of one origin have in common, such as its address; empty where
            that is not known.
        certificate: What its caller has shown, or None.
    """

    origin: str = ""
    certificate: ClientCertificate | None = None


NOWHERE: Final = Connection()
"""A connection of which nothing is known."""


class ClientAuthenticator:
    """Tells which registered client a request at our endpoints comes from.

    Args:
        revocation_state: The registered clients, and whether they are valid.
        issuer: Our issuer, which assertions must be for.
        clock: Unix seconds.
        failures: Counts what fails.
        profile: Which rules hold for assertions.

    Attributes:
        rules: Those rules.
        refusals: Number of refusals by OAuth error code.
    """

    def __init__(
        self,
        revocation_state: RevocationState,
        issuer: str,
        *,
        clock: Callable[[], float],
        failures: FailureBounds,
        profile: Profile = DEFAULT_PROFILE,
    ) -> None:
        self._revocation_state = revocation_state
        self._clock = clock
        self._failures = failures
        self.rules: AssertionRules = rules_of(profile, issuer)
        self._assertions = Assertions(self.rules, clock)
        self._counting = threading.Lock()
        self.refusals: Counter[str] = Counter()

    def authenticate(
        self,
        form: Mapping[str, str],
        authorization: bytes | None,
        connection: Connection = NOWHERE,
    ) -> Client:
        """Return the client that a request comes from. Blocks.

        Args:
            form: The form fields, none repeated.
            authorization: Value of the one `Authorization` header, or None.
            connection: What it came over.

        Raises:
            OAuthRefusal: `invalid_request` when it authenticates in two ways at once, else
                `invalid_client`, with `retry_after` where that happened too often.
        """
        look = _Look(self._revocation_state)
        try:
            return self._identify(form, authorization, look, connection.certificate)
        except OAuthRefusal as refusal:
            with self._counting:
                self.refusals[refusal.error] += 1
            if refusal.error == "invalid_client":
                look.cost_the_same()
                if wait := self._failures.failed(look.client_id, connection.origin):
                    refusal.again_in(wait)
            raise

    def _identify(
        self,
        form: Mapping[str, str],
        authorization: bytes | None,
        look: _Look,
        certificate: ClientCertificate | None,
    ) -> Client:
        asserted = "client_assertion" in form or "client_assertion_type" in form
        ways = (authorization is not None, "client_secret" in form, asserted)
        if sum(ways) > 1:
            raise OAuthRefusal("invalid_request", "use one way of client authentication")
        if asserted:
            client = self._by_assertion(form, look)
        elif authorization is not None:
            client = self._by_secret(*_basic(authorization), look)
        elif certificate is not None and "client_secret" not in form:
            client = self._by_certificate(form.get("client_id", ""), certificate, look)
        else:
            secret = form.get("client_secret", "")
            client = self._by_secret(form.get("client_id", ""), secret, look)
        if form.get("client_id", client.id) != client.id:
            raise _refused()
        return client

    def _by_secret(self, client_id: str, secret: str, look: _Look) -> Client:
        client = look.find(client_id, "client_secret_basic")
        presented = secret_hash(secret)
        # All are compared, always the same number of them.
        fits = [hmac.compare_digest(presented, one) for one in self._secrets(client)]
        if client is None or not any(fits):
            raise _refused()
        return client

    def _secrets(self, client: Client | None) -> list[bytes]:
        """Return the hash in force and those of before that are accepted, filled up."""
        hashes = [client.secret_hash or _NO_HASH] if client is not None else []
        hashes += [one.secret_hash or _NO_HASH for one in self._former(client)]
        return [*hashes, *[_NO_HASH] * (1 + MAX_FORMER)][: 1 + MAX_FORMER]

    def _former(self, client: Client | None) -> list[FormerCredential]:
        now = self._clock()
        return [one for one in client.former if now < one.until] if client is not None else []

    def _by_assertion(self, form: Mapping[str, str], look: _Look) -> Client:
        try:
            claimed, unverified = self._assertions.read(form)
            client = look.find(claimed, "private_key_jwt")
            sets = [] if client is None else [client.jwks, *(f.jwks for f in self._former(client))]
            self._assertions.verify(self._assertions.keys.of(claimed, sets), unverified)
        except SignatureRefused as cause:
            raise _refused(self.rules.advice) from cause
        if client is None or not self._assertions.first(client.id, unverified):
            raise _refused(self.rules.advice)
        return client

    def _by_certificate(
        self, client_id: str, certificate: ClientCertificate, look: _Look
    ) -> Client:
        """Know a client by the key of the certificate that it showed (RFC 8705 section 2.2)."""
        client = look.find(client_id, "self_signed_tls_client_auth")
        sets = [] if client is None else [client.jwks, *(f.jwks for f in self._former(client))]
        known = {key.thumbprint for one in self._assertions.keys.of(client_id, sets) for key in one}
        if client is None or certificate.key_thumbprint not in known:
            raise _refused()
        return client


class _Look:
    """Finds the client of one request, and evens out what that cost."""

    def __init__(self, revocation_state: RevocationState) -> None:
        self._revocation_state = revocation_state
        self._remembered = False
        self.client_id = ""

    def find(self, client_id: str, method: AuthMethod) -> Client | None:
        """Return the client if it is valid and registered for that method."""
        if not is_name(client_id):
            return None
        self.client_id = client_id
        found = self._revocation_state.remembered(client_id)
        self._remembered = found is not None
        client, tenant = found or self._revocation_state.look_up(client_id)
        if client is None or client.disabled or tenant is None or tenant.suspended:
            return None
        return client if client.auth_method == method else None

    def cost_the_same(self) -> None:
        """Read, where nothing had to be read: what is remembered is refused no faster."""
        if self._remembered:
            self._revocation_state.read_nobody()


def secret_hash(secret: str) -> bytes:
    """Return what is stored of a client secret of 256 random bits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _basic(authorization: bytes) -> tuple[str, str]:
    scheme, _, credential = authorization.partition(b" ")
    credential = credential.lstrip(b" ")  # RFC 9110 section 11.4: one blank or more
    if scheme.lower() != b"basic" or len(credential) > MAX_CREDENTIAL:
        raise _refused()
    try:
        client_id, _, secret = base64.b64decode(credential, validate=True).partition(b":")
        return _unquoted(client_id), _unquoted(secret)
    except (binascii.Error, UnicodeDecodeError) as cause:
        raise _refused() from cause


def _unquoted(part: bytes) -> str:
    # RFC 6749 section 2.3.1: both halves are form-encoded before they are joined.
    return unquote_to_bytes(part.replace(b"+", b" ")).decode("ascii")


def _refused(message: str = FAILED) -> OAuthRefusal:
    return OAuthRefusal("invalid_client", message)
