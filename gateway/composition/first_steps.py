"""What an operator does once, and whether it is done: looked at when the page is asked for.

1. A look is bounded: it reads `MOST` tenants, as many models of each, and of the log the newest
   export of the platform's.
2. However often the page is asked for, the stores are looked at once in `KEPT_SECONDS`; what is
   done is not looked at again.
3. A store that cannot be read makes a step unseen, never the page fail.
"""

from __future__ import annotations

import json
import shlex
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

from audit.event import PLATFORM_TENANT
from audit.ports import Filter
from gateway.backup import newest
from gateway.composition.bootstrap import PROFILE_FILE
from gateway.composition.foundation import Foundation
from gateway.identity.records import Client, Tenant
from gateway.pages import every
from gateway.start_page import Step

MOST: Final = 100
"""Tenants, and models or clients of one, that are looked at."""
KEPT_SECONDS: Final = 5.0
BACKUP_NOTE: Final = newest.NOTE_FILE
"""Where the newest backup is noted: `{"at": Unix seconds, …}`."""
MAX_NOTE: Final = 64 << 10

_Look = Callable[[], bool]


class FirstSteps:
    """Callable that tells the steps. Blocks; safe for threads.

    Args:
        base: Keys, stores and settings.
    """

    def __init__(self, base: Foundation) -> None:
        self._monotonic = base.environment.monotonic
        self._steps = _steps_of(base)
        self._done: set[str] = set()
        self._lock = threading.Lock()
        self._told: list[Step] = []
        self._until = 0.0

    def __call__(self) -> Sequence[Step]:
        """Return the steps in the order in which they are done."""
        with self._lock:
            if not self._told or self._monotonic() >= self._until:
                self._told = [self._looked(step, look) for step, look in self._steps]
                self._until = self._monotonic() + KEPT_SECONDS
            return self._told

    def _looked(self, step: Step, look: _Look) -> Step:
        done: bool | None = True
        if step.title not in self._done:
            try:
                done = look()
            except Exception:  # whatever a store raises: the page says that it could not be seen
                done = None
        if done:
            self._done.add(step.title)
        return Step(step.title, done, step.why, step.command)


def _steps_of(base: Foundation) -> list[tuple[Step, _Look]]:
    data = base.settings.data_dir
    folder, copy = shlex.quote(str(data)), shlex.quote(f"{data}.backup")
    as_admin = f"--profile {shlex.quote(str(data / PROFILE_FILE))}"
    told: list[tuple[str, str, str, _Look]] = [
        (
            "a second administrator",
            "one acts alone for 30 days at most; afterwards four eyes see what cannot be undone",
            "sealgate client create ADMIN-2 --tenant platform --name NAME --role administrator "
            f"--role officer --scope admin --scope audit --out admin-2.json {as_admin}",
            partial(_second_administrator, base),
        ),
        (
            "a tenant",
            "an organisation with keys, a log and policies of its own",
            "sealgate tenant create TENANT --name NAME --region REGION --purpose PURPOSE "
            f"{as_admin}",
            lambda: next(_tenants(base), None) is not None,
        ),
        (
            "a client of a tenant",
            "a program that acts for it; its profile and secret are written, mode 0600",
            "sealgate client create CLIENT --tenant TENANT --name NAME --role owner "
            "--scope models --scope artifacts --scope infer --scope policies --out owner.json "
            f"{as_admin}",
            lambda: any(map(partial(_has_client, base), _tenants(base))),
        ),
        (
            "a model that is served",
            "pushed by its owner with labelled rows, which calibrate its screen (the starter "
            "policies give out what was screened only), then promoted",
            "sealgate model keygen --out owner.key\n"
            "sealgate model create MODEL --no-personal --profile owner.json\n"
            "sealgate model push MODEL VERSION model.onnx --key owner.key "
            "--calibration rows.npz --profile owner.json\n"
            "sealgate model promote MODEL VERSION --profile owner.json",
            lambda: any(map(partial(_serves, base), _tenants(base))),
        ),
        (
            "a policy of a tenant's own",
            "each starts with a set that goes by role",
            "sealgate policy show --profile owner.json > policies.cedar\n"
            "sealgate policy publish policies.cedar --profile owner.json",
            lambda: any(map(partial(_has_policy, base), _tenants(base))),
        ),
        (
            "a backup",
            "the data folder is everything, and a disk is not for ever",
            f"sealgate backup --data {folder} --to {copy}",
            partial(_backed_up, data),
        ),
        (
            "a checkpoint kept elsewhere",
            "without one, who holds the disk can roll the log back; an export holds one",
            f"sealgate audit export --out audit.zip {as_admin}",
            partial(_exported, base),
        ),
    ]
    return [(Step(title, None, why, command), look) for title, why, command, look in told]


def _tenants(base: Foundation) -> Iterator[str]:
    def page(after: str, limit: int) -> Sequence[Tenant]:
        return base.stores.tenants.list(after or None, limit)

    found = (one.id for one in every(page, lambda one: one.id, ""))
    return islice((name for name in found if name != PLATFORM_TENANT), MOST)


def _clients(base: Foundation, tenant: str) -> Iterator[Client]:
    def page(after: str, limit: int) -> Sequence[Client]:
        return base.stores.clients.list(tenant, after or None, limit)

    return islice((one for one in every(page, lambda one: one.id, "") if not one.disabled), MOST)


def _second_administrator(base: Foundation) -> bool:
    found = (one for one in _clients(base, PLATFORM_TENANT) if "administrator" in one.roles)
    return next(islice(found, 1, None), None) is not None


def _has_client(base: Foundation, tenant: str) -> bool:
    return next(_clients(base, tenant), None) is not None


def _serves(base: Foundation, tenant: str) -> bool:
    models = base.stores.registry.list_models(tenant, after="", limit=MOST)
    return any(base.stores.registry.current(tenant, model.name) for model in models)


def _has_policy(base: Foundation, tenant: str) -> bool:
    """The first set is the starter; whoever published another has one of its own."""
    newest = base.author.current(tenant)
    return newest is not None and newest.epoch > 1


def _backed_up(data: Path) -> bool:
    try:
        with (data / BACKUP_NOTE).open("rb") as file:
            note = json.loads(file.read(MAX_NOTE))
    except FileNotFoundError:
        return False
    return isinstance(note, dict) and isinstance(note.get("at"), int)


def _exported(base: Foundation) -> bool:
    where = Filter(action="exportAudit", outcome="done")
    return bool(base.reader.search(PLATFORM_TENANT, where, limit=1, newest=True))
