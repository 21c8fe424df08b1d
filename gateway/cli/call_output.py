"""What a model answered: rows for people, JSON, npz or CSV for programs."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.output import open_private, show_list
from gateway.cli.spreadsheet import csv_text
from gateway.client.tensors import Tensor

FORMS: Final = (".npz", ".json", ".csv")
SHOWN: Final = 12
"""Values of one row and output that a table shows; files hold all."""


def check_form(out: Path) -> None:
    """Refuse early what cannot be written.

    Raises:
        CommandFailed: The name is of no known form.
    """
    if out.suffix.lower() not in FORMS:
        raise CommandFailed(
            f"{out} has a name of no known form", ExitCode.USAGE, f"end it with {', '.join(FORMS)}"
        )


def as_json(told: dict[str, Any], outputs: Sequence[Tensor]) -> dict[str, Any]:
    """Return an answer as the protocol has it in JSON, with where its record is.

    Raises:
        CommandFailed: It holds what JSON cannot say.
    """
    return {
        **told,
        "outputs": [
            {
                "name": one.name,
                "datatype": one.datatype,
                "shape": list(one.values.shape),
                "data": _listed(one),
            }
            for one in outputs
        ],
    }


def write(out: Path, told: dict[str, Any], outputs: Sequence[Tensor]) -> None:
    """Write an answer to a file that only its owner may read."""
    form = out.suffix.lower()
    if form == ".json":
        content = json.dumps(as_json(told, outputs)).encode()
    elif form == ".csv":
        content = _csv(outputs).encode()
    else:
        buffer = io.BytesIO()
        np.savez(buffer, **{one.name: _plain(one) for one in outputs})
        content = buffer.getvalue()
    with open_private(out) as file:
        file.write(content)


def print_table(outputs: Sequence[Tensor]) -> None:
    """Print one line a row, with the first values of each output."""
    count = max((len(_rows(one)) for one in outputs), default=0)
    lines: list[dict[str, Any]] = [{"row": at} for at in range(count)]
    for one in outputs:
        for line, row in zip(lines, _rows(one), strict=False):
            values = [_word(value) for value in row[:SHOWN]]
            line[one.name] = " ".join(values) + (" …" if len(row) > SHOWN else "")
    columns = ("row", *(one.name for one in outputs))
    show_list(lines, as_json=False, columns=columns, empty="the answer has no output")


def _rows(tensor: Tensor) -> list[list[Any]]:
    values = tensor.values
    if values.ndim == 0:
        return [[values.item()]]
    rows: list[list[Any]] = values.reshape(len(values), -1).tolist() if values.size else []
    return rows


def _listed(tensor: Tensor) -> list[Any]:
    if tensor.values.dtype.kind == "f" and not np.isfinite(tensor.values).all():
        raise CommandFailed(
            f"`{tensor.name}` holds what JSON cannot say, an infinity or what is no number",
            ExitCode.FAILED,
            "add --out answer.npz",
        )
    return [_text(value) for value in tensor.values.ravel().tolist()]


def _csv(outputs: Sequence[Tensor]) -> str:
    tables = [_rows(one) for one in outputs]
    header = [
        one.name if len(rows[0]) == 1 else f"{one.name}.{at}"
        for one, rows in zip(outputs, tables, strict=True)
        for at in range(len(rows[0]) if rows else 0)
    ]
    rows = (
        [_text(value) for part in parts for value in part] for parts in zip(*tables, strict=False)
    )
    return csv_text(header, rows)


def _text(value: Any) -> Any:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


def _word(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(_text(value))


def _plain(tensor: Tensor) -> Any:
    """Return values that `numpy.load` reads without pickle."""
    if tensor.values.dtype.kind != "O":
        return tensor.values
    return np.array([_text(value) for value in tensor.values.ravel()], np.str_).reshape(
        tensor.values.shape
    )
