"""Bodies of inference requests that are broken, huge, slow or wrong, as bytes on a connection."""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass
from typing import Any

from tests.gateway.web.hidden import MAX_BODY

MARKER = "MARKER-b64bd2"
"""Sent in most bodies; no answer and no record may repeat it."""
FORM = "content-type: application/x-www-form-urlencoded"
CHUNKED = "transfer-encoding: chunked"
EXPECT = "expect: 100-continue"
ENDLESS = 1 << 40


@dataclass(frozen=True)
class Case:
    """What is sent, and what somebody hears who may use the model.

    Attributes:
        told: Status for somebody who may use the model.
        body: Sent with the head.
        headers: Besides host and credentials.
        rest: Sent after the answer: with it the body is whole. None: it never is, or the
            connection is of no more use.
        query: Of the request's target.
        old: Spoken as HTTP/1.0.
    """

    told: int
    body: bytes
    headers: tuple[str, ...]
    rest: bytes | None = b""
    query: str = ""
    old: bool = False


def whole(told: int, body: bytes, *headers: str, **how: Any) -> Case:
    """A body of the declared length."""
    return Case(told, body, (f"content-length: {len(body)}", *headers), **how)


def text(told: int, body: object, *headers: str) -> Case:
    return whole(told, json.dumps(body).encode(), *headers)


def tensor(**changes: Any) -> dict[str, Any]:
    row = {"name": "in", "shape": [1, 6], "datatype": "FP32", "data": [0.0] * 6}
    return {"id": MARKER, "inputs": [{**row, **changes}]}


def stated(**parameters: Any) -> dict[str, Any]:
    return {**tensor(), "parameters": parameters}


def asked(**parameters: Any) -> dict[str, Any]:
    return {**tensor(), "outputs": [{"name": "p", "parameters": parameters}]}


def binary(told: int, length: object, data: bytes = bytes(24), **parameters: Any) -> Case:
    """A request of the binary extension; `length` of its head, or None for the true one."""
    sized = {"binary_data_size": len(data), **parameters}
    described = {"name": "in", "shape": [1, 6], "datatype": "FP32", "parameters": sized}
    head = json.dumps({"id": MARKER, "inputs": [described]}).encode()
    told_length = len(head) if length is None else length
    return whole(told, head + data, f"inference-header-content-length: {told_length}")


