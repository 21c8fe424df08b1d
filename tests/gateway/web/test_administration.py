from __future__ import annotations

import pytest

from gateway.cli.connection import Connection
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.profile import load_profile
from tests.gateway.place import Place


def test_an_administrator_makes_tenants_and_clients(place: Place) -> None:
    tenant = place.tenant("adm")
    with place.admin() as admin:
        assert tenant in {item["id"] for item in admin.items("/v1/tenants", limit=2)}
        made = place.profile(tenant, "owner")
        listed = admin.get("/v1/clients", tenant=tenant)["items"]
    assert [item["id"] for item in listed] == ["adm-owner"]
    assert not {"secret_hash", "client_secret", "jwks"} & listed[0].keys()
    with Connection(load_profile(made)) as owner:
        seen = owner.get("/v1/whoami")
    assert (seen["tenant"], seen["roles"]) == (tenant, ["owner"])


def test_nobody_else_administers_or_learns_who_is_a_tenant(place: Place) -> None:
    place.tenant("adm")
    with place.client("adm", "owner") as owner:
        for tenant in ("adm", "nobody"):
            with pytest.raises(CommandFailed) as refused:
                owner.get("/v1/clients", tenant=tenant)
            assert refused.value.code == ExitCode.NOT_FOUND
            assert refused.value.problem["title"] == "not found"


def test_a_suspension_holds_for_tokens_that_were_given_out(place: Place) -> None:
    place.tenant("halt")
    with place.client("halt", "owner") as owner, place.admin() as admin:
        assert owner.get("/v1/models") == {"items": [], "next": None}
        admin.put("/v1/tenants/halt/standing", {"suspended": True})
        with pytest.raises(CommandFailed) as refused:
            owner.get("/v1/models")
        assert refused.value.code == ExitCode.SIGN_IN
        admin.put("/v1/tenants/halt/standing", {"suspended": False})
        assert owner.get("/v1/models")["items"] == []


def test_a_disabled_client_is_out_at_once(place: Place) -> None:
    place.tenant("adm")
    with place.client("adm", "caller") as caller, place.admin() as admin:
        caller.get("/v1/whoami")
        admin.post("/v1/tenants/adm/clients/adm-caller/disable")
        with pytest.raises(CommandFailed) as refused:
            caller.get("/v1/whoami")
    assert refused.value.code == ExitCode.SIGN_IN


def test_the_answer_to_a_bad_body_does_not_repeat_it(place: Place) -> None:
    with place.admin() as admin, pytest.raises(CommandFailed) as refused:
        admin.post("/v1/tenants", {"id": "s3cr3t-value", "region": 7, "other-key": 1})
    assert refused.value.problem["status"] == 422
    assert "s3cr3t-value" not in str(refused.value.problem)


def test_each_change_is_in_the_log_of_the_platform_and_of_the_tenant(place: Place) -> None:
    place.tenant("told")
    place.profile("told", "officer")
    with place.client("told", "officer") as officer, place.admin() as admin:
        own = officer.get("/v1/audit/events", action="administer")["items"]
        platform = admin.get("/v1/audit/events", action="administer", limit=200)["items"]
    assert {entry["event"]["reason"] for entry in own} >= {"create_tenant", "create_client"}
    phases = [
        entry["event"]["phase"]
        for entry in platform
        if entry["event"]["resource"] == "Tenant::told"
    ]
    assert phases == ["result", "intent"]
