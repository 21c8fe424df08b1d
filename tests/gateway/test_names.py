from __future__ import annotations

from typing import get_args

import pytest

from gateway.artifacts.manifest import Name, Version
from gateway.errors import InvalidRequest
from gateway.names import NAME, VERSION, is_name, is_version, require_name, require_version


def test_what_can_be_a_name() -> None:
    assert all(map(is_name, ["a", "0", "a.b-c_d", "a" * 63]))
    assert not any(map(is_name, ["", ".a", "A", "ü", "a b", "a" * 64, "a\n"]))


def test_what_can_be_a_version() -> None:
    assert all(map(is_version, ["1", "1.0-rc_1", "v" * 32]))
    assert not any(map(is_version, ["", ".1", "ü", "1 0", "v" * 33, "1\n"]))


def test_a_refusal_names_the_field_and_not_what_was_written() -> None:
    with pytest.raises(InvalidRequest, match=r"^`model` must be") as refused:
        require_name("model", "Secret Value")
    assert "Secret" not in refused.value.public
    with pytest.raises(InvalidRequest, match=r"^`version` must be"):
        require_version("version", "../1")


def test_a_manifest_takes_the_names_that_the_gateway_takes() -> None:
    """The manifest's form stands by itself: what is stored must stay readable."""
    assert get_args(Name)[1].pattern == r"\A" + NAME.pattern
    assert get_args(Version)[1].pattern == r"\A" + VERSION.pattern
