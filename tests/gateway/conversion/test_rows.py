from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gateway.conversion.request import Stuck
from gateway.conversion.rows import MOST_ROWS, read_rows


def test_a_calibration_set_is_a_sample_and_its_labels_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "rows.npz"
    np.savez(file, x=np.zeros((5, 2)), y=np.zeros(5))
    rows = read_rows(file)
    assert rows.told == "5 rows of rows.npz"
    assert rows.matrix is not None
    assert rows.matrix.shape == (5, 2)


def test_a_table_has_columns_of_numbers_and_of_texts(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("\ufeffage,ward\n1,a\n,b\n2.5,c\n", encoding="utf-8")
    rows = read_rows(file)
    assert list(rows.arrays) == ["age", "ward"], "a mark of byte order is no part of a name"
    np.testing.assert_array_equal(rows.arrays["age"], [1, np.nan, 2.5])
    assert rows.arrays["ward"].tolist() == ["a", "b", "c"]
    assert rows.matrix is None


def test_no_more_rows_are_read_than_are_compared(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("a\n" + "1\n" * (MOST_ROWS + 5))
    assert len(read_rows(file).arrays["a"]) == MOST_ROWS


@pytest.mark.parametrize("content", [b"", b"a,b\n1\n", b"a,a\n1,2\n", b"a\n", b"\xff\xfe"])
def test_what_is_no_table_is_refused_with_what_would_be(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(content)
    with pytest.raises(Stuck) as stuck:
        read_rows(file)
    assert stuck.value.reason == "sample"
    assert stuck.value.remedy


def test_a_broken_archive_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rows.npz"
    file.write_bytes(b"PK\x03\x04broken")
    with pytest.raises(Stuck):
        read_rows(file)


def test_an_archive_with_a_pickle_in_it_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rows.npz"
    np.savez(file, x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(Stuck):
        read_rows(file)
