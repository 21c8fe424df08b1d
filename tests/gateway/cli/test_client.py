from __future__ import annotations

import json
import stat
from pathlib import Path

from gateway.cli.failures import ExitCode
from gateway.identity.client_certificate import ClientCertificate
from gateway.identity.client_keys import client_keys
from tests.gateway.cli.command import sealgate
from tests.gateway.identity.certificates import SelfSigned
from tests.gateway.place import Place


def test_a_new_client_signs_in_with_a_proof_of_possession(place: Place, tmp_path: Path) -> None:
    admin = place.folder / "data" / "admin.json"
    made = sealgate(
        "tenant", "create", "shop", "--name", "Shop", "--region", "eu", "--purpose", "care",
        "--profile", admin, "--json",
    )  # fmt: skip
    assert made.json["purposes"] == ["care"]
    out = tmp_path / "app.json"
    created = sealgate(
        "client", "create", "shop-app", "--tenant", "shop", "--name", "App", "--role", "owner",
        "--scope", "models", "--purpose", "care", "--out", out, "--profile", admin, "--json",
    )  # fmt: skip
    assert created.code == ExitCode.OK, created.err
    secret = tmp_path / "app.json.secret"
    assert created.json["client_secret"] is None
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert json.loads(out.read_text())["binding"] == "dpop"
    seen = sealgate("whoami", "--profile", out, "--json").json
    assert (seen["client_id"], seen["binding"]) == ("shop-app", "dpop")
    listed = sealgate("client", "list", "--tenant", "shop", "--profile", admin)
    assert listed.out.split("\t")[0] == "shop-app"
    unsure = sealgate("client", "disable", "shop-app", "--tenant", "shop", "--profile", admin)
    assert unsure.code == ExitCode.USAGE
    sealgate(
        "client", "disable", "shop-app", "--tenant", "shop", "--confirm", "shop-app",
        "--profile", admin,
    )  # fmt: skip
    assert sealgate("whoami", "--profile", out).code == ExitCode.SIGN_IN


def test_a_client_is_registered_with_the_certificate_that_it_shows(
    place: Place, tmp_path: Path
) -> None:
    admin = place.folder / "data" / "admin.json"
    shown = SelfSigned()
    path, _ = shown.write(tmp_path, "shown")
    order: list[str | Path] = [
        "client", "create", "bench-shower", "--tenant", "platform", "--name", "App",
        "--role", "officer", "--scope", "audit", "--profile", admin, "--json",
    ]  # fmt: skip
    for wrong in (["--unbound"], ["--jwks", path]):
        assert sealgate(*order, "--certificate", path, *wrong).code == ExitCode.USAGE
    assert sealgate(*order, "--certificate", admin).code == ExitCode.USAGE
    made = sealgate(*order, "--certificate", path)
    assert made.code == ExitCode.OK, made.err
    assert made.json["auth_method"] == "self_signed_tls_client_auth"
    assert made.json["token_binding"] == "mtls"
    assert made.json["client_secret"] is None
    registered = place.foundation.stores.clients.get("bench-shower")
    assert registered is not None
    [key] = client_keys(registered.jwks)
    assert key.thumbprint == ClientCertificate(shown.der).key_thumbprint


def test_a_profile_is_not_promised_where_there_is_no_secret(tmp_path: Path) -> None:
    out = tmp_path / "app.json"
    order: list[str | Path] = [
        "client", "create", "app", "--tenant", "shop", "--name", "App", "--scope", "infer",
        "--public", "--out", out,
    ]  # fmt: skip
    for plan in ([], ["--plan"]):
        said = sealgate(*order, *plan)
        assert (said.code, "--out" in said.err, out.exists()) == (ExitCode.USAGE, True, False)
