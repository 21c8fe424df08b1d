"""Passwords are hashed as promised, a few at a time, and guesses wait."""

from __future__ import annotations

import secrets
import threading

import pytest

from gateway.errors import InvalidRequest
from gateway.identity.errors import SignInBusy
from gateway.identity.passwords import TURNS, WAITING, Passwords
from gateway.identity.throttle import FREE, FREE_ACCOUNT, FREE_ADDRESS, LONGEST, Throttle

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def passwords() -> Passwords:
    return Passwords(secrets.token_bytes)


@pytest.fixture(scope="module")
def encoded(passwords: Passwords) -> str:
    return passwords.hash(PASSWORD)


def test_a_hash_has_the_parameters_of_the_rfc(passwords: Passwords, encoded: str) -> None:
    assert encoded.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert not passwords.is_outdated(encoded)
    assert passwords.is_outdated(encoded.replace("m=65536", "m=19456"))


def test_only_the_password_fits_its_hash(passwords: Passwords, encoded: str) -> None:
    assert passwords.verify(encoded, PASSWORD)
    for other in ("", PASSWORD + " ", PASSWORD.upper(), "\ud800", "x" * 5000):
        assert not passwords.verify(encoded, other)


@pytest.mark.parametrize("absent", ["", "no hash", "$argon2id$v=19$m=65536,t=3,p=4$x$y"])
def test_nothing_fits_where_there_is_no_hash(passwords: Passwords, absent: str) -> None:
    assert not passwords.verify(absent, PASSWORD)


def test_a_password_is_compared_composed(passwords: Passwords) -> None:
    made = passwords.hash("Zo\u00eb und ihr Fahrrad")
    assert passwords.verify(made, "Zoe\u0308 und ihr Fahrrad")


@pytest.mark.parametrize("password", ["", "fourteen chars", "ä" * 600])
def test_a_new_password_has_a_length(passwords: Passwords, password: str) -> None:
    with pytest.raises(InvalidRequest):
        passwords.hash(password)


def test_a_flood_takes_bounded_memory_and_is_told_to_come_back(encoded: str) -> None:
    passwords, results = Passwords(secrets.token_bytes), list[object]()
    begin = threading.Barrier(4 * (TURNS + WAITING))

    def guess() -> None:
        begin.wait()
        try:
            results.append(passwords.verify(encoded, "a guess"))
        except SignInBusy as busy:
            results.append(busy.retry_after)

    threads = [threading.Thread(target=guess) for _ in range(begin.parties)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results.count(False) >= TURNS + WAITING
    assert results.count("2") + results.count(False) == begin.parties
    assert results.count("2") > 0
    assert passwords.verify(encoded, PASSWORD)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_guesser_waits_and_nobody_waits_for_ever() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    for _ in range(FREE - 1):
        throttle.failed(b"ada", "a")
    assert throttle.wait(b"ada", "a") == 0.0
    for _ in range(200):
        throttle.failed(b"ada", "a")
    assert throttle.wait(b"ada", "a") == LONGEST
    assert throttle.wait(b"eve", "b") == 0.0
    clock.now += LONGEST
    assert throttle.wait(b"ada", "a") == 0.0


def test_who_attacks_from_elsewhere_does_not_keep_the_person_out() -> None:
    throttle = Throttle(Clock())
    throttle.succeeded(b"ada", "home")
    for number in range(2 * FREE_ACCOUNT):
        throttle.failed(b"ada", f"bot-{number}")
    assert throttle.wait(b"ada", "home") == 0.0
    assert throttle.wait(b"ada", "new bot") > 0.0


def test_one_address_does_not_try_all_accounts() -> None:
    throttle = Throttle(Clock())
    for number in range(FREE_ADDRESS + 1):
        throttle.failed(f"a{number}".encode(), "bot")
    assert throttle.wait(b"fresh", "bot") > 0.0
    assert throttle.wait(b"fresh", "office") == 0.0


def test_where_no_address_is_told_nobody_waits_for_others() -> None:
    throttle = Throttle(Clock())
    for number in range(2 * FREE_ADDRESS):
        throttle.failed(f"a{number}".encode(), "")
    assert throttle.wait(b"fresh", "") == 0.0


def test_an_office_that_mistypes_now_and_then_does_not_wait() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    for number in range(3 * FREE_ADDRESS):
        clock.now += 600.0
        throttle.failed(f"a{number}".encode(), "office")
    assert throttle.wait(b"fresh", "office") == 0.0
    assert throttle.succeeded(b"a1", "office") == 1


def test_a_success_tells_how_many_guesses_there_were() -> None:
    throttle = Throttle(Clock())
    for number in range(3):
        throttle.failed(b"ada", f"bot-{number}")
    assert throttle.succeeded(b"ada", "home") == 3
    assert throttle.succeeded(b"ada", "home") == 0
