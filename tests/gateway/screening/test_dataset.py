from __future__ import annotations

import io
import pickle
import zipfile
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.screening import dataset
from gateway.screening.dataset import read_calibration_set
from gateway.screening.errors import REFUSALS, REMEDIES, CalibrationRefused
from tests.gateway.screening.classifiers import clouds, npz

X, Y = clouds(120, seed=1)


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return buffer.getvalue()


def refused(data: bytes) -> str:
    with pytest.raises(CalibrationRefused) as caught:
        read_calibration_set(data)
    return caught.value.reason


@pytest.mark.parametrize("dtype", ["<f4", "<f8", ">f4", "<f2", "u1", "<i8"])
def test_reads_what_numpy_writes(dtype: str) -> None:
    x = np.abs(X * 10).astype(dtype)
    data = read_calibration_set(npz(x=x, y=Y.astype(np.uint8)))
    assert np.array_equal(data.x, x)
    assert data.x.dtype.isnative
    assert data.y.dtype == np.int64
    assert np.array_equal(data.y, Y)


def test_reads_column_major_and_compressed_arrays() -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=np.asfortranarray(X), y=Y)
    assert np.array_equal(read_calibration_set(buffer.getvalue()).x, X)


def test_a_pickle_is_never_read() -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (pytest.fail, ("unpickled",))

    hostile = np.empty(120, dtype=object)
    hostile[:] = [Bomb() for _ in range(120)]
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, hostile, allow_pickle=True)
    assert refused(archive({"x.npy": buffer.getvalue(), "y.npy": npy(Y)})) == "dtype"
    assert refused(archive({"x.npy": pickle.dumps(X), "y.npy": npy(Y)})) == "array"


def test_a_zip_bomb_is_refused_by_what_it_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "MAX_ARRAY_BYTES", 1 << 20)
    bomb = archive({"x.npy": bytes(2 << 20), "y.npy": npy(Y)}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 10_000
    assert refused(bomb) == "array"


def test_a_zip_bomb_that_lies_is_stopped_at_its_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "MAX_ARRAY_BYTES", 1 << 20)
    data = bytearray(archive({"x.npy": bytes(2 << 20), "y.npy": npy(Y)}, zipfile.ZIP_DEFLATED))
    true_size = (2 << 20).to_bytes(4, "little")
    while (at := data.find(true_size)) >= 0:
        data[at : at + 4] = (1000).to_bytes(4, "little")
    assert refused(bytes(data)) == "archive"  # the checksum of the cut member is wrong


def header(shape: str, descr: str = "'<f4'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    ("x", "reason"),
    [
        (header("(4611686018427387904, 4)"), "array"),
        (header("(-1, 4)") + bytes(16), "array"),
        (header("(120, 6, True)") + bytes(120 * 24), "array"),
        (header("120") + bytes(480), "array"),
        (header("()") + bytes(4), "array"),
        (header("(1," * 5000), "array"),
        (header("(120, 6)", "[('a', '<f4')]"), "dtype"),
        (header("(120, 6)", "'<c8'") + bytes(120 * 48), "dtype"),
        (header("(120, 6)", "'<U4'"), "dtype"),
        (b"\x93NUMPY\x03\x00", "array"),
        (b"", "array"),
    ],
)
def test_hostile_headers(x: bytes, reason: str) -> None:
    assert refused(archive({"x.npy": x, "y.npy": npy(Y)})) == reason


def test_members_are_exactly_x_and_y() -> None:
    assert refused(npz(x=X)) == "archive"
    assert refused(npz(x=X, y=Y, z=Y)) == "archive"
    assert refused(archive({"../x.npy": npy(X), "y.npy": npy(Y)})) == "archive"
    twice = archive({"x.npy": npy(X), "z.npy": npy(X)}).replace(b"z.npy", b"x.npy")
    assert refused(twice) == "archive"


def test_rows_and_values() -> None:
    spoiled = X.copy()
    spoiled[3, 2] = np.nan
    assert refused(npz(x=spoiled, y=Y)) == "not_finite"
    assert refused(npz(x=X, y=Y[:-1])) == "rows"
    assert refused(npz(x=X[:99], y=Y[:99])) == "rows"
    assert refused(npz(x=X, y=Y[:, None])) == "rows"
    assert refused(npz(x=X[:, 0], y=Y)) == "rows"
    assert refused(npz(x=X, y=Y.astype(float))) == "dtype"
    assert refused(npz(x=X[:, :0], y=Y)) == "array"
    assert refused(npz(x=X, y=np.full(120, 2**63, np.uint64))) == "labels"


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_by_us(data: bytes) -> None:
    assert refused(data) in REFUSALS


@given(st.integers(0, 3000), st.binary(min_size=1, max_size=12))
def test_any_damage_is_refused_by_us_or_harmless(at: int, damage: bytes) -> None:
    data = bytearray(npz(x=X[:110, :1], y=Y[:110].astype(np.int8)))
    at %= len(data)
    data[at : at + len(damage)] = damage
    try:
        read = read_calibration_set(bytes(data))
    except CalibrationRefused:
        return
    assert np.isfinite(read.x).all()


@given(st.binary(max_size=200))
def test_any_npy_is_refused_by_us(tail: bytes) -> None:
    start = b"\x93NUMPY\x01\x00" + len(tail).to_bytes(2, "little")
    assert refused(archive({"x.npy": start + tail, "y.npy": npy(Y)})) in REFUSALS


def test_every_refusal_says_what_to_do() -> None:
    assert REFUSALS.keys() - REMEDIES.keys() == {"unknown"}
    assert not REMEDIES.keys() - REFUSALS.keys()
