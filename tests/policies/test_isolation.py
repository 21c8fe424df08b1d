from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from policies.facts import (
    AuditLogFacts,
    ContextFacts,
    FederationFacts,
    ModelFacts,
    ModelVersionFacts,
    PlatformFacts,
    PolicySetFacts,
    ServiceFacts,
    SiteFacts,
    SubjectFacts,
    TenantFacts,
    UserFacts,
    VerdictFacts,
)
from tests.policies.world import PERMIT_ALL, RESOURCES, engine_with

ENGINE = engine_with(acme=PERMIT_ALL, other=PERMIT_ALL)

words = st.frozensets(st.sampled_from(["care", "research", "billing"]))
roles = st.frozensets(
    st.sampled_from(["caller", "owner", "officer", "site", "convenor", "administrator"])
)
names = st.sampled_from(["ecg", "acme", "other"])
shares = st.frozensets(st.sampled_from(["acme", "other", "third"]))


def tenants(tenant_id: str) -> st.SearchStrategy[TenantFacts]:
    return st.builds(
        TenantFacts,
        id=st.just(tenant_id),
        region=st.sampled_from(["eu", "us"]),
        suspended=st.booleans(),
        purposes=words,
        require_binding=st.booleans(),
    )


def principals(home: TenantFacts) -> st.SearchStrategy[ServiceFacts | UserFacts]:
    site = st.builds(SiteFacts, tenant=st.just(home), name=names, revoked=st.booleans())
    service = st.builds(
        ServiceFacts,
        id=names,
        tenant=st.just(home),
        roles=roles,
        purposes=words,
        site=st.none() | site,
    )
    user = st.builds(UserFacts, id=names, tenant=st.just(home), roles=roles, purposes=words)
    return service | user


def resources(home: TenantFacts) -> st.SearchStrategy[object]:
    tenant = st.just(home)
    data_class = st.sampled_from(["internal", "special"])
    return st.one_of(
        tenant,
        st.builds(PlatformFacts, tenant=tenant),
        st.builds(
            ModelFacts,
            tenant=tenant,
            name=names,
            personal=st.booleans(),
            data_class=data_class,
            shared_with=shares,
        ),
        st.builds(
            ModelVersionFacts,
            tenant=tenant,
            model=names,
            version=st.just("1"),
            stage=st.sampled_from(["released", "candidate", "retired"]),
            signed=st.booleans(),
            personal=st.booleans(),
            data_class=data_class,
            shared_with=shares,
        ),
        st.builds(FederationFacts, tenant=tenant, name=names, sites=st.frozensets(names)),
        st.builds(AuditLogFacts, tenant=tenant),
        st.builds(PolicySetFacts, tenant=tenant),
        st.builds(SubjectFacts, tenant=tenant, ref=names, legal_hold=st.booleans()),
    )


contexts = st.builds(
    ContextFacts,
    scopes=st.frozensets(st.sampled_from(["infer", "models", "admin", "audit"])),
    binding=st.sampled_from(["none", "dpop"]),
    acr=st.integers(0, 3),
    auth_age=st.integers(0, 2000),
    region=st.sampled_from(["eu", "us"]),
    epoch=st.integers(0, 3),
    purpose=st.none() | st.sampled_from(["care", "research"]),
    verdict=st.none() | st.builds(VerdictFacts, outcome=st.sampled_from(["pass", "flag", "block"])),
    approvals=st.integers(0, 3),
    solo=st.booleans(),
)
SHAREABLE = ("infer", "releaseOutput", "readMetadata")


@settings(deadline=None, max_examples=400)
@given(data=st.data())
def test_no_breadth_of_both_sets_opens_a_tenant_to_a_stranger(data: st.DataObject) -> None:
    home = data.draw(tenants("acme"))
    owner = data.draw(tenants("other"))
    principal = data.draw(principals(home))
    resource = data.draw(resources(owner))
    action = data.draw(st.sampled_from(sorted(RESOURCES)))
    decision = ENGINE.decide(principal, action, resource, data.draw(contexts))  # type: ignore[arg-type]
    if decision.allowed:
        assert action in SHAREABLE
        assert isinstance(resource, ModelVersionFacts)
        assert "acme" in resource.shared_with
        assert not owner.suspended
        assert not home.suspended


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_sharing_works_when_everything_else_is_in_order(data: st.DataObject) -> None:
    """The property above would hold of an engine that never allows: this one would not."""
    home = replace(data.draw(tenants("acme")), suspended=False, require_binding=False)
    owner = replace(data.draw(tenants("other")), suspended=False)
    principal = ServiceFacts(id="app", tenant=home, roles=data.draw(roles))
    resource = ModelVersionFacts(
        tenant=owner,
        model=data.draw(names),
        version="1",
        stage="released",
        signed=True,
        personal=False,
        data_class="internal",
        shared_with=data.draw(shares) | {"acme"},
    )
    assert ENGINE.decide(principal, "readMetadata", resource, data.draw(contexts)).allowed
