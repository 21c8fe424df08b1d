from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime as ort
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.artifacts.age import SecretBuffer
from gateway.artifacts.errors import (
    KeyUnavailable,
)
from gateway.artifacts.manifest import parse_manifest
from gateway.artifacts.own_release_keys import verify_release
from gateway.artifacts.signature import sign_link, verify_link
from gateway.engine.errors import RunFailed
from gateway.errors import SealgateError
from gateway.inference.errors import ModelUnavailable
from gateway.inference.loading import ModelLoader
from gateway.inference.models import ServableModel
from gateway.registry.records import ModelVersion, SealedPayload
from gateway.screening.screens import SCORES
from tests.gateway.artifacts.hostile_models import linear, words
from tests.gateway.parts import NOW, TENANT

from .works import CLASSIFIER, CLEAN, Works, works

LINEAR = linear().SerializeToString()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Works]:
    """Two screened versions, an unscreened one, and one of another tenant."""
    with works("rival") as made:
        made.publish("1")
        made.publish("2")
        made.publish("3", screened=False)
        made.publish("1", tenant="rival")
        yield made


class Opened:
    """Opens payloads for the loader, and keeps what it opened."""

    def __init__(self, shop: Works) -> None:
        self._open = shop.sealer.open_payload
        self.buffers: list[SecretBuffer] = []
        self.held: list[bytes] = []

    def __call__(self, tenant: str, payload: SealedPayload) -> SecretBuffer:
        buffer = self._open(tenant, payload)
        self.buffers.append(buffer)
        self.held.append(buffer[:])
        return buffer


def loader(shop: Works, open_payload: Any, **changes: Any) -> ModelLoader:
    clock = changes.pop("clock", lambda: NOW)
    return ModelLoader(
        open_payload,
        partial(verify_release, shop.keys),
        shop.engines.serve,
        kinds=shop.engines.kinds.keys(),
        clock=clock,
    )


def load(shop: Works, version: ModelVersion) -> ServableModel:
    """Load a version; whatever was decrypted on the way must be wiped."""
    opened = Opened(shop)
    try:
        return loader(shop, opened)(version)
    finally:
        assert all(buffer.closed for buffer in opened.buffers)


def run(shop: Works, model: ServableModel, x: Any) -> dict[str, Any]:
    rows = len(next(iter(x.values())))
    return dict(zip(model.wanted, asyncio.run(model.engine.run(x, rows)), strict=True))


def test_a_screened_version_answers_with_its_screen(shop: Works) -> None:
    version = shop.version("1")
    model = load(shop, version)
    found = run(shop, model, {"in": CLEAN})
    assert set(found) == {"p", SCORES}
    plain = ort.InferenceSession(CLASSIFIER).run(["p"], {"in": CLEAN})[0]
    assert found["p"].tobytes() == plain.tobytes()
    assert model.judge is not None
    assert model.judge(found, len(CLEAN)).outcome == "pass"
    assert model.judge(run(shop, model, {"in": CLEAN + 50}), len(CLEAN)).outcome == "block"
    assert [spec.name for spec in model.outputs] == ["p"], "the scores are no output of the model"
    public = shop.keys.release_key(TENANT).public_key()
    assert model.profile_digest == verify_link(public, version.link).profile


def test_the_contract_is_of_the_manifest_and_of_what_calibration_saw(shop: Works) -> None:
    contract = load(shop, shop.version("1")).contract
    assert contract.check({"in": CLEAN}) is None
    for wrong, reason in (
        (CLEAN[:, :5], "shape"),
        (CLEAN.astype(np.float64), "datatype"),
        (CLEAN[:0], "rows"),
        (np.zeros((65_537, 6), np.float32), "too_many_rows"),
        (CLEAN + 1e6, "out_of_range"),
    ):
        failure = contract.check({"in": wrong})
        assert failure is not None
        assert (failure.reason, failure.input) == (reason, "in")


def test_an_unscreened_version_answers_and_says_so(shop: Works) -> None:
    model = load(shop, shop.version("3"))
    assert (model.judge, model.profile_digest) == (None, "")
    assert set(run(shop, model, {"in": CLEAN})) == {"p"}
    failure = model.contract.check({"in": CLEAN + 1e6})
    assert failure is None, "without a calibration no range is known"


def test_what_was_decrypted_is_wiped(shop: Works) -> None:
    opened = Opened(shop)
    loader(shop, opened)(shop.version("1"))
    public = shop.keys.release_key(TENANT).public_key()
    link = verify_link(public, shop.version("1").link)
    assert [hashlib.sha256(held).hexdigest() for held in opened.held] == [link.profile, link.fused]
    assert all(buffer.closed for buffer in opened.buffers)


