"""WebAuthn's two ceremonies: what a browser is asked for, and whether its answer holds. No I/O.

Safety argument (WebAuthn level 3, sections 7.1 and 7.2):
1. A challenge has 128 random bits and our MAC over what it is for, until when, and for which
   browser and sign-in: nobody has to remember it, so nobody fills a table with challenges. Whoever
   takes an answer notes its challenge as used, so it counts once (`gateway.people.passkey_proofs`).
2. Origin and relying party are those of the configured public URL, compared as whole texts; what a
   request says of its host is not asked. An answer that a page of another origin, or a frame within
   one, got from the authenticator is refused.
3. The authenticator says that it verified its user (a code or a body), not only that somebody was
   there: so a passkey is several factors.
4. A key is of an algorithm that was asked for and strong enough. No attestation is asked for and
   none is believed: who made the authenticator is nobody's business here.
5. Whatever the bytes are, there is our value or `SignInRefused`, and one text for every reason. The
   browser's data are read by our strict reader as well as by the library.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from fido2 import cbor
from fido2.cose import CoseKey
from fido2.server import Fido2Server
from fido2.utils import websafe_decode, websafe_encode
from fido2.webauthn import (
    AttestationConveyancePreference,
    AttestedCredentialData,
    AuthenticationResponse,
    PublicKeyCredentialParameters,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialType,
    RegistrationResponse,
    UserVerificationRequirement,
)

from gateway.identity.errors import SignInRefused
from gateway.identity.passkeys import Passkey
from gateway.strict_json import strict_json

Purpose = Literal["sign_in", "confirm", "add"]

CHALLENGE_SECONDS: Final = 300
"""To find the authenticator and touch it (WebAuthn level 3, section 15.1: 5 to 10 minutes)."""
ALGORITHMS: Final = (-8, -7, -257)
"""COSE: EdDSA with Ed25519, ES256, RS256; in the order in which they are asked for."""
MIN_RSA_BYTES: Final = 256
"""Of the modulus: 2,048 bits."""
MAX_CREDENTIAL: Final = 1023
"""Bytes of a credential's id (WebAuthn level 3, section 4)."""
MAX_KEY: Final = 2048
"""Bytes of a COSE key: one of RSA with 4,096 bits has some 550."""
NO_PASSKEY: Final = "the passkey was not accepted: open the page again and try once more"
_NONCE, _UNTIL, _MAC = 16, 8, 32
_FOREIGN: Final = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    AssertionError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    struct.error,
    UnsupportedAlgorithm,
)
"""What the library raises for bytes that are not what they should be."""

# It tells the ids of credentials at INFO; these belong to people.
logging.getLogger("fido2").setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class Answered:
    """What a page of ours sent, as text in base64url: of an assertion, or of a registration."""

    credential: str = field(repr=False)
    client_data: str = field(repr=False)
    data: str = field(repr=False)
    signature: str = field(default="", repr=False)
    handle: str = field(default="", repr=False)

    @classmethod
    def of(cls, form: Mapping[str, str]) -> Answered:
        """Read it from a form."""
        names = ("credential", "client_data", "data", "signature", "handle")
        return cls(*(form.get(name, "") for name in names))


@dataclass(frozen=True, slots=True)
class Made:
    """A credential that was just made."""

    credential: bytes
    public_key: bytes
    counter: int


