"""Every grant by OAuth libraries as they are, told nothing but the gateway's address."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from oauthlib.oauth2 import BackendApplicationClient, InvalidClientError
from requests_oauthlib import OAuth2Session as RequestsSession

from gateway.identity.token_exchange import ACCESS_TOKEN, EXCHANGE
from tests.e2e.house import House, moved
from tests.e2e.oauth_cast import OAuthCast, register
from tests.tools import lacking, require_tool

pytestmark = pytest.mark.clients

NPM = Path(__file__).parent / "clients" / "npm"
MODEL = "/v2/models/digits"


@pytest.fixture(scope="module")
def served(founded: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with moved(founded, tmp_path_factory.mktemp("oauth") / "place") as house:
        yield house


@pytest.fixture(scope="module")
def cast(served: House) -> OAuthCast:
    return register(served)


@pytest.fixture(scope="module")
def metadata(served: House) -> dict[str, Any]:
    """What a library finds from a refusal alone: RFC 9728, then RFC 8414."""
    refused = httpx.get(served.url + MODEL)
    assert refused.status_code == 401
    challenge = refused.headers["www-authenticate"]
    address = challenge.partition('resource_metadata="')[2].partition('"')[0]
    resource = httpx.get(address).json()
    assert resource["resource"] == served.url
    server = resource["authorization_servers"][0]
    found: dict[str, Any] = httpx.get(server + "/.well-known/oauth-authorization-server").json()
    assert found["issuer"] == server
    return found


def async_client(*arguments: Any, **more: Any) -> Any:
    """Make Authlib's client of httpx, which warns of httpx itself when it is imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from authlib.integrations.httpx_client import AsyncOAuth2Client
    return AsyncOAuth2Client(*arguments, **more)


def form_of(token: str) -> dict[str, str]:
    return {"subject_token": token, "subject_token_type": ACCESS_TOKEN}


def test_authlib_over_requests(served: House, cast: OAuthCast, metadata: Any) -> None:
    url = metadata["token_endpoint"]
    with OAuth2Session(cast.secret["id"], cast.secret["secret"]) as session:
        token = session.fetch_token(url, grant_type="client_credentials", scope="infer")
        assert session.get(served.url + MODEL).status_code == 200
        delegate = OAuth2Session(cast.delegate["id"], cast.delegate["secret"])
        with delegate:
            form = form_of(token["access_token"])
            on = delegate.fetch_token(url, grant_type=EXCHANGE, **form)
            assert on["issued_token_type"] == ACCESS_TOKEN
            assert delegate.get(served.url + MODEL).status_code == 200
            asked = delegate.introspect_token(
                metadata["introspection_endpoint"], token["access_token"]
            ).json()
            assert (asked["active"], asked["client_id"]) == (True, cast.secret["id"])
            answer = session.revoke_token(metadata["revocation_endpoint"], token["access_token"])
            assert answer.status_code == 200
            assert delegate.get(served.url + MODEL).status_code == 401


@pytest.mark.parametrize("algorithm", ["RS256", "PS256"])
def test_issue_8_5_authlib_over_httpx_signs_for_the_token_endpoint(
    cast: OAuthCast, metadata: Any, algorithm: str
) -> None:
    url = metadata["token_endpoint"]

    async def asked() -> Any:
        way = PrivateKeyJWT(url, alg=algorithm)
        async with async_client(cast.machine, cast.key, token_endpoint_auth_method=way) as session:
            return await session.fetch_token(url, grant_type="client_credentials")

    # Its tokens must be bound, and Authlib makes no proofs: it is known, and told what is missing.
    with pytest.raises(Exception, match="invalid_dpop_proof"):
        asyncio.run(asked())


def test_requests_oauthlib(
    served: House, cast: OAuthCast, metadata: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")  # the gateway of a test has no TLS
    url, secret = metadata["token_endpoint"], cast.secret
    client = BackendApplicationClient(secret["id"], scope=["infer"])
    with RequestsSession(client=client) as session:
        session.fetch_token(url, client_id=secret["id"], client_secret=secret["secret"])
        assert session.get(served.url + MODEL).status_code == 200
        with pytest.raises(InvalidClientError):
            session.fetch_token(url, client_id=secret["id"], client_secret="wrong")


@pytest.fixture
def npm(tmp_path: Path) -> list[str]:
    """Node, with the script and beside it what `.ci/run` got from npm."""
    node = require_tool("node")
    installed = Path(os.environ.get("NODE_CLIENTS", "/nowhere"), "node_modules")
    if not (installed / "openid-client").is_dir():
        lacking("openid-client (npm; `NODE_CLIENTS` names the folder with its node_modules)")
    (tmp_path / "node_modules").symlink_to(installed)
    script = tmp_path / "openid_client.mjs"
    shutil.copy(NPM / script.name, script)
    return [node, str(script)]


def test_openid_client_from_npm(served: House, cast: OAuthCast, npm: list[str]) -> None:
    machine = {"id": cast.machine, "jwk": cast.key.as_dict(private=True)}
    told = {
        "url": served.url,
        "secret": cast.secret,
        "delegate": cast.delegate,
        "machine": machine,
    }
    done = subprocess.run(
        npm,
        input=json.dumps(told),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["secret"] == ["bearer", "infer", 200]
    assert said["rs256"] == said["ps256"] == ["dpop", 200]
    assert said["exchange"] == [ACCESS_TOKEN, 200]
    assert said["introspected"] == [
        True,
        cast.secret["id"],
        cast.delegate["id"],
        {"sub": cast.delegate["id"]},
    ]
    assert said["afterwards"] is False
