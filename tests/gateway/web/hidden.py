"""A served gateway with things that some callers may not know of, and with nothing in their place.

`open` is for everybody of the tenant who may call; its version 2 is a candidate, which callers may
not know of. The others are forbidden by the tenant's policies: `banned` altogether, `unused` for
inference, `bound` but for one purpose, which nobody here has. What `absent` names is not there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gateway.cli.connection import Connection
from gateway.cli.profile import load_profile
from gateway.cli.watching import wait_for
from gateway.federation.records import Run, Site
from gateway.registry.records import Model, Release
from policies.compiled import starter_text
from tests.gateway.place import Place, served_place
from tests.gateway.screening.classifiers import classifier
from tests.gateway.serving import PROTOCOLS
from tests.gateway.web.test_publishing import _body, _upload
from tests.sharings import sharing

TENANT, RIVAL = "house", "rival"
MAX_BODY = 64 << 10
BODY_SECONDS = 1
PURPOSES = ["care", *(f"purpose-{number}" for number in range(12))]
RUN = "00000000-0000-7000-8000-000000000001"
# `screened-only` is left out: publishing with a screen takes longer than all of these tests.
RULES = """
@id("nobody")
forbid (principal, action, resource in Model::"house/banned");
@id("nobody-federates")
forbid (principal, action, resource == Federation::"house/banned");
@id("not-for-use")
forbid (principal, action in [Action::"infer", Action::"releaseOutput"],
        resource in Model::"house/unused");
@id("research-only")
forbid (principal, action in [Action::"infer", Action::"releaseOutput"],
        resource in Model::"house/bound")
unless { context has purpose && context.purpose == "research" };
@id("stays-here")
forbid (principal, action == Action::"downloadArtifact", resource);
@id("no-more-versions")
forbid (principal, action == Action::"uploadArtifact", resource)
when { context has purpose && context.purpose == "purpose-1" };
@id("no-way-back")
forbid (principal, action == Action::"rollback", resource)
when { context has purpose && context.purpose == "purpose-1" };
"""


@dataclass
class Hidden:
    """The gateway, and who asks it."""

    place: Place
    digest: str

    def __post_init__(self) -> None:
        self._connections: dict[str, Connection] = {}

    def connection(self, who: str) -> Connection:
        """`caller`, `owner`, `nobody` (no role), `many` (13 purposes) of the tenant, or `rival`."""
        if who not in self._connections:
            tenant, role, changes = _CLIENTS[who]
            profile = self.place.profile(tenant, role, **changes)
            self._connections[who] = Connection(load_profile(profile))
        return self._connections[who]

    def token(self, who: str) -> str:
        connection = self.connection(who)
        headers = connection.headers("GET", "/")
        return str(headers["authorization"].removeprefix("Bearer "))

    def port(self, protocol: str) -> int:
        return self.place.served.ports[protocol]

    def recorded(self) -> str:
        """Everything in the logs of both tenants."""
        reader, text = self.place.foundation.reader, ""
        for tenant in (TENANT, RIVAL):
            last = -1
            while entries := reader.events(tenant, after=last, limit=200):
                text += str([entry.event for entry in entries])
                last = entries[-1].index
        return text


_CLIENTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "caller": (TENANT, "caller", {}),
    "owner": (TENANT, "owner", {"purposes": ["care", "purpose-1"]}),
    "nobody": (TENANT, "nobody", {"roles": [], "scopes": ["infer", "models", "artifacts"]}),
    "many": (TENANT, "many", {"roles": ["caller"], "scopes": ["infer"], "purposes": PURPOSES}),
    "rival": (RIVAL, "owner", {}),
    "convenor": (TENANT, "convenor", {}),
}
ASKERS = ("caller", "rival", "nobody", "many")


@contextmanager
def hidden_things(folder: Path) -> Iterator[Hidden]:
    """Serve such a gateway until the block ends."""
    settings: dict[str, Any] = {
        "max_body_bytes": MAX_BODY,
        "body_timeout_seconds": BODY_SECONDS,
    }
    with served_place(folder, protocols=PROTOCOLS, **settings) as place:
        for tenant in (TENANT, RIVAL):
            with place.admin() as admin:
                body = {"id": tenant, "name": tenant, "region": "eu", "purposes": PURPOSES}
                admin.post("/v1/tenants", body)
        made = Hidden(place, "")
        for who in _CLIENTS:
            made.connection(who)
        _publish(made)
        _federate(made)
        base = place.foundation
        rules = starter_text().split("@id(")
        kept = "@id(".join(rule for rule in rules if not rule.startswith('"screened-only"'))
        base.author.publish(TENANT, kept + RULES, "test")
        base.revocation_state.changed()
        try:
            yield made
        finally:
            for connection in made._connections.values():
                connection.__exit__()


def _publish(made: Hidden) -> None:
    """Publish `open` as owners do, and let the others have the same stored version."""
    owner, graph = made.connection("owner"), classifier()
    owner.post("/v1/models", {"name": "open", "personal": False})
    job = owner.post("/v1/models/open/versions", _body("1", _upload(owner, graph, "open"), graph))
    wait_for(owner, job, "publish", quiet=True)
    registry = made.place.foundation.stores.registry
    version = registry.get_version(TENANT, "open", "1")
    assert version is not None
    made.digest = version.payloads[0].digest
    registry.add_version(replace(version, version="2", revision=0))
    for name in ("banned", "unused", "bound"):
        registry.add_model(Model(TENANT, name, False, "internal", frozenset(), 1, "test"))
        registry.add_version(replace(version, model=name, revision=0))
    registry.offer(sharing(TENANT, "open", RIVAL, accepted=None, accepted_by=""))
    for name in ("open", "banned", "unused", "bound"):
        registry.release(Release(TENANT, name, "1", None, "promote", "test", 1), expected=None)
    made.place.foundation.revocation_state.changed()


def _federate(made: Hidden) -> None:
    convenor = made.connection("convenor")
    federation = {"name": "banned", "model": "open", "config": {"features": 6}}
    convenor.post("/v1/federations", federation)
    convenor.post("/v1/federations", {**federation, "name": "open"})
    store = made.place.foundation.stores.federations
    store.add_site(Site(TENANT, "north", "a key", "1", 1))
    store.allow_site(TENANT, "banned", "north")
    store.add_run(Run(RUN, TENANT, "banned", "9", 1, "finished", 1, "test", "care"))
