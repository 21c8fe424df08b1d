from __future__ import annotations

import importlib

import pytest

from audit.errors import AuditError
from gateway.errors import NotFound, SealgateError
from gateway.grpc.status import STATUS, Status, ending_of, percent_encoded
from gateway.inference.errors import ContractViolation
from policies.errors import PolicyError
from tests.docs.tables import ROOT
from tests.gateway.web.test_problems import OF_NO_DOOR, PARTS, every


def test_every_error_has_a_row_and_every_row_an_error() -> None:
    for part in (*PARTS, "engine", "grpc"):
        importlib.import_module(f"gateway.{part}.errors")
    codes = {
        str(vars(error)["code"])
        for base in (SealgateError, AuditError, PolicyError)
        for error in every(base)
        if "code" in vars(error) and not error.__module__.startswith(OF_NO_DOOR[::2])
    }
    assert codes == set(STATUS)


def test_codes_of_this_door_only_have_their_heading_too() -> None:
    text = (ROOT / "docs/problems.md").read_text()
    for code in ("unknown_method", "unknown_compression", "deadline_exceeded"):
        assert f"\n## {code.replace('_', '-')}\n" in text


def test_a_fault_tells_nothing() -> None:
    ending = ending_of(ValueError("the payload was 123-45-6789"))
    assert ending.status is Status.INTERNAL
    assert "123" not in repr(ending)


def test_a_refusal_tells_its_code_its_reason_and_its_place_in_the_log() -> None:
    refusal = ContractViolation("shape", "in")
    refusal.receipt = "log/acme/7"
    assert ending_of(refusal).metadata == (
        (b"sealgate-problem", b"contract_violation"),
        (b"sealgate-reason", b"shape"),
        (b"sealgate-audit", b"log/acme/7"),
    )
    assert ending_of(NotFound()).message == "there is nothing here"


@pytest.mark.parametrize(
    ("message", "written"),
    [("no such model", b"no such model"), ("100 %\n", b"100 %25%0A"), ("é", b"%C3%A9")],
)
def test_messages_are_percent_encoded(message: str, written: bytes) -> None:
    assert percent_encoded(message) == written
