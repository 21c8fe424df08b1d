"""What batches ask of storage; the promises of `gateway.registry.ports` hold here too."""

from __future__ import annotations

from typing import Protocol

from gateway.artifacts.upload import Rewrap
from gateway.batch.records import Batch, Part, Progress, Usage


class BatchStore(Protocol):
    """Batches and their parts."""

    def add_batch(self, batch: Batch) -> None:
        """Put a batch at revision 0; key id."""

    def get_batch(self, tenant: str, batch_id: str) -> Batch | None:
        """The batch of that tenant, or None."""

    def replace_batch(self, batch: Batch) -> Batch:
        """Compare and set by revision (promise 4)."""

    def remove_batch(self, tenant: str, batch_id: str) -> None:
        """Forget it and all its parts, in one write; nothing happens when it is absent."""

    def list_batches(self, tenant: str, client: str, *, after: str, limit: int) -> list[Batch]:
        """Batches of one client by id (ids ascend with time); deleted ones, too."""

    def unfinished_batches(self, *, after: str, limit: int) -> list[Batch]:
        """Batches of every tenant by id whose state is in `gateway.batch.records.UNFINISHED`."""

    def expired_batches(self, now: int, *, after: tuple[int, str], limit: int) -> list[Batch]:
        """Batches of every tenant with `expires <= now` by (`expires`, id), after `after`."""

    def usage(self, tenant: str, since: int) -> Usage:
        """How many are unfinished, and rows and bytes of those with `created >= since`."""

    def put_part(self, part: Part) -> None:
        """Put a part, or replace it as a whole; key (batch, number). Atomic."""

    def get_part(self, tenant: str, batch_id: str, number: int) -> Part | None:
        """The part, or None."""

    def list_parts(self, tenant: str, batch_id: str, *, after: int, limit: int) -> list[Part]:
        """Parts of a batch by number, with numbers greater than `after` (-1: all)."""

    def next_part(self, tenant: str, batch_id: str) -> Part | None:
        """The part of the lowest number that is `waiting` or `kept`, or None."""

    def parts_about(self, tenant: str, ref: str, *, limit: int) -> list[Part]:
        """Parts of any batch of the tenant that name this subject and are not `erased`."""

    def remove_parts(self, tenant: str, batch_id: str) -> None:
        """Forget all parts of a batch, in one write."""

    def progress(self, tenant: str, batch_id: str) -> Progress:
        """Sums over the parts that are `ready` or `erased`."""

    def rewrap(self, tenant: str, change: Rewrap) -> int:
        """Wrap file keys anew; see `gateway.artifacts.upload.HoldsWrappedKeys`."""
