"""Passkeys on the pages of people: what adds one, what one is good for, and what attackers try."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from audit.event import PLATFORM_TENANT
from gateway.composition.authorization import make_guard, make_recorder
from gateway.people.steerers import Steerers
from tests.gateway.people.authenticator import Authenticator
from tests.gateway.people.browser import Browser
from tests.gateway.people.persons import PASSWORD, Ada
from tests.gateway.place import Place, served_place

Make = Callable[[], Browser]
NEW, WITH, CONFIRM = "/people/passkeys/new", "/people/sign-in/passkey", "/people/confirm"
REMOVE = "/people/passkeys/remove"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with served_place(tmp_path_factory.mktemp("passkeys"), host="localhost") as made:
        made.tenant("acme")
        yield made


def entered(place: Place, browser: Browser, name: str, **rights: object) -> Ada:
    """A person who has just used an invitation."""
    ada = Ada.invited(place, f"{name}@acme.example", **rights)  # type: ignore[arg-type]
    ada.accept(browser)
    return ada


def add(browser: Browser, device: Authenticator, label: str = "blue key") -> Browser:
    browser.open(NEW)
    return browser.send(NEW, label=label, **device.create(browser.asked(NEW)))


def with_passkey(browser: Browser, device: Authenticator) -> Browser:
    browser.open("/people/sign-in")
    return browser.send(WITH, **device.get(browser.asked(WITH)))


def test_a_person_adds_passkeys_signs_in_with_one_and_removes_another(
    place: Place, browsers: Make
) -> None:
    browser, elsewhere = browsers(), browsers()
    ada = entered(place, browser, "eve")
    ada.sign_in(elsewhere)
    key, spare = Authenticator(place.url), Authenticator(place.url)
    assert add(browser, key).path == "/people"
    assert elsewhere.open("/people").path == "/people/sign-in"  # adding ended it
    assert "blue key" in add(browser, spare, "spare").text
    assert with_passkey(elsewhere, spare).path == "/people"
    assert "Where you are signed in" in elsewhere.text
    kept = place.foundation.stores.passkeys
    one, other = kept.find(key.credential), kept.find(spare.credential)
    assert one is not None
    assert other is not None
    assert one.handle == other.handle
    assert ada.id.removeprefix("person-") not in one.handle.hex()
    elsewhere.send(REMOVE, passkey=one.id)
    assert [one.id for one in kept.list(ada.id)] == [other.id]
    assert with_passkey(browsers(), key).status == 403
    log = place.foundation.reader.events("acme", limit=500)
    seen = [entry.event.action for entry in log if entry.event.actor_ref == ada.id]
    assert seen.count("addPasskey") == 4
    assert seen.count("removePasskey") == 2


def test_a_password_alone_adds_and_removes_no_passkey(place: Place, browsers: Make) -> None:
    thief = browsers()
    ada = Ada.accepted(place, "fay@acme.example")
    ada.sign_in(thief)
    assert "another invitation" in thief.open(NEW).text
    assert NEW not in [form.action for form in thief._read.forms]
    first = browsers()
    key = Authenticator(place.url)
    with place.admin() as admin:
        made = admin.post(f"/v1/tenants/acme/people/{ada.id}/invite", {})
    replace(ada, code=made["code"]).accept(first)
    add(first, key)
    ada.sign_in(thief)
    assert thief.path == CONFIRM
    assert thief.open(NEW).path == CONFIRM
    (passkey,) = place.foundation.stores.passkeys.list(ada.id)
    page = thief.open("/people").form("/people/sign-out").fields["page"]
    thief.post(REMOVE, {"page": page, "passkey": passkey.id})
    assert place.foundation.stores.passkeys.list(ada.id) == [passkey]


def test_an_answer_counts_once(place: Place, browsers: Make) -> None:
    browser, key = browsers(), Authenticator(place.url)
    entered(place, browser, "gil")
    add(browser, key)
    other = browsers().open("/people/sign-in")
    before = dict(other.cookies)
    form = {**other.form(WITH).fields, **key.get(other.asked(WITH))}
    assert other.post(WITH, form).path == "/people"
    other.cookies = before
    assert other.post(WITH, form).status == 403
    stranger = browsers().open("/people/sign-in")
    page = stranger.form(WITH).fields["page"]
    assert stranger.post(WITH, {**form, "page": page}).status == 403


def test_a_passkey_of_another_person_confirms_nobody(place: Place, browsers: Make) -> None:
    hers, his = browsers(), browsers()
    ada, bob = entered(place, hers, "hal"), entered(place, his, "ian")
    mine, theirs = Authenticator(place.url), Authenticator(place.url)
    add(hers, mine)
    add(his, theirs)
    bob.sign_in(his)
    assert his.path == CONFIRM
    his.send(CONFIRM, **mine.get(his.asked(CONFIRM)))
    assert his.status == 403
    assert his.send(CONFIRM, **theirs.get(his.asked(CONFIRM))).path == "/people"
    assert ada.id != bob.id


def test_a_form_of_another_site_or_another_sign_in_adds_nothing(
    place: Place, browsers: Make
) -> None:
    browser, other = browsers(), browsers()
    ada, key = entered(place, browser, "jan"), Authenticator(place.url)
    entered(place, other, "kim")
    form = {**browser.open(NEW).form(NEW).fields, **key.create(browser.asked(NEW)), "label": "x"}
    assert browser.post(NEW, form, origin="https://evil.example").status == 403
    assert other.post(NEW, form).status == 403
    page = other.open(NEW).form(NEW).fields["page"]
    assert other.post(NEW, {**form, "page": page}).status == 403
    assert place.foundation.stores.passkeys.list(ada.id) == []
    assert browser.post(NEW, form).path == "/people"
    again = {**browser.open(NEW).form(NEW).fields, **key.create(browser.asked(NEW)), "label": "y"}
    assert "there already" in browser.post(NEW, again).text


def test_who_steers_keeps_a_passkey_and_counts_as_one_who_can(place: Place, browsers: Make) -> None:
    browser, key = browsers(), Authenticator(place.url)
    ada = entered(place, browser, "lea", roles=["owner"])
    stores = place.foundation.stores
    steerers = Steerers(stores.people, stores.passkeys)
    assert ada.id not in {one.id for one in steerers.candidates("acme")}
    add(browser, key)
    assert ada.id in {one.id for one in steerers.candidates("acme")}
    (passkey,) = stores.passkeys.list(ada.id)
    browser.open("/people").send(REMOVE, passkey=passkey.id)
    assert "add another first" in browser.text
    assert stores.passkeys.list(ada.id) == [passkey]


def test_the_solo_mode_ends_with_a_person_who_can_administer(place: Place, browsers: Make) -> None:
    guard = make_guard(place.foundation, make_recorder(place.foundation))
    browser, key = browsers(), Authenticator(place.url)
    assert guard._solo()
    root = Ada.invited(
        place, "root@acme.example", PLATFORM_TENANT,
        roles=["administrator"], purposes=[], default_purpose=None,
    )  # fmt: skip
    root.accept(browser)
    assert guard._solo()
    add(browser, key)
    assert not guard._solo()


def test_somebody_who_is_shut_out_or_gone_has_no_passkeys(place: Place, browsers: Make) -> None:
    browser, key = browsers(), Authenticator(place.url)
    ada = entered(place, browser, "mia")
    add(browser, key)
    with place.admin() as admin:
        admin.post(f"/v1/tenants/acme/people/{ada.id}/suspend", {})
        assert with_passkey(browsers(), key).status == 403
        admin.send("DELETE", f"/v1/tenants/acme/people/{ada.id}")
    assert place.foundation.stores.passkeys.find(key.credential) is None
    unknown = with_passkey(browsers(), key)
    assert unknown.status == 403
    assert "not accepted" in unknown.text


def test_only_pages_that_ask_for_a_passkey_run_script(place: Place, browsers: Make) -> None:
    browser = browsers()
    policy = browser.open("/people/sign-in").answer.headers["content-security-policy"]
    assert "script-src 'self'; require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    assert browser.text.count("by script, which is off here") == 1
    script = browser.open("/people/passkeys.js").answer
    assert script.headers["content-type"].startswith("text/javascript")
    entered(place, browser, "noa")
    assert "script-src" not in browser.answer.headers["content-security-policy"]
    assert PASSWORD not in browser.text
