"""Bech32 (BIP-173), as age writes keys: no limit on the length, one letter case."""

from __future__ import annotations

from typing import Final

_ALPHABET: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUES: Final = {letter: value for value, letter in enumerate(_ALPHABET)}
_GENERATOR: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM_LENGTH: Final = 6
TEXT_LIMIT: Final = 4096  # a post-quantum public key takes 1959 characters


def encode(prefix: str, data: bytes) -> str:
    """Encode `data` under a human-readable prefix.

    Args:
        prefix: Lower case, or upper case for a result in upper case.
        data: Any bytes.

    Returns:
        The Bech32 text.
    """
    values = _regroup(data, 8, 5)
    lower = prefix.lower()
    remainder = _polymod(_expand(lower) + values + [0] * _CHECKSUM_LENGTH) ^ 1
    checksum = [remainder >> 5 * (5 - i) & 31 for i in range(_CHECKSUM_LENGTH)]
    text = lower + "1" + "".join(_ALPHABET[value] for value in values + checksum)
    return text.upper() if prefix.isupper() else text


def decode(text: str) -> tuple[str, bytes]:
    """Decode Bech32.

    Args:
        text: What `encode` makes.

    Returns:
        The prefix, in the case of the text, and the bytes.

    Raises:
        ValueError: The text is not canonical Bech32, or longer than `TEXT_LIMIT`.
    """
    if len(text) > TEXT_LIMIT or not text.isascii() or text not in (text.lower(), text.upper()):
        raise ValueError("not bech32: length, alphabet or mixed case")
    prefix, _, rest = text.lower().rpartition("1")
    if not prefix or len(rest) < _CHECKSUM_LENGTH or any(c not in _VALUES for c in rest):
        raise ValueError("not bech32: alphabet or length")
    if any(not 33 <= ord(letter) <= 126 for letter in prefix):
        raise ValueError("not bech32: prefix")
    values = [_VALUES[letter] for letter in rest]
    if _polymod(_expand(prefix) + values) != 1:
        raise ValueError("not bech32: checksum")
    data = bytes(_regroup(values[:-_CHECKSUM_LENGTH], 5, 8))
    return (prefix if text == text.lower() else prefix.upper()), data


def _regroup(values: bytes | list[int], width: int, new_width: int) -> list[int]:
    """Cut a bit string anew; into bytes, padding must be short and zero."""
    out: list[int] = []
    buffer = bits = 0
    for value in values:
        buffer, bits = buffer << width | value, bits + width
        while bits >= new_width:
            bits -= new_width
            out.append(buffer >> bits)
            buffer &= (1 << bits) - 1
    if new_width < width and bits:
        out.append(buffer << (new_width - bits))
    if new_width > width and (bits >= width or buffer):
        raise ValueError("not bech32: padding")
    return out


def _polymod(values: list[int]) -> int:
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATOR):
            if top >> bit & 1:
                checksum ^= generator
    return checksum


def _expand(prefix: str) -> list[int]:
    return [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
