from __future__ import annotations

import sqlite3

from structlog.testing import capture_logs

from audit.errors import StoreFault
from audit.fault_log import FaultLog


def test_a_fault_is_told_once_until_it_is_over() -> None:
    faults = FaultLog()
    with capture_logs() as told:
        faults.end("audit_store_fault", recovered="audit_store_recovered")
        for _ in range(3):
            faults.begin("audit_store_fault", StoreFault())
        faults.begin("audit_chore_failed", StoreFault())
        for _ in range(2):
            faults.end("audit_store_fault", recovered="audit_store_recovered")
            faults.end("audit_chore_failed")
        faults.begin("audit_store_fault", StoreFault())
    assert [line["event"] for line in told] == [
        "audit_store_fault",
        "audit_chore_failed",
        "audit_store_recovered",
        "audit_store_fault",
    ]


def test_a_fault_is_told_by_kind_and_place_never_by_its_text() -> None:
    def fail() -> None:
        try:
            raise sqlite3.OperationalError("Marta-Example-1971")
        except sqlite3.Error as cause:
            raise StoreFault from cause

    with capture_logs() as told:
        try:
            fail()
        except StoreFault as fault:
            FaultLog().begin("audit_store_fault", fault)
    (line,) = told
    assert (line["fault"], line["cause"]) == ("StoreFault", "OperationalError")
    assert [frame.partition(":")[0] for frame in line["frames"]] == ["fail"]
    assert "Marta" not in str(line)
