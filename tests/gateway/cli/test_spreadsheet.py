"""What a model or a caller wrote does nothing when somebody opens it in a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import audit
import federated
import gateway
import policies
from gateway.cli import output
from gateway.cli.spreadsheet import csv_text, harmless

COMPUTED = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


@pytest.mark.parametrize(
    "text",
    [
        "=cmd|' /C calc'!A0",
        "+1+1",
        "-1+1",
        "@SUM(1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "\uff1d1",
        " =1",
        "-x",
        '=HYPERLINK("http://x")',
    ],
)
def test_a_text_that_would_be_computed_is_marked_as_text(text: str) -> None:
    assert harmless(text).startswith("'")
    assert harmless(text).replace("'", "") == text.replace("'", "")


@pytest.mark.parametrize("text", ["12", "-1.5", "+3", "1e-9", "-.5", "name", "a=b", "", "-"])
def test_numbers_and_names_stay_as_they_are(text: str) -> None:
    assert harmless(text) == text


@pytest.mark.parametrize("part", [";", "\t", "\n", "\r\n"])
def test_a_part_of_a_text_that_becomes_a_cell_is_looked_at_too(part: str) -> None:
    assert harmless(f"name{part}=1+1") == f"name{part}'=1+1"


@given(st.text())
def test_whatever_the_text_no_cell_of_it_is_computed(text: str) -> None:
    (line,) = csv.reader(io.StringIO(csv_text([text], []), newline=""))
    (cell,) = line
    begins = [one.lstrip(" ")[:1] for one in re.split(r"[;\t\r\n]", cell)]
    plain = cell == "-" or re.fullmatch(r"[+-]?[0-9.]+(e[+-]?[0-9]+)?", cell, re.IGNORECASE)
    assert plain or not set(begins) & set(COMPUTED)


def test_numbers_stay_numbers_and_texts_stand_in_quotes() -> None:
    table = csv_text(["a", "b"], [[1, "x"], [-2.5, 'say "=1"'], [math.pi, True]])
    assert table.splitlines() == [
        '"a","b"',
        '1,"x"',
        '-2.5,"say ""=1"""',
        f'{math.pi},"True"',
    ]


def test_one_module_writes_csv() -> None:
    packages = (audit, federated, gateway, policies)
    sources = [path for one in packages for path in Path(one.__path__[0]).rglob("*.py")]
    writers = {p.name for p in sources if "csv.writer" in (t := p.read_text()) or "DictWriter" in t}
    assert writers == {"spreadsheet.py"}


def test_lines_in_a_pipe_keep_to_their_cells_and_compute_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    row = {"name": "=cmd()\t\x1b[31m\nnext", "count": -3, "none": None}
    output.show_list([row], as_json=False, columns=("name", "count", "none"), empty="")
    assert capsys.readouterr().out == "'=cmd()\\t\\x1b[31m\\nnext\t-3\t-\n"


def test_json_is_ascii_without_controls_and_without_words_that_json_lacks() -> None:
    text = output.dumps({"a": "\x1b\u2028</script>é", "b": [math.nan, {"c": -math.inf}]})
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text) == {"a": "\x1b\u2028</script>é", "b": [None, {"c": None}]}
