"""What a partner has seen: older releases and changed versions are told from new ones."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.artifacts.errors import StatementInvalid
from gateway.artifacts.release_document import Verified, verify
from gateway.artifacts.trust import (
    VERSIONS_KEPT,
    accepting,
    objection,
    parse_record,
    remembering,
)
from tests.gateway.artifacts.publisher import NOW, Tenant

CLINIC = Tenant()
KIT = CLINIC.kit()


def seen(version: str, age: int, content: bytes = b"a model", model: str = "triage") -> Verified:
    made = CLINIC.publish(model, version, content, created=NOW - age)
    return verify(made.document, KIT, now=NOW)


def test_an_older_release_is_refused_and_the_newest_stays() -> None:
    record = remembering(accepting(KIT, NOW), seen("1.1", age=100))
    old = seen("1.0", age=200)
    assert objection(record, old) == "older"
    assert objection(record, seen("1.1", age=100)) is None
    assert objection(record, seen("1.2", age=50)) is None
    assert objection(record, seen("1.0", age=200, model="other")) is None
    allowed = remembering(record, old)
    assert allowed.models["triage"].newest == NOW - 100, "allowing one lets no second one in"
    assert objection(allowed, seen("0.9", age=150)) == "older"


def test_the_first_download_is_held_to_what_the_kit_names() -> None:
    record = accepting(CLINIC.kit(triage=NOW - 100), NOW)
    assert objection(record, seen("1.0", age=101)) == "older"
    assert objection(record, seen("1.0", age=100)) is None


def test_a_version_sealed_anew_is_newer_and_has_the_same_content() -> None:
    record = remembering(accepting(KIT, NOW), seen("1.0", age=100))
    again = seen("1.0", age=10)
    assert objection(record, again) is None
    assert remembering(record, again).models["triage"].newest == NOW - 10


def test_a_version_whose_content_changed_is_refused_even_where_it_is_newer() -> None:
    record = remembering(accepting(KIT, NOW), seen("1.0", age=100))
    other = seen("1.0", age=10, content=b"another")
    assert objection(record, other) == "changed"
    with pytest.raises(StatementInvalid, match="another content"):
        remembering(record, other)


def test_a_new_kit_keeps_what_was_seen_and_an_older_kit_is_refused() -> None:
    record = remembering(accepting(KIT, NOW), seen("1.1", age=100))
    newer = accepting(CLINIC.kit(created=NOW + 1, triage=NOW - 500), NOW, record)
    assert newer.models["triage"] == record.models["triage"]
    with pytest.raises(StatementInvalid, match="older than"):
        accepting(CLINIC.kit(created=NOW - 1), NOW, record)
    with pytest.raises(StatementInvalid, match="another tenant's"):
        accepting(Tenant("bank").kit(), NOW, record)


def test_what_is_remembered_of_a_model_is_bounded() -> None:
    record, one = accepting(KIT, NOW), seen("1.0", age=1000)
    for number in range(VERSIONS_KEPT + 5):
        manifest = msgspec.structs.replace(one.release.manifest, version=f"1.{number}")
        link = msgspec.structs.replace(one.release.link, created=NOW - 1000 + number)
        found = Verified(type(one.release)(manifest, link), one.owner_key, one.content)
        record = remembering(record, found)
    kept = record.models["triage"].versions
    assert (len(kept), "1.0" in kept, f"1.{VERSIONS_KEPT + 4}" in kept) == (
        VERSIONS_KEPT,
        False,
        True,
    )
    assert parse_record(record.encode()) == record


@given(st.binary(max_size=200) | st.just(b"{}") | st.just(b"[" * 9999))
def test_any_bytes_end_as_our_error(data: bytes) -> None:
    with pytest.raises(StatementInvalid):
        parse_record(data)