class Ceremonies:
    """Asks for passkeys and checks what comes back.

    Args:
        origin: Ours, from the configured public URL.
        key: Returns the key of our MAC; any process of this gateway has the same.
        clock: Unix seconds.
        random_bytes: A cryptographic source.

    Attributes:
        rp_id: The relying party: the host of the origin.
    """

    def __init__(
        self,
        origin: str,
        key: Callable[[], bytes],
        *,
        clock: Callable[[], float],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._origin = origin
        self._key = key
        self._clock = clock
        self._random_bytes = random_bytes
        self.rp_id = urlsplit(origin).hostname or ""
        self._server = Fido2Server(
            PublicKeyCredentialRpEntity(name="sealgate", id=self.rp_id),
            attestation=AttestationConveyancePreference.NONE,
            verify_origin=lambda said: said == origin,
        )
        self._server.allowed_algorithms = [
            PublicKeyCredentialParameters(type=PublicKeyCredentialType.PUBLIC_KEY, alg=alg)
            for alg in ALGORITHMS
        ]

    def ask(self, purpose: Purpose, bound: str, known: Iterable[Passkey] = ()) -> dict[str, Any]:
        """Return what `navigator.credentials.get` is called with, as JSON members.

        Args:
            purpose: What the answer will be good for.
            bound: Stands for the browser and its sign-in.
            known: Passkeys that will do; any where there is none.
        """
        options: dict[str, Any] = {
            "challenge": self._challenge(purpose, bound),
            "rpId": self.rp_id,
            "userVerification": "required",
            "timeout": CHALLENGE_SECONDS * 1000,
        }
        if allowed := _described(known):
            options["allowCredentials"] = allowed
        return options

    def ask_new(
        self, bound: str, handle: bytes, name: str, known: Iterable[Passkey]
    ) -> dict[str, Any]:
        """Return what `navigator.credentials.create` is called with.

        Args:
            bound: As of `ask`.
            handle: By which the authenticator will know the person.
            name: What the authenticator shows its owner.
            known: Passkeys of the person: an authenticator that has one makes no other.
        """
        return {
            "challenge": self._challenge("add", bound),
            "rp": {"id": self.rp_id, "name": "sealgate"},
            "user": {"id": websafe_encode(handle), "name": name, "displayName": name},
            "pubKeyCredParams": [{"type": "public-key", "alg": alg} for alg in ALGORITHMS],
            "excludeCredentials": _described(known),
            "authenticatorSelection": {
                "residentKey": "required",
                "requireResidentKey": True,
                "userVerification": "required",
            },
            "attestation": "none",
            "timeout": CHALLENGE_SECONDS * 1000,
        }

    def made(self, answered: Answered, bound: str) -> tuple[Made, bytes]:
        """Check a registration; returns the credential, and the challenge that is to be noted.

        Raises:
            SignInRefused: It does not hold.
        """
        with _refusing():
            challenge = self._asked("webauthn.create", answered, "add", bound)
            response = {"clientDataJSON": answered.client_data, "attestationObject": answered.data}
            given = self._server.register_complete(
                _state(challenge), RegistrationResponse.from_dict(_named(answered, response))
            )
            found = given.credential_data
            if found is None or found.credential_id != websafe_decode(answered.credential):
                raise SignInRefused(NO_PASSKEY)
            key = cbor.encode(dict(found.public_key))
            _check_key(found.public_key)
            if not 16 <= len(found.credential_id) <= MAX_CREDENTIAL or len(key) > MAX_KEY:
                raise SignInRefused(NO_PASSKEY)
            return Made(bytes(found.credential_id), key, given.counter), challenge

    def credential(self, answered: Answered) -> bytes:
        """Return the credential that an assertion names.

        Raises:
            SignInRefused: It is malformed.
        """
        with _refusing():
            return websafe_decode(answered.credential)

    def signed(
        self, answered: Answered, passkey: Passkey, purpose: Purpose, bound: str
    ) -> tuple[int, bytes]:
        """Check an assertion; returns its counter, and the challenge that is to be noted.

        Raises:
            SignInRefused: It does not hold.
        """
        with _refusing():
            challenge = self._asked("webauthn.get", answered, purpose, bound)
            said = websafe_decode(answered.handle)
            # Who was not told which passkey to use says whose it is (section 7.2, step 6).
            if (said or purpose == "sign_in") and not hmac.compare_digest(said, passkey.handle):
                raise SignInRefused(NO_PASSKEY)
            response = {
                "clientDataJSON": answered.client_data,
                "authenticatorData": answered.data,
                "signature": answered.signature,
            }
            read = AuthenticationResponse.from_dict(_named(answered, response))
            stored: Any = cbor.decode(passkey.public_key)
            key = CoseKey.parse(stored)
            known = AttestedCredentialData.create(bytes(16), passkey.credential, key)
            self._server.authenticate_complete(_state(challenge), [known], read)
            return read.response.authenticator_data.counter, challenge

    def _challenge(self, purpose: Purpose, bound: str) -> str:
        until = int(self._clock()) + CHALLENGE_SECONDS
        head = self._random_bytes(_NONCE) + until.to_bytes(_UNTIL, "big")
        return websafe_encode(head + self._mac(head, purpose, bound))

    def _mac(self, head: bytes, purpose: str, bound: str) -> bytes:
        said = f"sealgate passkey\n{purpose}\n{bound}\n".encode("utf-8", "surrogatepass")
        return hmac.digest(self._key(), said + head, hashlib.sha256)

    def _asked(self, kind: str, answered: Answered, purpose: Purpose, bound: str) -> bytes:
        """Return the challenge of an answer, if it is one of ours for this."""
        said = strict_json(websafe_decode(answered.client_data))
        apart = said.get("crossOrigin", False) is not False or "topOrigin" in said
        if said["type"] != kind or said["origin"] != self._origin or apart:
            raise SignInRefused(NO_PASSKEY)
        challenge = websafe_decode(said["challenge"])
        head, mac = challenge[: _NONCE + _UNTIL], challenge[_NONCE + _UNTIL :]
        right = hmac.compare_digest(mac, self._mac(head, purpose, bound))
        late = int.from_bytes(head[_NONCE:], "big") <= self._clock()
        if len(challenge) != _NONCE + _UNTIL + _MAC or not right or late:
            raise SignInRefused(NO_PASSKEY)
        return challenge


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except _FOREIGN as cause:
        raise SignInRefused(NO_PASSKEY) from cause


def _check_key(key: CoseKey) -> None:
    if key.get(3) not in ALGORITHMS:
        raise SignInRefused(NO_PASSKEY)
    if key[3] == -257 and len(key[-1].lstrip(b"\0")) < MIN_RSA_BYTES:
        raise SignInRefused(NO_PASSKEY)


def _state(challenge: bytes) -> dict[str, Any]:
    required = UserVerificationRequirement.REQUIRED
    return {"challenge": websafe_encode(challenge), "user_verification": required}


def _named(answered: Answered, response: dict[str, str]) -> dict[str, Any]:
    name = answered.credential
    return {"id": name, "rawId": name, "type": "public-key", "response": response}


def _described(known: Iterable[Passkey]) -> list[dict[str, str]]:
    return [{"type": "public-key", "id": websafe_encode(one.credential)} for one in known]
