from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.artifacts.age import bech32


@given(st.binary(max_size=200), st.sampled_from(["age", "age1pq", "AGE-SECRET-KEY-"]))
def test_round_trip(data: bytes, prefix: str) -> None:
    assert bech32.decode(bech32.encode(prefix, data)) == (prefix, data)


@pytest.mark.parametrize(
    ("text", "prefix"),
    [  # BIP-173, "Test vectors"
        ("A12UEL5L", "A"),
        ("abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw", "abcdef"),
        ("split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w", "split"),
    ],
)
def test_the_standard_vectors(text: str, prefix: str) -> None:
    assert bech32.decode(text)[0] == prefix


@pytest.mark.parametrize(
    "text",
    [  # BIP-173, "Test vectors", invalid
        "",
        "pzry9x0s0muk",
        "1pzry9x0s0muk",
        "x1b4n0q5v",
        "li1dgmt3",
        "A1G7SGD8",
        "10a06t8",
        "1qzzfhee",
        "A12uel5l",
        "a12uel5k",
        "é12uel5l",
        "a" * 5000,
    ],
)
def test_what_is_not_bech32_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not bech32"):
        bech32.decode(text)


@given(st.text(max_size=100))
def test_any_text_is_decoded_or_refused(text: str) -> None:
    try:
        prefix, data = bech32.decode(text)
    except ValueError:
        return
    assert bech32.encode(prefix, data) in (text, text.upper(), text.lower())
