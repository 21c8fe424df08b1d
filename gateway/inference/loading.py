"""From a version in the registry to a model that answers.

Safety argument. What runs is what was published:
1. The tenant's release key signed the link; the link names the manifest, the owner's signature and
   every stored payload by digest, and each is compared before anything is opened.
2. The store checks the digest of the ciphertext, the age format authenticates each chunk, and the
   plaintext of fused graph and profile is compared with the link once more.
3. A manifest that has expired is not served.
4. The decrypted buffer is wiped as soon as onnxruntime holds the model.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Final

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.artifacts.age import SecretBuffer
from gateway.artifacts.errors import StatementInvalid
from gateway.artifacts.manifest import Manifest, TensorSpec, parse_manifest
from gateway.artifacts.signature import LinkStatement, verify_link
from gateway.inference.codec import Array
from gateway.inference.errors import ModelUnavailable
from gateway.inference.sessions import INLINE_SECONDS, ServableModel, Watchdog, open_session
from gateway.inference.tensors import DTYPES
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
        release_key: Returns the public release key of a tenant.
        watchdog: Times the first run.
        clock: Unix seconds.
        monotonic: Seconds, for timing the first run.
    """

    def __init__(
        self,
        open_payload: OpenPayload,
        release_key: Callable[[str], Ed25519PublicKey],
        watchdog: Watchdog,
        *,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._open_payload = open_payload
        self._release_key = release_key
        self._watchdog = watchdog
        self._clock = clock
        self._monotonic = monotonic

    def __call__(self, version: ModelVersion) -> ServableModel:
        """Verify, decrypt and load a version. Blocks.

        Raises:
            ModelUnavailable: A signature or digest does not hold, or the version has expired.
            RunFailed: onnxruntime does not take the graph.
            SealgateError: The store or the keys are not available.
        """
        try:
            link = verify_link(self._release_key(version.tenant), version.link)
            manifest = self._manifest(version, link)
            stored = _linked_payloads(version, link)
            profile = self._profile(version.tenant, stored.get("profile"), link)
        except (StatementInvalid, ProfileInvalid) as broken:
            raise ModelUnavailable from broken
        graph = stored["fused"] if profile is not None else stored["graph"]
        digest = link.fused if profile is not None else graph.plain_digest
        with self._open_payload(version.tenant, graph) as plain:
            _same(hashlib.sha256(plain).hexdigest(), digest)
            session = open_session(plain[:])
        names = tuple(output.name for output in session.get_outputs())
        outputs = tuple(spec.name for spec in manifest.outputs)
        return ServableModel(
            session=session,
            inputs=manifest.inputs,
            outputs=manifest.outputs,
            wanted=outputs + tuple(name for name in names if name not in outputs),
            contract=contract_for(manifest.inputs, max_rows=MAX_ROWS, profile=profile),
            judge=Judge(profile) if profile is not None else None,
            profile_digest=link.profile or "",
            size=graph.plain_length,
            expires=manifest.expires,
            inline=self._is_quick(session, manifest.inputs, names),
        )

    def _manifest(self, version: ModelVersion, link: LinkStatement) -> Manifest:
        _same(version.tenant, link.tenant)
        _same(version.model, link.model)
        _same(version.version, link.version)
        _same(hashlib.sha256(version.manifest).hexdigest(), link.manifest)
        _same(hashlib.sha256(version.owner_bundle).hexdigest(), link.owner)
        manifest = parse_manifest(version.manifest)
        if manifest.expires is not None and manifest.expires <= self._clock():
            raise ModelUnavailable
        return manifest

    def _profile(
        self, tenant: str, payload: SealedPayload | None, link: LinkStatement
    ) -> Profile | None:
        if payload is None:
            _same(link.profile, None)
            return None
        with self._open_payload(tenant, payload) as plain:
            _same(hashlib.sha256(plain).hexdigest(), link.profile)
            return decode_profile(plain[:])

    def _is_quick(
        self, session: object, inputs: tuple[TensorSpec, ...], names: tuple[str, ...]
    ) -> bool:
        """Run one row of zeros twice and time the second; texts are never quick."""
        if any(spec.datatype == "BYTES" for spec in inputs):
            return False
        zeros: dict[str, Array] = {
            spec.name: np.zeros([max(size, 1) for size in spec.shape], DTYPES[spec.datatype])
            for spec in inputs
        }
        self._watchdog.run(session, names, zeros)
        started = self._monotonic()
        self._watchdog.run(session, names, zeros)
        return self._monotonic() - started < INLINE_SECONDS


def _linked_payloads(version: ModelVersion, link: LinkStatement) -> dict[str, SealedPayload]:
    """Return the payloads by role, each the one that the link names."""
    stored = {payload.role: payload for payload in version.payloads}
    if stored.keys() != link.payloads.keys():
        raise ModelUnavailable
    for role, digest in link.payloads.items():
        _same(stored[role].digest, digest)
    return stored


def _same(found: str | None, signed: str | None) -> None:
    if found is None or signed is None:
        if found is not signed:
            raise ModelUnavailable
    elif not hmac.compare_digest(found, signed):
        raise ModelUnavailable
