"""The reference says what the code says: nothing is missing, and nothing is stale."""

from __future__ import annotations

import json
import re
from typing import Any, get_args

import msgspec
import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

import audit.state
from audit.event import Event, FederatedPart, Screening
from gateway.batch import records as batches
from gateway.composition.reloading import RELOADABLE
from gateway.demo.contract import Demo, schema
from gateway.federation.records import RunState
from gateway.issuer_settings import IntrospectionSettings, TrustedIssuer
from gateway.registry.records import VersionState
from gateway.registry.states import MOVES, USES, Use
from gateway.settings import PREFIX, Settings
from tests.docs.tables import REFERENCE, rows


def default_of(model: type[BaseModel], key: str) -> str:
    value = model.model_fields[key].default
    if value is PydanticUndefined:
        return "required"
    if value is None:
        return "none"
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def settings_page() -> list[list[str]]:
    return [row for row in rows("settings.md") if len(row) == 4]


def test_every_setting_is_described_with_its_default_and_variable() -> None:
    told = {key: (default, variable) for key, default, variable, _ in settings_page()}
    assert told == {
        key: (default_of(Settings, key), PREFIX + key.upper()) for key in Settings.model_fields
    }


def test_every_field_of_a_trusted_issuer_is_described() -> None:
    found = [row[:2] for row in rows("settings.md", "A trusted issuer")]
    count = len(TrustedIssuer.model_fields)
    for model, told in (
        (TrustedIssuer, found[:count]),
        (IntrospectionSettings, found[count:]),
    ):
        assert dict(told) == {key: default_of(model, key) for key in model.model_fields}


@pytest.mark.parametrize(
    ("heading", "struct"), [("", Event), ("`screening`", Screening), ("`fl`", FederatedPart)]
)
def test_every_field_of_an_event_is_described_in_order(
    heading: str, struct: type[msgspec.Struct]
) -> None:
    told = [row[0] for row in rows("audit-event.md", heading)]
    fields = list(struct.__struct_fields__)
    assert told[: len(fields)] == fields
    if heading:
        assert told == fields


def test_the_moves_of_a_version_are_those_of_the_code() -> None:
    told = {
        row[0]: {state for state in row[1].split(", ") if state}
        for row in rows("states.md", "Of a version")
        if len(row) == 2
    }
    assert told == {state: set(following) for state, following in MOVES.items()}


def test_what_a_version_may_do_in_a_state_is_what_the_code_says() -> None:
    told = {row[0]: row[2:] for row in rows("states.md", "Of a version") if len(row) == 5}
    assert list(told) == list(get_args(VersionState))
    assert told == {
        state: ["yes" if use in uses else "no" for use in get_args(Use)]
        for state, uses in USES.items()
    }


def test_every_state_of_a_run_is_described() -> None:
    assert [row[0] for row in rows("states.md", "Of a run")] == list(get_args(RunState))


def test_the_moves_of_a_batch_job_are_those_of_the_code() -> None:
    found = [row for row in rows("states.md", "Of a batch job") if len(row) == 2]
    moves, states, parts = found[:7], found[7:14], found[14:]
    told = {row[0]: {state for state in row[1].split(", ") if state} for row in moves}
    assert told == {state: set(following) for state, following in batches.MOVES.items()}
    assert [row[0] for row in states] == list(get_args(batches.BatchState))
    assert [row[0] for row in parts] == list(get_args(batches.PartState))


def test_the_moves_of_the_audit_log_are_those_of_the_code() -> None:
    told = {
        row[0]: {state for state in row[1].split(", ") if state}
        for row in rows("states.md", "Of the audit log")
        if len(row) == 2
    }
    assert told == {state: set(following) for state, following in audit.state.MOVES.items()}


def test_what_the_audit_log_does_in_a_state_is_what_the_code_says() -> None:
    told = {row[0]: row[2:] for row in rows("states.md", "Of the audit log") if len(row) == 5}
    assert list(told) == list(get_args(audit.state.State))
    assert told == {
        state: [
            "yes" if state in allowed else "no"
            for allowed in (audit.state.APPENDABLE, audit.state.SIGNING, audit.state.READY)
        ]
        for state in audit.state.MOVES
    }


def test_the_schema_of_demo_json_is_that_of_the_code() -> None:
    published: Any = json.loads((REFERENCE / "demo.schema.json").read_text())
    assert published == json.loads(json.dumps(schema()))


def test_every_field_of_demo_json_is_described() -> None:
    assert [row[0] for row in rows("demo-json.md")] == list(Demo.__struct_fields__)


def test_what_a_hang_up_takes_over_is_what_the_code_says() -> None:
    text = (REFERENCE / "settings.md").read_text().split("SIGHUP takes over", 1)[1]
    told = re.findall(r"`(\w+)`", text.split(".", 1)[0])
    assert set(told) == RELOADABLE
