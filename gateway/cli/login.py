"""`sealgate login`: sign in with a browser, on this machine or another one."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import typer

from gateway.cli.connection import UNREACHABLE, Connection
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.output import JsonFlag, ask, show
from gateway.cli.profile import find_profile, load_profile, named_profile, told
from gateway.client.auth import TIMEOUT
from gateway.client.certificates import trust_of
from gateway.client.errors import ClientFault
from gateway.client.profile import Profile, check_address
from gateway.client.proofs import new_proof_key, proof
from gateway.client.session import SUFFIX, SessionFile
from gateway.client.token_file import TokenFile
from gateway.client.tokens import MAX_NONCE

CLIENT_ID: Final = "sealgate-cli"
GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
REVOKE_PATH: Final = "/oauth/revoke"
TOKEN_PATH: Final = "/oauth/token"  # noqa: S105 - an address
LONGEST_INTERVAL: Final = 60.0
"""Seconds between two questions, whatever a gateway asks for."""

app = typer.Typer(help="Sign in with a browser.", add_completion=False)


@app.command()
def login(
    url: Annotated[str, typer.Option(help="Address of the gateway; else the profile's.")] = "",
    profile: Annotated[
        str, typer.Option("--profile", help="Name of the profile, or its file; else the default.")
    ] = "",
    scopes: Annotated[
        list[str] | None, typer.Option("--scope", help="What commands may do; repeat it.")
    ] = None,
    ca_file: Annotated[
        Path | None, typer.Option(help="Certificate authority of the gateway.")
    ] = None,
    step_up: Annotated[
        bool,
        typer.Option("--step-up", help="Sign in anew, with a passkey, for what takes one."),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Sign in with a browser, on this machine or another one.

    What changes or reads records takes a passkey, used within the last quarter of an hour: then
    commands say so, and `--step-up` asks the browser for it.

    The sign-in is kept in a file beside the profile, for its owner alone, and renews itself. It
    ends after a week without use, after a month, or with `sealgate logout`.

    Example: sealgate login --url https://gateway.example --profile st-mary

    Next: sealgate whoami --profile st-mary
    """
    path = named_profile(profile) if profile else find_profile(None)
    known = _known(path, url, ca_file)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    session = known.session
    assert session is not None
    with _client(known) as client:
        with session.turn():  # a command that renews the sign-in of before does not come between
            before = _before(session)
            _sign_in(client, known, session, scopes or [], step_up=step_up)
        if before:
            _end(client, known, before)
    _write(path, known)
    found = load_profile(path)
    with Connection(found, keep=TokenFile(path, found)) as connection:
        seen = connection.get("/v1/whoami")
    show(
        {"profile": str(path), "person": seen["person"], "tenant": seen["tenant"]}, as_json=as_json
    )


def _known(path: Path, url: str, ca_file: Path | None) -> Profile:
    """Return the profile to sign in with; one of a client by itself is not replaced."""
    session = SessionFile(path.with_name(path.name + SUFFIX))
    if path.exists():
        found = load_profile(path)
        if found.session is None or (url and url.rstrip("/") != found.url):
            raise CommandFailed(
                f"{path} is the profile of another client or gateway; nothing was changed",
                ExitCode.USAGE,
                "name another one with --profile",
            )
        return found
    if not url:
        what = "the address of the gateway is needed"
        raise CommandFailed(what, ExitCode.USAGE, "add --url https://GATEWAY")
    try:
        check_address(url)
    except ClientFault as fault:
        what = "`--url` must be an http or https address without a path"
        raise CommandFailed(what, ExitCode.USAGE, "such as --url https://GATEWAY") from fault
    authority = None if ca_file is None else ca_file.absolute()
    return Profile(url.rstrip("/"), CLIENT_ID, None, None, authority, "dpop", session)


def _client(known: Profile) -> httpx.Client:
    try:
        verify = trust_of(known)
    except ClientFault as fault:
        raise told(fault) from fault
    return httpx.Client(base_url=known.url, timeout=TIMEOUT, verify=verify)


def _before(session: SessionFile) -> str:
    """Return the refresh token of the sign-in that is followed; empty where there is none."""
    with contextlib.suppress(ClientFault):
        return session.read()[0]
    return ""


def _end(client: httpx.Client, known: Profile, token: str) -> None:
    """End a sign-in that was followed by another one; where that fails it ends by itself."""
    with contextlib.suppress(httpx.HTTPError):
        client.post(REVOKE_PATH, data={"client_id": known.client_id, "token": token})


def _sign_in(
    client: httpx.Client,
    known: Profile,
    session: SessionFile,
    scopes: list[str],
    *,
    step_up: bool,
) -> None:
    key = new_proof_key()
    form = {"client_id": known.client_id, "dpop_jkt": key.thumbprint()}
    if scopes:
        form["scope"] = " ".join(scopes)
    if step_up:  # RFC 9470, section 4: several factors, proven after this question
        form |= {"acr_values": "2", "max_age": "0"}
    begun, _ = _post(client, "/oauth/device_authorization", form)
    if "user_code" not in begun:
        raise _refused(begun)
    ask(f"open {begun['verification_uri']}, sign in, and type: {begun['user_code']}")
    asking = {
        "grant_type": GRANT,
        "device_code": begun["device_code"],
        "client_id": known.client_id,
    }
    interval, nonce = float(begun.get("interval", 5)), ""
    while True:
        time.sleep(min(interval, LONGEST_INTERVAL))
        url = known.url + TOKEN_PATH
        signed = proof(key, "POST", url, int(time.time()), os.urandom(16).hex(), nonce=nonce)
        before = nonce
        answer, nonce = _post(client, TOKEN_PATH, asking, {"dpop": signed})
        if "refresh_token" in answer:
            session.write(answer["refresh_token"], key.as_dict(private=True))
            return
        if answer.get("error") == "slow_down":
            interval += 5
        elif answer.get("error") == "use_dpop_nonce" and nonce not in {"", before}:
            continue
        elif answer.get("error") != "authorization_pending":
            raise _refused(answer)


def _post(
    client: httpx.Client, path: str, form: dict[str, str], headers: dict[str, str] | None = None
) -> tuple[dict[str, Any], str]:
    """Return the body of an answer, and the nonce for the next proof (RFC 9449 section 8)."""
    try:
        answer = client.post(path, data=form, headers=headers)
        body = answer.json()
    except httpx.HTTPError as cause:
        raise CommandFailed(
            "the gateway does not answer", ExitCode.TRY_AGAIN, UNREACHABLE
        ) from cause
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise CommandFailed("the answer is not one of a sealgate gateway")
    nonce = answer.headers.get("dpop-nonce", "")
    return body, nonce if len(nonce) <= MAX_NONCE else ""


def _refused(answer: dict[str, Any]) -> CommandFailed:
    what = str(answer.get("error_description") or answer.get("error") or "the gateway refused")
    return CommandFailed(what, ExitCode.SIGN_IN, "sealgate login, to begin again")


def _write(path: Path, known: Profile) -> None:
    assert known.session is not None
    content = {
        "url": known.url,
        "client_id": known.client_id,
        "session_file": known.session.path.name,
        "binding": "dpop",
    }
    if known.ca_file is not None:
        content["ca_file"] = str(known.ca_file)
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(json.dumps(content, indent=2))
    os.replace(fresh, path)
