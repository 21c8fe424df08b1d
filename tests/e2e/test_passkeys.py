"""Passkeys, device login and step-up in a real Chromium, and pages that everybody can use."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.e2e.chromium import Tab, chromium
from tests.gateway.people.persons import PASSWORD, Ada
from tests.gateway.place import Place, served_place

pytestmark = [pytest.mark.e2e, pytest.mark.clients]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with served_place(tmp_path_factory.mktemp("passkeys"), host="localhost") as made:
        made.tenant("acme")
        yield made


@pytest.fixture(scope="module")
def tab(place: Place) -> Iterator[Tab]:
    with chromium() as made:
        made.authenticator()
        yield made


@pytest.fixture(scope="module")
def ada(place: Place, tab: Tab) -> Ada:
    """An officer who came by an invitation and added a passkey."""
    ada = Ada.invited(place, "ada@acme.example", roles=["officer", "owner"])
    accept(place, tab, ada)
    tab.page.get_by_role("link", name="Add a passkey").click()
    assert tab.findings() == []
    add_passkey(tab, "blue key")
    return ada


def accept(place: Place, tab: Tab, ada: Ada) -> None:
    page = tab.page
    page.goto(place.url + "/people/invitation")
    assert tab.findings() == []
    page.get_by_label("Organisation").fill("acme")
    page.get_by_label("Code of the invitation").fill(ada.code)
    page.get_by_label("New password", exact=True).fill(PASSWORD)
    page.get_by_label("once more").fill(PASSWORD)
    page.get_by_role("button").click()
    assert page.url == place.url + "/people"


def add_passkey(tab: Tab, label: str) -> None:
    tab.page.get_by_label("Its name").fill(label)
    tab.page.get_by_role("button", name="Add a passkey").click()
    tab.page.wait_for_url("**/people")
    assert tab.page.get_by_text(label).is_visible()


def sign_out(tab: Tab) -> None:
    tab.page.context.clear_cookies()


def with_passkey(place: Place, tab: Tab, to: str = "**/people") -> None:
    tab.page.goto(place.url + "/people/sign-in")
    tab.page.get_by_role("button", name="Sign in with a passkey").click()
    tab.page.wait_for_url(to)


def with_password(place: Place, tab: Tab, path: str = "/people/sign-in") -> None:
    page = tab.page
    page.goto(place.url + path)
    page.get_by_label("Organisation").fill("acme")
    page.get_by_label("E-mail address").fill("ada@acme.example")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def test_a_person_signs_in_with_a_passkey_alone(place: Place, tab: Tab, ada: Ada) -> None:
    assert tab.findings() == []
    sign_out(tab)
    tab.page.goto(place.url + "/people/sign-in")
    assert tab.findings() == []
    with_passkey(place, tab)
    assert ada.id in tab.page.content()
    found = {(s.acr, s.amr) for s in place.foundation.stores.sign_ins.list(ada.id, 9)}
    assert (2, frozenset({"pop", "mfa", "user"})) in found
    assert tab.complaints == []


def test_a_passkey_is_the_second_factor_after_a_password(place: Place, tab: Tab, ada: Ada) -> None:
    sign_out(tab)
    with_password(place, tab)
    tab.page.wait_for_url("**/people/confirm?**")
    assert tab.findings() == []
    weak = place.foundation.stores.sign_ins.list(ada.id, 9)
    tab.page.get_by_role("button", name="Confirm with a passkey").click()
    tab.page.wait_for_url("**/people")
    found = place.foundation.stores.sign_ins.list(ada.id, 9)
    assert {(2, frozenset({"pwd", "pop", "mfa", "user"}))} <= {(s.acr, s.amr) for s in found}
    followed = next(s.id for s in weak if s.amr == {"pwd"})
    assert followed not in {s.id for s in found}
    assert tab.complaints == []


def test_an_authenticator_that_does_not_know_its_user_signs_nobody_in(
    place: Place, tab: Tab, ada: Ada
) -> None:
    kept = tab.credentials()[0]
    sign_out(tab)
    tab.authenticator(verifies=False)
    tab.plug(kept)
    tab.page.goto(place.url + "/people/sign-in")
    tab.page.get_by_role("button", name="Sign in with a passkey").click()
    status = tab.page.get_by_role("status").filter(has_text="gave no passkey")
    status.wait_for()
    assert tab.findings() == []
    tab.authenticator()
    tab.plug(kept)


def sealgate(place: Place, home: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "gateway", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
    )


def allow(place: Place, tab: Tab, login: subprocess.Popen[str], *, confirm: str = "") -> Any:
    """What a person does whom a terminal asks; returns what the terminal was told."""
    assert login.stderr is not None
    line = login.stderr.readline()
    code = re.search(r"[A-Z]{4}-[A-Z]{4}", line)
    assert code, line
    page = tab.page
    page.goto(place.url + "/people/device")
    for _ in range(2 if confirm else 1):
        assert tab.findings() == []
        page.get_by_label("Code").fill(code.group())
        page.get_by_role("button", name="Go on").click()
        if confirm and page.url.startswith(place.url + "/people/confirm"):
            page.get_by_role("button", name=confirm).click()
            page.wait_for_url("**/people/device")
        elif confirm and page.url.startswith(place.url + "/people/sign-in"):
            page.get_by_role("button", name="Sign in with a passkey").click()
            page.wait_for_url("**/people/device")
    assert tab.findings() == []
    page.get_by_role("button", name="I began this: allow").click()
    assert tab.findings() == []
    out, error = login.communicate(timeout=60)
    assert login.returncode == 0, error
    return json.loads(out)


def test_a_terminal_steps_up_where_a_policy_asks_for_it(
    place: Place, tab: Tab, ada: Ada, tmp_path: Path
) -> None:
    sign_out(tab)
    with_password(place, tab)
    tab.page.wait_for_url("**/people/confirm?**")
    tab.page.get_by_role("link", name="Go on without").click()
    profile = str(tmp_path / "ada.json")
    at = ("--profile", profile)
    login = sealgate(place, tmp_path, "login", "--url", place.url, *at, "--json")
    assert allow(place, tab, login)["person"] == ada.id
    asked = sealgate(place, tmp_path, "policy", "show", *at, "--json")
    _, refused = asked.communicate(timeout=60)
    told = json.loads(refused)
    assert asked.returncode == 4, told
    assert told["acr_values"] == "2"
    assert "sealgate login --step-up" in told["next"]
    again = sealgate(place, tmp_path, "login", "--step-up", *at, "--json")
    assert allow(place, tab, again, confirm="Confirm with a passkey")["person"] == ada.id
    asked = sealgate(place, tmp_path, "policy", "show", *at, "--json")
    out, error = asked.communicate(timeout=60)
    assert asked.returncode == 0, error
    assert out
    assert tab.complaints == []


def test_an_application_gets_the_level_that_it_asks_for_or_is_told(
    place: Place, tab: Tab, ada: Ada
) -> None:
    with place.admin() as admin:
        body = {"id": "desk", "name": "Desk", "tenant": "acme", "scopes": ["infer"]}
        back = {"redirect_uris": ["http://localhost/back"], "auth_method": "none"}
        admin.post("/v1/clients", body | back | {"token_binding": "none"})
    asking = {
        "response_type": "code",
        "client_id": "desk",
        "redirect_uri": "http://localhost/back",
        "code_challenge": "c" * 43,
        "code_challenge_method": "S256",
        "acr_values": "2",
        "max_age": "0",
    }
    sign_out(tab)
    with_password(place, tab, "/oauth/authorize?" + urlencode(asking))
    tab.page.wait_for_url("**/people/confirm?**")
    tab.page.get_by_role("button", name="Confirm with a passkey").click()
    tab.page.wait_for_url("**/oauth/authorize?**")
    assert tab.findings() == []
    assert tab.page.get_by_role("button", name="Allow", exact=True).is_visible()
    tab.page.goto(place.url + "/oauth/authorize?" + urlencode(asking))
    assert "/people/sign-in" in tab.page.url  # `max_age=0` asks each time
    tab.page.goto(place.url + "/oauth/authorize?client_id=nobody")
    assert tab.findings() == []


def test_a_copied_passkey_is_noticed_and_ends_everything(place: Place, tab: Tab, ada: Ada) -> None:
    (kept,) = tab.credentials()
    sign_out(tab)
    with_passkey(place, tab)
    tab.authenticator()
    tab.plug(kept | {"signCount": 1})
    sign_out(tab)
    with_passkey(place, tab, "**/people/sign-in/passkey")
    assert "not accepted" in tab.page.content()
    assert tab.findings() == []
    assert place.foundation.stores.sign_ins.list(ada.id, 9) == []
    assert place.foundation.stores.passkeys.list(ada.id)[0].copied
