"""Which version answers: the newest release by name, or the named version if it may be called.

Safety argument. A route, or that there is none, is remembered under the epoch only
(`gateway.epoch_memo`), which every revocation and every change of the registry raises: nothing
older outlives a change. What is not found, not callable or another tenant's raises the same
`ModelNotFound`. A model that is shared is reached by `owner~model` while its sharing stands
(`gateway.registry.consent`): an end by date changes nothing that raises the epoch, so it is looked
at each time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.authorization.guard import Guard
from gateway.epoch_memo import UNKNOWN, EpochMemo
from gateway.errors import NotFound
from gateway.inference.errors import ModelNotFound
from gateway.names import is_version
from gateway.registry.consent import ended, is_reachable, reach, reach_version
from gateway.registry.facts import version_facts
from gateway.registry.ports import Registry
from gateway.registry.records import Model, ModelVersion
from gateway.registry.states import CALLABLE
from policies.facts import ModelVersionFacts


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
        clock: Unix seconds.
    """

    def __init__(
        self,
        registry: Registry,
        guard: Guard,
        epoch: Callable[[], int],
        clock: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._guard = guard
        self._clock = clock
        self._targets: EpochMemo[tuple[str, str, str | None], Target] = EpochMemo(epoch)

    def known(self, tenant: str, model: str, version: str | None) -> Target | None:
        """Return the remembered target, or `None`: then ask `resolve`, which may block.

        Raises:
            ModelNotFound: It is remembered that there is none.
        """
        found = self._targets.now().get((tenant, model, version))
        if found is None:
            raise ModelNotFound
        if found is UNKNOWN:
            return None
        self.check_stands(found)
        return found

    def resolve(self, tenant: str, model: str, version: str | None) -> Target:
        """Look the target up and remember it, or that there is none.

        Args:
            tenant: The caller's tenant.
            model: Model name as in the URL.
            version: Version as in the URL, or `None` for the released one.

        Raises:
            ModelNotFound: When there is nothing that this tenant may call under that name.
        """
        if not is_reachable(model) or (version is not None and not is_version(version)):
            raise ModelNotFound
        found = self._targets.look_up(
            (tenant, model, version), lambda: self._read(tenant, model, version)
        )
        if found is None:
            raise ModelNotFound
        self.check_stands(found)
        return found

    def check_stands(self, target: Target) -> None:
        """Raise `ModelNotFound` for what was shared until a time that has come."""
        lent = target.model.lent
        if lent is not None and ended(lent, self._clock()):
            raise ModelNotFound

    def _read(self, tenant: str, model: str, version: str | None) -> Target | None:
        record = reach(self._registry, tenant, model, self._clock())
        if record is None:
            return None
        release = self._registry.current(record.tenant, record.name) if version is None else None
        name = release.version if release is not None else version
        if name is None:
            return None
        found = reach_version(self._registry, record, name)
        if found is None or found.state not in CALLABLE:
            return None
        try:
            return Target(record, found, version_facts(record, found, self._guard.tenant))
        except NotFound:  # its owner is no tenant any more
            return None
