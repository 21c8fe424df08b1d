"""The records of people: who they are, where they are signed in, and secrets for one use.

1. A person is known by a random id, the pseudonym. Address and name are in one sealed field, whose
   key is in the same row: without the row, or without the tenant's key, nobody reads them.
2. What a person is looked up by is a keyed digest of the address (`mark`), under the tenant's key
   for look-ups: a copy of the database cannot be searched for an address without that key.
3. No secret is stored: passwords as Argon2id, everything else, which is random, as its SHA-256.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from audit.event import PLATFORM_TENANT
from gateway.artifacts.upload import SealedPayload
from gateway.identity.records import SCOPES, Client

State = Literal["invited", "active", "suspended"]
SignInKind = Literal["browser", "client"]

HIGHEST_ACR: Final = 2
"""The highest `acr` that anybody reaches: with a passkey, whose device verified its user."""
SECRET_BYTES: Final = 32
"""256 bits: beyond guessing, so no slow hash is needed."""
_ID: Final = re.compile(r"person-[0-9a-f]{32}\Z")


@dataclass(frozen=True, slots=True)
class Person:
    """A person of a tenant.

    Attributes:
        id: The pseudonym, see `is_person_id`; what the log names.
        tenant: Whom it acts for.
        roles: As those of clients.
        purposes: The purposes it may name in a request.
        default_purpose: The one that a request without a purpose has, or None.
        state: An invited one has nothing to sign in with yet.
        mark: Keyed digest of the address, unique in the tenant.
        sealed: How `details` is sealed; its wrapped key is what a deletion destroys.
        details: Address and name, encrypted.
        password: Encoded Argon2id hash; empty without one.
        created: Unix seconds.
        revision: Raised by each update.
        not_before: Unix seconds: what the person did before, to sign in or to let something in, is
            good for nothing. Who was suspended begins anew.
    """

    id: str
    tenant: str
    roles: frozenset[str]
    purposes: frozenset[str]
    default_purpose: str | None
    state: State
    mark: bytes = field(repr=False)
    sealed: SealedPayload = field(repr=False)
    details: bytes = field(repr=False)
    password: str = field(default="", repr=False)
    created: int = 0
    revision: int = 0
    not_before: int = 0


@dataclass(frozen=True, slots=True)
class SignIn:
    """Where a person is signed in: a browser, or a client that it lets act for it.

    Attributes:
        id: Its reference: in tokens, in the log and on the person's own page.
        kind: What it is.
        tenant: Of the person.
        person: Id of the person.
        client: Id of the client; empty for a browser.
        scopes: What the person let the client have.
        thumbprint: Of the key that the client's refresh tokens are bound to; empty without.
        acr: 1 for one factor, 2 for several.
        amr: How (RFC 8176), for instance `pwd`.
        authenticated: When, Unix seconds.
        created: Unix seconds.
        seen: About when it was last used, Unix seconds.
        expires: When it ends whatever is done, Unix seconds.
        secret: SHA-256 of what the browser's cookie holds; empty for a client.
    """

    id: str
    kind: SignInKind
    tenant: str
    person: str
    client: str
    scopes: frozenset[str]
    thumbprint: str
    acr: int
    amr: frozenset[str]
    authenticated: int
    created: int
    seen: int
    expires: int
    secret: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Ticket:
    """A secret for one use: an invitation, an authorization code, a refresh token, a challenge.

    Attributes:
        digest: SHA-256 of the secret.
        kind: What it is good for: one kind is never taken for another.
        tenant: Of the person; empty where nobody is known yet.
        person: Id of the person; empty likewise.
        sign_in: What came of it, or what it belongs to; empty without.
        expires: Unix seconds.
        facts: What else it stands for.
        spent: It was used.
    """

    digest: bytes
    kind: str
    tenant: str
    person: str
    sign_in: str
    expires: int
    facts: Mapping[str, str] = field(default_factory=dict)
    spent: bool = False


COMMAND_LINE: Final = Client(
    id="sealgate-cli",
    tenant=PLATFORM_TENANT,
    name="sealgate command line",
    scopes=SCOPES,
    auth_method="none",
    token_binding="dpop",  # noqa: S106 - a kind of binding
)
"""The client of `sealgate login`, there without being registered; who registers one of this id
replaces it, and who disables that one shuts the command line out for people."""


def new_secret(random_bytes: Callable[[int], bytes]) -> str:
    """Return a fresh secret as text."""
    return base64.urlsafe_b64encode(random_bytes(SECRET_BYTES)).rstrip(b"=").decode()


def digest_of(secret: str) -> bytes:
    """Return what is stored of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def new_person_id(random_bytes: Callable[[int], bytes]) -> str:
    """Return a fresh pseudonym."""
    return f"person-{random_bytes(16).hex()}"


def new_sign_in_id(random_bytes: Callable[[int], bytes]) -> str:
    """Return a fresh reference of a sign-in."""
    return f"signin-{random_bytes(16).hex()}"


def is_person_id(value: str) -> bool:
    """Tell whether a text is the id of a person: no client has one of this shape."""
    return _ID.match(value) is not None


def registration_of(person: Person) -> Client:
    """Return what a person is to the parts that know callers by their registration.

    The scopes are all there are: a token has at most those of the client that asked for it. Only an
    active person is not shut out.
    """
    return Client(
        id=person.id,
        tenant=person.tenant,
        name="",
        kind="user",
        roles=person.roles,
        scopes=SCOPES,
        purposes=person.purposes,
        default_purpose=person.default_purpose,
        token_binding="none",  # noqa: S106 - the client's registration says how tokens are bound
        disabled=person.state != "active",
        not_before=person.not_before,
    )
