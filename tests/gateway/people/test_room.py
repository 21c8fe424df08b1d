"""Sign-ins that begin: no address and no client takes the room of others."""

from __future__ import annotations

import secrets
from dataclasses import replace

import pytest

from gateway.identity.client_authentication import NOWHERE, Connection
from gateway.identity.errors import OAuthRefusal
from gateway.identity.people import COMMAND_LINE
from gateway.identity.throttle import Throttle
from gateway.people.devices import DEVICE, EACH, MAX_DEVICES, Devices
from gateway.people.room import Room
from tests.gateway.parts import NOW, house


def test_one_address_takes_a_small_part_of_the_room() -> None:
    with house() as home:
        devices = Devices(
            home.stores.tickets,
            home.identity.person_clients,
            Throttle(lambda: 0.0),
            Room(EACH, lambda: 0.0),
            page="",
            clock=lambda: NOW,
            random_bytes=secrets.token_bytes,
        )
        form = {"client_id": COMMAND_LINE.id}
        for _ in range(EACH.burst):
            devices.begin(form, None, Connection("192.0.2.1"))
        with pytest.raises(OAuthRefusal) as refused:
            devices.begin(form, None, Connection("192.0.2.1"))
        assert refused.value.retry_after == str(int(EACH.seconds))
        assert devices.begin(form, None, Connection("192.0.2.2"))["device_code"]
        assert home.stores.tickets.count(DEVICE) < MAX_DEVICES // 100


def test_a_client_that_proves_who_it_is_counts_by_itself() -> None:
    room = Room(EACH, lambda: 0.0)
    known = replace(COMMAND_LINE, id="web", auth_method="client_secret_basic")
    for _ in range(EACH.burst):
        room.take(known, Connection("192.0.2.1"))
    with pytest.raises(OAuthRefusal):
        room.take(known, Connection("192.0.2.2"))
    room.take(replace(known, id="other"), NOWHERE)
