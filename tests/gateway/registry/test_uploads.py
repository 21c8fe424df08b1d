from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import pytest

from gateway.artifacts.errors import StoreError
from gateway.authorization.intents import Intents
from gateway.errors import Forbidden, LimitReached, NotFound, StateConflict
from gateway.identity.errors import InvalidToken
from gateway.registry import uploads as uploads_module
from gateway.registry.records import Model, SealedPayload
from gateway.registry.uploads import KEEP_S, MAX_WAITING, MAX_WAITING_BYTES, Uploads
from tests.gateway.parts import NOW, TENANT, House, call, house

OWNER, SECOND = call("owner"), call("owner", client="second")


def payload(name: str = "d", length: int = 9) -> SealedPayload:
    return SealedPayload("upload", name, length, length, "p", b"k", post_quantum=False)


@dataclass
class Arrived:
    """A complete upload; what was stored of it is in a list, until it is removed."""

    payload: SealedPayload
    stored: list[str]
    removed: list[str]

    def commit(self) -> None:
        self.stored.append(self.payload.digest)

    def discard(self) -> None:
        self.removed.append(self.payload.digest)


@dataclass
class Yard:
    home: House
    now: list[float] = field(default_factory=lambda: [NOW])
    stored: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    stuck: bool = False

    def __post_init__(self) -> None:
        registry = self.home.stores.registry
        registry.add_model(Model(TENANT, "m", False, "internal", frozenset(), 1, "c"))
        self.intents = Intents(self.home.stores.pending, self.home.recorder, lambda: self.now[0])
        self.uploads = Uploads(
            self.home.stores.uploads,
            registry,
            self._remove,
            self.home.guard,
            self.intents,
            clock=lambda: self.now[0],
            new_id=self.home.new_id,
        )

    def _remove(self, digest: str) -> None:
        if self.stuck:
            raise StoreError
        self.removed.append(digest)

    def arrived(self, name: str = "d", length: int = 9) -> Arrived:
        return Arrived(payload(name, length), self.stored, self.removed)

    def waiting(self) -> int:
        return len(self.home.stores.uploads.list_uploads(TENANT, after="", limit=999))


@pytest.fixture
def yard() -> Iterator[Yard]:
    with house() as home:
        yield Yard(home)


def test_what_arrived_while_its_sender_was_shut_out_is_not_kept(yard: Yard) -> None:
    yard.uploads.admit(OWNER, "m", 9)
    client = yard.home.stores.clients.get("acme-owner")
    assert client is not None
    yard.home.revocation_state.save_client(replace(client, disabled=True))
    with pytest.raises(InvalidToken):
        yard.uploads.keep(OWNER, "m", yard.arrived())
    assert (yard.waiting(), yard.stored, yard.removed) == (0, [], ["d"])


def test_what_arrived_while_the_policy_changed_is_decided_by_the_new_one(yard: Yard) -> None:
    yard.uploads.admit(OWNER, "m", 9)
    author = yard.home.author
    bundle = author.current(TENANT)
    assert bundle is not None
    forbid = '\n@id("none")\nforbid (principal, action == Action::"uploadArtifact", resource);\n'
    author.publish(TENANT, bundle.text + forbid, "test")
    with pytest.raises(Forbidden):
        yard.uploads.keep(OWNER, "m", yard.arrived())
    assert (yard.waiting(), yard.removed) == (0, ["d"])
    assert yard.home.events()[-1]["outcome"] == "deny"


def test_many_at_once_do_not_get_past_the_limit(yard: Yard) -> None:
    start = threading.Barrier(2 * MAX_WAITING)

    def upload(number: int) -> bool:
        start.wait()
        try:
            yard.uploads.admit(OWNER, "m", 9)
        except LimitReached:
            return False
        yard.uploads.keep(OWNER, "m", yard.arrived(str(number)))
        return True  # its place is never given back: nobody comes in after it

    with ThreadPoolExecutor(2 * MAX_WAITING) as many:
        accepted = list(many.map(upload, range(2 * MAX_WAITING)))
    assert yard.waiting() == sum(accepted) <= MAX_WAITING


def test_a_place_is_taken_before_the_first_byte_and_given_back(yard: Yard) -> None:
    places = [yard.uploads.admit(OWNER, "m", 9) for _ in range(MAX_WAITING)]
    with pytest.raises(LimitReached) as refused:
        yard.uploads.admit(OWNER, "m", 9)
    assert "DELETE /v1/uploads/{id}" in refused.value.public
    yard.uploads.leave(places[0])
    yard.uploads.admit(OWNER, "m", 9)


def test_too_many_uploads_say_when_there_is_room_by_itself(yard: Yard) -> None:
    for number in range(MAX_WAITING):
        yard.now[0] = NOW + number
        yard.uploads.keep(OWNER, "m", yard.arrived(str(number)))
    with pytest.raises(LimitReached) as refused:
        yard.uploads.admit(OWNER, "m", 9)
    assert int(refused.value.retry_after) == KEEP_S - (MAX_WAITING - 1)
    yard.now[0] += int(refused.value.retry_after)
    yard.uploads.sweep()
    yard.uploads.admit(OWNER, "m", 9)


