"""People sign in on plain pages, see where they are signed in, and sign out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.gateway.people.browser import Browser
from tests.gateway.people.persons import PASSWORD, Ada
from tests.gateway.place import Place

Make = Callable[[], Browser]


def events(place: Place, tenant: str = "acme") -> str:
    reader = place.foundation.reader
    return str([entry.event for entry in reader.events(tenant, after=-1, limit=100)])


def test_an_invitation_sets_a_password_once(place: Place, browsers: Make) -> None:
    person = Ada.invited(place, "once@acme.example")
    first, second = browsers(), browsers()
    assert person.accept(first).path == "/people"
    assert f"Ada Lovelace of acme, as {person.id}." in first.text
    assert person.accept(second).status == 403
    assert "ask for another one" in second.text
    assert "__Host-sealgate" not in second.cookies
    log = events(place)
    for secret in (person.code, PASSWORD, "once@acme"):
        assert secret not in log
    assert "acceptInvitation" in log


@pytest.mark.parametrize(
    ("password", "again", "says"),
    [("short", "short", "15 characters"), (PASSWORD, PASSWORD + "x", "not the same")],
)
def test_an_invitation_stays_good_when_the_password_is_not(
    place: Place, browsers: Make, password: str, again: str, says: str
) -> None:
    person = Ada.invited(place, f"stays{len(password)}@acme.example")
    browser = browsers().open("/people/invitation")
    given = {"tenant": "acme", "code": person.code, "password": password, "again": again}
    assert browser.send("/people/invitation", **given).status == 422
    assert says in browser.text
    assert person.accept(browser).path == "/people"


def test_a_person_signs_in_and_out(ada: Ada, browsers: Make) -> None:
    browser = browsers()
    assert ada.sign_in(browser).path == "/people"
    assert "A browser, this one" in browser.text
    held = dict(browser.cookies)
    browser.send("/people/sign-out")
    assert browser.path == "/people/sign-in"
    browser.cookies = held  # kept by a thief
    assert browser.open("/people").path == "/people/sign-in"


def test_cookies_are_for_this_host_and_for_no_script(ada: Ada, browsers: Make) -> None:
    browser = browsers()
    ada.sign_in(browser)
    browser.open("/people/sign-in")
    set_once = browsers().open("/people/sign-in").set
    assert set_once
    for line in set_once:
        assert line.startswith("__Host-")
        assert line.endswith("; Path=/; Secure; HttpOnly; SameSite=Lax")


def test_signing_in_makes_a_new_secret_and_ends_the_one_before(ada: Ada, browsers: Make) -> None:
    browser = browsers()
    ada.sign_in(browser)
    before = dict(browser.cookies)
    ada.sign_in(browser)
    assert browser.cookies["__Host-sealgate"] != before["__Host-sealgate"]
    browser.cookies = before
    assert browser.open("/people").path == "/people/sign-in"


@pytest.mark.parametrize("wrong", ["tenant", "email", "password", "nobody", "elsewhere"])
def test_what_is_wrong_is_not_told(ada: Ada, browsers: Make, wrong: str) -> None:
    given = {"tenant": "acme", "email": ada.address, "password": PASSWORD}
    odd = {"nobody": ("tenant", "\x00"), "elsewhere": ("tenant", "rival")}
    name, value = odd.get(wrong, (wrong, "another-one@acme.example"))
    browser = browsers().open("/people/sign-in")
    browser.send("/people/sign-in", **{**given, name: value})
    assert browser.status == 403
    assert "organisation, address or password is not right" in browser.text
    assert PASSWORD not in browser.answer.text


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", ""])
def test_a_form_of_another_site_is_refused(ada: Ada, browsers: Make, origin: str) -> None:
    browser = browsers().open("/people/sign-in")
    given = {"tenant": "acme", "email": ada.address, "password": PASSWORD}
    assert browser.send("/people/sign-in", origin=origin, **given).status == 403
    assert "__Host-sealgate" not in browser.cookies


def test_a_form_is_taken_from_the_browser_that_was_given_it(ada: Ada, browsers: Make) -> None:
    mine, other = browsers(), browsers()
    ada.sign_in(mine)
    ada.sign_in(other)
    stolen = other.form("/people/sign-out").fields
    assert mine.post("/people/sign-out", stolen).status == 403
    assert mine.open("/people").path == "/people"


def test_a_person_ends_another_browser_and_nobody_elses(
    place: Place, ada: Ada, browsers: Make
) -> None:
    mine, other, stranger = browsers(), browsers(), browsers()
    ada.sign_in(other)
    ada.sign_in(mine)
    eve = Ada.accepted(place, "eve@acme.example")
    eve.sign_in(stranger)
    fields = mine.form("/people/end").fields
    stranger.post(
        "/people/end", {**stranger.form("/people/sign-out").fields, "sign_in": fields["sign_in"]}
    )
    for _ in range(20):
        if other.open("/people").path != "/people":
            break
        mine.open("/people").send("/people/end")
    assert other.path == "/people/sign-in"
    assert mine.open("/people").path == "/people"
    assert stranger.open("/people").path == "/people"


def test_a_suspended_person_is_out_at_once_and_cannot_come_back(
    place: Place, browsers: Make
) -> None:
    person = Ada.accepted(place, "out@acme.example")
    browser = browsers()
    person.sign_in(browser)
    with place.admin() as admin:
        path = f"/v1/tenants/acme/people/{person.id}"
        admin.post(f"{path}/suspend")
        assert browser.open("/people").path == "/people/sign-in"
        assert person.sign_in(browser).status == 403
        admin.post(f"{path}/enable")
        assert person.sign_in(browser).path == "/people"
        admin.send("DELETE", path)
    assert browser.open("/people").path == "/people/sign-in"
    assert person.sign_in(browser).status == 403


def test_another_invitation_sets_another_password_and_ends_every_browser(
    place: Place, browsers: Make
) -> None:
    person = Ada.accepted(place, "again@acme.example")
    thief = browsers()
    person.sign_in(thief)
    with place.admin() as admin:
        made = admin.post(f"/v1/tenants/acme/people/{person.id}/invite")
    fresh = Ada("acme", person.address, person.id, made["code"])
    browser = browsers()
    assert fresh.accept(browser, PASSWORD + " again").path == "/people"
    assert thief.open("/people").path == "/people/sign-in"
    assert person.sign_in(thief).status == 403
    assert person.sign_in(thief, PASSWORD + " again").path == "/people"


def test_pages_load_nothing_and_are_framed_by_nobody(browsers: Make) -> None:
    for path in ("/people/sign-in", "/people/invitation"):
        headers = browsers().open(path).answer.headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "frame-ancestors 'none'" in policy
        assert "script" not in policy
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize("then", ["//evil.example", "https://evil.example", "x" * 44, "../v1"])
def test_nobody_is_sent_elsewhere_after_signing_in(ada: Ada, browsers: Make, then: str) -> None:
    browser = browsers().open("/people/sign-in", then=then)
    given = {"tenant": "acme", "email": ada.address, "password": PASSWORD}
    assert browser.send("/people/sign-in", **given).path == "/people"
    assert str(browser.answer.request.url).startswith(browser.url + "/people")


def test_what_was_typed_is_shown_again_escaped_and_without_the_password(browsers: Make) -> None:
    browser = browsers().open("/people/sign-in")
    given = {"tenant": '"><b>', "email": "<script>", "password": "<i>secret</i>"}
    browser.send("/people/sign-in", **given)
    assert "<script>" not in browser.answer.text
    assert '"><b>' not in browser.answer.text
    assert "secret" not in browser.answer.text
    assert browser.form("/people/sign-in").fields["email"] == "<script>"
