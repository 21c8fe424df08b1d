"""Clients get new credentials and are let in again, as administrators ask for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from gateway.authorization.recorder import Call
from gateway.authorization.records import Pending
from gateway.errors import InvalidRequest, NotFound, StateConflict
from gateway.identity.client_authentication import secret_hash
from gateway.identity.records import Client
from tests.gateway.parts import NOW, TENANT, House, call, client_record, house

ADMINISTRATOR = call("administrator", "platform")
SECRET = secret_hash("made-up")


@pytest.fixture
def home() -> Iterator[House]:
    with house("rival") as made:
        clients = made.stores.clients
        clients.add(client_record("platform-administrator", "platform", "administrator"))
        robot = client_record("robot", TENANT, "caller")
        clients.add(replace(robot, auth_method="client_secret_basic", secret_hash=SECRET))
        clients.add(client_record("out", TENANT, "caller", disabled=True))
        yield made


def robot(home: House) -> Client:
    found = home.stores.clients.get("robot")
    assert found is not None
    return found


def test_a_new_secret_is_told_once_and_only_its_hash_is_kept(home: House) -> None:
    _, secret = home.use.credentials.rotate(ADMINISTRATOR, TENANT, "robot", None)
    assert secret is not None
    assert robot(home).secret_hash == secret_hash(secret)
    assert [(one.secret_hash, one.until) for one in robot(home).former] == [(SECRET, NOW + 86400)]
    log = str(home.events("platform")) + str(home.events())
    assert secret not in log
    assert secret_hash(secret).hex() not in log


def test_it_is_in_the_log_of_the_platform_and_of_the_tenant(home: House) -> None:
    home.use.credentials.rotate(ADMINISTRATOR, TENANT, "robot", None)
    home.use.credentials.enable(ADMINISTRATOR, TENANT, "out")
    about = f"Tenant::{TENANT}/robot"
    platform = [
        (e["phase"], e["outcome"]) for e in home.events("platform") if e["resource"] == about
    ]
    assert platform == [("intent", "allow"), ("result", "done")]
    assert {e["reason"] for e in home.events()} >= {"rotate_client", "enable_client"}


@pytest.mark.parametrize("who", [call("owner"), call("owner", "rival"), call("officer")])
def test_nobody_but_administrators_changes_clients(home: House, who: Call) -> None:
    for ask in (
        lambda: home.use.credentials.rotate(who, TENANT, "robot", None),
        lambda: home.use.credentials.enable(who, TENANT, "out"),
    ):
        with pytest.raises(NotFound):
            ask()
    assert robot(home).secret_hash == SECRET


@pytest.mark.parametrize(
    ("tenant", "client"), [("rival", "robot"), (TENANT, "nobody"), ("x", "robot")]
)
def test_a_client_is_found_in_its_own_tenant_only(home: House, tenant: str, client: str) -> None:
    with pytest.raises(NotFound):
        home.use.credentials.rotate(ADMINISTRATOR, tenant, client, None)
    with pytest.raises(NotFound):
        home.use.credentials.enable(ADMINISTRATOR, tenant, client)


@pytest.mark.parametrize("overlap", [-1, 30 * 86400 + 1])
def test_an_overlap_out_of_bounds_is_refused(home: House, overlap: int) -> None:
    with pytest.raises(InvalidRequest):
        home.use.credentials.rotate(ADMINISTRATOR, TENANT, "robot", None, overlap)


def test_a_disabled_client_is_let_in_again_with_what_it_had(home: House) -> None:
    administration, credentials = home.use.administration, home.use.credentials
    administration.disable_client(ADMINISTRATOR, TENANT, "robot")
    assert robot(home).disabled
    assert credentials.enable(ADMINISTRATOR, TENANT, "robot") == robot(home)
    assert (robot(home).disabled, robot(home).secret_hash) == (False, SECRET)
    with pytest.raises(InvalidRequest):
        credentials.enable(ADMINISTRATOR, TENANT, "robot")


def test_who_is_let_in_again_has_no_token_of_before(home: House) -> None:
    administration, credentials = home.use.administration, home.use.credentials
    before = robot(home).not_before
    administration.disable_client(ADMINISTRATOR, TENANT, "robot")
    assert before == 0
    assert robot(home).not_before == int(NOW) + 1, "those of this second are among them"
    credentials.enable(ADMINISTRATOR, TENANT, "robot")
    assert robot(home).not_before == int(NOW) + 1
    credentials.rotate(ADMINISTRATOR, TENANT, "robot", None)
    assert robot(home).not_before == int(NOW) + 1
    credentials.enable(ADMINISTRATOR, TENANT, "out")
    stored = home.stores.clients.get("out")
    assert stored is not None
    assert stored.not_before == int(NOW), "one that an earlier release had disabled"


def test_nobody_is_let_in_while_it_is_being_shut_out(home: House) -> None:
    """An order to shut out that was cut off is carried out later: it must not meet an open door."""
    facts = {"tenant": TENANT, "client": "out"}
    left = Pending(home.new_id(), "platform", "disable_client", facts, int(NOW))
    home.stores.pending.add_pending(left)
    with pytest.raises(StateConflict):
        home.use.credentials.enable(ADMINISTRATOR, TENANT, "out")


def test_a_new_secret_does_not_let_in_whom_somebody_shuts_out_meanwhile(home: House) -> None:
    start = threading.Barrier(2)

    def shut_out() -> None:
        start.wait()
        home.use.administration.disable_client(ADMINISTRATOR, TENANT, "robot")

    def rotate() -> None:
        start.wait()
        home.use.credentials.rotate(ADMINISTRATOR, TENANT, "robot", None)

    threads = [threading.Thread(target=act) for act in (shut_out, rotate)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert robot(home).disabled
    assert len(robot(home).former) == 1


def test_two_new_secrets_at_once_are_both_accepted(home: House) -> None:
    start, told = threading.Barrier(3), list[str | None]()

    def rotate() -> None:
        start.wait()
        told.append(home.use.credentials.rotate(ADMINISTRATOR, TENANT, "robot", None)[1])

    threads = [threading.Thread(target=rotate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    accepted = {robot(home).secret_hash, *(one.secret_hash for one in robot(home).former)}
    assert {secret_hash(str(secret)) for secret in told} | {SECRET} == accepted
