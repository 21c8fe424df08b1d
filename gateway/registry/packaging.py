"""From a plaintext model to the sealed, signed parts of a version.

Everything that interprets untrusted bytes (admission, calibration) runs in a confined process; here
only digests are taken, bytes sealed and statements signed.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from gateway.artifacts.admission import AdmissionReport
from gateway.artifacts.age import SecretBuffer
from gateway.artifacts.errors import SandboxFailed, StatementInvalid
from gateway.artifacts.manifest import FLOATING, Manifest, PayloadEntry, TensorSpec
from gateway.artifacts.model_refusals import SHOWN_NAME, printable
from gateway.artifacts.sandbox import Limits, RunSandboxed, SandboxResult
from gateway.artifacts.signature import MODEL_FILE, LinkStatement, sign_link, verify_owner_statement
from gateway.artifacts.upload import Sealer
from gateway.registry.errors import PublishRefused
from gateway.registry.records import SealedPayload
from gateway.screening.errors import CalibrationRefused
from gateway.strict_json import strict_json
from gateway.work.jobs import Progress

CALIBRATION: Final = "gateway.screening.calibration"
CALIBRATION_LIMITS: Final = Limits(
    memory_bytes=6 << 30, cpu_seconds=600, wall_seconds=900.0, output_bytes=1 << 30
)
"""Fitting on 4,000 rows of an image model takes a minute on one core; ten are enough for it."""
STAGES: Final = 6
_SIGN_AGAIN: Final = "sign the very file that is sent, by the key that is sent; `push` does both"

Plain: TypeAlias = bytes | SecretBuffer


@dataclass(frozen=True, slots=True)
class Material:
    """What a version is made from.

    Attributes:
        plain: The ONNX bytes.
        sealed: Where they are stored already, or None.
        calibration: The npz bytes, or None: then there is no screen.
        sample: The npz bytes of inputs that it must run on, or None: then others are tried.
        allow_nan: Inputs in which not-a-number and infinities are values like any other.
    """

    tenant: str
    model: str
    version: str
    plain: SecretBuffer
    sealed: SealedPayload | None
    calibration: SecretBuffer | None
    owner_bundle: bytes
    owner_key_pem: bytes
    licence: str = ""
    lineage: tuple[str, ...] = ()
    sample: SecretBuffer | None = None
    allow_nan: frozenset[str] = frozenset()

    def wipe(self) -> None:
        """Overwrite the plaintext of the model, of the calibration set and of the sample."""
        for secret in (self.plain, self.calibration, self.sample):
            if secret is not None:
                secret.wipe()


class Examined(Protocol):
    """What admission and calibration look at: a `Material`, or files of an owner's at home."""

    @property
    def plain(self) -> Plain:
        """The ONNX bytes."""

    @property
    def calibration(self) -> Plain | None:
        """The npz bytes, or None: then there is no screen."""

    @property
    def sample(self) -> Plain | None:
        """The npz bytes of inputs that it must run on, or None: then others are tried."""

    @property
    def allow_nan(self) -> frozenset[str]:
        """Inputs in which not-a-number and infinities are values like any other."""


@dataclass(frozen=True, slots=True)
class Packaged:
    """What the registry keeps of it."""

    manifest: bytes
    link: bytes
    payloads: tuple[SealedPayload, ...]
    facts: dict[str, str]


class Admit(Protocol):
    """`gateway.artifacts.admission.admit`."""

    def __call__(
        self, model: memoryview, *, sample: memoryview | None, rows: memoryview | None
    ) -> AdmissionReport:
        """Examine a model, on the owner's sample or else on rows of the calibration set."""


class Measure(Protocol):
    """Tries a version out in engines as it will be served."""

    def __call__(
        self, manifest: Manifest, graph: Plain, *, by_row: bool, screened: bool
    ) -> dict[str, str]:
        """Return facts for the registry; blocks for some seconds.

        Raises:
            SealgateError: It runs in no engine, or there is none.
        """


