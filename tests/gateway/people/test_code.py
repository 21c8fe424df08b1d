"""Applications act for people: a code for consent, tokens for a code, the next for a refresh."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session

from gateway.identity.metadata import DEVICE_GRANT
from gateway.identity.token_exchange import ACCESS_TOKEN, EXCHANGE
from tests.gateway.people.apps import (
    BACK,
    VERIFIER,
    application,
    asked,
    asking,
    consented,
    exchanged,
    register,
    told,
)
from tests.gateway.people.browser import Browser
from tests.gateway.people.persons import PASSWORD, Ada
from tests.gateway.place import Place

Make = Callable[[], Browser]


@pytest.fixture(scope="module")
def public(place: Place) -> str:
    register(place, "acme-native")
    return "acme-native"


@pytest.fixture
def app(place: Place, public: str) -> Iterator[OAuth2Session]:
    with application(place, public) as made:
        yield made


@pytest.fixture
def signed_in(ada: Ada, browsers: Make) -> Browser:
    browser = browsers()
    ada.sign_in(browser)
    return browser


def whoami(place: Place, token: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"}
    return httpx.get(f"{place.url}/v1/whoami", headers=headers, timeout=60)


def refresh(place: Place, token: str, **more: str) -> httpx.Response:
    form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": "acme-native"}
    return httpx.post(f"{place.url}/oauth/token", data=form | more, timeout=60)


def test_a_stock_client_signs_a_person_in(
    place: Place, ada: Ada, app: OAuth2Session, browsers: Make
) -> None:
    browser = browsers().open(asking(app))
    assert browser.path == "/people/sign-in"
    given = {"tenant": ada.tenant, "email": ada.address, "password": PASSWORD}
    browser.send("/people/sign-in", **given)
    assert browser.path == "/oauth/authorize"
    assert "The App" in browser.text
    assert "127.0.0.1:4711" in browser.text
    browser.send("/oauth/authorize", decision="allow")
    answer = told(browser)
    assert (answer["state"], answer["iss"]) == ("st", place.url)
    token = exchanged(app, place, answer["code"])
    assert (token["scope"], token["token_type"]) == ("infer", "Bearer")
    seen = whoami(place, token["access_token"]).json()
    assert (seen["person"], seen["client_id"]) == (ada.id, "acme-native")
    assert (seen["roles"], seen["purposes"], seen["acr"]) == (["caller"], ["care"], 1)
    app.token = token
    fresh = app.refresh_token(f"{place.url}/oauth/token")
    assert fresh["refresh_token"] != token["refresh_token"]
    assert whoami(place, fresh["access_token"]).status_code == 200


def test_no_token_and_no_record_has_the_address(
    place: Place, ada: Ada, app: OAuth2Session, signed_in: Browser
) -> None:
    token = exchanged(app, place, consented(signed_in, asking(app))["code"])
    claims = base64.urlsafe_b64decode(token["access_token"].split(".")[1] + "==").decode()
    assert ada.id in claims
    log = str([e.event for e in place.foundation.reader.events("acme", after=-1, limit=500)])
    assert ada.id in log
    assert token["refresh_token"] not in log
    for told_to in (claims, log):
        assert ada.address not in told_to


def test_a_code_that_is_used_twice_ends_what_came_of_it(
    place: Place, app: OAuth2Session, signed_in: Browser
) -> None:
    code = consented(signed_in, asking(app))["code"]
    token = exchanged(app, place, code)
    with pytest.raises(OAuthError, match="invalid_grant"):
        exchanged(app, place, code)
    assert whoami(place, token["access_token"]).status_code == 401
    assert refresh(place, token["refresh_token"]).json()["error"] == "invalid_grant"


def test_a_refresh_token_that_is_used_twice_ends_its_family(
    place: Place, app: OAuth2Session, signed_in: Browser
) -> None:
    first = exchanged(app, place, consented(signed_in, asking(app))["code"])
    second = refresh(place, first["refresh_token"]).json()
    assert whoami(place, second["access_token"]).status_code == 200
    assert refresh(place, first["refresh_token"]).json()["error"] == "invalid_grant"
    assert whoami(place, second["access_token"]).status_code == 401
    assert refresh(place, second["refresh_token"]).json()["error"] == "invalid_grant"


def test_strangers_fill_no_log_in_the_name_of_a_public_client(place: Place, public: str) -> None:
    before = list(place.foundation.reader.events("acme", after=-1, limit=500))
    assert refresh(place, "invented").json()["error"] == "invalid_grant"
    assert len(list(place.foundation.reader.events("acme", after=-1, limit=500))) == len(before)


def test_a_mistake_spends_no_code(place: Place, app: OAuth2Session, signed_in: Browser) -> None:
    register(place, "acme-other")
    code = consented(signed_in, asking(app))["code"]
    wrong: list[dict[str, str]] = [
        {"code_verifier": "w" * 64},
        {"code_verifier": ""},
        {"redirect_uri": "http://127.0.0.1:1/back"},
        {"client_id": "acme-other"},
        {"resource": "https://elsewhere.example"},
    ]
    for mistake in wrong:
        form = {
            "grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER,
            "redirect_uri": BACK, "client_id": "acme-native",
        }  # fmt: skip
        answer = httpx.post(f"{place.url}/oauth/token", data=form | mistake, timeout=60)
        assert answer.status_code == 400, mistake
        assert answer.json()["error"] in {"invalid_grant", "invalid_target"}
    assert exchanged(app, place, code)["access_token"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "admin"}, "invalid_scope"),
        ({"prompt": "none"}, "interaction_required"),
        ({"max_age": "soon"}, "invalid_request"),
        ({"resource": "https://elsewhere.example"}, "invalid_target"),
        ({"request": "eyJ"}, "request_not_supported"),
        ({"response_mode": "fragment"}, "invalid_request"),
    ],
)
def test_the_application_is_told_what_is_wrong_with_its_request(
    place: Place, public: str, browsers: Make, changes: dict[str, str], error: str
) -> None:
    answer = told(browsers().open("/oauth/authorize", **(asked(public) | changes)))
    assert (answer["error"], answer["iss"], answer["state"]) == (error, place.url, "st")
    assert "code" not in answer


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:4711/back/",
        "http://127.0.0.1:4711/back?x=1",
        "http://127.0.0.1:4711/other",
        "http://localhost:4711/back",
        "https://127.0.0.1:4711/back",
        "http://127.0.0.1:4711@evil.example/back",
        "http://127.0.0.1.evil.example/back",
        "https://evil.example/back",
        "javascript:alert(1)",
        "",
    ],
)
def test_nobody_is_sent_to_an_address_that_is_not_registered(
    place: Place, public: str, browsers: Make, address: str
) -> None:
    register_twice(place)
    query = asked("acme-two") | {"redirect_uri": address}
    browser = browsers().open("/oauth/authorize", **query)
    assert browser.status == 422
    assert not [link for link in browser.links if "evil" in link or "4711" in link]


def test_who_declines_is_told_to_the_application(
    place: Place, app: OAuth2Session, signed_in: Browser
) -> None:
    answer = consented(signed_in, asking(app), decision="deny")
    assert answer == {"error": "access_denied", "state": "st", "iss": place.url}


def test_a_public_client_revokes_a_token_of_its_own(
    place: Place, app: OAuth2Session, signed_in: Browser
) -> None:
    token = exchanged(app, place, consented(signed_in, asking(app))["code"])["access_token"]
    for _ in range(2):
        form = {"token": token, "client_id": "acme-native"}
        answer = httpx.post(f"{place.url}/oauth/revoke", data=form, timeout=60)
        assert answer.status_code == 200
    assert whoami(place, token).status_code == 401
    events = [e.event for e in place.foundation.reader.events("acme", after=-1, limit=500)]
    assert [e.phase for e in events if e.action == "revokeToken"] == ["intent", "result"]


def test_a_resource_server_is_told_of_a_persons_token_while_it_is_good(
    place: Place, ada: Ada, app: OAuth2Session, signed_in: Browser
) -> None:
    secret = register(
        place, "acme-asks", auth_method="client_secret_basic", roles=["delegate"], redirect_uris=[]
    )
    assert secret is not None
    token = exchanged(app, place, consented(signed_in, asking(app))["code"])

    def asked_about() -> dict[str, Any]:
        form, who = {"token": token["access_token"]}, ("acme-asks", secret)
        answer = httpx.post(f"{place.url}/oauth/introspect", data=form, auth=who, timeout=60)
        told_so: dict[str, Any] = answer.json()
        return told_so

    seen = asked_about()
    assert (seen["active"], seen["sub"], seen["client_id"]) == (True, ada.id, "acme-native")
    subject = {"subject_token": token["access_token"], "subject_token_type": ACCESS_TOKEN}
    refused = httpx.post(
        f"{place.url}/oauth/token",
        data={"grant_type": EXCHANGE, **subject},
        auth=("acme-asks", secret),
        timeout=60,
    )
    assert refused.json()["error"] == "invalid_request"
    form = {"token": token["refresh_token"], "client_id": "acme-native"}
    httpx.post(f"{place.url}/oauth/revoke", data=form, timeout=60)
    assert asked_about() == {"active": False}


def test_people_of_another_tenant_are_not_asked(
    place: Place, app: OAuth2Session, browsers: Make
) -> None:
    eve = Ada.accepted(place, "eve@rival.example", tenant="rival")
    browser = browsers()
    eve.sign_in(browser)
    browser.open(asking(app))
    assert browser.status == 422
    assert "not for your organisation" in browser.text


def test_an_old_sign_in_is_not_enough_for_max_age(app: OAuth2Session, signed_in: Browser) -> None:
    assert signed_in.open(asking(app, max_age="3600")).path == "/oauth/authorize"
    assert signed_in.open(asking(app, acr_values="1 2")).path == "/oauth/authorize"


def test_what_ends_a_sign_in_ends_its_tokens(
    place: Place, browsers: Make, app: OAuth2Session
) -> None:
    person = Ada.accepted(place, "ends@acme.example")
    browser = browsers()
    person.sign_in(browser)

    def signed() -> dict[str, Any]:
        return exchanged(app, place, consented(browser, asking(app))["code"])

    by_client = signed()
    form = {"token": by_client["refresh_token"], "client_id": "acme-native"}
    assert httpx.post(f"{place.url}/oauth/revoke", data=form, timeout=60).status_code == 200
    by_person = signed()
    browser.open("/people").send("/people/end")
    by_administrator = signed()
    with place.admin() as admin:
        admin.post(f"/v1/tenants/acme/people/{person.id}/suspend")
        for token in (by_client, by_person, by_administrator):
            assert whoami(place, token["access_token"]).status_code == 401
            assert refresh(place, token["refresh_token"]).json()["error"] == "invalid_grant"
        admin.post(f"/v1/tenants/acme/people/{person.id}/enable")
    assert refresh(place, by_administrator["refresh_token"]).status_code == 400
    for token in (by_client, by_person, by_administrator):
        assert whoami(place, token["access_token"]).status_code == 401


def test_a_code_of_before_is_no_good_to_who_is_let_in_again(
    place: Place, browsers: Make, app: OAuth2Session
) -> None:
    person, browser = Ada.accepted(place, "again@acme.example"), browsers()
    person.sign_in(browser)
    code = consented(browser, asking(app))["code"]
    with place.admin() as admin:
        admin.post(f"/v1/tenants/acme/people/{person.id}/suspend")
        admin.post(f"/v1/tenants/acme/people/{person.id}/enable")
    with pytest.raises(OAuthError, match="invalid_grant"):
        exchanged(app, place, code)


def test_a_disabled_client_acts_for_nobody(place: Place, signed_in: Browser) -> None:
    register(place, "acme-shut")
    with application(place, "acme-shut") as app:
        token = exchanged(app, place, consented(signed_in, asking(app))["code"])
        assert whoami(place, token["access_token"]).status_code == 200
        with place.admin() as admin:
            admin.post("/v1/tenants/acme/clients/acme-shut/disable")
            assert whoami(place, token["access_token"]).status_code == 401
            admin.post("/v1/tenants/acme/clients/acme-shut/enable")
        assert whoami(place, token["access_token"]).status_code == 401
        again = refresh(place, token["refresh_token"], client_id="acme-shut")
        assert again.json()["error"] == "invalid_grant"


def test_a_role_that_is_taken_away_is_gone_at_once(
    place: Place, browsers: Make, app: OAuth2Session
) -> None:
    person = Ada.accepted(place, "roles@acme.example", roles=["owner", "caller"])
    browser = browsers()
    person.sign_in(browser)
    token = exchanged(app, place, consented(browser, asking(app))["code"])["access_token"]
    assert whoami(place, token).json()["roles"] == ["caller", "owner"]
    with place.admin() as admin:
        admin.put(f"/v1/tenants/acme/people/{person.id}/roles", {"roles": ["caller"]})
    assert whoami(place, token).json()["roles"] == ["caller"]


def test_a_public_client_gets_nothing_for_itself(place: Place, public: str) -> None:
    form = {"grant_type": "client_credentials", "client_id": public}
    answer = httpx.post(f"{place.url}/oauth/token", data=form, timeout=60)
    assert answer.json()["error"] == "invalid_client"


def test_metadata_says_what_there_is(place: Place) -> None:
    path = "/.well-known/oauth-authorization-server"
    told_so = httpx.get(place.url + path, timeout=60).json()
    assert told_so["authorization_endpoint"] == f"{place.url}/oauth/authorize"
    assert told_so["code_challenge_methods_supported"] == ["S256"]
    assert told_so["authorization_response_iss_parameter_supported"] is True
    assert set(told_so["grant_types_supported"]) == {
        "client_credentials", "authorization_code", "refresh_token", DEVICE_GRANT, EXCHANGE,
    }  # fmt: skip


def register_twice(place: Place) -> None:
    if place.foundation.stores.clients.get("acme-two") is None:
        both = ["http://127.0.0.1/back", "https://app.example/back"]
        register(place, "acme-two", redirect_uris=both)
