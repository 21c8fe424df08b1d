from __future__ import annotations

import re

from audit.errors import AuditError, EntryTampered


def every_error() -> list[type[AuditError]]:
    """Every error of this package; another may derive one of its own from ours."""
    found, left = [], [AuditError]
    while left:
        error = left.pop()
        found.append(error)
        left += [child for child in error.__subclasses__() if child.__module__ == "audit.errors"]
    return found


def test_every_error_has_a_code_and_a_public_text_of_its_own_in_our_style() -> None:
    codes = [error.code for error in every_error()]
    assert len(set(codes)) == len(codes)
    for error in every_error():
        assert re.fullmatch("[a-z]+(_[a-z]+)*", error.code)
        assert error.message[0].islower()
        assert not error.message.endswith(".")


def test_the_tree_in_the_docstring_names_them_all() -> None:
    text = __import__("audit.errors", fromlist=["__doc__"]).__doc__
    assert text is not None
    assert all(error.__name__ in text for error in every_error())


def test_a_tampered_entry_is_named() -> None:
    error = EntryTampered("log.example/acme", 7, "leaf hash")
    assert error.public == "entry log.example/acme/7 does not match the signed tree: leaf hash"
    assert (error.origin, error.index) == ("log.example/acme", 7)
