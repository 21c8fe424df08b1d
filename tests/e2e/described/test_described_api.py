"""What the API's document says is what the gateway does, whoever asks and whatever is sent.

No 5xx, no status, content type, header or body that is not in the document, and nothing without a
token that the document wants one for.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest

from gateway.identity.records import ROLES, SCOPES
from tests.e2e.described.run import Caller, hold, register
from tests.e2e.house import House, moved, told

pytestmark = pytest.mark.clients
EACH: Final = ("--phases", "examples", "--seed", "1")
SOME: Final = ("--phases", "examples,fuzzing", "-n", "3", "--seed", "1")
LONG: Final = ("--phases", "examples,coverage,fuzzing,stateful", "-n", "100")

WHO: Final = {"nobody": EACH, "wrong role": EACH, "every role": SOME, "administrator": EACH}
"""Who asks, in this order (the last may suspend the others) → how many requests here."""


@pytest.fixture(scope="module")
def described(founded: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A gateway of its own: what is sent here suspends, disables, retires and erases."""
    with moved(founded, tmp_path_factory.mktemp("described") / "place") as house:
        yield house


@pytest.fixture(scope="module")
def callers(described: House) -> dict[str, Caller]:
    clinic = {"tenant": "clinic", "purposes": ["diagnosis"], "default_purpose": "diagnosis"}
    own = {"roles": sorted(ROLES - {"administrator"}), "scopes": sorted(SCOPES - {"admin"})}
    return {
        "nobody": Caller(""),
        "wrong role": register(described, "only-site", **clinic, roles=["site"], scopes=["infer"]),
        "every role": register(described, "every-role", **clinic, **own),
        "administrator": register(
            described, "chief", tenant="platform", roles=["administrator"], scopes=["admin"]
        ),
    }


def test_a_stream_without_an_end_is_as_described(described: House) -> None:
    described_as = httpx.get(f"{described.url}/openapi.json").json()
    said = described_as["paths"]["/v1/audit/follow"]["get"]["responses"]["200"]["content"]
    url, headers = f"{described.url}/v1/audit/follow", described.bearer("clinic-officer")
    with httpx.stream("GET", url, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].partition(";")[0] in said
        assert next(answer.iter_lines()) == "event: entry"


@pytest.mark.parametrize("who", WHO)
def test_the_gateway_does_what_its_document_says(
    who: str, described: House, callers: dict[str, Caller], tmp_path: Path
) -> None:
    found = hold(described, callers[who], tmp_path, *WHO[who])
    assert not found, found


@pytest.mark.soak
@pytest.mark.parametrize("who", WHO)
def test_the_gateway_does_what_its_document_says_for_long(
    who: str, described: House, callers: dict[str, Caller], tmp_path: Path
) -> None:
    seed = str(random.SystemRandom().randrange(1 << 32))
    found = hold(described, callers[who], tmp_path, *LONG, "--seed", seed)
    assert not found, found


def test_nothing_that_was_sent_was_a_fault(described: House) -> None:
    assert [line for line in told(described) if line["level"] == "error"] == []
