"""The runner fails when a document is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.console import Run, Skipped, Stop, Unclear, Write, steps, unseen
from tests.docs.terminal import Terminal

PAGE = """
<!-- file: a.json -->
```json
{}
```

```console
$ cat a.json \\
    b.json
{}
$ cat > c << 'END'
$ not a prompt
END
```

<!-- not run: needs a cluster -->
```console
$ kubectl get pods
```

<!-- exits 3 -->
```console
$ false
```

```console
$ sealgate serve --data x
{…}
```

<!-- stops: sealgate serve -->
"""


def test_a_page_is_read_as_its_reader_would() -> None:
    assert list(steps(PAGE)) == [
        Write("a.json", "{}\n"),
        Run("cat a.json \\\n    b.json", ["{}"]),
        Run("cat > c << 'END'\n$ not a prompt\nEND", [""] * 0),
        Skipped("needs a cluster"),
        Run("false", code=3),
        Run("sealgate serve --data x", ["{…}"], stays=True),
        Stop("sealgate serve"),
    ]


@pytest.mark.parametrize(
    "page",
    [
        "```console\nno prompt\n```\n",
        "```sh\nls\n```\n",
        "<!-- exit 3 -->\n```console\n$ ls\n```\n",
        "<!-- exits 3 -->\n```console\n$ ls\n$ ls\n```\n",
    ],
)
def test_what_the_runner_does_not_know_is_refused(page: str) -> None:
    with pytest.raises(Unclear):
        list(steps(page))


def test_lines_are_seen_in_order_with_gaps() -> None:
    output = "one  1\ntwo 2 extra\nthree 3\n"
    assert unseen(["one 1", "…", "two …", "three 3"], output) == []
    assert unseen(["three 3", "one 1"], output) == ["one 1"]
    assert unseen(["two 2"], output) == ["two 2"]


@pytest.mark.e2e
def test_a_terminal_keeps_what_a_shell_keeps(tmp_path: Path) -> None:
    folder = tmp_path / "reader"
    folder.mkdir()
    with Terminal(folder, tmp_path, {"GIVEN": "yes"}) as terminal:
        assert terminal.run("X=1; cd .; export Y=2").code == 0
        assert terminal.run('echo "$X$Y$GIVEN"; test -t 1').output.strip() == "12yes"
        assert terminal.run("(exit 7)").code == 7
        assert terminal.run("echo told >&2").output.strip() == "told"
        terminal.start("sleep 60", [])
        assert terminal.stop("sleep") == 130
        with pytest.raises(ValueError, match="unpack"):
            terminal.stop("sleep")
