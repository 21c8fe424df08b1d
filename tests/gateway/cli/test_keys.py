"""Keys and credentials are replaced on a running gateway, by commands."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gateway.cli.connection import Connection
from gateway.cli.durations import seconds_of
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.profile import load_profile
from tests.gateway.cli.command import Said, sealgate
from tests.gateway.place import Place, served_place


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A gateway whose keys are replaced, which nobody else uses."""
    with served_place(tmp_path_factory.mktemp("keys")) as place:
        place.tenant("clinic")
        place.tenant("rival")
        yield place


def as_admin(place: Place, *arguments: str | Path) -> Said:
    return sealgate(*arguments, "--profile", place.folder / "data" / "admin.json", "--json")


def log_key(place: Place, tenant: str) -> str:
    told = sealgate("audit", "key", "--profile", place.profile(tenant, "officer"))
    return told.out.strip()


def kids(place: Place) -> list[str]:
    return [key["kid"] for key in httpx.get(place.url + "/oauth/jwks").json()["keys"]]


def test_tokens_of_the_old_key_are_accepted_and_both_keys_are_published(own: Place) -> None:
    before = kids(own)
    with own.client("clinic", "officer") as officer:
        officer.get("/v1/whoami")  # with a token of the old key, which it keeps
        rotated = as_admin(own, "keys", "rotate", "token", "--confirm", "token")
        assert rotated.code == ExitCode.OK, rotated.err
        assert [rotated.json["id"], *before] == kids(own)
        officer.get("/v1/whoami")
    with own.client("clinic", "officer") as officer:
        officer.get("/v1/whoami")  # with one of the new key
    [former] = rotated.json["former"]
    assert 0 < former["ends"] - time.time() <= 900


def test_without_an_overlap_every_token_of_before_is_refused_at_once(own: Place) -> None:
    headers = {}
    with own.client("clinic", "owner") as owner:
        headers = owner.headers("GET", own.url + "/v1/whoami")
    assert httpx.get(own.url + "/v1/whoami", headers=headers).status_code == 200
    done = as_admin(own, "keys", "rotate", "token", "--overlap", "0", "--confirm", "token")
    assert done.code == ExitCode.OK, done.err
    assert httpx.get(own.url + "/v1/whoami", headers=headers).status_code == 401
    assert len(kids(own)) == 1
    assert as_admin(own, "whoami").code == ExitCode.OK


def test_a_log_verifies_across_the_rotation_with_the_key_of_before(
    own: Place, tmp_path: Path
) -> None:
    officer = own.profile("clinic", "officer")
    old = log_key(own, "clinic")
    rotated = as_admin(own, "keys", "rotate", "log", "clinic", "--confirm", "clinic")
    assert rotated.code == ExitCode.OK, rotated.err
    assert log_key(own, "clinic") == rotated.json["id"] != old
    out = tmp_path / "audit.zip"
    assert sealgate("audit", "export", "--out", out, "--profile", officer).code == ExitCode.OK
    for key in (old, rotated.json["id"]):
        assert sealgate("audit", "verify", out, "--key", key).code == ExitCode.OK
        online = sealgate("audit", "verify", "--key", key, "--profile", officer, "--json")
        assert online.json["status"] == "VERIFIED"
    other = log_key(own, "rival")
    assert sealgate("audit", "verify", out, "--key", other).code == ExitCode.UNVERIFIED


def test_the_key_of_a_tenants_files_is_replaced(own: Place) -> None:
    rotated = as_admin(
        own, "keys", "rotate", "tenant", "clinic", "--overlap", "2h", "--confirm", "clinic"
    )
    assert (rotated.json["kind"], rotated.json["number"]) == ("tenant", 2)
    assert rotated.json["former"][0]["ends"] - rotated.json["made"] == 7200
    short = as_admin(
        own, "keys", "rotate", "tenant", "clinic", "--overlap", "5m", "--confirm", "clinic"
    )
    assert short.code == ExitCode.USAGE
    assert "3600" in json.loads(short.err)["detail"]


def test_the_list_has_every_key_and_no_private_half(own: Place) -> None:
    listed = as_admin(own, "keys", "list").json
    kinds = {(key["kind"], key["tenant"]) for key in listed}
    of_tenants = {
        (kind, tenant)
        for kind in ("log", "tenant", "release")
        for tenant in ("clinic", "rival", "platform")
    }
    assert kinds == of_tenants | {("token", "platform"), ("policy", "platform")}
    assert len(listed) == len(kinds)
    own_keys = as_admin(own, "keys", "list", "--tenant", "rival").json
    assert {key["tenant"] for key in own_keys} == {"rival"}
    table = sealgate("keys", "list", "--profile", own.folder / "data" / "admin.json")
    assert "0 d" in table.out