Change = Callable[[Works, ModelVersion], ModelVersion]


def _with_payload(version: ModelVersion, other: ModelVersion, role: str) -> ModelVersion:
    theirs = next(payload for payload in other.payloads if payload.role == role)
    kept = tuple(payload for payload in version.payloads if payload.role != role)
    return replace(version, payloads=(*kept, theirs))


def _without(version: ModelVersion, role: str) -> ModelVersion:
    kept = tuple(payload for payload in version.payloads if payload.role != role)
    return replace(version, payloads=kept)


def _renamed(version: ModelVersion, role: str, name: str) -> ModelVersion:
    payloads = tuple(
        replace(payload, role=name) if payload.role == role else payload
        for payload in version.payloads
    )
    return replace(version, payloads=payloads)


def _edited_manifest(version: ModelVersion) -> bytes:
    manifest = json.loads(version.manifest)
    manifest["licence"] = "Apache-2.0"
    return json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()


def _by(key: Ed25519PrivateKey, shop: Works, version: ModelVersion) -> bytes:
    """The version's own statement, signed by another key."""
    public = shop.keys.release_key(version.tenant).public_key()
    return sign_link(key, verify_link(public, version.link))


TAMPERED: dict[str, tuple[Change, type[SealgateError]]] = {
    "fused of another version": (
        lambda shop, v: _with_payload(v, shop.version("2"), "fused"),
        ModelUnavailable,
    ),
    "graph of another version": (
        lambda shop, v: _with_payload(v, shop.version("3"), "graph"),
        ModelUnavailable,
    ),
    "profile of another version": (
        lambda shop, v: _with_payload(v, shop.version("2"), "profile"),
        ModelUnavailable,
    ),
    "graph in the place of the fused one": (
        lambda shop, v: _with_payload(v, _renamed(_without(v, "fused"), "graph", "fused"), "fused"),
        ModelUnavailable,
    ),
    "no profile, so no screen": (
        lambda shop, v: _without(_without(v, "profile"), "fused"),
        ModelUnavailable,
    ),
    "no fused graph": (lambda shop, v: _without(v, "fused"), ModelUnavailable),
    "no graph": (lambda shop, v: _without(v, "graph"), ModelUnavailable),
    "no payload": (lambda shop, v: replace(v, payloads=()), ModelUnavailable),
    "one role more": (
        lambda shop, v: replace(v, payloads=(*v.payloads, replace(v.payloads[0], role="weights"))),
        ModelUnavailable,
    ),
    "link of another version": (
        lambda shop, v: replace(v, link=shop.version("2").link),
        ModelUnavailable,
    ),
    "everything of another version": (
        lambda shop, v: replace(shop.version("2"), version="1"),
        ModelUnavailable,
    ),
    "everything of another model": (lambda shop, v: replace(v, model="other"), ModelUnavailable),
    "link of another tenant": (
        lambda shop, v: replace(v, link=shop.version("1", tenant="rival").link),
        ModelUnavailable,
    ),
    "everything of another tenant": (
        lambda shop, v: replace(shop.version("1", tenant="rival"), tenant=TENANT),
        ModelUnavailable,
    ),
    "link by another key": (
        lambda shop, v: replace(v, link=_by(Ed25519PrivateKey.generate(), shop, v)),
        ModelUnavailable,
    ),
    "no link": (lambda shop, v: replace(v, link=b""), ModelUnavailable),
    "cut link": (lambda shop, v: replace(v, link=v.link[:-20]), ModelUnavailable),
    "edited manifest": (
        lambda shop, v: replace(v, manifest=_edited_manifest(v)),
        ModelUnavailable,
    ),
    "manifest of another version": (
        lambda shop, v: replace(v, manifest=shop.version("2").manifest),
        ModelUnavailable,
    ),
    "edited bundle of the owner": (
        lambda shop, v: replace(v, owner_bundle=v.owner_bundle + b" "),
        ModelUnavailable,
    ),
    "no bundle of the owner": (lambda shop, v: replace(v, owner_bundle=b""), ModelUnavailable),
}


@pytest.mark.parametrize("kind", TAMPERED)
def test_nothing_is_decrypted_of_a_version_that_is_not_what_was_signed(
    shop: Works, kind: str
) -> None:
    change, refusal = TAMPERED[kind]
    opened = Opened(shop)
    with pytest.raises(refusal):
        loader(shop, opened)(change(shop, shop.version("1")))
    assert opened.buffers == []


