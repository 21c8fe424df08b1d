"""What the composition root hands to the routes, and how a route gets at it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, FastAPI, Header, Query, Request

from audit.log import AuditLog
from audit.reader import LogReader
from audit.sealing import SubjectVault
from gateway.artifacts.keys import KeyProvider
from gateway.artifacts.store import ArtifactStore
from gateway.artifacts.upload import Sealer
from gateway.authorization.guard import Guard
from gateway.authorization.ports import PendingStore
from gateway.authorization.recorder import Call, Recorder
from gateway.composition.recovery import Reconciliation
from gateway.errors import InvalidRequest
from gateway.federation.coordinator import Coordinator
from gateway.federation.federations import Federations
from gateway.federation.ports import FederationStore
from gateway.federation.run_follower import RunFollower
from gateway.identity.authenticate import Authenticator
from gateway.identity.ports import ClientStore, RevocationStore, TenantStore
from gateway.identity.revocation import RevocationState
from gateway.privacy.audit_access import AuditAccess
from gateway.privacy.subjects import Subjects
from gateway.registry.catalogue import PAGE, Catalogue
from gateway.registry.delivery import Delivery
from gateway.registry.ports import Registry, UploadStore
from gateway.registry.publish import Publisher
from gateway.registry.releases import Releases
from gateway.registry.uploads import Uploads
from gateway.settings import Settings
from gateway.tenancy.administration import Administration
from gateway.tenancy.policy_sets import PolicySets
from gateway.web.authenticated import principal_of
from gateway.work.jobs import Jobs
from policies.author import PolicyAuthor
from policies.engine import PolicyEngine


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The parts of a running gateway; the composition root makes one.

    Attributes:
        standing: Loaded; its epoch is the one that every memory falls with.
        log: Started.
        coordinator: None when federation is off.
    """

    settings: Settings
    clock: Callable[[], float]
    random_bytes: Callable[[int], bytes]
    authenticator: Authenticator
    revocation_state: RevocationState
    tenants: TenantStore
    clients: ClientStore
    revocations: RevocationStore
    registry: Registry
    uploads: UploadStore
    federations: FederationStore
    pending: PendingStore
    engine: PolicyEngine
    author: PolicyAuthor
    log: AuditLog
    reader: LogReader
    vault: SubjectVault
    keys: KeyProvider
    artifacts: ArtifactStore
    sealer: Sealer
    coordinator: Coordinator | None
    guard: Guard
    recorder: Recorder

    def changed(self) -> None:
        """Raise the revocation epoch, here at once and durably for other replicas."""
        self.revocations.bump()
        self.revocation_state.refresh()


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCases:
    """What the routes call; `gateway.composition.use_cases` makes one of `Services`."""

    authenticator: Authenticator
    new_id: Callable[[], str]
    jobs: Jobs
    catalogue: Catalogue
    uploads: Uploads
    publisher: Publisher
    releases: Releases
    delivery: Delivery
    sealer: Sealer
    artifacts: ArtifactStore
    max_upload_bytes: int
    body_timeout_seconds: float
    results: Executor
    subjects: Subjects
    policies: PolicySets
    administration: Administration
    federations: Federations
    follower: RunFollower | None
    audit: AuditAccess
    reconciliation: Reconciliation
    release_key: Callable[[str], str]
    close: Callable[[], None]


def attach(app: FastAPI, use_cases: UseCases) -> None:
    """Let the routes of `app` find the use cases."""
    app.state.use_cases = use_cases


def _use_cases(request: Request) -> UseCases:
    found = request.app.state.use_cases
    assert isinstance(found, UseCases)
    return found


UseCasesDep = Annotated[UseCases, Depends(_use_cases)]


async def _call(
    request: Request,
    use_cases: UseCasesDep,
    purpose: Annotated[str | None, Header(alias="sealgate-purpose", max_length=63)] = None,
) -> Call:
    principal = principal_of(request.scope)
    return Call(principal, purpose or principal.default_purpose, use_cases.new_id())


CallDep = Annotated[Call, Depends(_call)]


@dataclass(frozen=True, slots=True)
class Page:
    """Where a list goes on and how much of it is wanted."""

    after: str
    limit: int

    @property
    def position(self) -> int:
        """The cursor of a list that is ordered by number; 0 at the beginning.

        Raises:
            InvalidRequest: The cursor is not one that an earlier page gave.
        """
        if not self.after:
            return 0
        if not self.after.isascii() or not self.after.isdigit() or len(self.after) > 18:
            raise InvalidRequest("`after` must be the `next` of an earlier page")
        return int(self.after)


def _page(
    after: Annotated[str, Query(max_length=128)] = "",
    limit: Annotated[int, Query(ge=1, le=PAGE)] = PAGE,
) -> Page:
    return Page(after, limit)


PageDep = Annotated[Page, Depends(_page)]
