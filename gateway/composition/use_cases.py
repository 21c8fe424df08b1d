"""From the foundation to the use cases. Starts nothing but idle worker threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import structlog

from gateway.artifacts.admission import admit
from gateway.artifacts.sandbox import Alarm, run_sandboxed
from gateway.authorization.approvals import Approvals
from gateway.authorization.guard import Guard
from gateway.authorization.intents import Intents
from gateway.authorization.recorder import Recorder
from gateway.authorization.token_evidence import TokenEvidence
from gateway.batch.ports import BatchStore
from gateway.batch.records import Batch
from gateway.composition.batches import BatchParts, make_batches
from gateway.composition.foundation import Foundation
from gateway.composition.identity import Identity
from gateway.composition.people import PeopleParts, make_people
from gateway.composition.recovery import Recovery
from gateway.federation.coordinator import Coordinator
from gateway.federation.facts import federation_facts
from gateway.federation.federations import Federations
from gateway.federation.ports import FederationStore
from gateway.federation.run_follower import RunFollower
from gateway.federation.runs import Runs
from gateway.federation.trained import TrainedModels
from gateway.federation.watching import Watching
from gateway.pages import every
from gateway.people.steerers import Steerers
from gateway.privacy.audit_access import AuditAccess
from gateway.privacy.reasons import Reasons
from gateway.privacy.subjects import Subjects
from gateway.registry.catalogue import Catalogue
from gateway.registry.delivery import Delivery
from gateway.registry.packaging import Measure, Packager
from gateway.registry.publish import Publisher
from gateway.registry.records import ModelVersion
from gateway.registry.releases import Releases
from gateway.registry.sharing import Sharings
from gateway.registry.uploads import Uploads
from gateway.registry.versions import Versions
from gateway.tenancy.administration import Administration
from gateway.tenancy.credentials import Credentials
from gateway.tenancy.explaining import Explaining
from gateway.tenancy.key_list import KeyList
from gateway.tenancy.key_orders import KeyOrders
from gateway.tenancy.keys import KeyRotation
from gateway.tenancy.overview import Overviews
from gateway.tenancy.policy_keys import PolicyKeys
from gateway.tenancy.policy_rescue import PolicyRescue
from gateway.tenancy.policy_sets import PolicySets
from gateway.tenancy.release_keys import ReleaseKeys
from gateway.tenancy.steering import Steering
from gateway.tenancy.turns import Turns
from gateway.tenancy.wrapped import KeyRetirement, Rewrapping
from gateway.work.jobs import WORKERS, Jobs
from policies.compiled import starter_text
from policies.facts import FederationFacts, TenantFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCases:
    """What the doors call.

    Attributes:
        intents: Every kind of change is registered with it.
        results: One thread that records how deliveries ended.
        watching: What operators hear of federations.
        close: Ends what is under way.
    """

    intents: Intents
    jobs: Jobs
    results: Executor
    catalogue: Catalogue
    sharings: Sharings
    uploads: Uploads
    publisher: Publisher
    releases: Releases
    delivery: Delivery
    subjects: Subjects
    audit: AuditAccess
    reasons: Reasons
    policies: PolicySets
    policy_rescue: PolicyRescue
    explaining: Explaining
    administration: Administration
    credentials: Credentials
    people: PeopleParts
    keys: KeyRotation
    key_list: KeyList
    key_orders: KeyOrders
    release_keys: ReleaseKeys
    policy_keys: PolicyKeys
    approvals: Approvals
    overviews: Overviews
    key_retirement: KeyRetirement
    federations: Federations
    runs: Runs
    batch: BatchParts
    watching: Watching
    tokens: TokenEvidence
    recovery: Recovery
    close: Callable[[], None]


def make_use_cases(
    base: Foundation,
    guard: Guard,
    recorder: Recorder,
    coordinator: Coordinator | None,
    identity: Identity,
    warm: Callable[[ModelVersion], None],
    measure: Measure,
) -> UseCases:
    """Make the use cases.

    Args:
        base: Keys, stores and audit log.
        guard: Decides.
        recorder: Makes evidence durable.
        coordinator: Of federations; None when federation is off.
        identity: Signs tokens and revokes them.
        warm: Makes a version ready before it is released.
        measure: Tries a version out before it can be called.
    """
    stores, clock = base.stores, base.environment.clock
    changed = base.revocation_state.changed
    intents = Intents(stores.pending, recorder, clock)
    threads = ThreadPoolExecutor(WORKERS, thread_name_prefix="job")
    jobs = Jobs(threads, recorder.new_id, base.environment.monotonic)
    results = ThreadPoolExecutor(1, thread_name_prefix="result")
    alarm = Alarm()
    catalogue = Catalogue(stores.registry, guard, intents, changed=changed, clock=clock)
    uploads = Uploads(
        stores.uploads,
        stores.registry,
        base.sealer.remove,
        guard,
        intents,
        clock=clock,
        new_id=recorder.new_id,
    )
    packager = _packager(base, alarm, measure)
    versions = Versions(stores.registry, uploads, base.sealer, packager, intents, changed=changed)
    federations = Federations(
        stores.federations,
        stores.registry,
        uploads,
        guard,
        intents,
        coordinator,
        revoked=changed,
        clock=clock,
    )
    confined = partial(run_sandboxed, alarm=alarm)
    batch = make_batches(base, guard, recorder, intents, uploads, confined)
    follower, watching = None, Watching(clock)
    if coordinator is not None:
        trained = TrainedModels(versions, base.sealer, base.keys.convenor_seed, clock)
        follower = RunFollower(stores.federations, coordinator, recorder, trained, watching.step)

    key_list = KeyList(base.keys, base.log, stores.tenants, guard)
    rewrapping = Rewrapping(
        base.keys,
        base.sealer,
        (stores.registry, stores.uploads, stores.batches, stores.federations, stores.people),
        base.vault,
        changed,
    )

    turns = Turns(intents)
    rotation = KeyRotation(
        base.keys,
        identity.token_keys,
        base.log,
        base.log_signer,
        rewrapping,
        stores.tenants,
        turns,
        guard=guard,
        intents=intents,
        recorder=recorder,
    )
    release_keys = ReleaseKeys(
        base.keys, stores.registry, turns, guard=guard, intents=intents, changed=changed
    )
    policy_keys = PolicyKeys(base.keys, base.author, turns, guard=guard, intents=intents)
    steerers = Steerers(stores.people, stores.passkeys)
    steering = Steering(stores.clients, guard, clock, steerers.candidates)
    approvals = Approvals(
        stores.approvals,
        guard,
        intents,
        registered=base.revocation_state.look_up,
        clock=clock,
        new_id=recorder.new_id,
    )

    def close() -> None:
        alarm.ring()
        if follower is not None:
            follower.stop()
        if not jobs.close(base.environment.grace.jobs):
            structlog.get_logger().warning("jobs_unfinished")
        results.shutdown()

    return UseCases(
        intents=intents,
        jobs=jobs,
        results=results,
        catalogue=catalogue,
        sharings=Sharings(
            stores.registry, guard, intents, changed=changed, clock=clock, new_id=recorder.new_id
        ),
        uploads=uploads,
        publisher=Publisher(stores.registry, uploads, versions, base.sealer, guard, clock=clock),
        releases=Releases(
            stores.registry, catalogue, guard, intents, warm=warm, changed=changed, clock=clock
        ),
        delivery=Delivery(catalogue, guard, intents, base.sealer.header_for, recorder.new_id),
        subjects=Subjects(
            base.log, base.reader, base.vault, guard, intents, forget=batch.ledger.forget
        ),
        audit=AuditAccess(base.log, base.reader, guard, intents),
        reasons=Reasons(
            base.reader,
            guard,
            stores.clients,
            stores.people,
            stores.registry,
            stores.bundles,
            clock,
        ),
        policies=PolicySets(base.author, guard, intents, steering),
        explaining=Explaining(
            base.author,
            guard,
            base.revocation_state.look_up,
            stores.registry,
            partial(_federation_of, stores.federations),
            clock,
        ),
        policy_rescue=PolicyRescue(base.author, base.engine, steering, guard, intents, approvals),
        administration=Administration(
            stores.tenants,
            stores.clients,
            base.revocation_state,
            base.keys,
            base.author,
            starter=starter_text(),
            guard=guard,
            intents=intents,
            changed=changed,
            random_bytes=base.environment.random_bytes,
            clock=clock,
        ),
        credentials=Credentials(
            stores.tenants,
            stores.clients,
            base.revocation_state,
            guard=guard,
            intents=intents,
            clock=clock,
            random_bytes=base.environment.random_bytes,
        ),
        people=make_people(base, guard, recorder, intents, identity),
        keys=rotation,
        key_list=key_list,
        key_orders=KeyOrders(
            rotation, release_keys, policy_keys, key_list, guard=guard, approvals=approvals
        ),
        release_keys=release_keys,
        policy_keys=policy_keys,
        approvals=approvals,
        overviews=Overviews(
            stores.tenants,
            stores.clients,
            stores.registry,
            stores.uploads,
            stores.bundles,
            key_list,
            batch.limits,
            base.settings.rate_limit,
            guard,
        ),
        key_retirement=KeyRetirement(
            base.keys, rewrapping, partial(_busy, stores.batches), intents, clock
        ),
        federations=federations,
        runs=Runs(
            stores.federations,
            stores.registry,
            federations,
            guard,
            intents,
            coordinator,
            follower=follower,
            clock=clock,
            new_id=recorder.new_id,
        ),
        batch=batch,
        watching=watching,
        tokens=TokenEvidence(recorder, intents, identity.server.revoke),
        recovery=Recovery(intents, uploads, stores.federations, follower),
        close=close,
    )


def _packager(base: Foundation, alarm: Alarm, measure: Measure) -> Packager:
    confined = partial(run_sandboxed, alarm=alarm)
    return Packager(
        base.sealer,
        base.keys.release_key,
        admit=partial(admit, run=confined),
        run_sandboxed=confined,
        measure=measure,
        clock=base.environment.clock,
    )


def _federation_of(
    federations: FederationStore, tenant: TenantFacts, name: str
) -> FederationFacts | None:
    found = federations.get_federation(tenant.id, name)
    return None if found is None else federation_facts(found, lambda _: tenant)


def _busy(batches: BatchStore, tenant: str, since: int) -> bool:
    """Tell whether a batch of the tenant is under way that was begun at that time or before."""

    def page(after: str, limit: int) -> list[Batch]:
        return batches.unfinished_batches(after=after, limit=limit)

    unfinished = every(page, lambda batch: batch.id, "")
    return any(batch.tenant == tenant and batch.created <= since for batch in unfinished)
