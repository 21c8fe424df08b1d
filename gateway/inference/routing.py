"""Which version answers: the newest release by name, or the named version if it may be called.

Safety argument. A route is remembered under the epoch only, which every revocation and every change
of the registry raises, and which is read before the records: nothing older outlives a change. What
is not found, not callable or another tenant's raises the same `ModelNotFound`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.authorization.guard import Guard
from gateway.inference.errors import ModelNotFound
from gateway.names import NAME, VERSION
from gateway.registry.ports import Registry
from gateway.registry.records import Model, ModelVersion, VersionState
from policies.facts import ModelVersionFacts

CALLABLE: Final[frozenset[VersionState]] = frozenset({"candidate", "released"})
# Routes kept between two epochs; above it the memory starts anew.
MAX_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True)
class Target:
    """The version that a request goes to, and what policy may know of it."""

    model: Model
    version: ModelVersion
    facts: ModelVersionFacts


class Routes:
    """Resolves names to versions.

    Args:
        registry: Models, versions and releases.
        guard: Turns records into facts.
        epoch: Changes with every revocation and every change of the registry.
    """

    def __init__(self, registry: Registry, guard: Guard, epoch: Callable[[], object]) -> None:
        self._registry = registry
        self._guard = guard
        self._epoch = epoch
        self._remembered_at: object = None
        self._targets: dict[tuple[str, str, str | None], Target] = {}

    def known(self, tenant: str, model: str, version: str | None) -> Target | None:
        """Return the remembered target, or `None`: then ask `resolve`, which may block."""
        epoch = self._epoch()
        if epoch != self._remembered_at or len(self._targets) > MAX_REMEMBERED:
            self._targets = {}
            self._remembered_at = epoch
        return self._targets.get((tenant, model, version))

    def resolve(self, tenant: str, model: str, version: str | None) -> Target:
        """Look the target up and remember it.

        Args:
            tenant: The caller's tenant.
            model: Model name as in the URL.
            version: Version as in the URL, or `None` for the released one.

        Raises:
            ModelNotFound: When there is nothing that this tenant may call under that name.
        """
        if not NAME.match(model) or (version is not None and not VERSION.match(version)):
            raise ModelNotFound
        targets, epoch = self._targets, self._epoch()
        record = self._registry.get_model(tenant, model)
        if record is None:
            raise ModelNotFound
        name = version
        if name is None:
            release = self._registry.current(tenant, model)
            if release is None:
                raise ModelNotFound
            name = release.version
        found = self._registry.get_version(tenant, model, name)
        if found is None or found.state not in CALLABLE:
            raise ModelNotFound
        target = Target(record, found, self._guard.version(record, found))
        if epoch == self._remembered_at:
            # INVARIANT: `targets` is the memory of `epoch`; a newer epoch has a new one.
            targets[tenant, model, version] = target
        return target
