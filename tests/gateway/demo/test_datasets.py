from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from gateway.demo.datasets import COPIES, TRAINING_DIGITS, digits, hospitals, mnist, read_idx
from gateway.screening.calibration import ENFORCE_ROWS
from gateway.screening.dataset import read_calibration_set


def rows_of(x: np.ndarray) -> set[bytes]:
    return {row.tobytes() for row in x}


def test_digits_are_split_without_overlap() -> None:
    data = digits()
    parts = [data.train.x[:TRAINING_DIGITS], data.calibration.x, data.test.x]
    assert [len(part) for part in parts] == [297, 1300, 200]
    distinct = [rows_of(part) for part in parts]
    assert not distinct[0] & distinct[1]
    assert not distinct[1] & distinct[2]
    assert not distinct[0] & distinct[2]
    assert len(data.calibration.y) >= ENFORCE_ROWS


def test_training_digits_are_multiplied_and_stay_images() -> None:
    train = digits().train
    assert train.x.shape == (TRAINING_DIGITS * (COPIES + 1), 1, 8, 8)
    assert train.x.dtype == np.float32
    assert 0.0 <= train.x.min() < train.x.max() <= 1.0
    copy, original = train.x[TRAINING_DIGITS : 2 * TRAINING_DIGITS], train.x[:TRAINING_DIGITS]
    assert (np.abs(copy - original).reshape(TRAINING_DIGITS, -1).max(axis=1) > 0.05).all()
    assert np.array_equal(train.y[:TRAINING_DIGITS], train.y[-TRAINING_DIGITS:])


def test_the_same_seed_gives_the_same_split() -> None:
    assert digits(1).train.x.tobytes() == digits(1).train.x.tobytes()
    assert digits(1).test.x.tobytes() != digits(2).test.x.tobytes()


def test_hospitals_are_unlike() -> None:
    data = hospitals()
    sizes = [len(site.y) for site in data.sites.values()]
    ill = [site.y.mean() for site in data.sites.values()]
    assert max(sizes) > 2 * min(sizes)
    assert max(ill) > 4 * min(ill)
    everyone = [*data.sites.values(), data.calibration, data.test]
    assert sum(len(rows_of(part.x)) for part in everyone) == len(
        set().union(*(rows_of(part.x) for part in everyone))
    )
    assert all(part.x.shape[1] == 30 and set(part.y) == {0, 1} for part in everyone)


def test_calibration_sets_can_be_uploaded_as_they_are() -> None:
    for part in (digits().calibration, hospitals().calibration):
        read = read_calibration_set(part.npz())
        assert np.array_equal(read.x, part.x)
        assert np.array_equal(read.y, part.y)


def test_idx_files(tmp_path: Path) -> None:
    pixels = np.arange(2 * 28 * 28, dtype=np.int64).astype(np.uint8)
    images, labels = tmp_path / "images.gz", tmp_path / "labels.gz"
    sizes = b"".join(size.to_bytes(4, "big") for size in (2, 28, 28))
    images.write_bytes(gzip.compress(b"\x00\x00\x08\x03" + sizes + pixels.tobytes()))
    labels.write_bytes(gzip.compress(b"\x00\x00\x08\x01\x00\x00\x00\x02\x07\x03"))
    data = mnist(images, labels)
    assert data.x.shape == (2, 1, 28, 28)
    assert data.x[0, 0, 0, 1] == np.float32(1 / 255)
    assert data.y.tolist() == [7, 3]


@pytest.mark.parametrize(
    "data", [b"", b"\x00\x00\x0d\x01\x00\x00\x00\x01abcd", b"\x00\x00\x08\x01\x00\x00\x00\x09a"]
)
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(data))
    with pytest.raises(ValueError, match="idx file"):
        read_idx(path)
