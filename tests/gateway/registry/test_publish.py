"""A publish that waits for its turn: what was decided when it was asked for does not count then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from gateway.errors import InvalidRequest
from gateway.registry.publish import Publisher, PublishOrder
from gateway.work.jobs import Job, Jobs
from tests.gateway.parts import NOW, TENANT, House, call, house
from tests.gateway.registry.test_uploads import Yard
from tests.gateway.work.test_jobs import Later

OWNER = call("owner")


class Untouched:
    """Stands where nothing may be reached."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


@dataclass
class Press:
    home: House
    yard: Yard
    later: Later
    jobs: Jobs
    publisher: Publisher

    def asked(self, **changes: Any) -> Job:
        upload = self.yard.uploads.keep(OWNER, "m", self.yard.arrived())
        order = PublishOrder("m", "1", upload.id, None, b"{}", b"pem")
        return self.publisher.start(OWNER, replace(order, **changes), self.jobs)

    def ended(self, job: Job) -> str:
        self.later.run()
        found = self.jobs.get(TENANT, job.id)
        assert found is not None
        assert found.state == "failed"
        return found.error


@pytest.fixture
def press() -> Iterator[Press]:
    with house() as home:
        yard, later = Yard(home), Later()
        untouched = cast("Any", Untouched())
        publisher = Publisher(
            home.stores.registry,
            yard.uploads,
            untouched,
            untouched,
            home.guard,
            clock=lambda: NOW,
        )
        yield Press(home, yard, later, Jobs(later, home.new_id), publisher)


def _revoke(home: House) -> None:
    home.revocation_state.revoke_token("https://gateway.example", "t", int(NOW) + 300)


def _disable(home: House) -> None:
    client = home.stores.clients.get("acme-owner")
    assert client is not None
    home.revocation_state.save_client(replace(client, disabled=True))


def _suspend(home: House) -> None:
    tenant = home.stores.tenants.get(TENANT)
    assert tenant is not None
    home.revocation_state.save_tenant(replace(tenant, suspended=True))


def _forbid(home: House) -> None:
    bundle = home.author.current(TENANT)
    assert bundle is not None
    forbid = '\n@id("none")\nforbid (principal, action == Action::"uploadArtifact", resource);\n'
    home.author.publish(TENANT, bundle.text + forbid, "test")


@pytest.mark.parametrize(
    ("take_away", "error"),
    [
        (_revoke, "invalid_token"),
        (_disable, "invalid_token"),
        (_suspend, "invalid_token"),
        (_forbid, "forbidden"),
    ],
)
def test_what_was_taken_away_while_it_waited_does_not_begin(
    press: Press, take_away: Callable[[House], None], error: str
) -> None:
    job = press.asked()
    take_away(press.home)
    assert press.ended(job) == error
    assert press.home.stores.registry.get_version(TENANT, "m", "1") is None
    assert press.home.stores.pending.list_pending(after=(-1, ""), limit=9) == []
    allowed = [e for e in press.home.events() if e["outcome"] == "allow"]
    assert [e["reason"] for e in allowed] == ["upload"], "nothing was published"


def test_an_upload_that_was_given_up_while_it_waited_is_not_published(press: Press) -> None:
    job = press.asked()
    (upload,) = press.home.stores.uploads.list_uploads(TENANT, after="", limit=9)
    press.yard.uploads.give_up(OWNER, upload.id)
    assert press.ended(job) == "not_found"
    assert press.home.stores.registry.get_version(TENANT, "m", "1") is None


def test_the_model_is_not_its_own_calibration_set(press: Press) -> None:
    upload = press.yard.uploads.keep(OWNER, "m", press.yard.arrived())
    with pytest.raises(InvalidRequest):
        press.asked(upload=upload.id, calibration=upload.id)
