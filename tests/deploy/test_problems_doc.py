"""Every problem that the gateway answers is explained, and nothing else is."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import audit.errors
import gateway
import policies.errors
from gateway.errors import SealgateError
from gateway.web.problems import STATUS

ROOT = Path(__file__).resolve().parents[2]
# Built by `install_problems` itself, for errors of the framework.
OF_THE_FRAMEWORK = {"invalid_request", "not_found", "method_not_allowed", "http_error"}


def headings() -> list[str]:
    text = (ROOT / "docs/problems.md").read_text()
    return re.findall(r"^## (\S+)$", text, flags=re.MULTILINE)


def tree(base: type[Exception]) -> Iterator[type[Exception]]:
    yield base
    for child in base.__subclasses__():
        yield from tree(child)


def living_codes() -> set[str]:
    for module in pkgutil.walk_packages(gateway.__path__, "gateway."):
        if module.name.endswith(".errors"):
            importlib.import_module(module.name)
    bases = (SealgateError, audit.errors.AuditError, policies.errors.PolicyError)
    return {vars(one).get("code", "") for base in bases for one in tree(base)}


def test_each_code_with_a_status_is_explained() -> None:
    missing = {code.replace("_", "-") for code in STATUS} - set(headings())
    assert not missing


def test_no_heading_outlives_its_code() -> None:
    living = {code.replace("_", "-") for code in living_codes() | set(STATUS) | OF_THE_FRAMEWORK}
    assert not set(headings()) - living


def test_a_code_is_explained_once() -> None:
    assert len(headings()) == len(set(headings()))


def test_each_explanation_says_what_to_do_next() -> None:
    sections = re.split(r"^## ", (ROOT / "docs/problems.md").read_text(), flags=re.MULTILINE)[1:]
    parts = ("**What happened:**", "**Next:**")
    assert not [text.split()[0] for text in sections if not all(part in text for part in parts)]
