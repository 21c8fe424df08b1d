from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from audit.errors import AuditUnavailable, SealInvalid, SubjectErased
from audit.event import Event, encode
from gateway.engine.errors import RunTimeout
from gateway.identity.errors import InvalidToken
from gateway.inference import oip
from gateway.inference.errors import (
    BodyTooLarge,
    MalformedRequest,
    ModelNotFound,
    OutputRefused,
)
from gateway.inference.record import InferenceRecord, Personal, code_of
from gateway.screening.verdict import ATLAS, Verdict
from policies.engine import Decision
from tests.gateway.parts import TENANT, call

from .works import Works, row, works

MARKER = "Marta-Example-1971"
CALLER = call("caller").principal
YES = Decision(True, ("acme/caller-infer",), 3, None)
NO = Decision(False, ("platform-screening",), 3, None)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Works]:
    with works() as made:
        made.publish(screened=False)
        yield made


def opened(shop: Works, **changes: Any) -> InferenceRecord:
    return shop.records.open(replace(CALLER, **changes), 1, "m", None)


def body_of(*subjects: str) -> bytes:
    asked = row()
    if len(subjects) == 1:
        asked["parameters"] = {"subject": subjects[0]}
    elif subjects:
        names = {
            "name": "sealgate_subject",
            "shape": [len(subjects)],
            "datatype": "BYTES",
            "data": list(subjects),
        }
        asked["inputs"].append(names)
    return json.dumps(asked).encode()


def stated(shop: Works, *subjects: str) -> tuple[InferenceRecord, bytes]:
    record, body = opened(shop), body_of(*subjects)
    request = oip.parse(body, None)
    record.state(request, len(body), record.commit(body))
    record.aim(shop.routes.resolve(TENANT, "m", None))
    record.named(shop.records.seal_subjects(record, request.subjects))
    return record, body


def closed(shop: Works, record: InferenceRecord, refusal: Exception | None = None) -> Event:
    return shop.records.close(record, refusal)[0]


def test_who_a_request_is_about_stands_only_in_what_is_sealed(shop: Works) -> None:
    record, body = stated(shop, MARKER, f"{MARKER}-b", MARKER)
    event, sealed = shop.records.close(record, None)
    receipt = shop.house.log.append_blocking(event, sealed)
    entry = shop.house.reader.entry(TENANT, receipt.index)
    assert MARKER.encode() not in entry.body
    assert record.salt.hex().encode() not in entry.body
    kept = shop.house.reader.sealed(TENANT, receipt.index)
    assert [field.subject_ref for field in kept] == list(event.subject_refs)
    assert all(MARKER.encode() not in f.ciphertext for f in kept)
    assert all(record.salt not in f.ciphertext for f in kept)
    found = [
        msgspec.json.decode(
            shop.vault.open(TENANT, f.subject_ref, f.ciphertext, entry.event.id), type=Personal
        )
        for f in kept
    ]
    assert [personal.subject for personal in found] == [MARKER, f"{MARKER}-b"]
    for personal in found:
        assert hashlib.sha256(personal.salt + body).hexdigest() == entry.event.input_commit


def test_after_an_erasure_nothing_leads_back(shop: Works) -> None:
    record, _ = stated(shop, MARKER)
    event, (field,) = shop.records.close(record, None)
    ref = event.subject_refs[0]
    assert shop.vault.find(TENANT, MARKER) == ref
    shop.vault.erase(TENANT, ref)
    assert shop.vault.find(TENANT, MARKER) is None
    with pytest.raises(SubjectErased):
        shop.vault.open(TENANT, ref, field.ciphertext, event.id)
    again, _ = stated(shop, MARKER)
    assert again.subject_refs != record.subject_refs


def test_a_subject_has_one_reference_and_every_event_a_salt_of_its_own(shop: Works) -> None:
    (first, body), (second, same) = stated(shop, MARKER), stated(shop, MARKER)
    assert body == same
    assert first.subject_refs == second.subject_refs
    assert first.salt != second.salt
    assert first.commitment != second.commitment
    assert len(first.salt) == 16


def test_a_sealed_field_opens_for_its_own_event_only(shop: Works) -> None:

    (first, _), (second, _) = stated(shop, MARKER), stated(shop, MARKER)
    with pytest.raises(SealInvalid):
        shop.vault.open(TENANT, first.subject_refs[0], first.sealed[0].ciphertext, second.id)


def test_the_largest_request_still_fits_an_event(shop: Works) -> None:
    names = [f"{secrets.token_hex(8)}-{number}" for number in range(256)]
    record, _ = stated(shop, *names)
    event, sealed = shop.records.close(record, None)
    receipt = shop.house.log.append_blocking(event, sealed)
    assert len(shop.house.reader.sealed(TENANT, receipt.index)) == 256