class Packager:
    """Makes versions.

    Args:
        sealer: Encrypts and stores.
        release_key: Returns a tenant's release key.
        admit: Confined admission of a model.
        run_sandboxed: Runs the calibration.
        measure: Tries a version out in engines as it will be served.
        clock: Unix seconds.
    """

    def __init__(
        self,
        sealer: Sealer,
        release_key: Callable[[str], Ed25519PrivateKey],
        *,
        admit: Admit,
        run_sandboxed: RunSandboxed,
        measure: Measure,
        clock: Callable[[], float],
    ) -> None:
        self._sealer = sealer
        self._release_key = release_key
        self._admit = admit
        self._run_sandboxed = run_sandboxed
        self._measure = measure
        self._clock = clock

    def package(
        self, material: Material, staged: Callable[[SealedPayload], None], progress: Progress
    ) -> Packaged:
        """Check, admit, calibrate, seal and sign.

        Args:
            material: What the version is made from.
            staged: Called with each payload before it is stored.
            progress: Told of each stage.

        Raises:
            PublishRefused: The owner's signature or the calibration set is not acceptable.
            ModelRefused: Admission said no.
            SandboxFailed: A confined job did not finish.
            SealgateError: `measure` says why no engine runs it.
        """
        progress("signature", 0, STAGES)
        plain_digest = hashlib.sha256(material.plain).hexdigest()
        check_owner(material.owner_bundle, material.owner_key_pem, plain_digest)
        progress("admission", 1, STAGES)
        report = examine(self._admit, material)
        inputs = allowing_nan(report.inputs, material.allow_nan)
        progress("calibration", 2, STAGES)
        screen = calibrate(self._run_sandboxed, material)
        progress("sealing", 3, STAGES)
        payloads = self._seal_all(material, screen, staged)
        manifest = self._manifest(material, replace(report, inputs=inputs), payloads[0], screen)
        progress("measuring", 4, STAGES)
        measured = self._measure(
            manifest,
            screen.outputs["fused"] if screen is not None else material.plain,
            by_row=report.dynamic_batch,
            screened=screen is not None,
        )
        progress("signing", 5, STAGES)
        link = self._link(material, manifest, payloads, screen)
        facts = facts_of(material, report, screen) | measured
        return Packaged(manifest.encode(), link, payloads, facts)

    def _seal_all(
        self,
        material: Material,
        screen: SandboxResult | None,
        staged: Callable[[SealedPayload], None],
    ) -> tuple[SealedPayload, ...]:
        """Seal graph, fused graph and profile, in this order."""
        parts: list[tuple[str, bytes | SecretBuffer]] = [("graph", material.plain)]
        if screen is not None:
            parts += [(role, screen.outputs[role]) for role in ("fused", "profile")]
        payloads = []
        for role, content in parts:
            if role == "graph" and material.sealed is not None:
                payloads.append(material.sealed)
                continue
            sealed = self._sealer.seal_bytes(material.tenant, content, role, announce=staged)
            payloads.append(sealed)
        return tuple(payloads)

    def _manifest(
        self,
        material: Material,
        report: AdmissionReport,
        graph: SealedPayload,
        screen: SandboxResult | None,
    ) -> Manifest:
        return Manifest(
            tenant=material.tenant,
            model=material.model,
            version=material.version,
            payloads=(
                PayloadEntry(
                    role=graph.role,
                    digest=graph.digest,
                    length=graph.length,
                    plain_digest=graph.plain_digest,
                    plain_length=graph.plain_length,
                ),
            ),
            inputs=report.inputs,
            outputs=report.outputs,
            opset=report.opset,
            created=int(self._clock()),
            licence=material.licence,
            lineage=material.lineage,
            metrics=_metrics(screen),
            profile=_digest(screen, "profile"),
            trial=report.trial,
        )

    def _link(
        self,
        material: Material,
        manifest: Manifest,
        payloads: tuple[SealedPayload, ...],
        screen: SandboxResult | None,
    ) -> bytes:
        statement = LinkStatement(
            tenant=material.tenant,
            model=material.model,
            version=material.version,
            manifest=manifest.digest(),
            owner=hashlib.sha256(material.owner_bundle).hexdigest(),
            payloads={payload.role: payload.digest for payload in payloads},
            created=int(self._clock()),
            fused=_digest(screen, "fused"),
            profile=_digest(screen, "profile"),
        )
        return sign_link(self._release_key(material.tenant), statement)


