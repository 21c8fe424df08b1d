"""Everything that the identity part refuses.

IdentityError
├── Unauthenticated            nobody may be assumed behind this request
│   ├── TokenMissing           no access token came with it
│   ├── InvalidToken           the access token is malformed, expired, revoked or not ours to accept
│   └── InvalidProof           the DPoP proof is malformed, stale, replayed or of another key
│       └── NonceRequired      the proof is well, but carries no nonce of ours
├── OAuthRefusal               the token or revocation endpoint says no (RFC 6749 section 5.2)
├── SignatureRefused           a signed object is malformed or its signature does not hold
├── KeyRefused                 a JWK that must not be trusted
├── IssuerUnavailable          an issuer's metadata or keys cannot be had right now
├── SignInRefused              nobody signs in with these, and it is not told which is wrong
│   └── SignInLater            too many wrong guesses; a stated time later there is another one
├── PasskeyRefused             what a person signs in with is not changed so
├── SignInBusy                 too many sign in at this moment
├── FormRefused                a form is not from a page of ours, or too old
├── RegistrationRefused        a client or tenant record that must not be stored
└── UnknownRecord              an update of something that is not stored
"""

from __future__ import annotations

from gateway.errors import Refusal, SealgateError


class IdentityError(SealgateError):
    """Base of the identity errors."""

    code = "identity"
    message = "the caller could not be identified"


class Unauthenticated(IdentityError):
    """The request carries nothing that identifies a caller.

    Attributes:
        challenge: The value that an HTTP answer puts into `WWW-Authenticate` (RFC 6750 section 3,
            RFC 9449 section 7.1); empty until the authenticator fills it in.
    """

    code = "unauthenticated"
    message = "the request is not authenticated"

    def __init__(self, message: str | None = None, challenge: str = "") -> None:
        super().__init__(message)
        self.challenge = challenge


class TokenMissing(Unauthenticated):
    """No access token came with the request."""

    code = "token_missing"
    message = "an access token is required"


class InvalidToken(Unauthenticated):
    """The access token must not be accepted (RFC 6750 section 3.1 `invalid_token`).

    Attributes:
        rule: Which rule it breaks, by a stable name; empty where that is not told apart.
        why: What is wrong with it, for the operator alone; repeats nothing of the token.
        advice: What an operator may do about it.
    """

    code = "invalid_token"
    message = "the access token is not valid"

    def __init__(
        self,
        message: str | None = None,
        challenge: str = "",
        *,
        rule: str = "",
        why: str = "",
        advice: str = "",
    ) -> None:
        super().__init__(message, challenge)
        self.rule, self.why, self.advice = rule, why, advice


class InvalidProof(Unauthenticated):
    """The DPoP proof must not be accepted (RFC 9449 section 5 `invalid_dpop_proof`)."""

    code = "invalid_dpop_proof"
    message = "the proof of possession is not valid"


class NonceRequired(InvalidProof):
    """The proof must carry a nonce of ours (RFC 9449 sections 8 and 9 `use_dpop_nonce`).

    Attributes:
        nonce: The one to use.
    """

    code = "use_dpop_nonce"
    message = "the proof of possession needs the nonce that comes with this answer"

    def __init__(self, nonce: str) -> None:
        super().__init__()
        self.nonce = nonce


class OAuthRefusal(IdentityError):
    """An OAuth endpoint refuses; `error` is the registered error code (RFC 6749 section 5.2).

    Attributes:
        error: For instance `invalid_client` or `invalid_scope`.
        nonce: What the next proof is to carry; empty unless `error` is `use_dpop_nonce`.
    """

    code = "oauth_refusal"
    message = "the request was refused"

    def __init__(self, error: str, message: str | None = None, nonce: str = "") -> None:
        super().__init__(message)
        self.error = error
        self.nonce = nonce


class SignatureRefused(IdentityError):
    """A signed object is malformed, of another type, or its signature does not hold."""

    code = "signature_refused"
    message = "the signed object is not valid"


class KeyRefused(IdentityError):
    """A JSON Web Key that must not be trusted."""

    code = "key_refused"
    message = "the key is not acceptable"


class IssuerUnavailable(IdentityError):
    """The metadata or keys of an issuer cannot be fetched, or are too old to rely on."""

    code = "issuer_unavailable"
    message = "the issuer's keys are not available"


class SignInRefused(Refusal, IdentityError):
    """Nobody signs in with these; which of them is wrong is not told."""

    code = "sign_in_refused"
    message = "organisation, address or password is not right"


class SignInLater(SignInRefused):
    """Too many wrong guesses: nothing was looked at."""

    code = "sign_in_later"
    message = "too many wrong guesses: wait, and try again"


class SignInBusy(Refusal, IdentityError):
    """Too many sign in at once; nothing was looked at."""

    code = "sign_in_busy"
    message = "too many people sign in at this moment: try again"
    retry_after = "2"


class FormRefused(Refusal, IdentityError):
    """A form does not come from a page that this browser was given, or from one of long ago."""

    code = "form_refused"
    message = "the page was too old: open it again"


class PasskeyRefused(Refusal, IdentityError):
    """A passkey is not added or removed; the message says what is needed first."""

    code = "passkey_refused"
    message = "the passkeys were not changed"


class RegistrationRefused(Refusal, IdentityError):
    """A client or tenant record contradicts itself or names what does not exist."""

    code = "registration_refused"
    message = "the registration is not acceptable"


class UnknownRecord(Refusal, IdentityError):
    """An update names a record that is not stored."""

    code = "unknown_record"
    message = "the record does not exist"
