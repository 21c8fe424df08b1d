"""The results of a batch job on this machine: fetched, opened, written as one file.

Sealed results are gathered beside the output (`OUT.parts`) until all are there, so that an attempt
that was cut off goes on. What is opened is in memory only, until the output appears, complete.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from gateway.artifacts.age import Identity, decrypt_stream, read_header
from gateway.artifacts.errors import AgeError
from gateway.cli.connection import Connection
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.output import progress

ROW: Final = "sealgate_row"
REASON: Final = "sealgate_reason"
DEGRADED: Final = "sealgate_degraded"
OUTPUT: Final = "output."
LOST: Final = {"erased": "subject_erased", "dropped": "not_asked"}
"""State of a part without a result → the reason of its rows."""

Part = dict[str, Any]
Result = dict[str, NDArray[Any]]


def fetch(
    connection: Connection, job: dict[str, Any], key: Identity, out: Path, form: str, *, quiet: bool
) -> dict[str, Any]:
    """Write the answers of a job to `out`; returns what to tell about it.

    Raises:
        CommandFailed: The gateway refuses, the key is another one, or a file cannot be written.
    """
    check_format(form)
    parts = list(connection.items(f"/v1/batches/{job['id']}/results"))
    folder = out.with_name(out.name + ".parts")
    if not parts:
        return {"file": None}
    with _alone(folder, out):
        with progress("fetch", quiet=quiet) as advance:
            for number, part in enumerate(parts):
                if part["state"] == "ready":
                    _download(connection, job["id"], part, folder)
                advance(number + 1, len(parts))
        results = [_opened(folder, part, key) for part in parts]
        with _appearing(out) as file:
            WRITERS[form](file, results)
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    return {"file": str(out)}


def check_format(form: str) -> None:
    """Refuse early what cannot be written here.

    Raises:
        CommandFailed: Parquet is wanted and its library is absent.
    """
    if form == "parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as cause:
            raise CommandFailed(
                "Parquet needs another package on this machine",
                ExitCode.USAGE,
                "pip install sealgate[parquet], or write .npz or .jsonl",
            ) from cause


def _download(connection: Connection, job: str, part: Part, folder: Path) -> None:
    path = folder / f"{part['number']:06}.age"
    if path.exists() and _digest(path.read_bytes()) == part["digest"]:
        return
    content = connection.send("GET", f"/v1/batches/{job}/results/{part['number']}").content
    if _digest(content) != part["digest"]:
        raise CommandFailed("a result does not have its digest", ExitCode.UNVERIFIED, "try again")
    path.write_bytes(content)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _opened(folder: Path, part: Part, key: Identity) -> Result:
    """Return a result; of a part without one, the reason for all its rows."""
    if part["state"] != "ready":
        rows = np.arange(part["first"], part["first"] + part["rows"])
        reasons = np.full(part["rows"], LOST.get(part["state"], "unknown"))
        return {"row": rows[:0], "refused_row": rows, "refused_reason": reasons}
    sealed = io.BytesIO((folder / f"{part['number']:06}.age").read_bytes())
    try:
        plain = b"".join(decrypt_stream(read_header(sealed).open([key]), sealed))
    except AgeError as cause:
        raise CommandFailed(
            "the results are not for this key", ExitCode.UNVERIFIED, "name the identity of the job"
        ) from cause
    with np.load(io.BytesIO(plain), allow_pickle=False) as found:
        return dict(found)


def _outputs(results: list[Result]) -> list[str]:
    names = [name for result in results for name in result if name.startswith(OUTPUT)]
    return list(dict.fromkeys(names))


def _rows(results: list[Result]) -> Iterator[tuple[int, str | None, bool, dict[str, Any]]]:
    """Yield each row in order: number, reason, whether it is degraded, and its outputs."""
    for result in results:
        degraded = bool(result.get("degraded", False))
        outputs = {name: value for name, value in result.items() if name.startswith(OUTPUT)}
        found: dict[int, tuple[str | None, bool, dict[str, Any]]] = {}
        for at, row in enumerate(result["row"].tolist()):
            answer = {name: value[at].tolist() for name, value in outputs.items()}
            found[row] = None, degraded, answer
        pairs = zip(result["refused_row"].tolist(), result["refused_reason"].tolist(), strict=True)
        found |= {row: (reason, False, {}) for row, reason in pairs}
        for row in sorted(found):
            yield (row, *found[row])


def _write_lines(file: BinaryIO, results: list[Result]) -> None:
    """One object a row: its number, then its outputs, or the reason why there are none."""
    for row, reason, degraded, outputs in _rows(results):
        line: dict[str, Any] = {ROW: row}
        if reason is not None:
            line[REASON] = reason
        if degraded:
            line[DEGRADED] = True
        line |= {name.removeprefix(OUTPUT): value for name, value in outputs.items()}
        file.write(json.dumps(line).encode() + b"\n")


def _write_npz(file: BinaryIO, results: list[Result]) -> None:
    """Arrays of the answered rows, and beside them which rows those are and why others are not."""
    members: Result = {
        ROW: np.concatenate([result["row"] for result in results]),
        "sealgate_refused_row": np.concatenate([result["refused_row"] for result in results]),
        REASON: np.concatenate([result["refused_reason"] for result in results]),
        DEGRADED: np.concatenate(
            [np.full(len(result["row"]), result.get("degraded", False)) for result in results]
        ),
    }
    for name in _outputs(results):
        arrays = [result[name] for result in results if name in result]
        members[name.removeprefix(OUTPUT)] = np.concatenate(arrays)
    np.savez(file, allow_pickle=False, **members)


def _write_parquet(file: BinaryIO, results: list[Result]) -> None:
    """One row a row, as JSON lines; outputs are null where there is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = list(_rows(results))
    columns: dict[str, Any] = {
        ROW: pa.array([row for row, *_ in rows], pa.int64()),
        REASON: pa.array([reason for _, reason, *_ in rows], pa.string()),
        DEGRADED: pa.array([degraded for _, _, degraded, _ in rows], pa.bool_()),
    }
    for name in _outputs(results):
        first = next(result[name] for result in results if name in result)
        kind = pa.string() if first.dtype.kind in "US" else pa.from_numpy_dtype(first.dtype)
        for _ in range(first.ndim - 1):
            kind = pa.list_(kind)
        values = [outputs.get(name) for *_, outputs in rows]
        columns[name.removeprefix(OUTPUT)] = pa.array(values, kind)
    pq.write_table(pa.table(columns), file)


WRITERS: Final[dict[str, Callable[[BinaryIO, list[Result]], None]]] = {
    "jsonl": _write_lines,
    "npz": _write_npz,
    "parquet": _write_parquet,
}
"""Format → how it is written."""


@contextmanager
def _alone(folder: Path, out: Path) -> Iterator[None]:
    """Hold the folder of the parts; a second command with the same output is refused."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as cause:
        raise CommandFailed(f"{folder} cannot be written", ExitCode.USAGE) from cause
    try:
        _lock(handle, out)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, out: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        what = f"another command writes `{out}`"
        advice = "wait until it is done, or choose another name with --out"
        raise CommandFailed(what, ExitCode.TRY_AGAIN, advice) from None


@contextmanager
def _appearing(out: Path) -> Iterator[BinaryIO]:
    """Write a file, readable by its owner only, that appears when it is complete."""
    try:
        descriptor, draft = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
        with os.fdopen(descriptor, "wb") as file:
            yield file
        os.replace(draft, out)
    except OSError as cause:
        raise CommandFailed(f"{out} cannot be written", ExitCode.USAGE) from cause
