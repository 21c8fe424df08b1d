"""What a gateway answers to requests that it must not answer, and what it keeps of them."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from tests.e2e.house import PATIENCE, House, until
from tests.e2e.refusals import MARKER, newest, refused, tensor

pytestmark = pytest.mark.usefixtures("still_well")
Body = dict[str, Any]


def post(
    house: House,
    content: bytes | Iterator[bytes],
    *,
    model: str = "digits",
    client: str = "clinic-app",
    **headers: str,
) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {**house.bearer(client), "x-note": MARKER, **named}
    return house.cast.http.post(
        f"{house.url}/v2/models/{model}/infer", content=content, headers=sent
    )


def binary(
    shape: list[int], data: bytes, *, datatype: str = "FP32", size: int | None = None
) -> Any:
    """A request of the binary extension: body, and length of its JSON head."""
    parameters = {"binary_data_size": len(data) if size is None else size}
    image = {"name": "image", "shape": shape, "datatype": datatype, "parameters": parameters}
    head = json.dumps({"id": MARKER, "inputs": [image]}).encode()
    return head + data, len(head)


MALFORMED: dict[str, bytes] = {
    "beyond_float": json.dumps(tensor(data=[1e39] * 64)).encode(),
    "empty": b"",
    "no_json": b"{" + MARKER.encode(),
    "no_object": b"[1, 2]",
    "no_utf8": b'{"inputs": [], "id": "\xff' + MARKER.encode() + b'"}',
    "deep": b"[" * 200_000,
    "no_inputs": json.dumps({"id": MARKER}).encode(),
    "nan_in_json": json.dumps(tensor(data=[float("nan")] * 64)).encode(),
    "text_for_numbers": json.dumps(tensor(data=[MARKER] * 64)).encode(),
    "numbers_as_text": json.dumps(tensor(data=["0.5"] * 64)).encode(),
    "null_for_numbers": json.dumps(tensor(data=[None] * 64)).encode(),
    "too_few_values": json.dumps(tensor(data=[0.0] * 63)).encode(),
    "too_many_values": json.dumps(tensor(data=[0.0] * 65)).encode(),
    "unknown_datatype": json.dumps(tensor(datatype=MARKER)).encode(),
    "negative_shape": json.dumps(tensor(shape=[-1, 1, 8, 8])).encode(),
    "claims_a_billion": json.dumps(tensor(shape=[10**9])).encode(),
    "claims_below_the_bound": json.dumps(tensor(shape=[10**8])).encode(),
    "claims_by_overflow": json.dumps(tensor(shape=[2**32, 2**32])).encode(),
    "too_many_dimensions": json.dumps(tensor(shape=[1] * 40)).encode(),
    "input_twice": json.dumps({"inputs": tensor()["inputs"] * 2}).encode(),
    "purpose_no_text": json.dumps({**tensor(), "parameters": {"purpose": 7}}).encode(),
    "long_id": json.dumps({**tensor(), "id": MARKER * 100}).encode(),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_body_is_refused_and_recorded(house: House, kind: str) -> None:
    refused(post(house, MALFORMED[kind]), 400, "malformed-request")
    event = newest(house, action="infer")
    assert (event["outcome"], event["reason"]) == ("error", "malformed_request")
    assert event["client_id"] == "clinic-app"
    assert MARKER not in json.dumps(event)


BINARY: dict[str, tuple[list[int], bytes, dict[str, Any]]] = {
    "claims_a_billion": ([10**9], b"", {}),
    "claims_below_the_bound": ([10**8], b"\0" * 256, {}),
    "size_beyond_the_body": ([1, 1, 8, 8], b"\0" * 256, {"size": 10**9}),
    "size_below_the_body": ([1, 1, 8, 8], b"\0" * 256, {"size": 128}),
    "shape_beyond_the_data": ([2, 1, 8, 8], b"\0" * 256, {}),
    "text_beyond_the_data": ([1], (2**31).to_bytes(4, "little"), {"datatype": "BYTES"}),
    "text_no_utf8": ([1], b"\1\0\0\0\xff", {"datatype": "BYTES"}),
    "no_booleans": ([2], b"\1\7", {"datatype": "BOOL"}),
}


@pytest.mark.parametrize("kind", BINARY)
def test_a_malformed_binary_body_is_refused_and_recorded(house: House, kind: str) -> None:
    shape, data, how = BINARY[kind]
    body, head = binary(shape, data, **how)
    answer = post(house, body, inference_header_content_length=str(head))
    refused(answer, 400, "malformed-request")
    assert newest(house, action="infer")["reason"] == "malformed_request"


@pytest.mark.parametrize("length", ["-1", "0", "1e3", "999999", "9" * 30, MARKER])
def test_a_wrong_header_length_is_refused(house: House, length: str) -> None:
    body, _ = binary([1, 1, 8, 8], b"\0" * 256)
    answer = post(house, body, inference_header_content_length=length)
    refused(answer, 400, "malformed-request")


CONTRACT: dict[str, tuple[Body, str]] = {
    "datatype": (tensor(datatype="FP64"), "datatype"),
    "integers": (tensor(datatype="INT32", data=[0] * 64), "datatype"),
    "flat": (tensor(shape=[1, 64]), "shape"),
    "other_size": (tensor(shape=[1, 1, 16, 4]), "shape"),
    "no_rows": (tensor(shape=[0, 1, 8, 8], data=[]), "rows"),
    "other_name": (tensor(name=MARKER), "inputs"),
    "one_more": (
        {"inputs": [*tensor()["inputs"], {**tensor()["inputs"][0], "name": "b"}]},
        "inputs",
    ),
    "none": ({"inputs": []}, "inputs"),
    "out_of_range": (tensor(data=[1e30] * 64), "out_of_range"),
}


@pytest.mark.parametrize("kind", CONTRACT)
def test_what_breaks_the_contract_is_refused_and_recorded(house: House, kind: str) -> None:
    body, reason = CONTRACT[kind]
    answer = post(house, json.dumps(body).encode())
    refused(answer, 422, "contract-violation")
    assert answer.json()["reason"] == reason
    event = newest(house, action="infer")
    assert (event["outcome"], event["reason"]) == ("error", f"contract.{reason}")
    assert event["model_id"] == "digits"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_is_refused(house: House, value: float) -> None:
    data = np.zeros(64, "<f4")
    data[7] = value
    body, head = binary([1, 1, 8, 8], data.tobytes())
    answer = post(house, body, inference_header_content_length=str(head))
    refused(answer, 422, "contract-violation")
    assert newest(house, action="infer")["reason"] == "contract.not_finite"


def test_an_output_that_the_model_has_not_is_refused(house: House) -> None:
    body = {**house.owned["digits"].body(), "outputs": [{"name": MARKER}]}
    answer = post(house, json.dumps(body).encode())
    refused(answer, 400, "malformed-request")


def test_an_oversized_body_is_refused_before_it_is_sent(house: House) -> None:
    with talk(house, 1 << 30, b"{") as answer:
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"body-too-large" in answer
    event = newest(house, action="infer")
    assert (event["outcome"], event["reason"]) == ("error", "body_too_large")


def test_an_oversized_body_of_unknown_length_is_refused_on_the_way(house: House) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(1 << 10):
            yield MARKER.encode() * 1_000

    try:
        answer = post(house, pieces())
    except httpx.WriteError:
        pass  # the gateway answered and closed while we were still sending
    else:
        refused(answer, 413, "body-too-large")
    event = newest(house, action="infer")
    assert (event["outcome"], event["reason"]) == ("error", "body_too_large")


def test_a_body_that_is_cut_off_is_recorded(house: House) -> None:
    last = newest(house, action="infer")["index"]
    with connected(house) as line:
        line.sendall(head(house, 1_000) + MARKER.encode())
    event = until(lambda: [e for e in house.events(action="infer", limit=5) if e["index"] > last])
    assert [(e["outcome"], e["reason"]) for e in event] == [("error", "malformed_request")]


def test_a_slow_body_is_not_waited_for(house: House) -> None:
    with talk(house, 1_000, b'{"inputs"') as answer:
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"body-timeout" in answer
    event = newest(house, action="infer")
    assert (event["outcome"], event["reason"]) == ("error", "body_timeout")


NO_HTTP = {
    "garbage": b"\x00\xff" + MARKER.encode() * 10 + b"\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    "no_length": b"POST /v2/models/digits/infer HTTP/1.1\r\nhost: g\r\ncontent-length: x\r\n\r\n",
    "two_lengths": b"POST /v2/models/digits/infer HTTP/1.1\r\nhost: g\r\ncontent-length: 5\r\n"
    b"content-length: 6\r\n\r\nhello!",
    "length_and_chunks": b"POST /v2/models/digits/infer HTTP/1.1\r\nhost: g\r\n"
    b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
    b"GET /v2 HTTP/1.1\r\nhost: g\r\n\r\n",
    "endless_header": b"GET /v2 HTTP/1.1\r\nhost: g\r\nx: " + b"a" * 200_000 + b"\r\n\r\n",
    "bad_chunk": b"POST /v2/models/digits/infer HTTP/1.1\r\nhost: g\r\n"
    b"transfer-encoding: chunked\r\n\r\nZZZ\r\n",
}


@pytest.mark.parametrize("kind", NO_HTTP)
def test_what_is_no_http_is_refused_without_a_word_in_the_log(house: House, kind: str) -> None:
    with connected(house) as line:
        answer = b""
        with contextlib.suppress(OSError):  # it may have been hung up before the end is said
            line.sendall(NO_HTTP[kind])
            line.shutdown(socket.SHUT_WR)
            while part := line.recv(65_536):
                answer += part
    assert not answer or answer.split()[1] in (b"400", b"401", b"431"), answer
    assert answer.count(b"HTTP/1.1") <= 1, "nothing is smuggled behind a request"
    assert MARKER.encode() not in answer


def test_a_head_that_does_not_end_is_not_waited_for(house: House, still_well: None) -> None:
    answer = b""
    with connected(house) as line, contextlib.suppress(ConnectionError):
        line.sendall(NO_HTTP["endless_header"].rstrip())
        while part := line.recv(65_536):
            answer += part
    assert answer.split()[1:2] in ([], [b"431"]), answer


def head(house: House, length: int) -> bytes:
    return (
        f"POST /v2/models/digits/infer HTTP/1.1\r\nhost: gateway\r\n"
        f"authorization: Bearer {house.token()}\r\ncontent-length: {length}\r\n\r\n"
    ).encode()


def connected(house: House) -> socket.socket:
    return socket.create_connection(("127.0.0.1", house.place.port), timeout=PATIENCE)


class talk:  # noqa: N801 - reads as what it does
    """Send a head and a piece of the body, and wait for the answer with the line open."""

    def __init__(self, house: House, length: int, piece: bytes) -> None:
        self._line = connected(house)
        self._line.sendall(head(house, length) + piece)

    def __enter__(self) -> bytes:
        answer = b""
        while b"\r\n\r\n" not in answer or not answer.endswith(b"}"):
            part = self._line.recv(65_536)
            if not part:
                break
            answer += part
        return answer

    def __exit__(self, *_: object) -> None:
        self._line.close()


@pytest.mark.parametrize(
    "path",
    [
        "absent",
        MARKER.lower(),
        "digits/versions/9.9",
        f"digits/versions/{MARKER}",
        "d%2569gits",
        "DIGITS",
        "digits%00",
        "%ff",
        "d" * 500,
        "%27%20OR%201=1",
    ],
)
def test_an_unknown_model_is_refused_and_recorded_without_its_name(house: House, path: str) -> None:
    answer = house.cast.http.post(
        f"{house.url}/v2/models/{path}/infer", json=tensor(), headers=house.bearer()
    )
    refused(answer, 404, "model-not-found")
    assert MARKER.lower() not in answer.text.lower()
    event = newest(house, action="infer")
    assert (event["outcome"], event["reason"]) == ("deny", "model_not_found")
    assert "model_id" not in event
    assert MARKER.lower() not in json.dumps(event).lower()


@pytest.mark.parametrize("purpose", ["research", "payments", MARKER])
def test_a_purpose_that_is_not_registered_is_a_no(house: House, purpose: str) -> None:
    """Like an unknown model: who may not ask for this purpose learns nothing."""
    answer = house.infer(purpose=purpose)
    refused(answer, 404, "model-not-found")
    event = newest(house, action="infer")
    assert (event["outcome"], event["reason"]) == ("deny", "model_not_found")
    assert "platform-purpose" in event["policy_ids"]
    assert MARKER not in json.dumps(event)


SUBJECTS: dict[str, tuple[Callable[[House], Body], int, str, str]] = {
    "none": (lambda h: h.owned["biopsy"].body(), 422, "contract-violation", "contract_violation"),
    "empty": (
        lambda h: h.owned["biopsy"].body(subject=""),
        400,
        "malformed-request",
        "malformed_request",
    ),
    "a_document": (
        lambda h: h.owned["biopsy"].body(subject=MARKER * 100),
        400,
        "malformed-request",
        "malformed_request",
    ),
    "more_than_rows": (
        lambda h: with_subjects(h, 1, [f"{MARKER}-1", f"{MARKER}-2"]),
        422,
        "contract-violation",
        "contract_violation",
    ),
    "fewer_than_rows": (
        lambda h: with_subjects(h, 3, [f"{MARKER}-1", f"{MARKER}-2"]),
        422,
        "contract-violation",
        "contract_violation",
    ),
    "more_than_an_event_holds": (
        lambda h: with_subjects(h, 600, [f"{MARKER}-{n}" for n in range(600)]),
        422,
        "contract-violation",
        "contract_violation",
    ),
    "twice": (
        lambda h: {**with_subjects(h, 1, [MARKER]), "parameters": {"subject": MARKER}},
        400,
        "malformed-request",
        "malformed_request",
    ),
}


def with_subjects(house: House, rows: int, subjects: list[str]) -> Body:
    biopsy = house.owned["biopsy"]
    row = biopsy.tensor()
    rows_of = {**row, "shape": [rows, 30], "data": row["data"] * rows}
    named = {
        "name": "sealgate_subject",
        "shape": [len(subjects)],
        "datatype": "BYTES",
        "data": subjects,
    }
    return {"inputs": [rows_of, named]}


@pytest.mark.parametrize("kind", SUBJECTS)
def test_a_personal_model_wants_its_data_subjects(house: House, kind: str) -> None:
    make, status, code, reason = SUBJECTS[kind]
    answer = post(house, json.dumps(make(house)).encode(), model="biopsy")
    refused(answer, status, code)
    event = newest(house, action="infer")
    assert event["reason"].startswith(reason.partition("_")[0])
    assert event["outcome"] in ("deny", "error")
    assert MARKER not in json.dumps(event)


def test_a_subject_for_each_row_is_recorded_by_reference(house: House) -> None:
    body = with_subjects(house, 3, [f"{MARKER}-a", f"{MARKER}-b", f"{MARKER}-a"])
    answer = post(house, json.dumps(body).encode(), model="biopsy")
    assert answer.status_code == 200
    assert MARKER not in answer.text
    event = house.event(answer.headers["sealgate-audit"])
    assert len(event["subject_refs"]) == len(event["sealed_commit"]) == 2
    assert MARKER not in json.dumps(event)