def test_room_for_many_bytes_is_there_when_enough_of_what_waits_is_gone(yard: Yard) -> None:
    third = MAX_WAITING_BYTES // 3
    for number in range(3):
        yard.now[0] = NOW + number
        yard.uploads.keep(OWNER, "m", yard.arrived(str(number), third))
    with pytest.raises(LimitReached) as refused:
        yard.uploads.admit(OWNER, "m", 2 * third)
    assert int(refused.value.retry_after) == KEEP_S - 1, "two of the three must go"


def test_uploads_that_come_in_are_worth_another_look_soon(yard: Yard) -> None:
    for _ in range(MAX_WAITING):
        yard.uploads.admit(OWNER, "m", 9)
    with pytest.raises(LimitReached) as refused:
        yard.uploads.admit(OWNER, "m", 9)
    assert refused.value.retry_after == "5"


def test_the_bytes_that_wait_are_bounded(yard: Yard) -> None:
    yard.uploads.leave(yard.uploads.admit(OWNER, "m", MAX_WAITING_BYTES + 1))  # a single one fits
    yard.uploads.keep(OWNER, "m", yard.arrived("a", MAX_WAITING_BYTES - 10))
    place = yard.uploads.admit(OWNER, "m", 10)
    with pytest.raises(LimitReached):
        yard.uploads.admit(OWNER, "m", 1)
    yard.uploads.leave(place)
    with pytest.raises(LimitReached):
        yard.uploads.admit(OWNER, "m", 11)


def test_an_upload_is_given_up_by_the_client_that_sent_it(yard: Yard) -> None:
    kept = yard.uploads.keep(OWNER, "m", yard.arrived())
    with pytest.raises(NotFound):
        yard.uploads.give_up(SECOND, kept.id)
    yard.uploads.give_up(OWNER, kept.id)
    assert (yard.waiting(), yard.removed) == (0, ["d"])
    event = yard.home.events()[-1]
    assert (event["reason"], event["model_digest"]) == ("discard", "p")
    with pytest.raises(NotFound):
        yard.uploads.give_up(OWNER, kept.id)


def test_a_client_sees_its_own_uploads_that_wait_page_by_page(yard: Yard) -> None:
    mine = [yard.uploads.keep(OWNER, "m", yard.arrived(f"d{n}")).id for n in range(3)]
    yard.uploads.keep(SECOND, "m", yard.arrived("theirs"))
    first, after = yard.uploads.waiting(OWNER, after="", limit=2)
    assert after is not None
    rest, end = yard.uploads.waiting(OWNER, after=after, limit=2)
    assert [one.id for one in (*first, *rest)] == sorted(mine)
    assert end is None
    yard.now[0] += KEEP_S
    assert yard.uploads.waiting(OWNER, after="", limit=2) == ([], None)


def test_an_upload_in_use_is_neither_given_up_nor_swept_nor_used_twice(yard: Yard) -> None:
    kept = yard.uploads.keep(OWNER, "m", yard.arrived())
    with yard.uploads.using(OWNER, kept.id) as found:
        assert found == [kept]
        with pytest.raises(StateConflict):
            yard.uploads.give_up(OWNER, kept.id)
        with pytest.raises(StateConflict), yard.uploads.using(OWNER, kept.id):
            raise AssertionError
        yard.now[0] += uploads_module.KEEP_S
        assert yard.uploads.sweep() == 0
        assert yard.removed == []
    assert yard.uploads.sweep() == 1
    assert yard.removed == ["d"]


def test_a_discard_that_is_settled_late_leaves_what_was_published_meanwhile(yard: Yard) -> None:
    kept = yard.uploads.keep(OWNER, "m", yard.arrived())
    yard.stuck = True
    with pytest.raises(StoreError):
        yard.uploads.give_up(OWNER, kept.id)
    with yard.uploads.using(OWNER, kept.id):
        yard.uploads.spend(TENANT, kept.id)
    yard.stuck = False
    yard.intents.settle_left()
    assert yard.removed == []
    assert yard.home.stores.pending.list_pending(after=(-1, ""), limit=9) == []


def test_what_cannot_be_stored_is_no_upload(yard: Yard) -> None:
    class Unstorable(Arrived):
        def commit(self) -> None:
            raise StoreError

    with pytest.raises(StoreError):
        yard.uploads.keep(OWNER, "m", Unstorable(payload(), yard.stored, yard.removed))
    assert (yard.waiting(), yard.stored) == (0, [])
    event = yard.home.events()[-1]
    assert (event["phase"], event["outcome"], event["reason"]) == ("result", "error", "interrupted")


def test_another_client_does_not_learn_that_an_upload_is_in_use(yard: Yard) -> None:
    yard.uploads.admit(OWNER, "m", 9)
    upload = yard.uploads.keep(OWNER, "m", yard.arrived())
    with yard.uploads.using(OWNER, upload.id):
        for client, refusal in ((OWNER, StateConflict), (SECOND, NotFound)):
            with pytest.raises(refusal), yard.uploads.using(client, upload.id):
                pass
