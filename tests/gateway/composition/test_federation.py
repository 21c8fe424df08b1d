from __future__ import annotations

import tempfile

import pytest

from gateway.composition.federation import LONGEST_TEMPORARY, temporary_folder


@pytest.mark.parametrize(
    ("own", "given"),
    [
        ("/" + "x" * (LONGEST_TEMPORARY - 1), "/" + "x" * (LONGEST_TEMPORARY - 1)),
        ("/" + "x" * LONGEST_TEMPORARY, "/tmp"),
    ],
)
def test_the_coordinator_gets_no_temporary_folder_in_which_sockets_have_no_name(
    own: str, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", own)
    assert temporary_folder() == given
