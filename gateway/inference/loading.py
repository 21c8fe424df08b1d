"""From a version in the registry to a model that answers.

Safety argument. What runs is what was published:
1. The tenant's release key signed the link; the link names the manifest, the owner's signature and
   every stored payload by digest, and each is compared before anything is opened.
2. The store checks the digest of the ciphertext, the age format authenticates each chunk, and the
   plaintext of fused graph and profile is compared with the link once more.
3. A manifest that has expired is not served.
4. The decrypted buffer is wiped as soon as the engine's memory file holds the model.
5. What is missing or damaged is `ModelUnavailable`, whatever the store says: a caller who may use
   the model is never told that there is none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from functools import partial
from typing import Final

from gateway.artifacts.age import SecretBuffer
from gateway.artifacts.errors import PayloadAbsent, PayloadCorrupt, StatementInvalid
from gateway.artifacts.signature import LinkStatement
from gateway.engine.memory_files import seal
from gateway.engine.pool import Graph
from gateway.engine.ports import PLAIN
from gateway.engine.served import Served
from gateway.inference.errors import ModelUnavailable
from gateway.inference.measuring import KIND, rows_of
from gateway.inference.models import ServableModel
from gateway.inference.signed_manifest import border_of, manifest_of, same
from gateway.registry.records import ModelVersion, SealedPayload
from gateway.screening.contract import contract_for
from gateway.screening.errors import ProfileInvalid
from gateway.screening.profile import Profile, decode_profile
from gateway.screening.verdict import Judge

# Rows of one request: the largest batch that one run is asked to take.
MAX_ROWS: Final = 65_536
OpenPayload = Callable[[str, SealedPayload], SecretBuffer]


class ModelLoader:
    """Opens versions.

    Args:
        open_payload: Decrypts a stored payload into one buffer, which the caller wipes.
        verify: Checks the signature of a tenant's link, and reads it.
        serve: Starts an engine for a graph.
        kinds: Names of the kinds of engines that there are.
        clock: Unix seconds.
    """

    def __init__(
        self,
        open_payload: OpenPayload,
        verify: Callable[[str, bytes], LinkStatement],
        serve: Callable[[Graph], Served],
        *,
        kinds: Collection[str],
        clock: Callable[[], float],
    ) -> None:
        self._kinds = kinds
        self._open_payload = open_payload
        self._verify = verify
        self._serve = serve
        self._clock = clock

    def __call__(self, version: ModelVersion) -> ServableModel:
        """Verify and decrypt a version, and start an engine with it. Blocks.

        Raises:
            ModelUnavailable: A signature or digest does not hold, a payload is missing or damaged,
                or the version has expired.
            EngineError: The runtime does not take the graph, or there is no engine to be had.
            SealgateError: The store or the keys are not available.
        """
        try:
            link = self._verify(version.tenant, version.link)
            manifest = manifest_of(version, link)
            stored = _linked_payloads(version, link)
            profile = self._profile(version.tenant, stored.get("profile"), link)
        except (StatementInvalid, ProfileInvalid, PayloadAbsent, PayloadCorrupt) as broken:
            raise ModelUnavailable from broken
        if manifest.expires is not None and manifest.expires <= self._clock():
            raise ModelUnavailable
        payload = stored["fused"] if profile is not None else stored["graph"]
        digest = link.fused if profile is not None else payload.plain_digest
        border = border_of(manifest, screened=profile is not None)
        graph = Graph(
            tenant=version.tenant,
            model=version.model,
            version=version.version,
            border=border,
            size=payload.plain_length,
            open=partial(self._open_graph, version.tenant, payload, digest),
            kind=self._kind(version),
            rows=rows_of(version.facts),
        )
        return ServableModel(
            engine=self._serve(graph),
            inputs=manifest.inputs,
            outputs=manifest.outputs,
            wanted=border.outputs,
            contract=contract_for(manifest.inputs, max_rows=MAX_ROWS, profile=profile),
            judge=Judge(profile) if profile is not None else None,
            profile_digest=link.profile or "",
            expires=manifest.expires,
        )

    def _kind(self, version: ModelVersion) -> str:
        """Return the kind that was chosen at publication, or the plain one where it is gone."""
        chosen = version.facts.get(KIND, PLAIN)
        return chosen if chosen in self._kinds else PLAIN

    def _open_graph(self, tenant: str, payload: SealedPayload, digest: str | None) -> int:
        """Return a sealed memory file with the plaintext of a graph."""
        try:
            with self._open_payload(tenant, payload) as plain:
                same(hashlib.sha256(plain).hexdigest(), digest)
                return seal(plain)
        except (PayloadAbsent, PayloadCorrupt) as broken:
            raise ModelUnavailable from broken

    def _profile(
        self, tenant: str, payload: SealedPayload | None, link: LinkStatement
    ) -> Profile | None:
        if payload is None:
            same(link.profile, None)
            return None
        with self._open_payload(tenant, payload) as plain:
            same(hashlib.sha256(plain).hexdigest(), link.profile)
            return decode_profile(plain[:])


def _linked_payloads(version: ModelVersion, link: LinkStatement) -> dict[str, SealedPayload]:
    """Return the payloads by role, each the one that the link names."""
    stored = {payload.role: payload for payload in version.payloads}
    if stored.keys() != link.payloads.keys():
        raise ModelUnavailable
    for role, digest in link.payloads.items():
        same(stored[role].digest, digest)
    return stored
