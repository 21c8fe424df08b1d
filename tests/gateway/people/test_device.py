"""A terminal signs a person in: `sealgate login`, and what stands between it and a stranger."""

from __future__ import annotations

import contextlib
import io
import json
import re
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.cli.failures import ExitCode
from gateway.cli.main import invoke
from gateway.client.profile import load_profile
from gateway.identity.people import digest_of
from gateway.people.devices import DEVICE, DEVICE_GRANT, LETTERS
from tests.gateway.cli.command import sealgate
from tests.gateway.people.browser import Browser
from tests.gateway.people.persons import Ada
from tests.gateway.place import Place, served_place

Make = Callable[[], Browser]


@pytest.fixture(scope="module")
def device(place: Place) -> str:
    """A public client without proofs: what is tried here is the code, not the key."""
    with place.admin() as admin:
        body = {"id": "acme-tv", "name": "The TV", "tenant": "acme", "scopes": ["infer"]}
        admin.post("/v1/clients", body | {"auth_method": "none", "token_binding": "none"})
    return "acme-tv"


def begin(place: Place, client: str, **form: str) -> dict[str, Any]:
    form |= {"client_id": client}
    answer = httpx.post(f"{place.url}/oauth/device_authorization", data=form, timeout=60)
    begun: dict[str, Any] = answer.json()
    return begun


def ask(place: Place, client: str, begun: dict[str, Any]) -> dict[str, Any]:
    form = {"grant_type": DEVICE_GRANT, "device_code": begun["device_code"], "client_id": client}
    answer: dict[str, Any] = httpx.post(f"{place.url}/oauth/token", data=form, timeout=60).json()
    return answer


def decide(browser: Browser, code: str, decision: str) -> Browser:
    browser.open("/people/device").send("/people/device", code=code)
    return browser.send("/people/device/decision", decision=decision)


def later(place: Place, begun: dict[str, Any]) -> None:
    """Let the interval pass: as if the device had asked long ago."""
    tickets, digest = place.foundation.stores.tickets, digest_of(begun["device_code"])
    ticket = tickets.get(DEVICE, digest)
    assert ticket is not None
    assert tickets.change(DEVICE, digest, ticket.facts, {**ticket.facts, "asked": "0"})


def test_a_device_waits_is_let_in_and_gets_its_token_once(
    place: Place, ada: Ada, browsers: Make, device: str
) -> None:
    begun = begin(place, device, scope="infer")
    assert re.fullmatch(f"[{LETTERS}]{{4}}-[{LETTERS}]{{4}}", begun["user_code"])
    assert "verification_uri_complete" not in begun
    assert ask(place, device, begun)["error"] == "authorization_pending"
    assert ask(place, device, begun)["error"] == "slow_down"
    browser = browsers().open("/people/device")
    assert browser.path == "/people/sign-in"
    given = {"tenant": "acme", "email": ada.address, "password": "correct horse battery staple"}
    assert browser.send("/people/sign-in", **given).path == "/people/device"
    browser.send("/people/device", code=begun["user_code"].lower().replace("-", " "))
    assert "The TV" in browser.text
    assert "Allow it only if you began this yourself" in browser.text
    browser.send("/people/device/decision", decision="allow")
    assert "The device is signed in" in browser.text
    token = ask(place, device, begun)
    headers = {"authorization": f"Bearer {token['access_token']}"}
    seen = httpx.get(f"{place.url}/v1/whoami", headers=headers, timeout=60).json()
    assert (seen["person"], seen["client_id"]) == (ada.id, device)
    assert ask(place, device, begun)["error"] == "invalid_grant"
    again = httpx.get(f"{place.url}/v1/whoami", headers=headers, timeout=60)
    assert again.status_code == 401


def test_a_device_that_is_declined_is_told(
    place: Place, ada: Ada, browsers: Make, device: str
) -> None:
    begun, browser = begin(place, device), browsers()
    ada.sign_in(browser)
    decide(browser, begun["user_code"], "deny")
    assert ask(place, device, begun)["error"] == "access_denied"
    browser.open("/people/device").send("/people/device", code=begun["user_code"])
    assert browser.status == 422


def test_a_device_code_is_for_its_client(
    place: Place, ada: Ada, browsers: Make, device: str
) -> None:
    begun, browser = begin(place, device), browsers()
    ada.sign_in(browser)
    decide(browser, begun["user_code"], "allow")
    with place.admin() as admin:
        body = {"id": "acme-tv2", "name": "TV", "tenant": "acme", "scopes": ["infer"]}
        admin.post("/v1/clients", body | {"auth_method": "none", "token_binding": "none"})
    assert ask(place, "acme-tv2", begun)["error"] == "invalid_grant"
    assert "access_token" in ask(place, device, begun)


