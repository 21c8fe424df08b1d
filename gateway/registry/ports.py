"""What the registry asks of storage. Every method is synchronous; callers use a thread.

Promises that hold for all of them:

1. **Durable when returned.** A write that returned survives the death of the process.
2. **Put if absent.** `add_*` raises `AlreadyExists` and changes nothing when the key is taken.
3. **None when absent.** `get` never raises for a missing record and never looks outside the
   tenant that it was given.
4. **Compare and set.** `replace_*` writes only when the stored `revision` is the given
   record's, stores it with `revision + 1`, returns what was stored, and raises
   `StateConflict` (also when there is nothing to replace) having changed nothing.
5. **Paged by cursor.** `list_*` returns at most `limit` records in ascending key order with keys
   greater than `after`; an empty `after` starts at the beginning. Names compare by code point.
"""

from __future__ import annotations

from typing import Protocol

from gateway.artifacts.upload import Rewrap
from gateway.registry.records import Model, ModelVersion, Release, Sharing, Upload


class Registry(Protocol):
    """Models, their versions and the release pointer."""

    def add_model(self, model: Model) -> None:
        """Put a model; key (tenant, name)."""

    def get_model(self, tenant: str, name: str) -> Model | None:
        """The model of that tenant, or None."""

    def offer(self, sharing: Sharing) -> None:
        """Put a sharing in the place of any other of its model and tenant, in one write.

        Raises:
            StateConflict: The model is absent.
        """

    def get_sharing(self, owner: str, model: str, tenant: str) -> Sharing | None:
        """The sharing of that model with that tenant, or None."""

    def accept(self, sharing: Sharing) -> None:
        """Write a sharing over the one that has its `id`; raises `StateConflict` without one."""

    def end(self, sharing: Sharing) -> None:
        """Forget the sharing that has this `id`; nothing happens without one."""

    def shared_to(self, tenant: str, *, after: tuple[str, str], limit: int) -> list[Sharing]:
        """What is shared with or offered to a tenant, by (`owner`, `model`)."""

    def list_models(self, tenant: str, *, after: str, limit: int) -> list[Model]:
        """Models of one tenant by name."""

    def add_version(self, version: ModelVersion) -> None:
        """Put a version at revision 0; key (tenant, model, version). A rejected one is replaced.

        Raises:
            AlreadyExists: The version name is taken.
            StateConflict: The model is absent.
        """

    def get_version(self, tenant: str, model: str, version: str) -> ModelVersion | None:
        """The version, or None."""

    def replace_version(self, version: ModelVersion) -> ModelVersion:
        """Compare and set by revision (promise 4)."""

    def list_versions(
        self, tenant: str, model: str, *, after: str, limit: int
    ) -> list[ModelVersion]:
        """Versions of a model by version name."""

    def current(self, tenant: str, model: str) -> Release | None:
        """The newest release of the model, or None when nothing was released yet."""

    def release(self, entry: Release, *, expected: str | None) -> Release:
        """Move the release pointer, in one transaction.

        Checks that the newest release names `expected` (None: there is none) and that the state of
        `entry.version` can be promoted (`gateway.registry.states`); makes it `released` with
        `revision + 1`, also when it was before, so that whoever read it earlier cannot retire it;
        and appends `entry` with the next sequence number.

        Returns:
            The entry with its sequence.

        Raises:
            StateConflict: A check failed; nothing was changed.
        """

    def releases(self, tenant: str, model: str, *, after: int, limit: int) -> list[Release]:
        """The history with `sequence > after`, ascending."""

    def rewrap(self, tenant: str, change: Rewrap) -> int:
        """Wrap file keys anew; see `gateway.artifacts.upload.HoldsWrappedKeys`."""


class UploadStore(Protocol):
    """Sealed files that wait to be published."""

    def add_upload(self, upload: Upload) -> None:
        """Put an upload; key id."""

    def get_upload(self, tenant: str, upload_id: str) -> Upload | None:
        """The upload of that tenant, or None."""

    def list_uploads(self, tenant: str, *, after: str, limit: int) -> list[Upload]:
        """Uploads of one tenant by id."""

    def remove_upload(self, tenant: str, upload_id: str) -> None:
        """Forget it; nothing happens when it is absent."""

    def expired_uploads(self, now: int, *, after: tuple[int, str], limit: int) -> list[Upload]:
        """Uploads of every tenant with `expires <= now` by (`expires`, id), after `after`."""

    def rewrap(self, tenant: str, change: Rewrap) -> int:
        """Wrap file keys anew; see `gateway.artifacts.upload.HoldsWrappedKeys`."""