def test_a_list_of_small_pages_is_the_same_list(own: Place) -> None:
    with own.admin() as admin:
        pages = list(admin.items("/v1/keys", limit=1))
        assert pages == list(admin.items("/v1/keys"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("token",),
        ("token", "clinic", "--confirm", "clinic"),
        ("log", "--confirm", "log"),
        ("tenant", "--confirm", "tenant"),
        ("log", "clinic", "--overlap", "1h", "--confirm", "clinic"),
        ("log", "clinic", "--confirm", "rival"),
        ("token", "--overlap", "soon", "--confirm", "token"),
        ("policy", "clinic", "--confirm", "clinic"),
        ("policy", "--overlap", "1h", "--confirm", "policy"),
        ("policy", "--lost", "--confirm", "policy"),
        ("release", "--confirm", "release"),
        ("release", "clinic", "--overlap", "1h", "--confirm", "clinic"),
        ("session", "--confirm", "session"),
    ],
)
def test_what_is_asked_for_wrongly_changes_nothing_and_says_what_helps(
    own: Place, arguments: tuple[str, ...]
) -> None:
    before = as_admin(own, "keys", "list").out
    refused = as_admin(own, "keys", "rotate", *arguments)
    assert refused.code == ExitCode.USAGE
    assert json.loads(refused.err)["next"]
    assert as_admin(own, "keys", "list").out == before


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "token", "tenant": "clinic"},
        {"kind": "log"},
        {"kind": "tenant"},
        {"kind": "log", "tenant": "clinic", "overlap_s": 60},
        {"kind": "token", "overlap_s": -1},
        {"kind": "token", "overlap_s": 1.5},
        {"kind": "token", "overlap_s": True},
        {"kind": "policy", "tenant": "clinic"},
        {"kind": "policy", "overlap_s": 60},
        {"kind": "policy", "lost": True},
        {"kind": "release"},
        {"kind": "release", "tenant": "clinic", "overlap_s": 60},
        {"kind": "release", "tenant": "clinic", "lost": 1},
        {"kind": "session"},
        {},
    ],
)
def test_the_door_refuses_what_the_command_would(own: Place, body: dict[str, object]) -> None:
    with own.admin() as admin, pytest.raises(CommandFailed) as refused:
        admin.post("/v1/keys/rotate", body)
    assert refused.value.problem["status"] == 422


def test_a_plan_replaces_nothing(own: Place) -> None:
    before = kids(own)
    planned = as_admin(own, "keys", "rotate", "token", "--plan")
    assert planned.json["would"] == "replace the key of kind token"
    assert kids(own) == before


def test_people_of_a_tenant_do_not_administer_keys(own: Place) -> None:
    for role in ("officer", "owner"):
        with own.client("rival", role) as client:
            for method, path, body in (
                ("POST", "/v1/keys/rotate", {"kind": "log", "tenant": "clinic"}),
                ("GET", "/v1/keys", None),
                ("GET", "/v1/keys?tenant=rival", None),
                ("GET", "/v1/tenants/clinic", None),
                ("POST", "/v1/tenants/rival/clients/rival-owner/rotate", {}),
                ("POST", "/v1/tenants/rival/clients/rival-owner/enable", None),
            ):
                with pytest.raises(CommandFailed) as refused:
                    client.send(method, path, json=body)
                assert refused.value.code == ExitCode.NOT_FOUND


def test_a_tenant_is_shown_at_a_glance(own: Place) -> None:
    own.profile("clinic", "owner")
    shown = as_admin(own, "tenant", "show", "clinic").json
    assert (shown["id"], shown["clients"]["owner"], shown["models"]) == ("clinic", 1, 0)
    assert shown["policy"]["epoch"] == 1
    assert {key["kind"] for key in shown["keys"]} == {"log", "tenant", "release"}
    names = {limit["name"] for limit in shown["limits"]}
    assert {"uploads_waiting", "batch_rows_today", "batches_unfinished"} <= names
    text = sealgate("tenant", "show", "clinic", "--profile", own.folder / "data" / "admin.json")
    assert "0 of 32" in text.out
    assert as_admin(own, "tenant", "show", "nobody").code == ExitCode.NOT_FOUND


