"""`sealgate model convert`: other makers' models to ONNX that is served, on the owner's machine."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.output import JsonFlag, note, show, show_words

if TYPE_CHECKING:
    from gateway.artifacts.admission import AdmissionReport
    from gateway.conversion.request import Report

_DEFAULT_TOLERANCE = 1e-4  # that of `gateway.conversion.request`, which help must not import


def convert(
    file: Annotated[
        Path,
        typer.Argument(
            help="The model: pickle or joblib (scikit-learn, XGBoost, LightGBM), XGBoost's json "
            "or ubj, LightGBM's txt, torch's pt or pt2, or onnx.",
            exists=True,
            dir_okay=False,
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="New file; else NAME.onnx beside it.")] = None,
    sample: Annotated[
        Path | None,
        typer.Option(
            help="Rows to compare on: npz (`x`, or an array by input) or csv; else made here.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    trust_pickle: Annotated[
        bool,
        typer.Option(
            "--trust-pickle",
            help="Load a file that can run what is in it (a pickle, torch's), as you.",
        ),
    ] = False,
    tolerance: Annotated[
        float,
        typer.Option(help="How far numbers may be apart: absolute, and relative.", min=0.0),
    ] = _DEFAULT_TOLERANCE,
    differing: Annotated[
        float,
        typer.Option(help="Share of the rows that may differ by more.", min=0.0, max=1.0),
    ] = 0.0,
    force: Annotated[bool, typer.Option("--force", help="Replace a file of that name.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Convert a model to ONNX that is served, compare the two, and say what was changed.

    Nothing is sent. It needs the extra `convert`, and the library that the model was made with.

    Example: sealgate model convert wine.joblib --sample rows.npz --trust-pickle

    Next: sealgate model push NAME VERSION wine.onnx --key owner.key
    """
    from gateway.cli.converting import Conversion, onnx_beside
    from gateway.cli.converting import convert as converted

    target = out if out is not None else onnx_beside(file)
    asked = Conversion(file, target, sample, trust_pickle, tolerance, differing, force)
    report, admitted = converted(asked, quiet=as_json)
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    if as_json:
        show(_plain(report, admitted, target, digest, tolerance), as_json=True)
        return
    for said, told in _lines(report, admitted, target, digest, tolerance):
        show_words(f"{said:<9} {told}")
    for warning in report.warnings:
        note(f"warning: {warning}")
    note(f"next: sealgate model push NAME VERSION {target} --key owner.key")


def _lines(
    report: Report, admitted: AdmissionReport | None, out: Path, digest: str, tolerance: float
) -> list[tuple[str, str]]:
    lines = [("read", report.read)]
    lines += [("changed", change) for change in report.changes] or [("changed", "nothing")]
    for one in report.compared:
        apart = f"differs by at most {one.largest:.1e}" if one.largest else "is the same"
        if one.differing:
            apart = f"{apart}; {one.differing} rows by more than is allowed"
        lines.append(("compared", f"`{one.output}` {apart}, on {report.sample}"))
    lines += [("compared", f"`{name}` was not compared") for name in report.not_compared]
    lines.append(("allowed", f"{tolerance:g} absolute, and {tolerance:g} of the value"))
    if admitted is None:
        lines.append(("admitted", "not tried: the sandbox needs Linux"))
    else:
        lines += [("input", _border(spec)) for spec in admitted.inputs]
        lines += [("output", _border(spec)) for spec in admitted.outputs]
    return [*lines, ("written", f"{out} (sha256 {digest})")]


def _border(spec: Any) -> str:
    return f"{spec.name} {spec.datatype} {list(spec.shape)}"


def _plain(
    report: Report, admitted: AdmissionReport | None, out: Path, digest: str, tolerance: float
) -> dict[str, Any]:
    import msgspec

    told = msgspec.to_builtins(report)
    assert isinstance(told, dict)
    return {
        "file": str(out),
        "sha256": digest,
        "tolerance": tolerance,
        **told,
        "admitted": None if admitted is None else msgspec.to_builtins(admitted),
    }
