"""A word that does not exist is named, with those that do, as far as the caller may know them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.cli.failures import ExitCode
from tests.gateway.cli.command import Said, sealgate
from tests.gateway.place import Place
from tests.sharings import sharing

HOUSE = "wordshouse"
PARTNER = "st-mary-clinic"


@pytest.fixture(scope="module")
def admin(place: Place) -> Path:
    place.tenant(HOUSE)
    place.tenant(PARTNER)
    return place.folder / "data" / "admin.json"


@pytest.fixture(scope="module")
def owner(place: Place, admin: Path) -> Path:
    return place.profile(HOUSE, "owner")


@pytest.fixture(scope="module")
def model(owner: Path) -> str:
    sealgate("model", "create", "named", "--no-personal", "--profile", owner)
    return "named"


def share(owner: Path, model: str, tenant: str) -> Said:
    return sealgate(
        "model", "share", model, "--with", tenant, "--confirm", model, "--profile", owner
    )


@pytest.mark.parametrize(
    ("words", "wrong", "advice"),
    [
        ("--role ownr", "ownr", "did you mean `owner`? there are `administrator`, `caller`"),
        ("--role owner --scope modles", "modles", "did you mean `models`? there are `admin`"),
        ("--role owner --purpose cure", "cure", "did you mean `care`? there are `care`"),
        ("--role zzz", "zzz", "there are `administrator`"),
    ],
)
def test_a_wrong_role_scope_or_purpose_is_named(
    admin: Path, words: str, wrong: str, advice: str
) -> None:
    said = sealgate(
        "client", "create", "new", "--tenant", HOUSE, "--name", "N", *words.split(),
        "--profile", admin,
    )  # fmt: skip
    assert said.code == ExitCode.USAGE
    assert f": `{wrong}`\n" in said.err
    assert f"next: {advice}" in said.err


def test_a_program_finds_the_words_in_the_problem(admin: Path) -> None:
    said = sealgate(
        "client", "create", "new", "--tenant", HOUSE, "--name", "N", "--role", "ownr",
        "--profile", admin, "--json",
    )  # fmt: skip
    told = json.loads(said.err)
    assert told["field"] == "roles"
    assert "owner" in told["known"]
    assert "ownr" in told["detail"]


@pytest.mark.parametrize(
    "words",
    [
        f"client list --tenant {PARTNER}x",
        f"client create a --tenant {PARTNER}x --name N --role caller",
        f"tenant suspend {PARTNER}x --confirm {PARTNER}x",
    ],
)
def test_an_administrator_is_told_which_tenant_may_be_meant(admin: Path, words: str) -> None:
    said = sealgate(*words.split(), "--profile", admin)
    assert said.code == ExitCode.NOT_FOUND
    assert f"next: did you mean `{PARTNER}`" in said.err


def test_an_administrator_is_told_which_client_may_be_meant(place: Place, admin: Path) -> None:
    place.profile(HOUSE, "caller")
    name = f"{HOUSE}-calller"
    said = sealgate(
        "client", "disable", name, "--tenant", HOUSE, "--confirm", name, "--profile", admin
    )
    assert f"did you mean `{HOUSE}-caller`" in said.err


def test_nobody_else_is_told_of_tenants(owner: Path) -> None:
    for tenant in (PARTNER, f"{PARTNER}x"):
        said = sealgate("client", "list", "--tenant", tenant, "--profile", owner)
        assert said.code == ExitCode.NOT_FOUND
        assert "did you mean" not in said.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("explain infr named 1", "did you mean `infer`? there are `administer`"),
        ("explain releaseOutput named 1 --verdict flagged", "did you mean `flag`?"),
        ("explain managePolicies", "did you mean `managePolicy`?"),
    ],
)
def test_a_wrong_policy_action_is_named(owner: Path, words: str, told: str) -> None:
    said = sealgate("policy", *words.split(), "--profile", owner)
    assert said.code == ExitCode.USAGE
    assert told in said.err


def test_a_policy_with_a_wrong_action_says_which_may_be_meant(owner: Path, tmp_path: Path) -> None:
    file = tmp_path / "set.cedar"
    file.write_text('@id("a")\npermit (principal, action == Action::"infr", resource);\n')
    said = sealgate("policy", "validate", file, "--profile", owner)
    assert "did you mean `infer`? there are infer, releaseOutput" in said.out
    file.write_text('@id("a")\npermit (principal, action, resource);\n\npermit (principle);\n')
    said = sealgate("policy", "validate", file, "--profile", owner)
    assert "policy1\t" in said.out
    assert "from line 4 on" in said.out


def test_sharing_with_a_tenant_that_does_not_exist_is_refused(
    place: Place, owner: Path, model: str
) -> None:
    said = share(owner, model, "nobody-here")
    assert said.code == ExitCode.USAGE
    assert "does not exist: `nobody-here`\n" in said.err
    shown = sealgate("model", "shared", model, "--profile", owner, "--json").json
    assert shown == [], "nothing was offered"


def test_a_name_that_may_be_meant_is_told_out_of_those_that_are_known_already(
    place: Place, owner: Path, model: str
) -> None:
    near = f"{PARTNER}s"
    assert "did you mean" not in share(owner, model, near).err
    assert share(owner, model, PARTNER).code == ExitCode.OK
    assert f"next: did you mean `{PARTNER}`?" in share(owner, model, near).err


def test_trying_names_out_is_in_the_log(place: Place, owner: Path, model: str) -> None:
    share(owner, model, "no-such-tenant")
    officer = place.profile(HOUSE, "officer")
    found = sealgate("audit", "search", "--outcome", "deny", "--profile", officer, "--json").json
    assert found[0]["event"]["reason"] == "unknown_tenant"
    assert "no-such-tenant" not in json.dumps(found)


def test_who_may_not_share_learns_nothing_of_tenants(place: Place, owner: Path, model: str) -> None:
    caller = place.profile(HOUSE, "convenor", scopes=["models"])
    told = {share(caller, model, name).err.partition("request:")[0] for name in (PARTNER, "nobody")}
    assert len(told) == 1
    assert share(caller, model, "nobody").code in {ExitCode.DENIED, ExitCode.NOT_FOUND}


def test_an_offer_to_a_tenant_that_is_gone_can_be_ended_and_not_made(
    place: Place, owner: Path, model: str
) -> None:
    place.foundation.stores.registry.offer(sharing(HOUSE, model, "ghost"))
    place.foundation.revocation_state.changed()
    assert share(owner, model, "ghost").code == ExitCode.USAGE
    ended = sealgate(
        "model", "unshare", model, "--with", "ghost", "--confirm", model, "--profile", owner
    )
    assert ended.code == ExitCode.OK


def test_a_policy_for_a_tenant_that_does_not_exist_is_refused(owner: Path, tmp_path: Path) -> None:
    file = tmp_path / "set.cedar"
    text = (
        '@id("partner")\npermit (principal in Tenant::"{}", action == Action::"infer", resource);\n'
    )
    started = sealgate("policy", "show", "--profile", owner).out
    file.write_text(text.format("nobody-here"))
    for command in ("validate", "publish"):
        said = sealgate("policy", command, file, "--profile", owner)
        assert said.code in {ExitCode.FAILED, ExitCode.USAGE}
    checked = sealgate("policy", "validate", file, "--profile", owner)
    assert "partner\tthere is no tenant `nobody-here`" in checked.out
    file.write_text(started + text.format(PARTNER))
    assert sealgate("policy", "validate", file, "--profile", owner).code == ExitCode.OK


def test_a_model_or_version_that_is_not_there_is_compared_with_those_that_one_may_list(
    place: Place, owner: Path, model: str
) -> None:
    said = sealgate("model", "show", "namd", "--profile", owner)
    assert (said.code, "next: did you mean `named`?" in said.err) == (ExitCode.NOT_FOUND, True)
    said = sealgate("model", "show", "namd", "1", "--profile", owner)
    assert "next: did you mean `named`?" in said.err
    stranger = place.profile(PARTNER, "owner")
    assert "did you mean" not in sealgate("model", "show", "namd", "--profile", stranger).err


def test_a_wrong_action_of_a_search_is_no_empty_answer(place: Place, owner: Path) -> None:
    officer = place.profile(HOUSE, "officer")
    said = sealgate("audit", "search", "--action", "infr", "--profile", officer)
    assert said.code == ExitCode.USAGE
    assert "did you mean `infer`?" in said.err
    said = sealgate("audit", "search", "--outcome", "denied", "--profile", officer)
    assert said.code == ExitCode.USAGE
    assert "'allow', 'deny', 'error', 'done'" in said.err


def test_a_purpose_that_is_not_the_callers_is_named(
    place: Place, owner: Path, model: str, tmp_path: Path
) -> None:
    caller = place.profile(HOUSE, "caller")
    rows = tmp_path / "rows.json"
    rows.write_text('{"inputs": []}')
    said = sealgate("call", model, rows, "--purpose", "cure", "--profile", caller)
    assert "`cure` is no purpose of this client" in said.err
    assert "next: did you mean `care`?" in said.err
