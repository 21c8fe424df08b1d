"""From the foundation to what people use: administration, sign-in, where they are signed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from audit.event import PLATFORM_TENANT
from gateway.authorization.guard import Guard
from gateway.authorization.intents import Intents
from gateway.authorization.recorder import Recorder
from gateway.composition.foundation import Foundation
from gateway.composition.identity import Identity
from gateway.identity.passwords import Passwords
from gateway.identity.person_details import SealedDetails
from gateway.identity.throttle import Throttle
from gateway.people.administration import People
from gateway.people.browsers import Browsers
from gateway.people.ceremonies import Ceremonies
from gateway.people.consent import EACH as PUSHED_EACH
from gateway.people.consent import Consents
from gateway.people.devices import EACH as DEVICES_EACH
from gateway.people.devices import Devices
from gateway.people.endings import Endings
from gateway.people.passkey_proofs import PasskeyProofs
from gateway.people.passkeys import Passkeys
from gateway.people.room import Room
from gateway.people.signing_in import SigningIn
from gateway.people.tokens import PersonTokens
from gateway.web.forms import origin_of

NEVER: Final = 2**62
"""Unix seconds: nothing expires later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleParts:
    """What the doors call for people.

    Attributes:
        sweep: Forgets what has expired.
        sign_out_everybody: Forgets every sign-in and every secret for one use.
    """

    administration: People
    details: SealedDetails
    endings: Endings
    browsers: Browsers
    signing_in: SigningIn
    passkeys: Passkeys
    proofs: PasskeyProofs
    consents: Consents
    devices: Devices
    tokens: PersonTokens
    sweep: Callable[[], object]
    sign_out_everybody: Callable[[], object]


def make_people(
    base: Foundation,
    guard: Guard,
    recorder: Recorder,
    intents: Intents,
    identity: Identity,
) -> PeopleParts:
    """Make the parts."""
    stores, environment = base.stores, base.environment
    clock, random_bytes = environment.clock, environment.random_bytes
    throttle = Throttle(environment.monotonic)
    details = SealedDetails(base.keys, random_bytes)
    issuer = base.settings.public_url.rstrip("/")
    revoke = identity.server.revoke
    endings = Endings(stores.sign_ins, revoke, issuer, intents=intents, clock=clock)
    administration = People(
        stores.tenants,
        stores.people,
        stores.tickets,
        details,
        base.revocation_state,
        cut_all=endings.cut_all,
        guard=guard,
        intents=intents,
        clock=clock,
        random_bytes=random_bytes,
    )
    browsers = Browsers(
        stores.people,
        stores.sign_ins,
        base.revocation_state,
        endings,
        recorder=recorder,
        clock=clock,
        random_bytes=random_bytes,
    )
    signing_in = SigningIn(
        stores.people,
        stores.tickets,
        details,
        Passwords(random_bytes, environment.passwords),
        throttle,
        browsers,
        endings,
        base.revocation_state,
        intents=intents,
        clock=clock,
    )

    def mac_key() -> bytes:
        return base.keys.mac_key(PLATFORM_TENANT)

    ceremonies = Ceremonies(
        origin_of(issuer),
        mac_key,
        clock=clock,
        random_bytes=random_bytes,
    )
    proofs = PasskeyProofs(
        stores.passkeys,
        stores.people,
        stores.tickets,
        ceremonies,
        throttle,
        browsers,
        endings,
        intents=intents,
        may_enter=signing_in.may_enter,
        clock=clock,
    )
    passkeys = Passkeys(
        stores.passkeys,
        stores.sign_ins,
        details,
        ceremonies,
        proofs.note_challenge,
        browsers,
        endings,
        base.revocation_state,
        intents=intents,
        clock=clock,
        random_bytes=random_bytes,
    )
    consents = Consents(
        stores.tickets,
        identity.person_clients,
        Room(PUSHED_EACH, environment.monotonic),
        identity.proofs,
        key=mac_key,
        issuer=issuer,
        clock=clock,
        random_bytes=random_bytes,
    )
    devices = Devices(
        stores.tickets,
        identity.person_clients,
        throttle,
        Room(DEVICES_EACH, environment.monotonic),
        page=f"{issuer}/people/device",
        clock=clock,
        random_bytes=random_bytes,
    )
    tokens = PersonTokens(
        identity.person_clients,
        stores.tickets,
        stores.sign_ins,
        base.revocation_state,
        endings,
        devices,
        identity.minter,
        identity.proofs,
        clock=clock,
        random_bytes=random_bytes,
    )

    def sweep() -> None:
        forget(int(clock()))

    def forget(before: int) -> None:
        stores.sign_ins.prune(before)
        stores.tickets.prune(before)

    return PeopleParts(
        administration=administration,
        details=details,
        endings=endings,
        browsers=browsers,
        signing_in=signing_in,
        passkeys=passkeys,
        proofs=proofs,
        consents=consents,
        devices=devices,
        tokens=tokens,
        sweep=sweep,
        sign_out_everybody=partial(forget, NEVER),
    )
