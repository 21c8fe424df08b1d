"""Where codes may be sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.identity.errors import RegistrationRefused
from gateway.identity.redirects import MAX_REDIRECTS, check_redirects, is_redirect_of


@pytest.mark.parametrize(
    "address",
    [
        "https://app.example/back",
        "https://app.example/back?tenant=a",
        "http://127.0.0.1/back",
        "http://[::1]:80/",
        "http://localhost:3000/back",
        "com.example.app:/back",
    ],
)
def test_what_applications_use_can_be_registered(address: str) -> None:
    check_redirects([address])
    assert is_redirect_of(address, [address])


@pytest.mark.parametrize(
    "address",
    [
        "",
        "/back",
        "http://app.example/back",
        "https://app.example/back#part",
        "https://app.example/*",
        "https://user@app.example/back",
        "https:///back",
        "javascript:alert(1)",
        "data:text/html,x",
        "app:/back",
        "https://app.example/ba ck",
        'https://app.example/"><script>',
        "https://äpp.example/",
        "https://app.example:port/",
        "https://app.example/" + "x" * 512,
    ],
)
def test_what_is_not_safe_cannot_be_registered(address: str) -> None:
    with pytest.raises(RegistrationRefused):
        check_redirects([address])


def test_there_are_not_too_many() -> None:
    with pytest.raises(RegistrationRefused):
        check_redirects([f"https://app.example/{n}" for n in range(MAX_REDIRECTS + 1)])


@pytest.mark.parametrize("asked", ["http://127.0.0.1:1/b", "http://127.0.0.1/b"])
def test_the_port_of_a_loopback_address_is_free(asked: str) -> None:
    assert is_redirect_of(asked, ["http://127.0.0.1/b"])
    assert is_redirect_of(asked, ["http://127.0.0.1:4711/b"])


@pytest.mark.parametrize(
    "asked",
    [
        "http://127.0.0.1:1/c",
        "http://[::1]:1/b",
        "http://127.0.0.1:1/b?x",
        "https://127.0.0.1:1/b",
        "http://127.0.0.1:1@evil.example/b",
        "http://127.0.0.1:99999/b",
        "http://127.0.0.2:1/b",
    ],
)
def test_nothing_else_of_it_is(asked: str) -> None:
    assert not is_redirect_of(asked, ["http://127.0.0.1/b", "https://app.example/b"])


@given(st.text())
def test_any_text_is_judged(text: str) -> None:
    assert not is_redirect_of(text, ["http://127.0.0.1/b"]) or text.startswith("http://127.0.0.1")
