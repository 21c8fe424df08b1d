"""Files as inputs: what fits the model is taken, and nothing is changed on the way."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.call_input import SUBJECTS, read_input, tensors_of, whole_request
from gateway.cli.failures import CommandFailed, ExitCode

IMAGE = [{"name": "image", "datatype": "FP32", "shape": [-1, 1, 2, 2]}]
TABLE = [{"name": "features", "datatype": "FP64", "shape": [-1, 3]}]
PEOPLE = [
    {"name": "age", "datatype": "INT64", "shape": [-1, 1]},
    {"name": "sex", "datatype": "BYTES", "shape": [-1, 1]},
]


def inputs(form: str, content: bytes | str, described: list[dict[str, Any]]) -> dict[str, Any]:
    raw = content.encode() if isinstance(content, str) else content
    return {one.name: one.values for one in tensors_of(form, raw, described)}


def npz(**arrays: Any) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def test_values_alone_are_the_one_input() -> None:
    for content in ("[[[0,1],[2,3]]]", "[0,1,2,3]", '{"image": [[0,1,2,3]]}', '{"x": [0,1,2,3]}'):
        (values,) = inputs(".json", content, IMAGE).values()
        assert values.tolist() == [[[[0, 1], [2, 3]]]]
        assert values.dtype == np.float32


def test_an_npz_is_taken_by_name_and_one_array_by_itself() -> None:
    x = np.arange(8.0).reshape(2, 1, 2, 2)
    for content in (npz(image=x), npz(arr_0=x), npz(image=x.reshape(2, 4))):
        (values,) = inputs(".npz", content, IMAGE).values()
        assert values.tolist() == x.tolist()


def test_columns_of_a_csv_are_inputs_or_the_features_of_one() -> None:
    people = inputs(".csv", "age,sex\n41,f\n52,m\n", PEOPLE)
    assert people["age"].tolist() == [[41], [52]]
    assert people["sex"].tolist() == [["f"], ["m"]]
    for header in ("", "a,b,c\n"):
        table = inputs(".csv", f"{header}1,2,3\r\n4,5,nan\r\n", TABLE)["features"]
        assert table[0].tolist() == [1, 2, 3]
        assert np.isnan(table[1, 2])


def test_null_is_a_missing_value_as_tables_write_it() -> None:
    values = inputs(".json", '{"features": [[1, 2, null]]}', TABLE)["features"]
    assert values[0, :2].tolist() == [1, 2]
    assert np.isnan(values[0, 2])


def test_a_column_of_people_travels_beside_the_features() -> None:
    found = inputs(".csv", f"{SUBJECTS},a,b,c\n007,1,2,3\n008,4,5,6\n", TABLE)
    assert found[SUBJECTS].tolist() == ["007", "008"], "an identifier is no number"
    assert found["features"].tolist() == [[1, 2, 3], [4, 5, 6]]


def test_a_whole_number_that_no_float_holds_arrives_as_it_is() -> None:
    large = 2**53 + 1
    assert inputs(".csv", f"age,sex\n{large},f\n", PEOPLE)["age"].tolist() == [[large]]
    assert inputs(".csv", "age,sex\n41.0,f\n", PEOPLE)["age"].tolist() == [[41]]
    told = inputs(".json", f'{{"age": [[{large}]], "sex": [["f"]]}}', PEOPLE)
    assert told["age"].tolist() == [[large]]


@pytest.mark.parametrize(
    ("form", "content", "described", "told"),
    [
        (".json", '{"age": [1.5], "sex": ["f"]}', PEOPLE, "numbers that INT64 cannot"),
        (".json", '{"features": [[1, 2, "x"]]}', TABLE, "holds text"),
        (".json", '{"features": [["1", "2", "3"]]}', TABLE, "holds text"),
        (".json", '{"age": [[null]], "sex": [["f"]]}', PEOPLE, "no INT64"),
        (".csv", "age,sex\n1.5,f\n", PEOPLE, "no INT64"),
        (".csv", "age,sex\n99999999999999999999,f\n", PEOPLE, "INT64"),
        (".json", '{"image": [1e300, 0, 0, 0]}', IMAGE, "numbers that FP32 cannot"),
        (".json", '{"sex": [[1]]}', PEOPLE[1:], ""),
        (".json", '{"image": [1, 2, 3]}', IMAGE, "shape [3]"),
        (".json", '{"image": [[1, 2], [3]]}', IMAGE, "unequal lengths"),
        (".json", '{"image": [1], "image": [2]}', IMAGE, "a name twice"),
        (".json", '{"pixels": [1], "other": [1]}', IMAGE, "`image` FP32 [-1, 1, 2, 2]"),
        (".json", '{"image": [NaN, 0, 0, 0]}', IMAGE, "no NaN"),
        (".json", "{}", IMAGE, "`image` FP32"),
        (".json", "not json", IMAGE, "not JSON"),
        (".csv", "1,2\n1\n", TABLE, "unequal lengths"),
        (".csv", "a,b,c\n1,2,\n", TABLE, "no FP64"),
        (".csv", "a,b\n1,2\n", PEOPLE, "`age` INT64"),
        (".csv", b"\xff\xfe", TABLE, "UTF-8"),
        (".npz", b"PK\x03\x04 and so on", TABLE, "no npz"),
        (".npy", b"\x93NUMPY", TABLE, "no npy"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(
    form: str, content: str | bytes, described: list[dict[str, Any]], told: str
) -> None:
    if not told:
        assert inputs(form, content, described)
        return
    with pytest.raises(CommandFailed) as refused:
        inputs(form, content, described)
    assert refused.value.code == ExitCode.USAGE
    assert told in refused.value.what
    assert refused.value.advice


def test_a_pickle_in_an_npz_is_not_opened() -> None:
    with pytest.raises(CommandFailed):
        inputs(".npz", npz(features=np.array([{"a": 1}], np.object_)), TABLE)


def test_a_request_of_the_protocol_is_sent_as_it_is() -> None:
    asked = {"inputs": [{"name": "x"}], "parameters": {"subject": "a"}}
    assert whole_request(".json", json.dumps(asked).encode()) == asked
    assert whole_request(".json", b'{"inputs": 7}') is None


def test_a_file_of_another_form_is_told(tmp_path: Path) -> None:
    for name in ("rows.xlsx", "absent.json"):
        with pytest.raises(CommandFailed) as refused:
            read_input(tmp_path / name)
        assert refused.value.advice


@given(st.binary(max_size=120), st.sampled_from([".json", ".csv", ".npy", ".npz"]))
def test_whatever_bytes_a_file_has_the_end_is_inputs_or_a_refusal(
    content: bytes, form: str
) -> None:
    for described in (IMAGE, TABLE, PEOPLE):
        with contextlib.suppress(CommandFailed):
            assert inputs(form, content, described)
