"""Whatever a push is refused for, its owner is told what to do."""

from __future__ import annotations

from typing import get_args

import pytest

from gateway.artifacts.errors import SandboxFailed, SandboxFailure
from gateway.artifacts.manifest import TensorSpec
from gateway.registry.errors import PublishRefused
from gateway.registry.packaging import allowing_nan, check_owner


def test_a_signature_that_is_none() -> None:
    with pytest.raises(PublishRefused) as refused:
        check_owner(b"no json", b"", "digest")
    assert "sign" in refused.value.remedy


@pytest.mark.parametrize(
    ("inputs", "remedy"),
    [
        ((), "leave `--allow-nan` out"),
        ((TensorSpec(name="x", datatype="FP32", shape=(-1,)),), "name one of those"),
    ],
    ids=["none", "another"],
)
def test_a_name_that_is_no_input(inputs: tuple[TensorSpec, ...], remedy: str) -> None:
    with pytest.raises(PublishRefused) as refused:
        allowing_nan(inputs, frozenset({"y"}))
    assert refused.value.remedy == remedy


@pytest.mark.parametrize("kind", get_args(SandboxFailure))
def test_a_confined_job_that_does_not_finish(kind: SandboxFailure) -> None:
    assert SandboxFailed(kind).remedy
