from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.screening.errors import CalibrationRefused, ProfileInvalid
from gateway.screening.profile import (
    CODE_VERSION,
    Profile,
    Range,
    Rate,
    Threshold,
    decode_profile,
    encode_profile,
    read_calibration,
)
from gateway.screening.screens import SCREENS

RATE = Rate(1, 100, 0.0, 0.05)


def profile(**changes: object) -> Profile:
    made = Profile(
        code=CODE_VERSION,
        model="a" * 64,
        calibration="b" * 64,
        rows=1000,
        accuracy=0.97,
        classes=10,
        screens=SCREENS,
        warning=(1.0, 1.0, 1.0, 1.0),
        scores=tuple(float(score) for score in range(400)),
        delta=0.05,
        flag=Threshold(0.05, 13, "pac", RATE, RATE),
        block=Threshold(0.01, 0, "pac", RATE, RATE),
        enforce=True,
        range=Range((0.0,), (1.0,)),
    )
    return msgspec.structs.replace(made, **changes)


def test_there_and_back() -> None:
    assert decode_profile(encode_profile(profile())) == profile()


@pytest.mark.parametrize(
    "changes",
    [
        {"code": "sealgate-screen/0"},
        {"screens": ("trust",)},
        {"warning": (1.0,)},
        {"scores": ()},
        {"scores": (2.0, 1.0)},
        {"flag": Threshold(0.05, 400, "pac", RATE, RATE)},
        {"flag": Threshold(0.05, -1, "none", RATE, RATE)},
        {"flag": Threshold(0.01, 13, "pac", RATE, RATE)},
        {"block": Threshold(0.01, 14, "pac", RATE, RATE)},
        {"block": Threshold(0.01, 0, "marginal", RATE, RATE)},
        {"range": Range((), ())},
        {"range": Range((0.0,), (1.0, 2.0))},
    ],
)
def test_a_profile_that_contradicts_itself_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ProfileInvalid):
        decode_profile(encode_profile(profile(**changes)))


def test_numbers_that_are_not_finite_are_refused() -> None:
    data = encode_profile(profile()).replace(b"399.0", b"1e999")
    assert b"1e999" in data
    with pytest.raises(ProfileInvalid):
        decode_profile(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_by_us(data: bytes) -> None:
    with pytest.raises(ProfileInvalid):
        decode_profile(data)


@given(st.integers(0, 5000), st.binary(min_size=1, max_size=8))
def test_any_damage_is_refused_by_us_or_consistent(at: int, damage: bytes) -> None:
    data = bytearray(encode_profile(profile()))
    at %= len(data)
    data[at : at + len(damage)] = damage
    try:
        read = decode_profile(bytes(data))
    except ProfileInvalid:
        return
    assert read.scores[-1 - read.flag.exceedances] <= read.scores[-1 - read.block.exceedances]


def test_a_job_that_breaks_its_promise_is_refused() -> None:
    good = encode_profile(profile())
    with pytest.raises(ProfileInvalid):
        read_calibration({}, {"profile": good})
    with pytest.raises(ProfileInvalid):
        read_calibration({}, {"profile": b"{}", "fused": b""})
    with pytest.raises(CalibrationRefused) as caught:
        read_calibration({"refused": "<script>"}, {})
    assert caught.value.reason == "unknown"
    assert "script" not in caught.value.public