def chunks(*parts: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + end


GOOD = json.dumps(tensor()).encode()
HALF = json.dumps(tensor()).encode()[:40]

BROKEN: dict[str, Case] = {
    "empty": whole(400, b""),
    "no_length": Case(400, b"", ()),
    "no_json": whole(400, b"{" + MARKER.encode()),
    "one_brace": whole(400, b"{"),
    "no_object": text(400, [MARKER]),
    "a_number": whole(400, b"1e999"),
    "no_utf8": whole(400, b'{"inputs": [], "id": "\xff' + MARKER.encode() + b'"}'),
    "byte_order_mark": whole(400, b"\xef\xbb\xbf" + GOOD),
    "utf16": whole(400, json.dumps(tensor()).encode("utf-16")),
    "nul": whole(400, GOOD + b"\0"),
    "two_documents": whole(400, GOOD + GOOD),
    "cut_short": whole(400, GOOD[:-1]),
    "deep": whole(400, b"[" * 50_000),
    "gzip_cut_short": whole(400, gzip.compress(GOOD)[:-3], "content-encoding: gzip"),
    "gzip_followed": whole(400, gzip.compress(GOOD) + GOOD, "content-encoding: gzip"),
    "no_gzip": whole(400, GOOD, "content-encoding: gzip"),
    "no_zlib": whole(400, gzip.compress(GOOD), "content-encoding: deflate"),
    "gzip_unnamed": whole(400, gzip.compress(GOOD)),
    "other_coding": whole(415, GOOD, f"content-encoding: {MARKER}"),
    "two_codings": whole(415, GOOD, "content-encoding: gzip", "content-encoding: gzip"),
    "form": whole(400, b"model=" + MARKER.encode(), FORM),
    "no_inputs": text(400, {"id": MARKER}),
    "inputs_null": text(400, {"inputs": None}),
    "shared_memory": text(400, tensor(parameters={"shared_memory_region": MARKER})),
    "sequence": text(400, stated(sequence_id=7)),
    "classes_no_number": text(400, asked(classification=MARKER)),
    "nan": text(400, tensor(data=[float("nan")] * 6)),
    "beyond_float": text(400, tensor(data=[1e39] * 6)),
    "text_for_numbers": text(400, tensor(data=[MARKER] * 6)),
    "null_for_numbers": text(400, tensor(data=[None] * 6)),
    "too_few_values": text(400, tensor(data=[0.0] * 5)),
    "too_many_values": text(400, tensor(data=[0.0] * 7)),
    "unknown_datatype": text(400, tensor(datatype=MARKER)),
    "negative_shape": text(400, tensor(shape=[-1, 6])),
    "claims_a_billion": text(400, tensor(shape=[10**9])),
    "claims_by_overflow": text(400, tensor(shape=[2**32, 2**32])),
    "too_many_dimensions": text(400, tensor(shape=[1] * 40)),
    "input_twice": text(400, {"inputs": tensor()["inputs"] * 2}),
    "too_many_tensors": text(400, {"inputs": tensor()["inputs"] * 300}),
    "long_id": text(400, {**tensor(), "id": MARKER * 100}),
    "purpose_no_text": text(400, stated(purpose=7)),
    "purpose_long": text(400, stated(purpose=MARKER * 100)),
    "subject_empty": text(400, stated(subject="")),
    "unknown_output": text(400, {**tensor(), "outputs": [{"name": MARKER}]}),
    "binary_head_0": binary(400, 0),
    "binary_head_negative": binary(400, -1),
    "binary_head_no_number": binary(400, MARKER),
    "binary_head_beyond": binary(400, 10**9),
    "binary_size_beyond": binary(400, None, binary_data_size=10**9),
    "binary_size_below": binary(400, None, binary_data_size=12),
    "binary_short": binary(400, None, bytes(20)),
}
WRONG: dict[str, Case] = {
    "good": whole(200, GOOD),
    "gzip": whole(200, gzip.compress(GOOD), "content-encoding: gzip"),
    "deflate": whole(200, zlib.compress(GOOD), "content-encoding: deflate"),
    "nulls": text(200, {**tensor(parameters=None), "outputs": None, "parameters": None}),
    "classes": text(200, asked(classification=2)),
    "parameters_of_others": text(200, stated(priority=1, timeout=5, tags=[MARKER])),
    "other_content_type": whole(200, GOOD, FORM),
    "query": whole(200, GOOD, query=f"?x={MARKER}"),
    "purpose_unknown": text(404, stated(purpose=MARKER)),
    "purpose_of_others": text(404, stated(purpose="purpose-3")),
    "other_name": text(422, tensor(name=MARKER)),
    "other_datatype": text(422, tensor(datatype="FP64")),
    "other_shape": text(422, tensor(shape=[2, 3])),
    "no_rows": text(422, tensor(shape=[0, 6], data=[])),
    "no_tensors": text(422, {"inputs": []}),
}
HUGE: dict[str, Case] = {
    "one_byte_too_many": whole(413, b" " * (MAX_BODY + 1)),
    "bomb": whole(413, gzip.compress(bytes(1000 * MAX_BODY)), "content-encoding: gzip"),
    "bomb_of_zlib": whole(413, zlib.compress(bytes(1000 * MAX_BODY)), "content-encoding: deflate"),
    "forty_times_too_many": whole(413, b" " * 40 * MAX_BODY),
    "huge_in_chunks": Case(413, chunks(*[b" " * 8192] * 40), (CHUNKED,)),
    "declared_only": Case(413, b"", (f"content-length: {ENDLESS}",), None),
    "declared_with_a_piece": Case(413, HALF, (f"content-length: {ENDLESS}",), None),
    "declared_and_expects": Case(413, b"", (f"content-length: {ENDLESS}", EXPECT), None),
}
FRAMED: dict[str, Case] = {
    "in_chunks": Case(200, chunks(GOOD[:7], GOOD[7:]), (CHUNKED,)),
    "chunks_with_a_trailer": Case(200, chunks(GOOD, end=b"0\r\nx-t: 1\r\n\r\n"), (CHUNKED,)),
    "chunks_of_nothing": Case(400, chunks(), (CHUNKED,)),
    "bad_chunk": Case(400, b"ZZZ\r\n" + GOOD, (CHUNKED,), None),
    "expects": Case(200, b"", (f"content-length: {len(GOOD)}", EXPECT), GOOD),
    "shorter_than_sent": Case(400, GOOD + b"GET", (f"content-length: {len(GOOD) - 1}",), None),
    "closes": whole(200, GOOD, "connection: close"),
    "old_protocol": whole(200, GOOD, old=True),
    "old_protocol_kept": whole(200, GOOD, "connection: keep-alive", old=True),
    "two_lengths": Case(400, GOOD, (f"content-length: {len(GOOD)}", "content-length: 5"), None),
    "length_and_chunks": Case(400, chunks(GOOD), ("content-length: 5", CHUNKED), None),
    "length_no_number": Case(400, GOOD, ("content-length: 1x",), None),
    "upgrade": whole(400, GOOD, "connection: upgrade", "upgrade: websocket", rest=None),
}
# Those who may use the model are not answered before the time for a body is over.
SLOW: dict[str, Case] = {
    "nothing_comes": Case(408, b"", (f"content-length: {len(GOOD)}",), GOOD),
    "half_comes": Case(408, GOOD[:40], (f"content-length: {len(GOOD)}",), GOOD[40:]),
    "half_comes_in_chunks": Case(408, chunks(HALF, end=b""), (CHUNKED,), chunks(GOOD[40:])),
    "longer_than_sent": Case(408, GOOD, ("content-length: 5000",), None),
    "half_a_chunk": Case(408, b"400\r\n" + HALF, (CHUNKED,), None),
}
ALL: dict[str, Case] = {**BROKEN, **WRONG, **HUGE, **FRAMED, **SLOW}