def test_a_new_secret_goes_into_the_profile_that_is_there_and_never_to_the_terminal(
    own: Place, tmp_path: Path
) -> None:
    out, secret = tmp_path / "app.json", tmp_path / "app.json.secret"
    made = as_admin(
        own, "client", "create", "clinic-app", "--tenant", "clinic", "--name", "App",
        "--role", "owner", "--scope", "models", "--unbound", "--out", out,
    )  # fmt: skip
    assert made.code == ExitCode.OK, made.err
    old, profile = secret.read_text(), out.read_text()
    arguments = ("client", "rotate", "clinic-app", "--tenant", "clinic", "--out", out)
    rotated = as_admin(own, *arguments)
    assert rotated.code == ExitCode.OK, rotated.err
    fresh = secret.read_text()
    assert rotated.json["client_secret"] is None
    assert fresh not in rotated.out + rotated.err
    assert (fresh != old, out.read_text() == profile) == (True, True)
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert [path.name for path in sorted(tmp_path.iterdir())] == [out.name, secret.name]
    for text, code in ((fresh, ExitCode.OK), (old, ExitCode.OK), ("another", ExitCode.SIGN_IN)):
        secret.write_text(text)
        assert sealgate("whoami", "--profile", out).code == code
    secret.write_text(fresh)
    again = as_admin(own, *arguments, "--overlap", "0")
    assert again.json["former_until"] == []
    current = secret.read_text()
    for text, code in ((fresh, ExitCode.SIGN_IN), (current, ExitCode.OK)):
        secret.write_text(text)
        assert sealgate("whoami", "--profile", out).code == code


def test_a_file_that_is_no_profile_of_the_client_is_not_touched(own: Place, tmp_path: Path) -> None:
    own.profile("clinic", "caller")
    for name, text in (
        ("a.json", "not a profile"),
        ("b.json", json.dumps({"client_id": "another", "secret_file": "x"})),
        ("c.json", json.dumps({"client_id": "clinic-caller"})),
    ):
        (tmp_path / name).write_text(text)
        arguments = ("rotate", "clinic-caller", "--tenant", "clinic", "--out", tmp_path / name)
        refused = as_admin(own, "client", *arguments)
        assert refused.code == ExitCode.USAGE
        assert (tmp_path / name).read_text() == text
    assert as_admin(own, "client", "rotate", "clinic-caller", "--tenant", "clinic").code == 2
    assert sealgate("whoami", "--profile", own.profile("clinic", "caller")).code == ExitCode.OK


def test_a_disabled_client_is_enabled_again(own: Place) -> None:
    profile = own.profile("rival", "caller")
    client = ("rival-caller", "--tenant", "rival")
    as_admin(own, "client", "disable", *client, "--confirm", "rival-caller")
    assert sealgate("whoami", "--profile", profile).code == ExitCode.SIGN_IN
    enabled = as_admin(own, "client", "enable", *client)
    assert enabled.json["disabled"] is False
    assert sealgate("whoami", "--profile", profile).code == ExitCode.OK
    assert as_admin(own, "client", "enable", *client).code != ExitCode.OK


def test_spans_of_time_are_read_as_people_write_them() -> None:
    for text, seconds in (("0", 0), ("90s", 90), ("15m", 900), ("24h", 86400), ("7d", 604800)):
        assert seconds_of("--overlap", text) == seconds
    for wrong in ("", "24", "h", "-1h", "1.5h", "24 h", "1w", "9" * 10 + "s"):
        with pytest.raises(CommandFailed):
            seconds_of("--overlap", wrong)


def test_after_a_restart_in_the_overlap_everything_goes_on(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("restarted")
    with served_place(folder) as place:
        place.tenant("clinic")
        officer = place.profile("clinic", "officer")
        anchor = log_key(place, "clinic")
        with place.client("clinic", "officer") as client:
            headers = client.headers("GET", place.url + "/v1/whoami")
        for key in (
            *(("token",), ("log", "clinic"), ("tenant", "clinic"), ("log", "platform")),
            *(("policy",), ("release", "clinic"), ("policy",)),
        ):
            rotated = as_admin(place, "keys", "rotate", *key, "--confirm", key[-1])
            assert rotated.code == ExitCode.OK, rotated.err
        published, newest = kids(place), log_key(place, "clinic")
    with served_place(folder) as place:
        assert (kids(place), log_key(place, "clinic")) == (published, newest)
        assert httpx.get(place.url + "/v1/whoami", headers=headers).status_code == 200
        with Connection(load_profile(officer)) as client:
            client.get("/v1/audit/events")
        verified = sealgate("audit", "verify", "--key", anchor, "--profile", officer, "--json")
        assert verified.json["status"] == "VERIFIED"
        assert as_admin(place, "keys", "list").code == ExitCode.OK
