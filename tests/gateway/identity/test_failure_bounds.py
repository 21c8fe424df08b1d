"""Failures are slowed; who is right is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.identity.client_authentication import Connection
from gateway.identity.errors import OAuthRefusal
from gateway.identity.failure_bounds import OF_ADDRESS, OF_CLIENT, MemoryFailureBounds

from .fakes import ED25519, OTHER, Clock, World, assertion, basic

HERE, THERE = Connection("192.0.2.1"), Connection("192.0.2.2")


def wait(world: World, name: str, connection: Connection = HERE) -> str:
    with pytest.raises(OAuthRefusal) as refused:
        world.client_authenticator.authenticate({}, basic(name, "wrong"), connection)
    return refused.value.retry_after


def test_issue_8_6_failures_of_a_client_are_bounded_whether_it_exists_or_not() -> None:
    told = []
    for name in ("service", "nobody"):
        world = World()
        told.append([wait(world, name) for _ in range(OF_CLIENT.burst + 3)])
    assert told[0] == told[1]
    assert told[0] == [""] * OF_CLIENT.burst + ["3"] * 3


def test_failures_of_an_address_are_bounded_whatever_it_names() -> None:
    world = World()
    told = [wait(world, f"nobody-{number}") for number in range(OF_ADDRESS.burst + 1)]
    assert told == [""] * OF_ADDRESS.burst + ["1"]
    assert wait(world, "nobody-again", THERE) == ""


def test_issue_8_6_nobody_locks_a_client_out() -> None:
    world = World()
    for number in range(3 * OF_ADDRESS.burst):
        wait(world, "service", Connection(f"192.0.2.{number % 200}"))
        wait(world, "machine")
        with pytest.raises(OAuthRefusal):
            world.client_authenticator.authenticate(assertion(OTHER), None, HERE)
    authenticate = world.client_authenticator.authenticate
    for connection in (HERE, THERE):
        assert authenticate({}, basic(), connection).id == "service"
        assert authenticate(assertion(ED25519), None, connection).id == "machine"


def test_what_is_told_to_wait_is_true() -> None:
    clock = Clock(0.0)
    bounds = MemoryFailureBounds(clock)
    while not (told := bounds.failed("a", "")):
        pass
    for _ in range(50):
        assert bounds.failed("a", "") == told, "who does not wait makes nobody wait longer"
    clock.now += told
    assert bounds.failed("a", "") == 0
    assert bounds.failed("a", "") == told
    clock.now += OF_CLIENT.burst * OF_CLIENT.seconds
    assert [bounds.failed("a", "") for _ in range(OF_CLIENT.burst)] == [0] * OF_CLIENT.burst


def test_only_so_many_are_counted() -> None:
    bounds = MemoryFailureBounds(Clock(0.0), room=100)
    for number in range(1000):
        bounds.failed(f"name-{number}", f"192.0.2.{number}")
    assert len(bounds._clients._whole) == len(bounds._addresses._whole) == 100


def test_a_malformed_request_names_nobody_and_is_counted_for_its_address() -> None:
    world = World()
    for _ in range(OF_ADDRESS.burst):
        with pytest.raises(OAuthRefusal):
            world.client_authenticator.authenticate({}, b"Basic !", HERE)
    assert wait(world, "service") == "1"


class Reads:
    """How often the stores of clients and tenants are read by what is refused."""

    def __init__(self, world: World) -> None:
        self._world = world

    def of(self, name: str, secret: str = "wrong") -> int:
        before = self._world.clients.reads
        with pytest.raises(OAuthRefusal):
            self._world.client_authenticator.authenticate({}, basic(name, secret))
        return self._world.clients.reads - before


def test_issue_8_6_a_refusal_reads_as_much_for_a_known_client_as_for_an_unknown_one() -> None:
    world = World()
    world.clients.add(replace(world.service, id="disabled", disabled=True))
    reads = Reads(world)
    world.client_authenticator.authenticate({}, basic())
    names = ("service", "nobody", "disabled", "machine", "service", "nobody", "disabled")
    assert [reads.of(name) for name in names] == [1] * len(names)


def test_who_is_right_and_remembered_reads_nothing() -> None:
    world = World()
    for _ in range(2):
        world.client_authenticator.authenticate({}, basic())
    assert world.clients.reads == 1
