"""The signed manifest of a version: what it takes and gives, known without opening the model.

Safety argument.
1. What is handed out was signed: the tenant's release key signed the link, the link names the
   manifest by its digest and the version that it belongs to, and both are compared.
2. It is remembered under the epoch (`gateway.epoch_memo`), which every change of the registry and
   every revocation raises. Whether it has expired is asked each time.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Final

from gateway.artifacts.errors import StatementInvalid
from gateway.artifacts.manifest import Manifest, parse_manifest
from gateway.artifacts.signature import LinkStatement
from gateway.engine.process import Border
from gateway.epoch_memo import EpochMemo
from gateway.inference.errors import ModelUnavailable
from gateway.registry.records import ModelVersion
from gateway.screening.screens import SCORES, SCORES_DATATYPE

CAPACITY: Final = 256
"""Manifests that are remembered; the largest takes some hundreds of kilobytes."""


class SignedManifests:
    """Reads manifests.

    Args:
        verify: Checks the signature of a tenant's link, and reads it.
        epoch: Changes with every revocation and every change of the registry.
        clock: Unix seconds.
    """

    def __init__(
        self,
        verify: Callable[[str, bytes], LinkStatement],
        epoch: Callable[[], int],
        clock: Callable[[], float],
    ) -> None:
        self._verify = verify
        self._clock = clock
        self._known: EpochMemo[tuple[str, str, str], Manifest] = EpochMemo(epoch, CAPACITY)

    def __call__(self, version: ModelVersion) -> Manifest:
        """Return the manifest of a version. May block: for threads.

        Raises:
            ModelUnavailable: A signature or digest does not hold, or the version has expired.
        """
        key = (version.tenant, version.model, version.version)
        manifest = self._known.look_up(key, lambda: self._read(version))
        assert manifest is not None
        if manifest.expires is not None and manifest.expires <= self._clock():
            raise ModelUnavailable
        return manifest

    def _read(self, version: ModelVersion) -> Manifest:
        try:
            link = self._verify(version.tenant, version.link)
            return manifest_of(version, link)
        except StatementInvalid as broken:
            raise ModelUnavailable from broken


def manifest_of(version: ModelVersion, link: LinkStatement) -> Manifest:
    """Return the manifest of a version whose link was verified.

    Raises:
        ModelUnavailable: The link is another version's, or names another manifest or signature.
        StatementInvalid: It names bytes that are no manifest.
    """
    same(version.tenant, link.tenant)
    same(version.model, link.model)
    same(version.version, link.version)
    same(hashlib.sha256(version.manifest).hexdigest(), link.manifest)
    same(hashlib.sha256(version.owner_bundle).hexdigest(), link.owner)
    return parse_manifest(version.manifest)


def same(found: str | None, signed: str | None) -> None:
    """Compare what was found with what was signed; both may be none.

    Raises:
        ModelUnavailable: They differ.
    """
    if found is None or signed is None:
        if found is not signed:
            raise ModelUnavailable
    elif not hmac.compare_digest(found, signed):
        raise ModelUnavailable


def border_of(manifest: Manifest, *, screened: bool) -> Border:
    """Return what an engine takes and gives for a manifest, with the screen's scores or without."""
    names = tuple(spec.name for spec in manifest.outputs)
    datatypes: tuple[str, ...] = tuple(spec.datatype for spec in manifest.outputs)
    if screened:
        names, datatypes = (*names, SCORES), (*datatypes, SCORES_DATATYPE)
    return Border({spec.name: spec.datatype for spec in manifest.inputs}, names, datatypes)
