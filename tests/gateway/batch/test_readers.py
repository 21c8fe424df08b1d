"""What tools write is taken as it is meant; everything else is refused by row and input."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.batch.columns import Input, Table, convert, fit
from gateway.batch.errors import RowsRefused
from gateway.batch.intake_job import main
from gateway.batch.readers import READERS
from gateway.inference.oip import parse

X = Input("x", "FP32", (-1, 3))
AGE = Input("age", "INT64", (-1,))
WORDS = Input("words", "BYTES", (-1, 2))
ROWS = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.5]]


def read(form: str, data: bytes, *inputs: Input) -> Table:
    return fit(READERS[form](memoryview(data)), inputs or (X,))


def refusal(form: str, data: bytes, *inputs: Input) -> tuple[str, int, int]:
    with pytest.raises(RowsRefused) as caught:
        read(form, data, *inputs)
    return caught.value.reason, caught.value.row, caught.value.column


def lines(*rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, **options)
    return file.getvalue()


PLAIN = lines(*({"x": row} for row in ROWS))


@pytest.mark.parametrize(
    "data",
    [
        PLAIN,
        PLAIN.rstrip(b"\n"),
        b"\xef\xbb\xbf" + PLAIN,
        PLAIN.replace(b"\n", b"\r\n"),
        PLAIN + b"\n\n",
        b"\n" + PLAIN.replace(b"}\n", b"}\n \n"),
        PLAIN.replace(b"1.0, 2.0, 3.0", b"1, 2, 3"),
    ],
)
def test_lines_as_tools_write_them(data: bytes) -> None:
    table = read("jsonl", data)
    assert table.arrays["x"].tolist() == ROWS
    assert table.arrays["x"].dtype == np.float32


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", ("empty", -1, -1)),
        (b"\n \n", ("empty", -1, -1)),
        (b"[1, 2, 3]\n", ("malformed", 0, -1)),
        (PLAIN + b'{"x": [1, 2\n', ("malformed", 2, -1)),
        (PLAIN + b'{"x": [1, 2]}\n', ("shape", 2, 0)),
        (PLAIN + b'{"x": [1, 2, null]}\n', ("null", 2, 0)),
        (PLAIN + b'{"x": null}\n', ("null", 2, 0)),
        (PLAIN + b'{"x": [1, 2, "3"]}\n', ("datatype", 2, 0)),
        (PLAIN + b'{"x": [1, 2, true]}\n', ("datatype", 2, 0)),
        (PLAIN + b'{"x": "text"}\n', ("datatype", 2, 0)),
        (PLAIN + b'{"x": [1, 2, 3], "y": 1}\n', ("columns", 2, -1)),
        (PLAIN + b'{"y": [1, 2, 3]}\n', ("columns", 2, -1)),
        (b'{"x": [1, 2, 3], "x": [1, 2, 4]}\n', ("duplicate_column", 0, -1)),
        (b'{"x": [1, 2, 3], "y": 0}\n', ("unknown_column", -1, -1)),
        (b'{"x": "\xff"}\n', ("encoding", 0, -1)),
        (PLAIN.decode().encode("utf-16"), ("encoding", 0, -1)),
        (b'{"x": [1, 2, 16777217]}\n', ("inexact", 0, 0)),
        (b'{"x": ' + b"[" * 100_000 + b"\n", ("malformed", 0, -1)),
        (b'{"x": [1, 2, 1' + b"0" * 400 + b"]}\n", ("inexact", -1, 0)),
    ],
)
def test_lines_that_are_refused(data: bytes, told: tuple[str, int, int]) -> None:
    assert refusal("jsonl", data) == told


def test_what_is_no_number_is_left_to_the_contract() -> None:
    table = read("jsonl", b'{"x": [NaN, Infinity, 1e300]}\n')
    assert not np.isfinite(table.arrays["x"]).any()


def test_columns_of_numbers_are_the_features_of_the_only_input() -> None:
    table = read("jsonl", lines({"b": 1, "a": 2.5, "c": 3, "sealgate_subject": "p"}))
    assert table.arrays["x"].tolist() == [[1.0, 2.5, 3.0]]
    assert table.subjects == ("p",)
    assert refusal("jsonl", lines({"b": 1, "a": 2}))[0] == "columns"
    assert refusal("jsonl", lines({"b": 1, "a": 2, "c": "3"}))[0] == "datatype"
    assert refusal("jsonl", lines({"b": 1, "a": 2, "c": 3}), X, AGE)[0] == "columns"


def test_an_input_with_a_default_may_be_left_out() -> None:
    bias = Input("bias", "FP32", (-1,), optional=True)
    assert list(read("jsonl", PLAIN, X, bias).arrays) == ["x"]
    both = lines({"x": ROWS[0], "bias": 0.5})
    assert read("jsonl", both, X, bias).arrays["bias"].tolist() == [0.5]


@pytest.mark.parametrize("name", ["", "a" * 513, None, 7, ["p"]])
def test_a_subject_is_a_short_text(name: Any) -> None:
    row = {"x": ROWS[0], "sealgate_subject": "p"}
    told = refusal("jsonl", lines(row, row | {"sealgate_subject": name}))
    assert told == ("subject", 1, -1)


@pytest.mark.parametrize(
    ("values", "datatype", "reason"),
    [
        ([1, 2**63 - 1], "INT64", None),
        ([0, 2**64 - 1], "UINT64", None),
        ([2**63], "INT64", "inexact"),
        ([-1], "UINT64", "inexact"),
        ([-1, 2**63], "INT64", "inexact"),
        ([300], "UINT8", "inexact"),
        ([1.0, 2.0], "INT32", None),
        ([1.5], "INT32", "inexact"),
        ([float("nan")], "INT64", "inexact"),
        ([1e30], "INT64", "inexact"),
        ([9.3e18], "INT64", "inexact"),
        ([2**53 + 1], "FP64", "inexact"),
        ([2**53 + 1, 0.5], "FP64", "inexact"),
        ([2**53], "FP64", None),
        ([0.1], "FP32", None),
        ([True, False], "BOOL", None),
        ([1, 0], "BOOL", "datatype"),
        ([True], "INT64", "datatype"),
        (["a", "b"], "BYTES", None),
        (["a", 1], "BYTES", "datatype"),
        ([1], "BYTES", "datatype"),
    ],
)
def test_no_value_is_changed_on_the_way(
    values: list[Any], datatype: str, reason: str | None
) -> None:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    wanted = Input("x", datatype, (-1,))
    if reason is None:
        made = convert(column, wanted, 0)
        expected = np.array(values, np.float32).tolist() if datatype == "FP32" else values
        assert made.tolist() == expected
    else:
        with pytest.raises(RowsRefused) as caught:
            convert(column, wanted, 0)
        assert caught.value.reason == reason


@pytest.mark.parametrize(
    "data",
    [
        npz(x=np.array(ROWS)),
        npz(x=np.array(ROWS, np.float16)),
        npz(x=np.array(ROWS, ">f8")),
        npz(x=np.asfortranarray(ROWS)),
        npz(x=np.array(ROWS).reshape(2, 3, 1)),
        npz(arr_0=np.array(ROWS)),
    ],
)
def test_archives_as_numpy_writes_them(data: bytes) -> None:
    assert read("npz", data).arrays["x"].tolist() == ROWS


def test_archives_with_several_inputs_and_people() -> None:
    words = np.array([["a", "ü"], ["c", ""]])
    data = npz(x=ROWS, age=np.array([1, 2], np.int32), words=words, sealgate_subject=["p", "q"])
    table = read("npz", data, X, AGE, WORDS)
    assert table.arrays["age"].dtype == np.int64
    assert table.arrays["words"].tolist() == words.tolist()
    assert table.subjects == ("p", "q")


def _twice() -> bytes:
    file = io.BytesIO(npz(x=np.array(ROWS)))
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("x.npy", archive.read("x.npy"))
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"PK\x03\x04 no archive", "malformed"),
        (b"", "malformed"),
        (npz(x=np.array([None, "a"], dtype=object)), "pickled"),
        (npz(x=np.array(1.0)), "row_count"),
        (npz(x=np.zeros((0, 3))), "empty"),
        (npz(x=np.zeros((2, 3)), sealgate_subject=np.array(["p"])), "row_count"),
        (npz(x=np.zeros((2, 4))), "shape"),
        (npz(x=np.zeros((2, 3)), z=np.zeros(2)), "unknown_column"),
        (npz(x=np.zeros((2, 3), np.complex64)), "datatype"),
        (npz(x=np.array([["a", "b", "c"]])), "datatype"),
        (npz(x=np.zeros((1, 3), "M8[s]")), "datatype"),
    ],
)
def test_archives_that_are_refused(data: bytes, told: str) -> None:
    assert refusal("npz", data)[0] == told


def test_an_archive_that_names_an_array_twice() -> None:
    assert refusal("npz", _twice())[0] == "duplicate_column"


def test_parquet_as_other_tools_write_it() -> None:
    pa = pytest.importorskip("pyarrow")
    flat = {"a": pa.array([1, 4], pa.int64()), "b": [2.0, 5.0], "c": pa.array([3.0, 6.5])}
    assert read("parquet", parquet(flat)).arrays["x"].tolist() == ROWS
    index = flat | {"__index_level_0__": pa.array([7, 9])}
    assert read("parquet", parquet(index)).arrays["x"].tolist() == ROWS
    for kind in (pa.list_(pa.float64()), pa.list_(pa.float32(), 3), pa.large_list(pa.float64())):
        assert read("parquet", parquet({"x": pa.array(ROWS, kind)})).arrays["x"].tolist() == ROWS
    coded = pa.array(["p", "q"]).dictionary_encode()
    table = read("parquet", parquet({"x": pa.array(ROWS), "sealgate_subject": coded}))
    assert table.subjects == ("p", "q")
    many = pa.chunked_array([pa.array([1, 2]), pa.array([3])])
    found = read("parquet", parquet({"age": many}, row_group_size=1, compression="zstd"), AGE)
    assert found.arrays["age"].tolist() == [1, 2, 3]


def test_parquet_that_is_refused() -> None:
    pa = pytest.importorskip("pyarrow")
    assert refusal("parquet", b"PAR1 no file")[0] == "malformed"
    assert refusal("parquet", parquet({"age": pa.array([1, None])}), AGE) == ("null", 1, 0)
    assert refusal("parquet", parquet({"x": pa.array([[1.0, 2, 3], None])})) == ("null", 1, 0)
    assert refusal("parquet", parquet({"age": pa.array([], pa.int64())}), AGE)[0] == "empty"
    big = parquet({"a": [1, 2], "b": [1, 2], "c": pa.array([1, 2**24 + 1], pa.int64())})
    assert refusal("parquet", big)[:2] == ("inexact", 1)
    dates = parquet({"age": pa.array([1, 2], pa.timestamp("s"))})
    assert refusal("parquet", dates, AGE)[0] == "datatype"
    names = pa.table([pa.array([1]), pa.array([2])], names=["age", "age"])
    file = io.BytesIO()
    pytest.importorskip("pyarrow.parquet").write_table(names, file)
    assert refusal("parquet", file.getvalue(), AGE)[0] == "duplicate_column"


ARGS = {"inputs": [("x", "FP32", [-1, 3])], "chunk_bytes": 64, "max_chunks": 4}


def run(form: str, data: bytes, **limits: int) -> tuple[dict[str, Any], dict[str, bytes]]:
    given = ARGS | {"chunk_rows": 2, "subject_rows": 1, "format": form} | limits
    return main({"rows": memoryview(data)}, given)


def test_chunks_are_requests_that_hold_every_row_in_order() -> None:
    rows = [{"x": [n, n, n]} for n in range(5)]
    report, bodies = run("jsonl", lines(*rows))
    assert [entry[0] for entry in report["chunks"]] == [2, 2, 1]
    found = []
    for number, (count, length) in enumerate(report["chunks"]):
        request = parse(bodies[str(number)], length)
        assert (request.rows, request.subjects) == (count, ())
        found += request.inputs["x"][:, 0].tolist()
    assert found == [0, 1, 2, 3, 4]


def test_chunks_are_bounded_in_rows_bytes_and_number() -> None:
    rows = lines(*({"x": [1, 2, 3], "sealgate_subject": "p"} for _ in range(3)))
    assert [entry[0] for entry in run("jsonl", rows)[0]["chunks"]] == [1, 1, 1]
    assert [entry[0] for entry in run("jsonl", PLAIN, chunk_bytes=12)[0]["chunks"]] == [1, 1]
    assert run("jsonl", rows, max_chunks=2)[0]["refused"] == "too_many_rows"


@given(st.sampled_from(["npz", "jsonl", "parquet"]), st.binary(max_size=200))
def test_whatever_the_bytes_are_they_are_rows_or_refused(form: str, data: bytes) -> None:
    for prefix in (b"", b'{"x": ', b"PK\x03\x04", b"PAR1"):
        report, _ = run(form, prefix + data)
        assert report.get("refused", "") in {"", *RowsRefused.REASONS}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.sampled_from(["x", "sealgate_subject", "y"]), JSON), max_size=4))
def test_whatever_the_objects_are_they_are_rows_or_refused(rows: list[Any]) -> None:
    report, bodies = run("jsonl", lines(*rows))
    if "refused" in report:
        assert report["refused"] in RowsRefused.REASONS
    else:
        for number, (_, length) in enumerate(report["chunks"]):
            assert parse(bodies[str(number)], length).inputs["x"].shape[1:] == (3,)