def check_owner(bundle: bytes, key_pem: bytes, plain_digest: str) -> None:
    """Check the owner's signature over the one file of a model.

    Raises:
        PublishRefused: It does not verify.
    """
    try:
        parsed = strict_json(bundle)
        verify_owner_statement(parsed, key_pem, {MODEL_FILE: plain_digest})
    except ValueError as cause:
        what = "the owner's bundle is no JSON"
        raise PublishRefused("owner_signature", what, _SIGN_AGAIN) from cause
    except StatementInvalid as cause:
        raise PublishRefused("owner_signature", cause.public, _SIGN_AGAIN) from cause


def examine(admit: Admit, material: Examined) -> AdmissionReport:
    """Admit a model, on the owner's sample or else on rows of the calibration set.

    Raises:
        ModelRefused: Admission said no.
    """
    with contextlib.ExitStack() as views:
        plain, sample, rows = (
            None if secret is None else views.enter_context(memoryview(secret))
            for secret in (material.plain, material.sample, material.calibration)
        )
        assert plain is not None
        return admit(plain, sample=sample, rows=rows)


def calibrate(run_sandboxed: RunSandboxed, material: Examined) -> SandboxResult | None:
    """Fit a screen to a model; None where there are no rows for it.

    Raises:
        PublishRefused: The calibration set or the model cannot be calibrated.
        SandboxFailed: The job did not finish.
    """
    if material.calibration is None:
        return None
    with memoryview(material.plain) as model, memoryview(material.calibration) as rows:
        result = run_sandboxed(
            CALIBRATION, {"model": model, "calibration": rows}, {}, limits=CALIBRATION_LIMITS
        )
    if "refused" in result.report:
        refusal = CalibrationRefused(str(result.report["refused"]))
        raise PublishRefused(f"calibration_{refusal.reason}", refusal.public, refusal.remedy)
    if not {"fused", "profile"} <= result.outputs.keys():
        raise SandboxFailed("output")
    return result


def allowing_nan(inputs: tuple[TensorSpec, ...], names: frozenset[str]) -> tuple[TensorSpec, ...]:
    """Mark the inputs that may hold values that are not finite.

    Raises:
        PublishRefused: One is named that is not an input of floating values.
    """
    floating = {spec.name for spec in inputs if spec.datatype in FLOATING}
    if not names <= floating:
        known = ", ".join(f"`{printable(name, SHOWN_NAME)}`" for name in sorted(floating)[:8])
        raise PublishRefused(
            "allow_nan",
            "`--allow-nan` names no input of floating values; "
            + (f"those are {known}" if known else "the model has none"),
            "name one of those" if known else "leave `--allow-nan` out",
        )
    return tuple(replace(spec, allow_nan=True) if spec.name in names else spec for spec in inputs)


def _digest(screen: SandboxResult | None, role: str) -> str | None:
    return hashlib.sha256(screen.outputs[role]).hexdigest() if screen is not None else None


def _metrics(screen: SandboxResult | None) -> dict[str, float]:
    if screen is None or not isinstance(screen.report.get("accuracy"), float):
        return {}
    return {"calibration_accuracy": screen.report["accuracy"]}


def facts_of(
    material: Examined, report: AdmissionReport, screen: SandboxResult | None
) -> dict[str, str]:
    """Return what the registry tells of a version."""
    facts = {"nodes": str(report.node_count), "screened": "no", "ran_on": report.trial.values}
    if report.takes_missing and not material.allow_nan:
        facts["takes_missing"] = ",".join(report.takes_missing)
    if screen is not None:
        facts |= {
            "screened": "yes",
            "enforce": "yes" if screen.report.get("enforce") is True else "no",
            "calibration_rows": str(screen.report.get("rows", "")),
        }
    return facts
