"""Facts and stores that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from policies.author import PolicyAuthor
from policies.bundle import SignedBundle
from policies.engine import PolicyEngine
from policies.errors import EpochExists
from policies.facts import (
    AuditLogFacts,
    ContextFacts,
    FederationFacts,
    ModelFacts,
    ModelVersionFacts,
    PlatformFacts,
    PolicySetFacts,
    ResourceFacts,
    ServiceFacts,
    SiteFacts,
    SubjectFacts,
    TenantFacts,
    UserFacts,
    VerdictFacts,
)
from policies.signers import BundleKeys

NOW = 1_790_000_000.0
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PERMIT_ALL = '@id("all") permit (principal, action, resource);'
PURPOSES = frozenset({"care"})

ACME = TenantFacts(id="acme", region="eu", suspended=False, purposes=PURPOSES)
OTHER = replace(ACME, id="other")
PLATFORM_TENANT = replace(ACME, id="platform", purposes=frozenset())

APP = ServiceFacts(id="app", tenant=ACME, roles=frozenset({"caller"}), purposes=PURPOSES)
ANN = UserFacts(id="ann", tenant=ACME, roles=frozenset({"owner"}), purposes=PURPOSES)
ROOT = ServiceFacts(id="root", tenant=PLATFORM_TENANT, roles=frozenset({"administrator"}))
SITE = SiteFacts(tenant=ACME, name="north", revoked=False)
NODE = ServiceFacts(
    id="north", tenant=ACME, roles=frozenset({"site"}), purposes=PURPOSES, site=SITE
)
ECG = ModelVersionFacts(
    tenant=ACME,
    model="ecg",
    version="1.0",
    stage="released",
    signed=True,
    personal=False,
    data_class="internal",
)
CONTEXT = ContextFacts(
    scopes=frozenset({"infer", "models", "artifacts", "audit", "policies", "admin", "federate"}),
    binding="dpop",
    acr=2,
    auth_age=60,
    region="eu",
    epoch=1,
    purpose="care",
    verdict=VerdictFacts(outcome="pass"),
    approvals=2,
    recipient="age1example",
)

RESOURCES: dict[str, ResourceFacts] = {
    "infer": ECG,
    "releaseOutput": ECG,
    "readMetadata": ECG,
    "downloadArtifact": ECG,
    "uploadArtifact": ModelFacts(tenant=ACME, name="ecg", personal=False, data_class="internal"),
    "promote": ECG,
    "rollback": ECG,
    "managePolicy": PolicySetFacts(tenant=ACME),
    "reviewAudit": AuditLogFacts(tenant=ACME),
    "exportAudit": AuditLogFacts(tenant=ACME),
    "exportSubject": SubjectFacts(tenant=ACME, ref="sub_1", legal_hold=False),
    "eraseSubject": SubjectFacts(tenant=ACME, ref="sub_1", legal_hold=False),
    "startRound": FederationFacts(tenant=ACME, name="trial", sites=frozenset({"north"})),
    "joinFederation": FederationFacts(tenant=ACME, name="trial", sites=frozenset({"north"})),
    "administer": PlatformFacts(tenant=PLATFORM_TENANT),
}
"""For each action a resource of acme that it applies to (the platform for `administer`)."""


def clock() -> float:
    return NOW


class DictStore:
    """A bundle store that a test can tamper with."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int], SignedBundle] = {}

    def put(self, bundle: SignedBundle) -> None:
        if (bundle.tenant, bundle.epoch) in self.rows:
            raise EpochExists
        self.rows[bundle.tenant, bundle.epoch] = bundle

    def resign(self, bundle: SignedBundle) -> None:
        stored = self.rows.get((bundle.tenant, bundle.epoch))
        if stored is None or stored.digest != bundle.digest:
            raise EpochExists
        self.rows[bundle.tenant, bundle.epoch] = bundle

    def latest(self, tenant: str) -> SignedBundle | None:
        return max(
            (b for (t, _), b in self.rows.items() if t == tenant),
            key=lambda b: b.epoch,
            default=None,
        )

    def list(self, tenant: str, *, after: int, limit: int) -> Sequence[SignedBundle]:
        return [b for (t, e), b in sorted(self.rows.items()) if t == tenant and e > after][:limit]

    def tenants(self, *, after: str, limit: int) -> Sequence[str]:
        return sorted({t for t, _ in self.rows if t > after})[:limit]


def engine_with(**texts: str) -> PolicyEngine:
    """An engine in which each named tenant has that text in force."""
    engine = PolicyEngine(clock)
    author = PolicyAuthor(engine, DictStore(), lambda: BundleKeys(KEY), clock)
    for tenant, text in texts.items():
        author.publish(tenant, text, "author")
    return engine
