"""What a browser says of a passkey: taken where every word holds, and in no other case."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from typing import Any

import pytest
from fido2.utils import websafe_encode
from hypothesis import given
from hypothesis import strategies as st

from gateway.identity.errors import SignInRefused
from gateway.identity.passkeys import Passkey
from gateway.people.ceremonies import CHALLENGE_SECONDS, MAX_CREDENTIAL, Answered, Ceremonies
from tests.gateway.people.authenticator import PRESENT, Authenticator, new_key

ORIGIN, BOUND, NOW = "https://gateway.example:8443", "browser", 1_700_000_000
HANDLE = b"h" * 32


class Clock:
    now = float(NOW)

    def __call__(self) -> float:
        return self.now


def ceremonies(clock: Clock | None = None, key: bytes = b"k" * 32, origin: str = ORIGIN) -> Any:
    return Ceremonies(origin, lambda: key, clock=clock or Clock(), random_bytes=secrets.token_bytes)


CEREMONIES = ceremonies()


def registered(device: Authenticator) -> Passkey:
    asked = CEREMONIES.ask_new(BOUND, HANDLE, "ada", [])
    made, _ = CEREMONIES.made(Answered.of(device.create(asked)), BOUND)
    return Passkey(
        id="passkey-1",
        tenant="acme",
        person="person-1",
        credential=made.credential,
        handle=HANDLE,
        public_key=made.public_key,
        counter=made.counter,
        copied=False,
        label=b"",
        created=NOW,
    )


@pytest.mark.parametrize("kind", ["EdDSA", "ES256", "RS256"])
def test_a_passkey_of_each_algorithm_is_made_and_signs(kind: str) -> None:
    device = Authenticator(ORIGIN, new_key(kind), counter=5)
    passkey = registered(device)
    assert passkey.counter == 5
    asked = CEREMONIES.ask("sign_in", BOUND)
    counter, challenge = CEREMONIES.signed(
        Answered.of(device.get(asked)), passkey, "sign_in", BOUND
    )
    assert counter == 6
    assert asked["challenge"] == websafe_encode(challenge)
    assert (asked["rpId"], asked["userVerification"]) == ("gateway.example", "required")


def test_a_weak_key_and_a_credential_that_is_too_long_are_not_taken() -> None:
    weak = Authenticator(ORIGIN, new_key("RS256-1024"))
    long = Authenticator(ORIGIN, credential=bytes(MAX_CREDENTIAL + 1))
    short = Authenticator(ORIGIN, credential=bytes(8))
    for device in (weak, long, short):
        with pytest.raises(SignInRefused):
            registered(device)


LIES: dict[str, dict[str, Any]] = {
    "another origin": {"client": {"origin": "https://evil.example"}},
    "another port": {"client": {"origin": "https://gateway.example"}},
    "an origin below ours": {"client": {"origin": "https://x.gateway.example:8443"}},
    "a frame of another site": {"client": {"crossOrigin": True}},
    "a frame that names its top": {"client": {"topOrigin": "https://evil.example"}},
    "another ceremony": {"client": {"type": "webauthn.create"}},
    "a challenge of its own": {"client": {"challenge": websafe_encode(bytes(56))}},
    "no challenge": {"client": {"challenge": ""}},
    "a number for a challenge": {"client": {"challenge": 7}},
    "another relying party": {"rp": "evil.example"},
    "nobody verified": {"flags": PRESENT},
    "nobody there": {"flags": 0x04},
    "another person": {"handle": b"x" * 32},
    "no person": {"handle": b""},
}


@pytest.mark.parametrize("lie", LIES)
def test_an_assertion_with_a_word_that_does_not_hold_is_refused(lie: str) -> None:
    device = Authenticator(ORIGIN)
    passkey = registered(device)
    asked = CEREMONIES.ask("sign_in", BOUND)
    with pytest.raises(SignInRefused):
        CEREMONIES.signed(Answered.of(device.get(asked, **LIES[lie])), passkey, "sign_in", BOUND)


@pytest.mark.parametrize("lie", [name for name in LIES if "person" not in name])
def test_a_registration_with_a_word_that_does_not_hold_is_refused(lie: str) -> None:
    says = LIES[lie]
    if lie == "another ceremony":
        says = {"client": {"type": "webauthn.get"}}
    form = Authenticator(ORIGIN).create(CEREMONIES.ask_new(BOUND, HANDLE, "ada", []), **says)
    with pytest.raises(SignInRefused):
        CEREMONIES.made(Answered.of(form), BOUND)


def test_an_answer_is_for_its_browser_its_purpose_and_its_time() -> None:
    clock = Clock()
    asking = ceremonies(clock)
    device = Authenticator(ORIGIN)
    passkey = registered(device)
    form = Answered.of(device.get(asking.ask("sign_in", BOUND)))
    asking.signed(form, passkey, "sign_in", BOUND)
    for purpose, bound in (("sign_in", "another browser"), ("confirm", BOUND), ("add", BOUND)):
        with pytest.raises(SignInRefused):
            asking.signed(form, passkey, purpose, bound)
    with pytest.raises(SignInRefused):
        ceremonies(clock, key=b"z" * 32).signed(form, passkey, "sign_in", BOUND)
    clock.now += CHALLENGE_SECONDS
    with pytest.raises(SignInRefused):
        asking.signed(form, passkey, "sign_in", BOUND)


def test_a_signature_of_another_key_is_refused() -> None:
    device, other = Authenticator(ORIGIN), Authenticator(ORIGIN)
    passkey = registered(device)
    registered(other)
    other.credential = device.credential
    form = Answered.of(other.get(CEREMONIES.ask("sign_in", BOUND)))
    with pytest.raises(SignInRefused):
        CEREMONIES.signed(form, passkey, "sign_in", BOUND)


def test_a_name_that_comes_twice_in_what_the_browser_says_is_refused() -> None:
    device = Authenticator(ORIGIN)
    passkey = registered(device)
    asked = CEREMONIES.ask("sign_in", BOUND)
    form = device.get(asked)
    said = json.dumps({"type": "webauthn.get", "challenge": asked["challenge"], "origin": ORIGIN})
    twice = said[:-1] + f', "origin": "{ORIGIN}"}}'
    answered = replace(Answered.of(form), client_data=websafe_encode(twice.encode()))
    with pytest.raises(SignInRefused):
        CEREMONIES.signed(answered, passkey, "sign_in", BOUND)


_TEXT = st.one_of(st.text(max_size=60), st.binary(max_size=90).map(websafe_encode))
PASSKEY = registered(Authenticator(ORIGIN))
SAID = st.dictionaries(
    st.sampled_from(["type", "origin", "challenge", "crossOrigin"]),
    st.one_of(st.none(), st.integers(), st.text(max_size=9), st.just(ORIGIN)),
)


@given(_TEXT, st.one_of(_TEXT, SAID.map(lambda s: websafe_encode(json.dumps(s).encode()))), _TEXT)
def test_any_bytes_end_as_our_refusal(credential: str, client: str, rest: str) -> None:
    answered = Answered(credential, client, rest, rest, rest)
    with pytest.raises(SignInRefused):
        CEREMONIES.made(answered, BOUND)
    with pytest.raises(SignInRefused):
        CEREMONIES.signed(answered, PASSKEY, "sign_in", BOUND)


@given(st.binary(max_size=300))
def test_any_data_of_an_authenticator_end_as_our_refusal(data: bytes) -> None:
    device = Authenticator(ORIGIN)
    form = device.create(CEREMONIES.ask_new(BOUND, HANDLE, "ada", []))
    with pytest.raises(SignInRefused):
        CEREMONIES.made(replace(Answered.of(form), data=websafe_encode(data)), BOUND)
    form = device.get(CEREMONIES.ask("sign_in", BOUND))
    answered = replace(Answered.of(form), data=websafe_encode(data))
    with pytest.raises(SignInRefused):
        CEREMONIES.signed(answered, PASSKEY, "sign_in", BOUND)
