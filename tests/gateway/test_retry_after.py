"""Whatever is refused for now says when to come back, and says it truly."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from audit.errors import AuditError
from gateway.batch.quota import DAY_S, Quota
from gateway.batch.records import Usage
from gateway.engine.errors import EnginesDown, SetAside
from gateway.errors import LimitReached, SealgateError
from gateway.federation.coordinator import present
from gateway.federation.errors import CoordinatorUnavailable
from gateway.grpc.status import STATUS as GRPC_STATUS
from gateway.grpc.status import Status, ending_of
from gateway.web.problems import STATUS, problem_of
from policies.errors import PolicyError

SCOPE = {"type": "http", "path": "/v1/things"}
FOR_NOW = (429, 503)
ALWAYS_SAID: dict[str, str] = {
    "limit_reached": "each place says when, see the tests of each",
    "model_set_aside": "for as long as the model rests",
    "issuer_unavailable": "when the issuer is asked again",
    "sign_in_later": "when the wrong guesses are forgotten",
}
"""Codes whose errors know the moment themselves, each time."""
NOT_BY_WAITING = {"model_unavailable", "key_unavailable"}
"""Somebody must release another version, or enable a key."""
PARTS = ("identity", "artifacts", "inference", "engine", "registry", "federation", "storage")


def every(base: type[Exception]) -> Iterator[type[Exception]]:
    yield base
    for child in base.__subclasses__():
        yield from every(child)


def temporary() -> dict[str, type[Any]]:
    """The error class that each code of a refusal for now belongs to."""
    for part in PARTS:
        importlib.import_module(f"gateway.{part}.errors")
    found: dict[str, type[Any]] = {}
    for base in (SealgateError, AuditError, PolicyError):
        for error in every(base):
            code = vars(error).get("code")
            if STATUS.get(str(code)) in FOR_NOW and not error.__module__.startswith("tests"):
                found.setdefault(str(code), error)
    return found


def told(error: Exception) -> str:
    headers = dict(problem_of(error, dict(SCOPE))[1])
    over_grpc = dict(ending_of(error).metadata).get(b"retry-after", b"")
    assert headers.get(b"retry-after", b"") == over_grpc, "both doors say the same"
    return over_grpc.decode()


def test_each_code_says_when_or_that_waiting_does_not_help() -> None:
    known = temporary()
    assert set(known) == {code for code, status in STATUS.items() if status in FOR_NOW}
    for code, error in known.items():
        said = error.retry_after
        if code in NOT_BY_WAITING or code in ALWAYS_SAID:
            assert said == "", code
        else:
            assert 1 <= int(said) <= 60, code


def test_what_grpc_clients_may_try_again_is_what_may_pass() -> None:
    again = {code for code, status in GRPC_STATUS.items() if status is Status.UNAVAILABLE}
    assert again <= {code for code, status in STATUS.items() if status in FOR_NOW}


def test_both_doors_tell_it() -> None:
    assert told(LimitReached().again_in(59.2)) == "60"
    assert told(SetAside().again_in(0.01)) == "1"
    assert told(CoordinatorUnavailable()) == "5"
    assert told(EnginesDown()) == "1"


def test_what_does_not_pass_by_waiting_does_not_say_that_it_does() -> None:
    """A gateway without federation told callers to try again in a moment."""
    assert told(EnginesDown().for_good()) == ""
    with pytest.raises(CoordinatorUnavailable) as refused:
        present(None)
    assert told(refused.value) == ""


NOW = 1_000_000


def used(*files: tuple[int, int, int]) -> Callable[[int], Usage]:
    """What was used since a second by files (seconds ago, rows, bytes)."""

    def since(second: int) -> Usage:
        found = [one for one in files if NOW - one[0] >= second]
        return Usage(0, sum(rows for _, rows, _ in found), sum(size for *_, size in found))

    return since


@pytest.mark.parametrize(
    ("files", "length", "opens"),
    [
        ([(0, 10, 1)], 1, DAY_S + 1),
        ([(3600, 10, 1)], 1, DAY_S - 3600 + 1),
        ([(DAY_S, 10, 1)], 1, 1),
        ([(3600, 5, 1), (60, 5, 1)], 1, DAY_S - 3600 + 1),
        ([(3600, 1, 50), (60, 1, 50)], 50, DAY_S - 3600 + 1),
        ([(3600, 1, 50), (60, 1, 50)], 51, DAY_S - 60 + 1),
        ([(60, 1, 50)], 101, None),
    ],
)
def test_a_quota_opens_when_enough_of_it_is_a_day_old(
    files: list[tuple[int, int, int]], length: int, opens: int | None
) -> None:
    quota = Quota(rows=10, bytes=100)
    usage = used(*files)
    found = quota.opens(usage, length, NOW)
    assert found == (None if opens is None else NOW + opens)
    if found is not None:
        assert quota.fits(usage(found - DAY_S), length)
        assert not quota.fits(usage(found - 1 - DAY_S), length)


def test_when_a_quota_opens_is_found_in_a_few_looks() -> None:
    looks: list[int] = []

    def usage(since: int) -> Usage:
        looks.append(since)
        return used((3600, 10, 1))(since)

    Quota(rows=10, bytes=100).opens(usage, 1, NOW)
    assert len(looks) <= 17
