"""`sealgate call`: ask a model from the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from gateway.cli.connection import Connection, connect
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.output import JsonFlag, ProfileOption, check_writable, note, show
from gateway.cli.purposes import name_the_purpose
from gateway.cli.shared_names import wire_name

MAX_SUBJECT: Final = 4096
"""Bytes of a file with one person's identifier."""


def call(
    model: Annotated[str, typer.Argument(help="Name of the model.")],
    rows: Annotated[
        Path, typer.Argument(help="Input: .json, .npz, .npy or .csv; - is JSON from a pipe.")
    ] = Path("-"),
    version: Annotated[
        str | None, typer.Option("--version", help="A version; else the released one.")
    ] = None,
    purpose: Annotated[
        str | None, typer.Option(help="Why; else the client's default purpose.")
    ] = None,
    subject: Annotated[
        str | None, typer.Option(help="Whom it is about; @FILE reads it from a file.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File for the answer: .npz, .json or .csv.")
    ] = None,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Ask a model; the record's place is told on standard error.

    JSON is a request of the Open Inference Protocol, an object {input: values}, or the values
    of the one input.

    Example: sealgate call digits digit.json --purpose diagnosis

    Next: sealgate why REQUEST
    """
    from gateway.cli import call_output
    from gateway.client.tensors import answer_of

    if out is not None:
        call_output.check_form(out)
        check_writable(out)
    parameters = {
        name: value
        for name, value in (("purpose", purpose), ("subject", _identifier(subject)))
        if value is not None
    }
    path = f"/v2/models/{quote(wire_name(model), safe='')}"
    path += "" if version is None else f"/versions/{quote(version, safe='')}"
    with connect(profile) as connection:
        try:
            answer = _ask(connection, path, rows, parameters)
        except CommandFailed as refused:
            name_the_purpose(refused, connection, purpose)
            raise
    told, outputs = answer_of(answer.content, answer.headers.get("inference-header-content-length"))
    told["audit"] = answer.headers.get("sealgate-audit")
    told["request_id"] = answer.headers.get("sealgate-request-id")
    if out is not None:
        call_output.write(out, told, outputs)
        show({"file": str(out), **told}, as_json=as_json)
    elif as_json:
        show(call_output.as_json(told, outputs), as_json=True)
    else:
        call_output.print_table(outputs)
        note(f"{told.get('model_name')} {told.get('model_version')}, record {told['audit']}")


def _ask(connection: Connection, path: str, rows: Path, parameters: dict[str, Any]) -> Any:
    from gateway.cli import call_input
    from gateway.client.tensors import request_of

    if rows == call_input.STANDARD_INPUT and sys.stdin.isatty():
        described = connection.get(path)["inputs"]
        taken = ", ".join(f"{one['name']} {one['datatype']} {one['shape']}" for one in described)
        raise CommandFailed(
            f"there is no input; the model takes {taken}", ExitCode.USAGE, "name a file"
        )
    form, content = call_input.read_input(rows)
    whole = call_input.whole_request(form, content)
    if whole is not None:
        if isinstance(whole.get("parameters") or {}, dict):  # else the gateway says what is wrong
            whole["parameters"] = {**(whole.get("parameters") or {}), **parameters}
        headers = {"content-type": "application/json"}
        return connection.send(
            "POST", f"{path}/infer", content=json.dumps(whole).encode(), headers=headers
        )
    tensors = call_input.tensors_of(form, content, connection.get(path)["inputs"])
    request = request_of(tensors, parameters)
    return connection.send(
        "POST", f"{path}/infer", content=request.body, headers=dict(request.headers)
    )


def _identifier(given: str | None) -> str | None:
    """Return who is meant: of `@FILE` what it holds, so that no list of processes shows it."""
    if given is None or not given.startswith("@"):
        return given
    try:
        with Path(given[1:]).open("rb") as file:
            return file.read(MAX_SUBJECT).decode().strip()
    except (OSError, UnicodeDecodeError) as cause:
        raise CommandFailed(
            f"{given[1:]} cannot be read", ExitCode.USAGE, "name a file with one identifier"
        ) from cause
