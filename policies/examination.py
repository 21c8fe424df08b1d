"""All that is looked at before a policy set comes into force, as one order and one report.

An order is worked on in a process that may be ended at any moment (`policies.ports.Preparing`); so
both are values that fit JSON. A report is taken in strictly: what does not fit is a fault of the
process, never a set.

1. A text is checked, measured and validated first (`policies.compiled.prepare`); only what passes
   is tried (`policies.trying`) and held against the people of its tenant (`policies.standing`).
2. A set that was in force already is not tried: how fast the machine is that day refuses nobody's
   set, and whoever was locked out by one is not helped by having none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from policies.asking import schema
from policies.compiled import (
    ACTIONS,
    MAX_PROBLEMS,
    CompiledSet,
    Prepared,
    join,
    parsed,
    platform_set,
    platform_text,
    prepare,
)
from policies.cost import PUBLISHED, STORED, cost_of
from policies.errors import PolicySetInvalid, Problem
from policies.standing import Standing, locked_out
from policies.trying import Slowest, slowest, too_slow


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be looked at.

    Attributes:
        texts: The sets.
        stored: They were in force already.
        now: Unix seconds.
        standing: Of the tenant of an only text.
        current: Text of its set in force.
    """

    texts: tuple[str, ...]
    stored: bool
    now: int
    standing: Standing | None = None
    current: str | None = None


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was found of one text: what was prepared, or its problems, of which there is one.

    Attributes:
        tenants: Those that a text with problems names, as far as it could be read.
    """

    prepared: Prepared | None
    problems: tuple[Problem, ...] = ()
    tenants: Mapping[str, frozenset[str]] = msgspec.field(default_factory=dict)


def read_own_files() -> None:
    """Read what work needs of our own files: a confined process may not be able to, later on."""
    schema()
    platform_set()


def work(order: bytes) -> bytes:
    """Carry out an order and return its reports, both in JSON.

    Raises:
        msgspec.MsgspecError: The order is not one.
    """
    read = msgspec.json.decode(order, type=Order)
    return msgspec.json.encode([_report(read, text) for text in read.texts])


def reports(data: bytes, count: int) -> tuple[Report, ...]:
    """Take reports in.

    Args:
        data: What `work` returned.
        count: How many texts there were.

    Raises:
        ValueError: It is not that.
    """
    found = msgspec.json.decode(data, type=tuple[Report, ...])
    if len(found) != count or any((one.prepared is None) == (not one.problems) for one in found):
        raise ValueError("reports")
    return found


def examine(
    text: str, now: int, standing: Standing | None = None, current: str | None = None
) -> Prepared:
    """Look at a text that is to come into force.

    Args:
        text: Cedar policies.
        now: Unix seconds.
        standing: Who must still be able to steer its tenant; None asks for nobody.
        current: The text in force.

    Raises:
        PolicySetInvalid: It may not; `problems` says why.
    """
    prepared = prepare(text, PUBLISHED)
    compiled, policies = join(text, prepared), parsed(text)
    largest = max(policies, key=lambda name: cost_of(policies[name]).parts, default="")
    named = str(policies[largest]["annotations"]["id"]) if largest else ""
    problems = too_slow(_slowest(compiled, policies, now), named)
    if not problems and standing is not None:
        problems = _locked_out(text, compiled, standing, current)
    if problems:
        raise PolicySetInvalid(problems[:MAX_PROBLEMS], prepared.tenants)
    return prepared


def _slowest(compiled: CompiledSet, policies: Mapping[str, Any], now: int) -> Slowest:
    empty = platform_set().handle
    return slowest(compiled.handle, empty, policies, tuple(ACTIONS), now=now)


def _locked_out(
    text: str, compiled: CompiledSet, standing: Standing, current: str | None
) -> tuple[Problem, ...]:
    before = None
    if current is not None:
        before = join(current, Prepared({}, {})).handle
    return locked_out(compiled.handle, before, standing, [*_ids(platform_text()), *_ids(text)])


def _ids(text: str) -> list[str]:
    policies = parsed(text)
    return [str(policies[f"policy{at}"]["annotations"]["id"]) for at in range(len(policies))]


def _report(order: Order, text: str) -> Report:
    try:
        if order.stored:
            return Report(prepare(text, STORED))
        return Report(examine(text, order.now, order.standing, order.current))
    except PolicySetInvalid as invalid:
        return Report(None, invalid.problems, dict(invalid.tenants))
