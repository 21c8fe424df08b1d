"""The reference of a partner's files names their fields, all and no other."""

from __future__ import annotations

import msgspec
import pytest

from gateway.artifacts.kit import Kit
from gateway.artifacts.release_document import ReleaseDocument
from gateway.artifacts.release_keys import SignedSuccession
from gateway.artifacts.trust import TrustRecord
from tests.docs.tables import rows


@pytest.mark.parametrize(
    ("heading", "kind"),
    [
        ("Kit", Kit),
        ("Release document", ReleaseDocument),
        ("What is kept", TrustRecord),
        ("Release keys", SignedSuccession),
    ],
)
def test_the_fields_of_a_file(heading: str, kind: type[msgspec.Struct]) -> None:
    told = [row[0].strip("`") for row in rows("partner-files.md", heading)]
    assert told == list(kind.__struct_fields__)
