"""The images hold what they should: paths that exist, hashes, no root, no shell at run time."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.lockfile import ROOT, names

FILES = ("gateway", "site")


def instructions(name: str) -> list[tuple[str, str]]:
    """The instructions of a Containerfile in order, continuation lines joined."""
    text = (ROOT / f"deploy/{name}.Containerfile").read_text()
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    pairs = (line.split(None, 1) for line in joined.splitlines() if line.strip())
    return [(word, rest) for word, rest in pairs]


def last_stage(name: str) -> list[tuple[str, str]]:
    steps = instructions(name)
    start = max(n for n, (word, _) in enumerate(steps) if word == "FROM")
    return steps[start:]


def copied(name: str) -> Iterator[str]:
    for word, rest in instructions(name):
        if word == "COPY" and "--from=" not in rest:
            yield from shlex.split(rest)[:-1]


@pytest.mark.parametrize("name", FILES)
def test_only_paths_that_exist_are_copied(name: str) -> None:
    paths = list(copied(name))
    assert paths
    assert not [path for path in paths if not (ROOT / path).exists()]


@pytest.mark.parametrize("name", FILES)
def test_the_build_context_holds_what_is_copied_and_nothing_else(name: str) -> None:
    ignore = (ROOT / f"deploy/{name}.Containerfile.dockerignore").read_text().splitlines()
    assert "*" in ignore
    assert {line[1:] for line in ignore if line.startswith("!")} == set(copied(name))


@pytest.mark.parametrize("name", FILES)
def test_every_package_comes_by_hash_or_from_here(name: str) -> None:
    installs = re.findall(
        r"pip (?:--python \S+ )?(?:install|wheel)[^&]*",
        " && ".join(rest for word, rest in instructions(name) if word == "RUN"),
    )
    assert installs
    assert not [
        one
        for one in installs
        if "--no-deps" not in one or not ("--require-hashes" in one or "--no-index" in one)
    ]


@pytest.mark.parametrize("name", FILES)
def test_the_build_backend_is_in_the_lock_it_is_taken_from(name: str) -> None:
    text = (ROOT / f"deploy/{name}.Containerfile").read_text()
    pattern = re.search(r"/\^\(([a-z|-]+)\)==/", text)
    assert pattern
    assert set(pattern[1].split("|")) <= names("requirements.lock")


@pytest.mark.parametrize("name", FILES)
def test_the_image_runs_as_somebody_without_rights_and_needs_no_shell(name: str) -> None:
    steps = dict(last_stage(name))
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", steps["USER"])
    assert "RUN" not in steps
    for word in ("ENTRYPOINT", "CMD"):
        assert isinstance(json.loads(steps[word]), list)
    probe = json.loads(re.sub(r"^.*?CMD ", "", steps["HEALTHCHECK"]))
    assert probe[0].endswith("/bin/python")
    compile(probe[2], "healthcheck", "exec")


@pytest.mark.parametrize("name", FILES)
def test_an_image_holds_no_secret_and_no_setting(name: str) -> None:
    assert "SEALGATE_" not in Path(ROOT / f"deploy/{name}.Containerfile").read_text()