def _relinked(shop: Works, version: ModelVersion, **changes: Any) -> ModelVersion:
    """Sign the link anew, with the right key, over a changed statement."""
    key = shop.keys.release_key(version.tenant)
    statement = verify_link(key.public_key(), version.link)
    return replace(version, link=sign_link(key, msgspec.structs.replace(statement, **changes)))


def _described(shop: Works, version: ModelVersion, **changes: Any) -> ModelVersion:
    """Sign the version anew over a changed manifest."""
    manifest = msgspec.structs.replace(parse_manifest(version.manifest), **changes)
    return _relinked(shop, replace(version, manifest=manifest.encode()), manifest=manifest.digest())


@pytest.mark.parametrize(
    "changes",
    [{"fused": "0" * 64}, {"profile": "0" * 64}, {"fused": None}, {"profile": None}],
    ids=str,
)
def test_the_content_is_compared_with_the_link_as_well(
    shop: Works, changes: dict[str, Any]
) -> None:
    """Payloads whose ciphertext is the signed one, but not their content: refused and wiped."""
    opened = Opened(shop)
    with pytest.raises(ModelUnavailable):
        loader(shop, opened)(_relinked(shop, shop.version("1"), **changes))
    assert opened.buffers
    assert all(buffer.closed for buffer in opened.buffers)


def test_a_link_that_promises_a_screen_to_an_unscreened_version_is_refused(shop: Works) -> None:
    with pytest.raises(ModelUnavailable):
        load(shop, _relinked(shop, shop.version("3"), profile="0" * 64))


def test_an_expired_manifest_is_not_served(shop: Works) -> None:
    dated = _described(shop, shop.version("3"), expires=int(NOW) + 60)
    opened = Opened(shop)
    loader(shop, opened, clock=lambda: NOW + 59)(dated)
    opened = Opened(shop)
    with pytest.raises(ModelUnavailable):
        loader(shop, opened, clock=lambda: NOW + 60)(dated)
    assert opened.buffers == []


def _payload_file(shop: Works, payload: SealedPayload) -> Path:
    folder = shop.house.base.settings.data_dir
    return next(path for path in folder.rglob(payload.digest))


def test_stored_bytes_that_changed_are_refused() -> None:
    with works() as shop:
        version = shop.publish()
        fused = next(payload for payload in version.payloads if payload.role == "fused")
        stored = _payload_file(shop, fused)
        content = bytearray(stored.read_bytes())
        content[len(content) // 2] ^= 1
        stored.chmod(0o600)
        stored.write_bytes(content)
        with pytest.raises(ModelUnavailable):
            load(shop, version)
        stored.write_bytes(content[:-100])
        with pytest.raises(ModelUnavailable):
            load(shop, version)
        stored.unlink()
        with pytest.raises(ModelUnavailable):
            load(shop, version)


def test_the_payload_key_of_another_payload_does_not_open(shop: Works) -> None:
    version, other = shop.version("1"), shop.version("2")
    keys = {payload.role: payload.wrapped_key for payload in other.payloads}
    payloads = tuple(
        replace(payload, wrapped_key=keys[payload.role]) for payload in version.payloads
    )
    with pytest.raises(KeyUnavailable):
        load(shop, replace(version, payloads=payloads))


@pytest.mark.parametrize("way", ["disable", "destroy"])
def test_without_its_tenants_key_nothing_is_loaded(tmp_path: Path, way: str) -> None:
    with works() as shop:
        version = shop.publish(screened=False)
        load(shop, version)
        getattr(shop.keys, way)(TENANT)
        opened = Opened(shop)
        with pytest.raises(KeyUnavailable):
            loader(shop, opened)(version)
        assert opened.buffers == []


def test_a_model_of_texts_is_served() -> None:
    with works() as shop:
        version = shop.publish(graph=words().SerializeToString(), screened=False)
        model = load(shop, version)
        texts = np.array([["a"], ["b"], ["c"], ["d"]], dtype=object)
        assert run(shop, model, {"x": texts})["y"].tolist() == texts.tolist()


def _sign_graph(shop: Works, graph: bytes) -> ModelVersion:
    """A version that was signed for real, whose graph admission would have refused."""
    version = shop.version("3")
    payload = shop.sealer.seal_bytes(TENANT, graph, "graph")
    return _relinked(
        shop, replace(version, payloads=(payload,)), payloads={"graph": payload.digest}
    )


@pytest.mark.parametrize("graph", [b"no graph at all", LINEAR[:-9]])
def test_a_graph_that_the_runtime_does_not_take_fails_and_is_wiped(
    shop: Works, graph: bytes
) -> None:
    with pytest.raises(RunFailed):
        load(shop, _sign_graph(shop, graph))
