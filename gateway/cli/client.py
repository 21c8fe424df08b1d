"""`sealgate client`: register clients, replace what they authenticate with, shut them out."""

from __future__ import annotations

import ssl
from codecs import BOM_UTF8
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.client_files import (
    check_replaceable,
    secret_file,
    write_profile,
    write_rotated,
)
from gateway.cli.connection import connect
from gateway.cli.durations import seconds_of
from gateway.cli.failures import CommandFailed, ExitCode, check_confirmed
from gateway.cli.output import (
    JsonFlag,
    PlanFlag,
    ProfileOption,
    check_writable,
    moment,
    note,
    planned,
    show,
    show_list,
)
from gateway.client.shown import key_of_certificate
from gateway.strict_json import strict_json

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="""Register clients, replace their secrets and keys, shut them out and let them in.

    Example: sealgate client list --tenant st-mary

    Next: sealgate client create --help
    """,
)

Id = Annotated[str, typer.Argument(help="Id of the client.")]
ROLES = "caller, owner, officer, convenor, site, delegate or administrator; repeat it."
SCOPES = "infer, models, artifacts, audit, policies, federate or admin; repeat it."
Tenant = Annotated[str, typer.Option("--tenant", help="Whom it acts for.")]


@app.command("list")
def list_clients(tenant: Tenant, profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """List the clients of a tenant.

    Example: sealgate client list --tenant st-mary

    Next: sealgate client create ID --tenant st-mary --name NAME --role caller
    """
    with connect(profile) as connection:
        show_list(
            connection.items("/v1/clients", tenant=tenant),
            as_json=as_json,
            columns=("id", "name", "roles", "scopes", "auth_method", "token_binding", "disabled"),
            empty="no client yet",
        )


@app.command()
def create(
    client: Id,
    tenant: Tenant,
    name: Annotated[str, typer.Option(help="Name for people.")],
    roles: Annotated[list[str] | None, typer.Option("--role", help=ROLES)] = None,
    scopes: Annotated[list[str] | None, typer.Option("--scope", help=SCOPES)] = None,
    purposes: Annotated[
        list[str] | None,
        typer.Option("--purpose", help="A purpose of the tenant; the first is the default."),
    ] = None,
    jwks: Annotated[
        Path | None, typer.Option(help="Public keys (JWK set); without it a secret is made.")
    ] = None,
    certificate: Annotated[
        Path | None,
        typer.Option(help="Certificate (PEM) that it shows in TLS; its tokens are bound to it."),
    ] = None,
    unbound: Annotated[
        bool, typer.Option(help="Tokens need no proof of possession: weaker, for old clients.")
    ] = False,
    redirects: Annotated[
        list[str] | None,
        typer.Option("--redirect-uri", help="Where a browser may come back to; repeat it."),
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="No secret and no keys: acts for people only.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write a profile and the secret here, mode 0600.")
    ] = None,
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Register a client. A secret is shown once, or written with --out.

    Example: sealgate client create st-mary-app --tenant st-mary --name App --role caller \
--scope infer --purpose care --out st-mary-app.json

    Next: sealgate whoami --profile st-mary-app.json
    """
    body: dict[str, Any] = {
        "id": client,
        "tenant": tenant,
        "name": name,
        "roles": roles or [],
        "scopes": scopes or [],
        "purposes": purposes or [],
        "default_purpose": purposes[0] if purposes else None,
        "redirect_uris": redirects or [],
        **_credentials(jwks, certificate, unbound=unbound, public=public),
    }
    if out is not None and body["auth_method"] != "client_secret_basic":
        what = (
            "--out is for a client with a secret: who has keys, or nothing, writes its own profile"
        )
        raise CommandFailed(what, ExitCode.USAGE, "leave --out out")
    if planned(plan, as_json, "register a client", **body):
        return
    if out is not None:
        check_writable(out)
        if out.exists() or secret_file(out).exists():
            raise CommandFailed("there is a file of that name; nothing was changed")
    with connect(profile) as connection:
        made = connection.post("/v1/clients", body)
        if out is not None and made["client_secret"] is not None:
            write_profile(out, connection.profile.url, made)
            made["client_secret"] = None
            note(f"profile: {out}")
    show(made, as_json=as_json)


@app.command()
def disable(
    client: Id,
    tenant: Tenant,
    confirm: Annotated[str, typer.Option(help="Repeat the id.")] = "",
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Shut a client out; holds for every token when the command ends.

    Example: sealgate client disable st-mary-app --tenant st-mary --confirm st-mary-app

    Next: sealgate client list --tenant st-mary
    """
    if planned(plan, as_json, "disable a client", client=client, tenant=tenant):
        return
    check_confirmed(confirm, client)
    with connect(profile) as connection:
        done = connection.post(f"/v1/tenants/{tenant}/clients/{client}/disable")
    show(done, as_json=as_json)


@app.command()
def enable(
    client: Id,
    tenant: Tenant,
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Let a disabled client in again, with the secret or keys that it had.

    Example: sealgate client enable st-mary-app --tenant st-mary

    Next: sealgate client rotate st-mary-app --tenant st-mary --out st-mary-app.json
    """
    if planned(plan, as_json, "let a client in again", client=client, tenant=tenant):
        return
    with connect(profile) as connection:
        done = connection.post(f"/v1/tenants/{tenant}/clients/{client}/enable")
    show(done, as_json=as_json)


@app.command()
def rotate(
    client: Id,
    tenant: Tenant,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write a profile and the new secret here, mode 0600; in a profile of the client "
            "that is there, only the secret is replaced."
        ),
    ] = None,
    jwks: Annotated[
        Path | None, typer.Option(help="New public keys (JWK set), for a client with keys.")
    ] = None,
    overlap: Annotated[
        str, typer.Option(help="How long the old secret or keys go on: 24h, 15m, 0 for not at all.")
    ] = "24h",
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Give a client another secret, or other keys; the old ones end by themselves.

    Tokens that the client has live to their end, five minutes at most.

    Example: sealgate client rotate st-mary-app --tenant st-mary --out st-mary-app.json

    Next: sealgate whoami --profile st-mary-app.json
    """
    body = {
        "jwks": _read_keys(jwks) if jwks else None,
        "overlap_s": seconds_of("--overlap", overlap),
    }
    shown = {"client": client, "tenant": tenant, **body}
    if planned(plan, as_json, "replace what a client authenticates with", **shown):
        return
    if (out is None) == (jwks is None):
        raise CommandFailed(
            "a new secret needs a file, and new keys need none",
            ExitCode.USAGE,
            "add --out FILE for a client with a secret, or --jwks FILE for one with keys",
        )
    if out is not None:
        check_replaceable(out, client)
    with connect(profile) as connection:
        made = connection.post(f"/v1/tenants/{tenant}/clients/{client}/rotate", body)
        if out is not None:
            write_rotated(out, connection.profile.url, made)
            made["client_secret"] = None
            note(f"profile: {out}")
    if not as_json:
        made["former_until"] = [moment(until) for until in made["former_until"]]
    show(made, as_json=as_json)


def _credentials(
    jwks: Path | None, certificate: Path | None, *, unbound: bool, public: bool
) -> dict[str, Any]:
    """Return what a new client authenticates with, and what its tokens are bound to."""
    binding = "none" if unbound else "dpop"
    if certificate is None:
        return {
            "token_binding": binding,
            "auth_method": _method(jwks, public=public),
            "jwks": _read_keys(jwks) if jwks else None,
        }
    if jwks is not None or unbound or public:
        raise CommandFailed(
            "a client with a certificate has no other keys, and its tokens are bound",
            ExitCode.USAGE,
            "leave --jwks, --unbound and --public out",
        )
    return {
        "token_binding": "mtls",
        "auth_method": "self_signed_tls_client_auth",
        "jwks": _keys_of_certificate(certificate),
    }


def _keys_of_certificate(path: Path) -> dict[str, Any]:
    try:
        der = ssl.PEM_cert_to_DER_cert(path.read_text().strip())
    except (OSError, ValueError) as cause:
        raise CommandFailed(
            "the certificate cannot be read", ExitCode.USAGE, "give one certificate as PEM"
        ) from cause
    key = key_of_certificate(der)
    if key is None:
        raise CommandFailed(
            "the key of the certificate is of no kind that can be used",
            ExitCode.USAGE,
            "make one with an EC key (P-256) or an RSA key of 2048 bits or more",
        )
    return {"keys": [key.as_dict(private=False)]}


def _method(jwks: Path | None, *, public: bool) -> str:
    if public:
        return "none"
    return "private_key_jwt" if jwks else "client_secret_basic"


def _read_keys(path: Path) -> Any:
    try:
        return strict_json(path.read_bytes().removeprefix(BOM_UTF8))
    except OSError as cause:
        raise CommandFailed("the public keys cannot be read", ExitCode.USAGE) from cause
    except ValueError as cause:
        raise CommandFailed(f"the public keys cannot be read: {cause}", ExitCode.USAGE) from cause