def test_an_unknown_models_name_is_the_callers_text_and_stays_out(shop: Works) -> None:
    record = shop.records.open(CALLER, 1, MARKER, MARKER)
    event = closed(shop, record, ModelNotFound())
    assert MARKER.encode() not in encode(event)
    assert (event.model_id, event.model_version, event.resource) == ("", "", "")
    assert (event.outcome, event.reason) == ("deny", "model_not_found")


def test_a_purpose_that_nobody_registered_is_the_callers_text_and_stays_out(shop: Works) -> None:
    record = opened(shop)
    asked = json.dumps(row(purpose=MARKER)).encode()
    sent = record.state(oip.parse(asked, None), len(asked), record.commit(asked))
    assert sent.purpose == MARKER, "policy sees it"
    assert MARKER.encode() not in encode(closed(shop, record))
    assert closed(shop, record).purpose == ""


@pytest.mark.parametrize(("stated_purpose", "recorded"), [("care", "care"), (None, "research")])
def test_the_purpose_is_the_stated_one_or_the_clients_default(
    shop: Works, stated_purpose: str | None, recorded: str
) -> None:
    record = opened(shop, purposes=frozenset({"care", "research"}), default_purpose="research")
    asked = json.dumps(row(**({"purpose": stated_purpose} if stated_purpose else {}))).encode()
    record.state(oip.parse(asked, None), len(asked), record.commit(asked))
    assert closed(shop, record).purpose == recorded


def test_a_target_is_recorded_as_it_was_resolved(shop: Works) -> None:
    record, body = stated(shop)
    event = closed(shop, record)
    assert (event.model_id, event.model_version) == ("m", "1")
    assert event.resource == f"ModelVersion::{TENANT}/m@1"
    assert event.n_in == len(body)
    assert event.id == event.request_id == record.id


@pytest.mark.parametrize(
    ("aimed", "decision", "refusal", "outcome", "reason"),
    [
        (True, YES, None, "allow", ""),
        (True, NO, OutputRefused(), "deny", "output_refused"),
        (True, NO, ModelNotFound(), "deny", "model_not_found"),
        (False, None, ModelNotFound(), "deny", "model_not_found"),
        (False, None, MalformedRequest(), "error", "malformed_request"),
        (False, None, BodyTooLarge(), "error", "body_too_large"),
        (True, YES, RunTimeout(), "error", "run_timeout"),
        (True, YES, InvalidToken(), "deny", "invalid_token"),
        (True, YES, ValueError(MARKER), "error", "internal"),
    ],
)
def test_outcomes(
    shop: Works,
    aimed: bool,
    decision: Decision | None,
    refusal: Exception | None,
    outcome: str,
    reason: str,
) -> None:
    record = opened(shop)
    if aimed:
        record.aim(shop.routes.resolve(TENANT, "m", None))
    if decision is not None:
        record.decided(decision)
    event = closed(shop, record, refusal)
    assert (event.outcome, event.reason) == (outcome, reason)
    assert event.action == "infer", "no output was judged yet"
    assert MARKER.encode() not in encode(event)


def test_a_reason_that_a_step_gave_is_the_one_recorded(shop: Works) -> None:
    record = opened(shop)
    record.reason = "contract.shape"
    assert closed(shop, record, ModelNotFound()).reason == "contract.shape"


def test_the_screens_verdict_is_recorded_without_scores(shop: Works) -> None:
    record, _ = stated(shop)
    record.screened(Verdict("block", "p<0.01", ("screen.trust",), ATLAS, (0,)), "d" * 64)
    record.decided(NO)
    event = closed(shop, record, OutputRefused())
    assert event.action == "releaseOutput"
    assert event.screening is not None
    assert (event.screening.bucket, event.screening.profile) == ("p<0.01", "d" * 64)
    assert (event.screening.rules, event.screening.atlas) == (("screen.trust",), ATLAS)
    assert closed(shop, opened(shop)).screening is None


def test_the_policies_of_both_decisions_are_kept_and_of_a_no_those_of_the_no(
    shop: Works,
) -> None:
    record = opened(shop)
    record.decided(Decision(True, ("a",), 3, None))
    record.decided(Decision(True, ("b",), 4, None))
    event = closed(shop, record)
    assert (event.policy_ids, event.policy_epoch) == (("a", "b"), 4)
    record.decided(NO)
    assert closed(shop, record, OutputRefused()).policy_ids == NO.policy_ids


def test_codes() -> None:
    assert code_of(None) == ""
    assert code_of(RunTimeout()) == "run_timeout"
    assert code_of(AuditUnavailable()) == "audit_unavailable"
    assert code_of(KeyError(MARKER)) == "internal"
