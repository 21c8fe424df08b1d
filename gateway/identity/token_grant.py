"""The client credentials grant (RFC 6749 section 4.4), run by Authlib.

What Authlib leaves to its frameworks, or does too loosely, is here:

1. Clients are authenticated by `ClientAuthenticator` and by nothing of Authlib's own.
2. The scope is at most what the client is registered for; asking for more is refused, not trimmed.
3. A client that is registered for `dpop` gets no token without a proof of possession, and a proof
   that is sent is always bound. Authlib's token generator takes no request, so it is not used.
4. A refusal carries a registered error code and our own text: Authlib's descriptions echo the
   request and its debug log prints the token, so neither is reached.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NoReturn
from urllib.parse import urlsplit

from authlib.oauth2 import AuthorizationServer as AuthlibServer
from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.rfc6749 import OAuth2Payload, OAuth2Request
from authlib.oauth2.rfc6749.grants import BaseGrant, ClientCredentialsGrant, TokenEndpointMixin

from gateway.identity.client_authentication import NOWHERE, ClientAuthenticator, Connection
from gateway.identity.dpop import Proof, ProofChecker
from gateway.identity.errors import InvalidProof, OAuthRefusal
from gateway.identity.own_tokens import OwnTokens
from gateway.identity.records import Client
from gateway.identity.token_exchange import ACCESS_TOKEN, EXCHANGE, exchange_of
from gateway.identity.tokens import TOKEN_SECONDS, MintedToken, TokenMinter

TOKEN_PATH: Final = "/oauth/token"  # noqa: S105 - a path
GRANT_TYPE: Final = "client_credentials"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class _Fields(OAuth2Payload):  # type: ignore[misc]
    """The form as Authlib reads it."""

    def __init__(self, form: Mapping[str, str]) -> None:
        self._form = dict(form)

    @property
    def data(self) -> dict[str, str]:
        return self._form

    @property
    def datalist(self) -> dict[str, list[str]]:
        return {name: [value] for name, value in self._form.items()}


class TokenRequest(OAuth2Request):  # type: ignore[misc]
    """A token request, which also carries its own outcome."""

    def __init__(
        self,
        form: Mapping[str, str],
        authorization: bytes | None,
        dpop: bytes | None,
        connection: Connection = NOWHERE,
    ) -> None:
        # Authlib wants to see https here and else asks the environment. Which transport is safe
        # was decided when the issuer was configured, so it gets an address that satisfies it.
        super().__init__("POST", "https://token.invalid/")
        self.payload = _Fields(form)
        self.fields = form
        self.authorization = authorization
        self.dpop = dpop
        self.connection = connection
        self.client: RegisteredClient | None = None
        self.token: MintedToken | None = None
        self.subject = ""
        self.answer: dict[str, str | int] = {}


class RegisteredClient:
    """A client record with the face that Authlib asks for."""

    def __init__(self, record: Client) -> None:
        self.record = record

    def check_grant_type(self, grant_type: str) -> bool:
        """Allow what needs no permission; token exchange looks for its own."""
        return grant_type == GRANT_TYPE


class _ClientCredentials(ClientCredentialsGrant):  # type: ignore[misc]
    """The grant of RFC 6749 section 4.4, with the scope decided and the token made by us."""

    def validate_requested_scope(self) -> None:
        """Leave the scope to `granted_scopes`, which knows the client."""

    def create_token_response(self) -> tuple[int, dict[str, str | int], list[tuple[str, str]]]:
        self.server.grant.issue(self.request, self.request.client.record)
        return 200, self.request.answer, self.TOKEN_RESPONSE_HEADER


class _TokenExchange(BaseGrant, TokenEndpointMixin):  # type: ignore[misc]
    """The grant of RFC 8693, of which Authlib has an empty package: decided in `token_exchange`."""

    GRANT_TYPE = EXCHANGE

    def validate_token_request(self) -> None:
        """Learn who asks; the rest is for the one who knows our tokens."""
        self.request.client = self.server.authenticate_client(self.request, [])

    def create_token_response(self) -> tuple[int, dict[str, str | int], list[tuple[str, str]]]:
        self.server.grant.exchange(self.request, self.request.client.record)
        return 200, self.request.answer, self.TOKEN_RESPONSE_HEADER


class _Server(AuthlibServer):  # type: ignore[misc]
    """Authlib's server: it picks the grant and drives it."""

    def __init__(self, clients: ClientAuthenticator, grant: TokenGrant) -> None:
        super().__init__()
        self._authenticator = clients
        self.grant = grant
        self.register_grant(_ClientCredentials)
        self.register_grant(_TokenExchange)

    def authenticate_client(
        self, request: TokenRequest, methods: object, endpoint: str = "token"
    ) -> RegisteredClient:
        del methods, endpoint  # the registration says which method is right
        record = self._authenticator.authenticate(
            request.fields, request.authorization, request.connection
        )
        request.client = RegisteredClient(record)
        return request.client

    def create_oauth2_request(self, request: TokenRequest) -> TokenRequest:
        return request

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Tell nobody: events go out with the answer."""

    def handle_response(self, status: int, body: object, headers: object) -> None:
        """Leave the answer on the request, where the caller finds it."""

    def handle_error_response(self, request: object, error: OAuth2Error) -> NoReturn:
        del request  # Authlib's descriptions quote it
        raise OAuthRefusal(error.error)


class TokenGrant:
    """Turns a token request into a token.

    Args:
        clients: Authenticates the clients.
        minter: Signs the tokens.
        proofs: Checks proofs of possession for our public URL.
        tokens: Reads tokens that are exchanged.
    """

    def __init__(
        self,
        clients: ClientAuthenticator,
        minter: TokenMinter,
        proofs: ProofChecker,
        tokens: OwnTokens,
    ) -> None:
        self._minter = minter
        self._tokens = tokens
        self._proofs = proofs
        self._server = _Server(clients, self)

    def run(self, request: TokenRequest) -> None:
        """Leave the token and the answer on the request. Blocks.

        Raises:
            OAuthRefusal: There is no token for this request.
            InvalidProof: Its proof of possession must not be accepted.
        """
        if "grant_type" not in request.fields:
            raise OAuthRefusal("invalid_request", "a grant type is required")
        self._server.create_token_response(request)

    def issue(self, request: TokenRequest, client: Client) -> None:
        """Decide what the token of an authenticated client says, and sign it."""
        scopes = granted_scopes(client, request.fields.get("scope"))
        self._check_target(request)
        proof = self._proof(request, client)
        token = self._minter.mint(
            client,
            scopes,
            proof.thumbprint if proof else None,
            certificate=_certificate(request, client),
        )
        request.token = token
        request.answer = {
            "access_token": token.text,
            "token_type": "DPoP" if proof else "Bearer",
            "expires_in": TOKEN_SECONDS,
            "scope": " ".join(sorted(scopes)),
        }

    def exchange(self, request: TokenRequest, client: Client) -> None:
        """Decide about an exchange, and sign what it gives (RFC 8693 section 2.2)."""
        found = exchange_of(self._tokens, client, request.fields)
        widest = replace(client, scopes=client.scopes & found.scopes)
        scopes = granted_scopes(widest, request.fields.get("scope"))
        self._check_target(request)
        proof = self._proof(request, client)
        token = self._minter.mint(
            replace(client, not_before=max(client.not_before, found.since)),
            scopes,
            proof.thumbprint if proof else None,
            certificate=_certificate(request, client),
            on_behalf=found.delegation.claims(),
            until=found.until,
        )
        request.token, request.subject = token, found.delegation.subject
        request.answer = {
            "access_token": token.text,
            "issued_token_type": ACCESS_TOKEN,
            "token_type": "DPoP" if proof else "Bearer",
            "expires_in": token.expires - token.issued,
            "scope": " ".join(sorted(scopes)),
        }

    def _check_target(self, request: TokenRequest) -> None:
        # `audience` (RFC 8693 section 2.1) is a name, and ours is the same address.
        for field in ("resource", "audience"):
            named = request.fields.get(field, self._minter.audience)
            if not names_resource(named, self._minter.audience):
                raise OAuthRefusal("invalid_target", "the resource is not served here")

    def _proof(self, request: TokenRequest, client: Client) -> Proof | None:
        if request.dpop is None:
            if client.token_binding == "dpop":  # noqa: S105 - a kind of binding
                raise InvalidProof("a proof of possession is required")
            return None
        if client.token_binding == "mtls":  # noqa: S105 - a kind of binding
            raise InvalidProof("tokens of this client are bound to its certificate, not to a key")
        proof = self._proofs.check(request.dpop, "POST", TOKEN_PATH)
        self._proofs.use(proof, client.id)
        return proof


def _certificate(request: TokenRequest, client: Client) -> str | None:
    """Return what to bind a token to, for a client whose tokens are bound to certificates."""
    if client.token_binding != "mtls":  # noqa: S105 - a kind of binding
        return None
    if request.connection.certificate is None:
        what = "a client certificate is required: tokens of this client are bound to it"
        raise OAuthRefusal("invalid_request", what)
    return request.connection.certificate.thumbprint


def granted_scopes(client: Client, requested: str | None) -> frozenset[str]:
    """Return the scopes that a client gets: what it asks for, or all that it is registered for.

    RFC 6749 section 3.3 has `scope-token *( SP scope-token )`. Blanks at an end, or two for one,
    are not in it, but leave no doubt about what is asked for and can only ask for less: they are
    let pass, as programs that join lists send them. Nothing else that divides words is.

    Raises:
        OAuthRefusal: `invalid_scope`: it asks for more than it may have, or for nothing.
    """
    words = client.scopes if requested is None else frozenset(requested.split(" ")) - {""}
    if not words or not words <= client.scopes:
        raise OAuthRefusal("invalid_scope", "the client may not have that scope")
    return words


def names_resource(resource: str, audience: str) -> bool:
    """Tell whether a `resource` (RFC 8707 section 2) is ours.

    It is a URI, so those that are equivalent are the same (RFC 3986 sections 6.2.2 and 6.2.3): an
    empty path is `/`, and scheme, host and the scheme's own port are compared as such. One with
    another path, a query or a fragment is another resource.
    """
    try:
        parts = urlsplit(resource)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return False
    if parts.path not in {"", "/"} or "?" in resource or "#" in resource or "@" in parts.netloc:
        return False
    ours = urlsplit(audience)
    own_port = ours.port or _DEFAULT_PORTS.get(ours.scheme)
    return (parts.scheme, parts.hostname, port) == (ours.scheme, ours.hostname, own_port)
