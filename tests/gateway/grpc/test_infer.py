"""Inference through the door, with the real pipeline, its decisions and its records."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator

import numpy as np
import pytest

from gateway.grpc.http2 import frames
from gateway.grpc.http2.connection import STREAM_WINDOW
from gateway.grpc.status import Status
from gateway.inference.tensors import from_binary
from tests.audit.samples import until
from tests.gateway.grpc.door import Door, opened, request
from tests.gateway.grpc.peer import INFER, Heard, message
from tests.gateway.grpc.protocol_buffers import message as message_of
from tests.gateway.inference.works import CLEAN, STRANGE, Works, works
from tests.gateway.parts import TENANT
from tests.gateway.screening.classifiers import classifier


@pytest.fixture
def shop() -> Iterator[Works]:
    with works("rival") as made:
        made.publish()
        yield made


@pytest.fixture
def door(shop: Works) -> Iterator[Door]:
    with opened(shop) as served:
        yield served


def ask(door: Door, content: bytes | None = None, *more: tuple[str, str]) -> Heard:
    with door.peer() as peer:
        return peer.call(request() if content is None else content, door.bearer(), *more)


@pytest.mark.parametrize("raw", [True, False])
def test_a_request_is_answered_and_its_record_is_named(door: Door, raw: bool) -> None:
    heard = ask(door, request(CLEAN[:2], raw=raw, id="mine"))
    assert heard.status == Status.OK
    assert heard.headers == {":status": "200", "content-type": "application/grpc"}
    assert b"mine" in heard.messages[0]
    (event,) = door.shop.events()
    assert heard.told["sealgate-audit"] == f"log/{TENANT}/0"
    assert heard.told["sealgate-request-id"] == event["request_id"]
    assert event["outcome"] == "allow"


def test_requests_share_a_connection(door: Door) -> None:
    with door.peer() as peer:
        numbers = [peer.begin(INFER, door.bearer()) for _ in range(20)]
        for number in reversed(numbers):
            peer.data(number, message(request()))
        assert {peer.answer(number).status for number in numbers} == {0}
    assert door.recorded() == [("allow", "")] * 20


def test_a_version_can_be_named(door: Door) -> None:
    assert ask(door, request(version="1")).status == Status.OK
    assert ask(door, request(version="2")).status == Status.NOT_FOUND


def test_without_a_token_nothing_is_read_and_the_challenge_is_told(door: Door) -> None:
    with door.peer() as peer:
        heard = peer.answer(peer.begin())
        assert heard.status == Status.UNAUTHENTICATED
        assert heard.told["sealgate-problem"] == "token_missing"
        assert "DPoP" in heard.told["www-authenticate"]
        assert "sealgate-audit" not in heard.told
        while heard.reset is None:
            assert peer.more()
        assert heard.reset == frames.NO_ERROR, "the rest need not be sent"
    assert door.recorded() == []


def test_a_repeated_token_is_refused(door: Door) -> None:
    with door.peer() as peer:
        heard = peer.call(request(), door.bearer(), door.bearer())
    assert heard.status == Status.UNAUTHENTICATED


def test_absent_and_forbidden_are_one_answer(door: Door) -> None:
    door.shop.publish(model="candidate", release=False)
    door.shop.publish(model="theirs", tenant="rival")
    told = []
    for model in ("absent", "candidate", "theirs", "not a name", ""):
        for x in (CLEAN[:1], STRANGE):
            heard = ask(door, request(x, model=model))
            told.append({**heard.told, "sealgate-audit": "", "sealgate-request-id": ""})
    assert told == [told[0]] * len(told)
    assert told[0]["grpc-status"] == str(int(Status.NOT_FOUND))
    assert set(door.recorded()) == {("deny", "model_not_found")}


def test_a_purpose_that_is_not_registered_makes_the_model_absent(door: Door) -> None:
    assert ask(door, request(purpose="marketing")).status == Status.NOT_FOUND
    assert ask(door, request(purpose="care")).status == Status.OK


def test_a_strange_input_is_kept_back_and_recorded(door: Door) -> None:
    heard = ask(door, request(STRANGE))
    assert heard.status == Status.PERMISSION_DENIED
    assert heard.told["sealgate-problem"] == "output_refused"
    assert heard.told["sealgate-audit"] == f"log/{TENANT}/0"
    assert door.recorded() == [("deny", "output_refused")]


def test_a_personal_model_wants_its_subject(door: Door) -> None:
    door.shop.publish(model="personal", personal=True)
    heard = ask(door, request(model="personal"))
    assert (heard.status, heard.told["sealgate-reason"]) == (3, "subject_missing")
    assert ask(door, request(model="personal", subject="MRN-1")).status == Status.OK
    assert "subject_refs" in door.shop.events()[-1]
    assert "MRN-1" not in repr(door.shop.events())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff", "malformed_request"),
        (request()[:-1], "malformed_request"),
        (request(shared_memory_region="r") + b"\x07", "malformed_request"),
        (request([[1.0, 2.0]]), "contract_violation"),
    ],
    ids=["bytes", "cut", "wrong type", "other shape"],
)
def test_what_cannot_be_read_is_refused_and_recorded(
    door: Door, content: bytes, reason: str
) -> None:
    heard = ask(door, content)
    assert heard.status == Status.INVALID_ARGUMENT
    assert heard.told["sealgate-problem"] == reason
    assert [event["outcome"] for event in door.shop.events()] == ["error"]


@pytest.mark.parametrize(
    ("encoding", "squeeze"),
    [("gzip", gzip.compress), ("deflate", zlib.compress)],
)
def test_a_compressed_message_is_read(door: Door, encoding: str, squeeze: object) -> None:
    assert callable(squeeze)
    with door.peer() as peer:
        number = peer.begin(INFER, door.bearer(), ("grpc-encoding", encoding))
        peer.data(number, message(squeeze(request()), compressed=True))
        assert peer.answer(number).status == Status.OK


def test_a_bomb_ends_at_the_bound(door: Door) -> None:
    with door.peer() as peer:
        number = peer.begin(INFER, door.bearer(), ("grpc-encoding", "gzip"))
        peer.data(number, message(gzip.compress(bytes(64 << 20)), compressed=True))
        heard = peer.answer(number)
    assert heard.status == Status.RESOURCE_EXHAUSTED
    assert door.recorded() == [("error", "body_too_large")]


def test_what_is_compressed_may_come_in_several_members(door: Door) -> None:
    """As tools write it that compress in parallel (RFC 1952, section 2.2)."""
    half = len(request()) // 2
    parts = gzip.compress(request()[:half]) + gzip.compress(request()[half:])
    with door.peer() as peer:
        number = peer.begin(INFER, door.bearer(), ("grpc-encoding", "gzip"))
        peer.data(number, message(parts, compressed=True))
        assert peer.answer(number).status == Status.OK


@pytest.mark.parametrize(
    "content", [b"", b"not gzip", gzip.compress(request())[:-1]], ids=["none", "other", "cut"]
)
def test_a_broken_compression_is_refused(door: Door, content: bytes) -> None:
    with door.peer() as peer:
        number = peer.begin(INFER, door.bearer(), ("grpc-encoding", "gzip"))
        peer.data(number, message(content, compressed=True))
        assert peer.answer(number).status == Status.INVALID_ARGUMENT


def test_another_compression_is_not_implemented_and_the_others_are_named(door: Door) -> None:
    with door.peer() as peer:
        number = peer.begin(INFER, door.bearer(), ("grpc-encoding", "snappy"))
        peer.data(number, message(request(), compressed=True))
        heard = peer.answer(number)
    assert heard.status == Status.UNIMPLEMENTED
    assert heard.told["grpc-accept-encoding"] == "identity,deflate,gzip"


def test_a_large_message_passes_its_window_and_a_larger_one_is_refused(shop: Works) -> None:
    with opened(shop, max_bytes=1 << 20) as door:
        rows = (1 << 20) // 24 - 100
        with door.peer() as peer:
            number = peer.begin(INFER, door.bearer())
            content = message(request([[0.0] * 6] * rows))
            sent = STREAM_WINDOW
            peer.data(number, content[:sent], end=False)
            while sent < len(content):
                room = peer.room(number)
                peer.data(number, content[sent : sent + room], end=False)
                sent += room
            peer.data(number, b"")
            heard = peer.answer(number)
            assert heard.told["sealgate-problem"] == "output_refused", "it was read, and is strange"
            number = peer.begin(INFER, door.bearer())
            peer.data(number, b"\x00" + (1 << 21).to_bytes(4, "big"), end=False)
            assert peer.answer(number).status == Status.RESOURCE_EXHAUSTED


def test_names_that_come_last_are_still_the_names(door: Door) -> None:
    """The wire format lets fields come in any order."""
    content = request()
    name = b"\x0a\x01m"
    assert content.startswith(name)
    assert ask(door, content[len(name) :] + name).status == Status.OK


def test_the_last_name_counts_and_it_is_the_one_that_was_decided_about(door: Door) -> None:
    """Each parser of the format takes the last of a repeated field."""
    door.shop.publish(model="other")
    assert ask(door, request() + b"\x0a\x05other").status == Status.OK
    assert ask(door, request(model="other") + b"\x0a\x04none").status == Status.NOT_FOUND
    assert [event.get("model_id") for event in door.shop.events()] == ["other", None]


def test_who_names_another_model_after_the_decision_is_refused(door: Door) -> None:
    door.shop.publish(model="other")
    content = message(request() + b"\x0a\x05other")
    with door.peer() as peer:
        engine = door.shop.house.engine
        before = engine.hits + engine.misses
        number = peer.begin(INFER, door.bearer())
        peer.data(number, content[:-1], end=False)
        until(lambda: engine.hits + engine.misses > before)  # the model that it named is decided
        peer.data(number, content[-1:])
        assert peer.answer(number).status == Status.INVALID_ARGUMENT


def classes(count: int, *outputs: str, classified: str = "p") -> bytes:
    """A request that wants so many classes of one output, and `outputs` as they are."""
    made = message_of("ModelInferRequest")
    made.outputs.add(name=classified).parameters["classification"].int64_param = count
    for name in outputs:
        made.outputs.add(name=name)
    wanted: bytes = made.SerializeToString()
    return wanted


def answered(heard: Heard) -> dict[str, tuple[str, list[int], bytes]]:
    assert heard.status == Status.OK, heard.told
    read = message_of("ModelInferResponse")
    read.ParseFromString(heard.messages[0])
    told = zip(read.outputs, read.raw_output_contents, strict=True)
    return {one.name: (one.datatype, list(one.shape), raw) for one, raw in told}


@pytest.mark.parametrize(("count", "told"), [(2, 2), (10**9, 3)])
def test_classes_are_told_beside_what_is_told_as_it_is(door: Door, count: int, told: int) -> None:
    door.shop.publish(model="labelled", graph=classifier("label first"))
    content = request(CLEAN[:2], model="labelled") + classes(count, "label")
    found = answered(ask(door, content))
    datatype, shape, raw = found["p"]
    assert (datatype, shape) == ("BYTES", [2, told])
    texts = from_binary("BYTES", shape, memoryview(raw)).tolist()
    labels = np.frombuffer(found["label"][2], "<i8").tolist()
    assert found["label"][:2] == ("INT64", [2])
    assert [int(row[0].split(":")[1]) for row in texts] == labels
    for row in texts:
        values = [float(text.split(":")[0]) for text in row]
        assert values == sorted(values, reverse=True)


def test_no_classes_are_wanted_with_a_zero(door: Door) -> None:
    assert answered(ask(door, request() + classes(0)))["p"][:2] == ("FP32", [1, 3])


@pytest.mark.parametrize("count", [-1, -(1 << 63)])
def test_a_number_of_classes_below_zero_is_refused(door: Door, count: int) -> None:
    heard = ask(door, request() + classes(count))
    assert (heard.status, heard.told["sealgate-problem"]) == (3, "malformed_request")
    assert "classification" in heard.told["grpc-message"]


def test_classes_of_an_output_that_is_not_there_are_refused(door: Door) -> None:
    heard = ask(door, request() + classes(2, classified="q"))
    assert heard.status == Status.INVALID_ARGUMENT


def test_a_caller_who_cancels_is_recorded(shop: Works) -> None:
    gate = shop.gate()
    with opened(shop) as door:
        with door.peer() as peer:
            number = peer.begin(INFER, door.bearer())
            peer.data(number, message(request()))
            assert gate.reached.wait(10)
            peer.send(frames.reset(number, frames.CANCEL))
            until(lambda: bool(door.recorded()))
        gate.go.set()
        assert door.recorded() == [("error", "cancelled")]


def test_a_caller_who_hangs_up_is_recorded(shop: Works) -> None:
    gate = shop.gate()
    with opened(shop) as door:
        with door.peer() as peer:
            peer.data(peer.begin(INFER, door.bearer()), message(request()))
            assert gate.reached.wait(10)
        until(lambda: bool(door.recorded()))
        gate.go.set()
        assert door.recorded() == [("error", "cancelled")]


def test_a_deadline_is_kept(shop: Works) -> None:
    gate = shop.gate()
    with opened(shop) as door, door.peer() as peer:
        number = peer.begin(INFER, door.bearer(), ("grpc-timeout", "50m"))
        peer.data(number, message(request()))
        heard = peer.answer(number)
        assert heard.status == Status.DEADLINE_EXCEEDED
        until(lambda: bool(door.recorded()))
        gate.go.set()
        assert door.recorded() == [("error", "cancelled")]


def test_a_stopping_server_finishes_what_is_under_way(shop: Works) -> None:
    gate = shop.gate()
    with opened(shop) as door, door.peer() as peer:
        number = peer.begin(INFER, door.bearer())
        peer.data(number, message(request()))
        assert gate.reached.wait(10)
        door.stop()
        assert peer.until(frames.GOAWAY)[4:8] == bytes(4)
        late = peer.begin(INFER, door.bearer(), end=True)
        assert peer.answer(late).reset == frames.REFUSED_STREAM
        gate.go.set()
        assert peer.answer(number).status == Status.OK


def test_a_stopping_server_records_what_it_cuts_off(shop: Works) -> None:
    gate = shop.gate()
    with opened(shop, grace=0.05) as door, door.peer() as peer:
        number = peer.begin(INFER, door.bearer())
        peer.data(number, message(request()))
        assert gate.reached.wait(10)
        door.stop()
        assert peer.answer(number).status == Status.UNAVAILABLE
        gate.go.set()
        assert door.recorded() == [("error", "cancelled")]


QUESTIONS = (
    *("ServerLive", "ServerReady", "ServerMetadata", "ModelReady", "ModelMetadata", "ModelConfig"),
    *("ModelStatistics", "RepositoryIndex"),
)


@pytest.mark.parametrize("method", QUESTIONS)
def test_a_question_is_short(door: Door, method: str) -> None:
    """Some are open to everybody: nobody holds memory by asking."""
    path = f"/inference.GRPCInferenceService/{method}"
    with door.peer() as peer:
        heard = peer.call(bytes(5000), door.bearer(), path=path)
        assert heard.status == Status.RESOURCE_EXHAUSTED
        named = b"\x0a\x01m" if "Model" in method else b""
        assert peer.call(named, door.bearer(), path=path).status == Status.OK


@pytest.mark.parametrize("method", ["ModelMetadata", "ModelConfig", "ModelStatistics"])
def test_who_may_not_know_of_a_model_hears_that_there_is_none(door: Door, method: str) -> None:
    door.shop.publish(model="theirs", tenant="rival")
    path = f"/inference.GRPCInferenceService/{method}"
    with door.peer() as peer:
        told = [
            {**peer.call(b"\x0a\x06" + name, door.bearer(), path=path).told, REQUEST: ""}
            for name in (b"theirs", b"absent")
        ]
        assert told[0] == told[1]
        assert peer.call(b"", path=path).status == Status.UNAUTHENTICATED


REQUEST = "sealgate-request-id"


def test_a_probe_is_answered_without_a_token(door: Door) -> None:
    path = "/grpc.health.v1.Health/Check"
    with door.peer() as peer:
        assert peer.call(b"", path=path).messages == [b"\x08\x01"]
        assert peer.call(b"\x0a\x01x", path=path).status == Status.NOT_FOUND
