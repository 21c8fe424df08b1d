"""Makes a data folder: keystore, databases, the platform tenant and its first administrator.

Safety argument.
1. Nothing is overwritten: the folder is built under another name and renamed into place as the last
   step, so that a folder of the given name is either complete or absent.
2. The first entry of the platform's log records that one administrator acts alone (solo mode);
   `gateway.tenancy.solo` ends that with the second one or after 30 days.
3. The administrator's private key is made here and written once, readable by its owner only; the
   gateway keeps the public half.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from joserfc.jwk import OKPKey
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from audit.event import PLATFORM_TENANT, Event, new_event_id
from gateway.artifacts.guarded_file import create_guarded, sync_folder
from gateway.artifacts.keystore import LocalKeyStore
from gateway.composition.environment import Environment
from gateway.composition.foundation import (
    ARTIFACTS,
    KEYSTORE,
    Foundation,
    open_foundation,
    unlock_of,
)
from gateway.drafts import draft
from gateway.errors import ConfigurationError
from gateway.identity.records import SCOPES, Tenant
from gateway.identity.registration import register_client
from gateway.settings import SETTINGS_FILE, load_settings
from policies.compiled import starter_text

ADMINISTRATOR: Final = "admin"
ADMINISTRATOR_KEY: Final = "admin.key"
PROFILE_FILE: Final = "admin.json"
FOUNDED: Final = "initialise"
SOLO: Final = "solo_mode"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a new data folder is to be.

    Attributes:
        settings: Keys and values of its `sealgate.toml`.
        region: Of the platform tenant.
    """

    settings: Mapping[str, str | int | Sequence[str]]
    region: str


@dataclass(frozen=True, slots=True)
class Founded:
    """What was made: the profile of the administrator, and the key that verifies the log."""

    profile: Path
    log_key: str


def found(data_dir: Path, plan: Plan, environment: Environment) -> Founded:
    """Make the data folder.

    Args:
        data_dir: Must not exist, or be an empty folder.
        plan: What it is to be.
        environment: Time and randomness.

    Raises:
        ConfigurationError: There is something at that place or in the database, or a setting is
            unsafe.
        SealgateError: A part could not be made; no file is left behind.
    """
    data_dir = data_dir.absolute()
    if data_dir.exists() and (not data_dir.is_dir() or any(data_dir.iterdir())):
        raise ConfigurationError(
            "there is something at this place already; nothing was changed",
            "sealgate init --data ANOTHER-FOLDER",
        )
    with ExitStack() as held:
        try:
            data_dir.parent.mkdir(parents=True, exist_ok=True)
            folder = held.enter_context(draft(data_dir, data_dir.name))
        except OSError:
            raise ConfigurationError("the folder cannot be made here") from None
        log_key = _build(folder, plan, environment)
        sync_folder(folder)
        os.rename(folder, data_dir)
        sync_folder(data_dir.parent)
    return Founded(data_dir / PROFILE_FILE, log_key)


def without_password(database_url: str) -> str:
    """Return the address of a database as it is: it is kept in clear, and `ps` has shown it.

    Raises:
        ConfigurationError: It holds a password, or is no address.
    """
    try:
        held = holds_password(database_url)
    except (ArgumentError, ValueError):
        raise ConfigurationError("`--database-url` is no address of a database") from None
    if held:
        raise ConfigurationError(
            "`--database-url` must not hold a password",
            "put it in a file of mode 0600 and add ?passfile=/path/of/the/file",
        )
    return database_url


def holds_password(database_url: str) -> bool:
    """Tell whether the address of a database holds a password, as `postgresql://USER:PASSWORD@…`.

    Raises:
        ArgumentError, ValueError: It is no address.
    """
    url = make_url(database_url)
    return bool(url.password) or "password" in url.query


def _build(folder: Path, plan: Plan, environment: Environment) -> str:
    lines = [f"{key} = {json.dumps(value)}" for key, value in plan.settings.items()]
    create_guarded(folder / SETTINGS_FILE, ("\n".join(lines) + "\n").encode())
    settings = load_settings(folder)
    for name in (ARTIFACTS, "run", "federation"):
        (folder / name).mkdir(mode=0o700)
    keys = LocalKeyStore.create(
        folder / KEYSTORE, unlock_of(settings), environment.random_bytes, environment.clock
    )
    keys.create_tenant(PLATFORM_TENANT)
    with open_foundation(settings, environment, founding=True) as foundation:
        if foundation.stores.tenants.get(PLATFORM_TENANT) is not None:
            raise ConfigurationError(
                "the database holds the records of another data folder",
                "give this one a database of its own",
            )
        foundation.log.start()
        _record_founding(foundation)
        _register_administrator(foundation, folder, plan.region)
        return foundation.log.verifier(PLATFORM_TENANT).vkey


def _record_founding(foundation: Foundation) -> None:
    environment = foundation.environment
    foundation.log.append_blocking(
        Event(
            id=new_event_id(environment.clock, environment.random_bytes),
            ts=int(environment.clock() * 1_000_000_000),
            tenant=PLATFORM_TENANT,
            category="administration",
            action=FOUNDED,
            outcome="done",
            reason=SOLO,
            resource=f"Service::{ADMINISTRATOR}",
        )
    )


def _register_administrator(foundation: Foundation, folder: Path, region: str) -> None:
    platform = Tenant(id=PLATFORM_TENANT, name="Platform", region=region)
    foundation.stores.tenants.add(platform)
    foundation.author.publish(PLATFORM_TENANT, starter_text(), ADMINISTRATOR)
    key = OKPKey.generate_key("Ed25519", {"use": "sig", "alg": "Ed25519"}, auto_kid=True)
    register_client(
        foundation.stores.clients,
        foundation.stores.tenants,
        PLATFORM_TENANT,
        ADMINISTRATOR,
        "First administrator",
        roles=frozenset({"administrator", "officer"}),
        scopes=SCOPES,
        auth_method="private_key_jwt",
        jwks={"keys": [key.as_dict(private=False)]},
        token_binding="none",  # noqa: S106 - a kind of binding, no secret
        random_bytes=foundation.environment.random_bytes,
    )
    create_guarded(folder / ADMINISTRATOR_KEY, json.dumps(key.as_dict(private=True)).encode())
    profile = {
        "url": foundation.settings.public_url,
        "client_id": ADMINISTRATOR,
        "key_file": ADMINISTRATOR_KEY,
    }
    create_guarded(folder / PROFILE_FILE, json.dumps(profile, indent=2).encode())
