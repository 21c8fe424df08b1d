"""One conversion, from the owner's file to ONNX that is compared with it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from gateway.artifacts.model_refusals import Refusal, sentence
from gateway.artifacts.onnx_border import border_inputs
from gateway.artifacts.sample import fitted
from gateway.conversion import onnx_files
from gateway.conversion.comparing import check, compare
from gateway.conversion.kinds import Kind, kind_of
from gateway.conversion.loading import load
from gateway.conversion.request import Compared, Report, Request, Stuck
from gateway.conversion.rows import Rows, read_rows
from gateway.conversion.running import made_feeds, run
from gateway.conversion.source import Source
from gateway.conversion.tidying import tidy

_SAY_LITTLE: Final = (
    "every row got the same answer, so the comparison says little: give real rows by --sample"
)
_NOT_RUN: Final = (
    "the runtime does not run the model as it was, so nothing was compared: compare its answers "
    "with those that you know"
)
_MOST_WARNINGS: Final = 5
_SHOWN_WARNING: Final = 300
Tell = Callable[[str], None]


def convert(request: Request, tell: Tell) -> Report:
    """Convert a file; writes `request.out` when the answers are the same.

    Args:
        request: What to convert.
        tell: Called with each stage, one of `STAGES`.

    Raises:
        Stuck: Why not, and what to do.
    """
    path = Path(request.file)
    kind = kind_of(path)
    if kind is None:
        raise Stuck(
            "unknown",
            f"{path.name} is no model of a kind that is known",
            "save it by joblib, torch.export.save, `save_model` of XGBoost or LightGBM, or as ONNX",
        )
    rows = read_rows(Path(request.sample)) if request.sample is not None else None
    with _caught() as said:
        work = _onnx if kind == "onnx" else _other
        report = work(request, path, kind, rows, tell)
    return msgspec.structs.replace(report, warnings=tuple(dict.fromkeys(said))[:_MOST_WARNINGS])


def _onnx(request: Request, path: Path, kind: Kind, rows: Rows | None, tell: Tell) -> Report:
    del kind
    tell("load")
    model, changes = onnx_files.read(path)
    tell("tidy")
    changes += tidy(model)
    data = onnx_files.serialised(model)
    tell("compare")
    if rows is None:
        given, told = made_feeds(model, data), "inputs that were made here"
    else:
        given, told = _by_input(model, rows), rows.told
    after = run(data, given)
    try:
        before = run(str(path), given)
    except Stuck:
        warnings.warn(_NOT_RUN, stacklevel=1)
        return _finished(request, data, f"ONNX in {path.name}", changes, told, (), tuple(after))
    compared, apart = _compared(before, after, request)
    return _finished(request, data, f"ONNX in {path.name}", changes, told, compared, apart)


def _other(request: Request, path: Path, kind: Kind, rows: Rows | None, tell: Tell) -> Report:
    tell("load")
    source = _source(load(path, kind, trusted=request.trusted), path, kind, rows)
    tell("convert")
    model, changes = source.convert()
    tell("tidy")
    changes += tidy(model)
    data = onnx_files.serialised(model)
    tell("compare")
    after = run(data, source.feeds)
    compared, apart = _compared(source.says(list(after)), after, request)
    if source.count > 1 and all(_alike(values) for values in after.values()):
        warnings.warn(_SAY_LITTLE, stacklevel=1)
    told = rows.told if rows is not None else f"{source.count} rows {source.rows_of}"
    return _finished(request, data, source.made_by, changes, told, compared, apart)


def _source(loaded: Any, path: Path, kind: Kind, rows: Rows | None) -> Source:
    """Find whose model it is; libraries are imported when they are needed.

    Raises:
        Stuck: `unknown`, or what it takes is not known.
    """
    if kind.startswith("torch"):
        from gateway.conversion import networks

        return networks.source_of(loaded, rows)
    from gateway.conversion import scikit_learn

    model = scikit_learn.unwrapped(loaded)
    if scikit_learn.is_one(model):
        return scikit_learn.source_of(model, rows)
    raise Stuck(
        "unknown",
        f"{path.name} holds a {type(loaded).__module__}.{type(loaded).__name__}, and no model "
        "of a library that is known",
        "save the fitted estimator or pipeline itself",
    )


def _alike(values: Any) -> bool:
    array = np.asarray(values)
    return bool((array == array[:1]).all())


def _by_input(model: Any, rows: Rows) -> dict[str, Any]:
    """Give the rows of an npz to inputs of their names, or to the only one."""
    try:
        borders = {border.spec.name: border for border in border_inputs(model)}
        arrays = dict(rows.arrays)
        needed = [name for name, border in borders.items() if not border.spec.optional]
        if not arrays.keys() <= borders.keys() and rows.matrix is not None and len(needed) == 1:
            arrays = {needed[0]: rows.matrix}
        missing = [name for name in needed if name not in arrays]
        if missing:
            raise Stuck(
                "sample", f"input `{missing[0]}` is not in the sample", "add an array of its name"
            )
        return {n: fitted(array, borders[n]) for n, array in arrays.items() if n in borders}
    except Refusal as refusal:
        told = sentence(refusal.reason, refusal.part, refusal.found)
        raise Stuck(refusal.reason, told, "give rows as the model takes them") from None


def _compared(
    before: dict[str, Any], after: dict[str, Any], request: Request
) -> tuple[tuple[Compared, ...], tuple[str, ...]]:
    """Compare by output; returns what was compared, and the names of what could not be.

    Raises:
        Stuck: `differs`: more than is allowed, or there is nothing that could be compared.
    """
    compared, apart = [], []
    for name, values in after.items():
        one = None
        if name in before:
            one = compare(name, _without_maps(before[name]), values, request.tolerance)
        if one is None:
            apart.append(name)
        else:
            compared.append(one)
    if not compared:
        raise Stuck("differs", "no output of it could be compared with what the model says itself")
    check(tuple(compared), request.tolerance, request.differing)
    return tuple(compared), tuple(apart)


def _without_maps(values: Any) -> Any:
    """Probabilities as they were before: a list with a map by class for each row."""
    if isinstance(values, list) and values and isinstance(values[0], dict):
        return [list(row.values()) for row in values]
    return values


def _finished(
    request: Request,
    data: bytes,
    read: str,
    changes: list[str],
    sample: str,
    compared: tuple[Compared, ...],
    apart: tuple[str, ...],
) -> Report:
    with Path(request.out).open("xb") as file:
        file.write(data)
    return Report(
        read=read, changes=tuple(changes), sample=sample, compared=compared, not_compared=apart
    )


@contextmanager
def _caught() -> Iterator[list[str]]:
    """Collect what libraries warn of: a model of another version of theirs, above all."""
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default", UserWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        # Columns of a matrix have their places, which is what a caller sends.
        warnings.filterwarnings("ignore", message="X does not have valid feature names")
        yield said
    said += [" ".join(str(one.message).split())[:_SHOWN_WARNING] for one in caught]
