"""What a federation trained becomes a candidate by the same way as an upload.

Who is its owner? Nobody at a site or at the convenor holds the finished model, so nobody outside
can sign it. The convening tenant signs the owner's statement with an EC P-256 key derived from its
first release key (`gateway.artifacts.convenor`): stable for the tenant, gone with its keys. The
statement says as much as it can: this tenant's gateway published these bytes for this run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import msgspec
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.artifacts.age import SecretBuffer
from gateway.artifacts.signature import MODEL_FILE, owner_statement
from gateway.artifacts.upload import Sealer
from gateway.authorization.kinds import Attribution
from gateway.federation.records import Federation, Run
from gateway.registry.packaging import Material
from gateway.registry.records import ModelVersion
from gateway.registry.versions import Versions

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class TrainedModels:
    """Publishes the results of runs.

    Args:
        versions: Publishes.
        sealer: Opens the convenor's calibration set.
        seed: Returns a tenant's `gateway.artifacts.convenor.convenor_seed`.
        clock: Unix seconds.
    """

    def __init__(
        self,
        versions: Versions,
        sealer: Sealer,
        seed: Callable[[str], bytes],
        clock: Callable[[], float],
    ) -> None:
        self._versions = versions
        self._sealer = sealer
        self._seed = seed
        self._clock = clock

    def __call__(self, federation: Federation, run: Run, trained: bytes) -> None:
        """Publish `trained` (ONNX) as the version that the run was started for.

        Raises:
            AlreadyExists: The version name was taken meanwhile.
            SealgateError: The version was rejected.
        """
        key = convenor_key(self._seed(run.tenant))
        digest = hashlib.sha256(trained).hexdigest()
        bundle = msgspec.json.encode(owner_statement({MODEL_FILE: digest}, key, name=run.id))
        pem = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        version = ModelVersion(
            tenant=run.tenant,
            model=federation.model,
            version=run.version,
            state="quarantined",
            created=int(self._clock()),
            created_by=run.started_by,
            owner_bundle=bundle,
            owner_key_pem=pem,
            source=f"federation/{run.id}",
        )

        def material() -> Material:
            held_out = federation.calibration
            plain = SecretBuffer(len(trained))
            plain[:] = trained
            return Material(
                tenant=run.tenant,
                model=federation.model,
                version=run.version,
                plain=plain,
                sealed=None,
                calibration=self._sealer.open_payload(run.tenant, held_out) if held_out else None,
                owner_bundle=bundle,
                owner_key_pem=pem,
                lineage=(f"federation {federation.name}, run {run.id}",),
            )

        by = Attribution(details={"request_id": run.id})
        self._versions.publish(version, by, material, _unwatched)


def convenor_key(seed: bytes) -> ec.EllipticCurvePrivateKey:
    """Return the key with which a convening tenant owns what its federations trained."""
    number = int.from_bytes(seed, "big")
    return ec.derive_private_key(number % (_ORDER - 1) + 1, ec.SECP256R1())


def _unwatched(stage: str, done: int, total: int) -> None:
    """Nobody watches a run's publishing stage by stage."""
    structlog.get_logger().info("publish_stage", stage=stage, done=done, total=total)