def test_a_code_that_was_not_typed_in_time_is_no_good(place: Place, device: str) -> None:
    begun = begin(place, device)
    stores = place.foundation.stores
    ticket = stores.tickets.get(DEVICE, digest_of(begun["device_code"]))
    assert ticket is not None
    old = replace(ticket, digest=digest_of("old"), expires=int(time.time()) - 1)
    stores.tickets.add(old)
    assert ask(place, device, {"device_code": "old"})["error"] == "expired_token"


def test_who_guesses_codes_waits(place: Place, browsers: Make) -> None:
    person = Ada.accepted(place, "guesser@acme.example")
    browser = browsers()
    person.sign_in(browser)
    for _ in range(6):
        browser.open("/people/device").send("/people/device", code="BBBB-BBBB")
    assert browser.status == 429
    assert "too many wrong guesses" in browser.text


def test_people_of_another_tenant_do_not_let_a_device_in(
    place: Place, browsers: Make, device: str
) -> None:
    eve, browser = Ada.accepted(place, "dev@rival.example", tenant="rival"), browsers()
    eve.sign_in(browser)
    browser.open("/people/device").send("/people/device", code=begin(place, device)["user_code"])
    assert "not for your organisation" in browser.text


def test_login_keeps_a_sign_in_that_renews_itself_until_logout(
    place: Place, browsers: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SEALGATE_PROFILE", raising=False)
    person, browser = Ada.accepted(place, "cli@acme.example"), browsers()
    person.sign_in(browser)
    done = login(place, browser, "work")
    assert done == {"profile": str(profiles(tmp_path) / "work.json"), "person": person.id,
                    "tenant": "acme"}  # fmt: skip
    for file in profiles(tmp_path).iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    assert sealgate("profile", "use", "work", "--json").json == {"used": "work"}
    (row,) = sealgate("profile", "list", "--json").json
    assert (row["name"], row["used"]) == ("work", True)
    seen = sealgate("whoami", "--json").json
    assert (seen["person"], seen["client_id"], seen["binding"]) == (
        person.id, "sealgate-cli", "dpop",
    )  # fmt: skip
    session = load_profile(profiles(tmp_path) / "work.json").session
    assert session is not None
    before = session.read()[0]
    (profiles(tmp_path) / ".work.json.token").unlink()
    together = [threading.Thread(target=invoke, args=(["whoami"],)) for _ in range(3)]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for thread in together:
            thread.start()
        for thread in together:
            thread.join()
    assert session.read()[0] != before
    assert sealgate("whoami").code == ExitCode.OK
    assert sealgate("logout", "--json").json == {"ended": True}
    gone = sealgate("whoami")
    assert (gone.code, "sealgate login" in gone.err) == (ExitCode.SIGN_IN, True)
    browser.open("/people")
    assert "sealgate-cli" not in browser.text


def test_login_where_proofs_need_nonces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with served_place(tmp_path / "place", dpop_nonce=True) as place:
        place.tenant("acme")
        person, browser = Ada.accepted(place, "nonce@acme.example"), Browser(place.url)
        person.sign_in(browser)
        assert login(place, browser, "mine")["person"] == person.id
        browser.close()
        assert sealgate("whoami", "--profile", "mine").code == ExitCode.OK


def test_a_copied_sign_in_is_noticed_and_ended(
    place: Place, browsers: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    person, browser = Ada.accepted(place, "copied@acme.example"), browsers()
    person.sign_in(browser)
    login(place, browser, "mine")
    mine, copy = profiles(tmp_path) / "mine.json", profiles(tmp_path) / "copy.json"
    session = mine.with_name("mine.json.session")
    copy.with_name("copy.json.session").write_text(session.read_text())
    copy.with_name("copy.json.session").chmod(0o600)
    content = json.loads(mine.read_text()) | {"session_file": "copy.json.session"}
    copy.write_text(json.dumps(content))
    mine.with_name(".mine.json.token").unlink()
    assert sealgate("whoami", "--profile", "mine").code == ExitCode.OK
    assert sealgate("whoami", "--profile", "copy").code == ExitCode.SIGN_IN
    assert sealgate("whoami", "--profile", "mine").code == ExitCode.SIGN_IN


def profiles(home: Path) -> Path:
    return home / ".config" / "sealgate" / "profiles"


def login(place: Place, browser: Browser, name: str) -> dict[str, Any]:
    """Run `sealgate login` here, and let it in with the browser."""
    out, err = io.StringIO(), io.StringIO()
    command = ["login", "--url", place.url, "--profile", name, "--scope", "infer", "--json"]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        thread = threading.Thread(target=invoke, args=(command,))
        thread.start()
        while not (shown := re.search(r"type: ([A-Z]{4}-[A-Z]{4})", err.getvalue())):
            assert thread.is_alive(), err.getvalue()
            time.sleep(0.01)
        decide(browser, shown[1], "allow")
        thread.join()
    assert out.getvalue(), err.getvalue()
    done: dict[str, Any] = json.loads(out.getvalue())
    return done
