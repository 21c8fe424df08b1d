from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from gateway.artifacts.signature import owner_statement, verify_link
from gateway.cli.connection import Connection, connect
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.watching import wait_for
from gateway.registry.uploads import MAX_WAITING
from gateway.work.jobs import MAX_RUNNING
from tests.gateway.artifacts.odd_models import boosted, needs_576_samples
from tests.gateway.place import Place
from tests.gateway.screening.classifiers import classifier, npz

pytestmark = pytest.mark.e2e

OWNER = ec.generate_private_key(ec.SECP256R1())
RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"


def _upload(client: Connection, content: bytes, model: str = "m") -> str:
    answer = client.send("POST", "/v1/uploads", params={"model": model}, content=content)
    return str(answer.json()["id"])


def _body(version: str, upload: str, signed: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(signed).hexdigest()
    bundle = json.dumps(owner_statement({"model.onnx": digest}, OWNER)).encode()
    pem = OWNER.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return {
        "version": version,
        "upload": upload,
        "owner_bundle": base64.b64encode(bundle).decode(),
        "owner_key": pem.decode(),
    }


def _publish(client: Connection, version: str, content: bytes, signed: bytes | None = None) -> None:
    body = _body(version, _upload(client, content), content if signed is None else signed)
    job = client.post("/v1/models/m/versions", body)
    wait_for(client, job, "publish", quiet=True)


@pytest.fixture(scope="module")
def owner(place: Place) -> Iterator[Connection]:
    """An owner whose model `m` has the candidate 1."""
    place.tenant("press")
    for role in ("officer", "caller"):
        place.profile("press", role)
    with place.client("press", "owner") as client:
        client.post("/v1/models", {"name": "m", "personal": False})
        _publish(client, "1", classifier())
        yield client


def test_a_candidate_is_signed_over_everything_that_is_stored(
    place: Place, owner: Connection
) -> None:
    manifest = owner.send("GET", "/v1/models/m/versions/1/manifest").content
    signatures = owner.get("/v1/models/m/versions/1/signatures")
    public = place.foundation.keys.release_key("press").public_key()
    told = load_pem_public_key(signatures["release_key"].encode())
    assert isinstance(told, Ed25519PublicKey)
    assert told.public_bytes_raw() == public.public_bytes_raw()
    link = verify_link(public, base64.b64decode(signatures["link"]))
    stored = place.foundation.stores.registry.get_version("press", "m", "1")
    assert stored is not None
    assert link.manifest == hashlib.sha256(manifest).hexdigest()
    assert dict(link.payloads) == {payload.role: payload.digest for payload in stored.payloads}
    assert json.loads(manifest)["inputs"][0]["shape"] == [-1, 6]


def test_the_intent_is_recorded_before_and_the_result_after(
    place: Place, owner: Connection
) -> None:
    with place.client("press", "officer") as officer:
        found = officer.get("/v1/audit/events", action="uploadArtifact", order="oldest")["items"]
    of_one = [e["event"] for e in found if e["event"].get("model_version") == "1"]
    assert [(e["phase"], e["outcome"]) for e in of_one] == [("intent", "allow"), ("result", "done")]
    assert of_one[1]["intent_id"] == of_one[0]["id"]


@pytest.mark.parametrize(
    ("version", "content", "signed", "reason"),
    [
        ("bad1", b"no model", None, "malformed"),
        ("bad2", classifier(), b"another file", "owner_signature"),
    ],
)
def test_a_refused_model_gives_back_its_uploads_and_its_name(
    place: Place, owner: Connection, version: str, content: bytes, signed: bytes | None, reason: str
) -> None:
    with pytest.raises(CommandFailed) as refused:
        _publish(owner, version, content, signed)
    assert refused.value.problem["reason"] == reason
    shown = owner.get(f"/v1/models/m/versions/{version}")
    assert (shown["state"], shown["reason"], shown["payloads"]) == ("rejected", reason, [])
    with pytest.raises(CommandFailed) as again:
        owner.post(f"/v1/models/m/versions/{version}/promote")
    assert again.value.code == ExitCode.DENIED
    stores = place.foundation.stores
    assert stores.uploads.list_uploads("press", after="", limit=9) == []
    assert stores.pending.list_pending(after=(-1, ""), limit=10) == []
    _publish(owner, version, classifier())
    mended = owner.get(f"/v1/models/m/versions/{version}")
    assert (mended["state"], mended["reason"]) == ("candidate", "")
    with pytest.raises(CommandFailed) as taken:
        owner.post("/v1/models/m/versions", _body(version, "any", content))
    assert taken.value.problem["status"] == 409


def test_more_refused_pushes_than_uploads_may_wait_lock_nobody_out(owner: Connection) -> None:
    for _ in range(MAX_WAITING + 1):
        with pytest.raises(CommandFailed) as refused:
            _publish(owner, "again", b"no model", b"another file")
        assert refused.value.problem["reason"] == "owner_signature"


def test_a_sample_is_run_sealed_and_discarded(place: Place, owner: Connection) -> None:
    content = needs_576_samples().SerializeToString()
    body = _body("voice", _upload(owner, content), content)
    body["sample"] = _upload(owner, npz(x=np.zeros((3, 600), np.float32)))
    sample = place.foundation.stores.uploads.get_upload("press", body["sample"])
    assert sample is not None
    wait_for(owner, owner.post("/v1/models/m/versions", body), "publish", quiet=True)
    manifest = json.loads(owner.send("GET", "/v1/models/m/versions/voice/manifest").content)
    assert manifest["trial"] == {"shapes": {"x": [3, 600]}, "values": "zeros"}
    assert place.foundation.stores.uploads.list_uploads("press", after="", limit=9) == []
    assert not place.foundation.artifacts.exists(sample.payload.digest)


def test_missing_values_are_allowed_by_input(owner: Connection) -> None:
    content = boosted().SerializeToString()
    for version, names, reason in (("nan", ["x"], ""), ("nan2", ["words"], "allow_nan")):
        body = _body(version, _upload(owner, content), content) | {"allow_nan": names}
        job = owner.post("/v1/models/m/versions", body)
        if not reason:
            wait_for(owner, job, "publish", quiet=True)
            continue
        with pytest.raises(CommandFailed) as refused:
            wait_for(owner, job, "publish", quiet=True)
        assert refused.value.problem["reason"] == reason
        assert "`x`" in refused.value.what
    manifest = json.loads(owner.send("GET", "/v1/models/m/versions/nan/manifest").content)
    assert manifest["inputs"][0]["allow_nan"] is True


def test_room_for_jobs_is_told_before_an_upload(owner: Connection) -> None:
    assert owner.get("/v1/jobs") == {"running": 0, "limit": MAX_RUNNING}


def test_an_upload_is_discarded_by_its_client_and_by_nobody_else(
    place: Place, owner: Connection
) -> None:
    upload = _upload(owner, b"a mistake")
    found = place.foundation.stores.uploads.get_upload("press", upload)
    assert found is not None
    place.tenant("rival")
    for role, tenant in (("caller", "press"), ("owner", "rival")):
        with place.client(tenant, role) as other, pytest.raises(CommandFailed) as refused:
            other.send("DELETE", f"/v1/uploads/{upload}")
        assert refused.value.code == ExitCode.NOT_FOUND
    assert owner.send("DELETE", f"/v1/uploads/{upload}").status_code == 204
    assert place.foundation.stores.uploads.get_upload("press", upload) is None
    assert not place.foundation.artifacts.exists(found.payload.digest)


def test_an_upload_belongs_to_the_client_that_sent_it(place: Place, owner: Connection) -> None:
    content = classifier()
    upload = _upload(owner, content)
    with place.admin() as admin:
        second = {
            "id": "press-second", "name": "second", "tenant": "press", "roles": ["owner"],
            "scopes": ["models"], "auth_method": "client_secret_basic", "token_binding": "none",
        }  # fmt: skip
        secret = admin.post("/v1/clients", second)["client_secret"]
    (place.folder / "second.secret").write_text(secret)
    (place.folder / "second.secret").chmod(0o600)
    profile = place.folder / "second.json"
    fields = {"url": place.url, "client_id": "press-second", "secret_file": "second.secret"}
    profile.write_text(json.dumps(fields))
    with connect(profile) as other, pytest.raises(CommandFailed) as refused:
        other.post("/v1/models/m/versions", _body("3", upload, content))
    assert refused.value.code == ExitCode.NOT_FOUND


def test_an_upload_without_a_length_or_for_no_model_is_refused(owner: Connection) -> None:
    with pytest.raises(CommandFailed) as unknown:
        _upload(owner, b"x", model="nothing")
    assert unknown.value.code == ExitCode.NOT_FOUND
    with pytest.raises(CommandFailed) as chunked:
        owner.send("POST", "/v1/uploads", params={"model": "m"}, content=iter([b"x"]))
    assert chunked.value.problem["title"] == "invalid request"


def test_another_tenant_finds_nothing(place: Place, owner: Connection) -> None:
    place.tenant("rival")
    digest = owner.get("/v1/models/m/versions/1")["payloads"][0]["digest"]
    base = "/v1/models/m/versions/1"
    with place.client("rival", "owner") as rival:
        for method, path in (
            ("GET", "/v1/models/m"),
            ("GET", base),
            ("GET", f"{base}/manifest"),
            ("POST", f"{base}/promote"),
            ("GET", f"{base}/payloads/{digest}"),
            ("POST", f"{base}/payloads/{digest}/header"),
        ):
            with pytest.raises(CommandFailed) as refused:
                rival.send(method, path, headers={"sealgate-recipient": RECIPIENT})
            assert refused.value.code == ExitCode.NOT_FOUND, path
        assert rival.get("/v1/models")["items"] == []


def test_a_caller_may_neither_publish_nor_download(place: Place, owner: Connection) -> None:
    digest = owner.get("/v1/models/m/versions/1")["payloads"][0]["digest"]
    with place.client("press", "caller") as caller:
        # A caller may know of the model, and of a version only when it is released.
        for send, code in (
            (
                lambda: caller.post("/v1/models", {"name": "mine", "personal": False}),
                ExitCode.DENIED,
            ),
            (lambda: _upload(caller, b"x"), ExitCode.DENIED),
            (lambda: caller.post("/v1/models/m/versions/1/promote"), ExitCode.NOT_FOUND),
            (
                lambda: caller.send(
                    "GET",
                    f"/v1/models/m/versions/1/payloads/{digest}",
                    headers={"sealgate-recipient": RECIPIENT},
                ),
                ExitCode.NOT_FOUND,
            ),
        ):
            with pytest.raises(CommandFailed) as refused:
                send()
            assert refused.value.code == code


def test_a_download_is_recorded_before_and_after_and_by_range(
    place: Place, owner: Connection
) -> None:
    payload = owner.get("/v1/models/m/versions/1")["payloads"][0]
    path = f"/v1/models/m/versions/1/payloads/{payload['digest']}"
    headers = {"sealgate-recipient": RECIPIENT}
    whole = owner.send("GET", path, headers=headers)
    assert whole.headers["etag"] == f'"{payload["digest"]}"'
    assert hashlib.sha256(whole.content).hexdigest() == payload["digest"]
    part = owner.send("GET", path, headers=headers | {"range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{payload['length']}"
    changed = headers | {"range": "bytes=100-199", "if-range": '"another"'}
    assert owner.send("GET", path, headers=changed).status_code == 200
    with pytest.raises(CommandFailed):
        owner.send("GET", path, headers=headers | {"range": f"bytes={payload['length']}-"})
    with place.client("press", "officer") as officer:
        query = {"action": "downloadArtifact", "limit": 6}
        found = [item["event"] for item in officer.get("/v1/audit/events", **query)["items"]]
    assert [event["phase"] for event in found] == 3 * ["result", "intent"]
    assert [event["n_out"] for event in found[::2]] == [payload["length"], 100, payload["length"]]
    assert {event["recipient"] for event in found} == {RECIPIENT}
    assert place.foundation.stores.pending.list_pending(after=(-1, ""), limit=10) == []


def test_fused_graph_and_profile_are_never_delivered(place: Place, owner: Connection) -> None:
    registry, sealer = place.foundation.stores.registry, place.foundation.sealer
    version = registry.get_version("press", "m", "1")
    assert version is not None
    fused = sealer.seal_bytes("press", b"fused", "fused")
    registry.replace_version(replace(version, payloads=(*version.payloads, fused)))
    try:
        for method, suffix in (("GET", ""), ("POST", "/header")):
            with pytest.raises(CommandFailed) as refused:
                owner.send(
                    method,
                    f"/v1/models/m/versions/1/payloads/{fused.digest}{suffix}",
                    headers={"sealgate-recipient": RECIPIENT},
                )
            assert refused.value.code == ExitCode.NOT_FOUND
        assert "fused" not in str(owner.get("/v1/models/m/versions/1"))
    finally:
        changed = registry.get_version("press", "m", "1")
        assert changed is not None
        registry.replace_version(replace(changed, payloads=version.payloads))
