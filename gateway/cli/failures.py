"""How a command fails: exit codes, and errors as `error:` and `next:`.

With `--json` an error is one JSON object on standard error: problem details (RFC 9457), those of
the gateway where it said no, with `exit`, the exit code, and `next`, what helps. Its `type` is
explained in docs/problems.md, or, where the command refuses, in docs/reference/command-line.md.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

PROBLEMS: Final = "https://sealgate.dev/problems/"
"""Types of what the gateway, or a part of it in this process, refuses."""
OWN: Final = "https://sealgate.dev/command-line/"
"""Types of what a command refuses by itself, one for each exit code."""


class ExitCode(IntEnum):
    """What a script can tell from the exit code alone."""

    OK = 0
    FAILED = 1
    USAGE = 2
    DENIED = 3
    SIGN_IN = 4
    NOT_FOUND = 5
    UNVERIFIED = 6
    WAITING = 7
    TRY_AGAIN = 75
    INTERRUPTED = 130


@dataclass
class CommandFailed(Exception):
    """A command cannot go on.

    Attributes:
        what: One line: lowercase, no full stop.
        code: The exit code.
        advice: One command or step that helps, or empty.
        problem: The problem details of the API, if it was the API that said no.
    """

    what: str
    code: ExitCode = ExitCode.FAILED
    advice: str = ""
    problem: dict[str, Any] = field(default_factory=dict)


_BY_STATUS = {
    400: ExitCode.FAILED,
    401: ExitCode.SIGN_IN,
    403: ExitCode.DENIED,
    404: ExitCode.NOT_FOUND,
    422: ExitCode.USAGE,
    429: ExitCode.TRY_AGAIN,
    502: ExitCode.TRY_AGAIN,
    503: ExitCode.TRY_AGAIN,
}
STEP_UP: Final = "sealgate login --step-up, and then this command once more"
_ADVICE = {
    ExitCode.SIGN_IN: "sealgate whoami, to see which profile is used",
    ExitCode.DENIED: "sealgate policy explain, to see which policy decides",
    ExitCode.NOT_FOUND: "check the name; what is not yours looks absent",
    ExitCode.TRY_AGAIN: "try again in a moment",
}


def failure_of(status: int, problem: dict[str, Any]) -> CommandFailed:
    """Turn an answer of the API that is no success into a failure."""
    code = _BY_STATUS.get(status, ExitCode.FAILED)
    what = str(problem.get("detail") or problem.get("title") or f"the gateway answered {status}")
    if "acr_values" in problem:
        return CommandFailed(what, code, STEP_UP, problem)
    policies = problem.get("policy_ids")
    if isinstance(policies, list) and policies:
        what += f" ({', '.join(str(policy) for policy in policies)})"
    fields = problem.get("fields")
    if isinstance(fields, list) and fields:
        what += f" (check {', '.join(f'`{name}`' for name in fields)})"
    found = problem.get("problems")
    if isinstance(found, list) and found and isinstance(found[0], dict):
        what += f": {found[0].get('reason', '')}"
    return CommandFailed(what, code, _ADVICE.get(code, ""), problem)


def check_confirmed(given: str, name: str) -> None:
    """Ask for the name again before something that callers will notice.

    Raises:
        CommandFailed: It was not given, or another one.
    """
    if given != name:
        raise CommandFailed("nothing was done", ExitCode.USAGE, f"add --confirm {name}")


def problem_of(failure: CommandFailed) -> dict[str, Any]:
    """Return a failure as problem details."""
    word = failure.code.name.lower().replace("_", "-")
    kind = {"type": f"{OWN}{word}", "title": word.replace("-", " ")}
    if title := failure.problem.get("title"):
        kind = {"type": PROBLEMS + str(title).replace("_", "-").replace(" ", "-"), "title": title}
    ending = {"detail": failure.what, "exit": int(failure.code), "next": failure.advice or None}
    return {**kind, **failure.problem, **ending}


def report(failure: CommandFailed, *, as_json: bool) -> None:
    """Tell what went wrong on standard error."""
    if as_json:
        print(json.dumps(problem_of(failure)), file=sys.stderr)
        return
    print(f"error: {failure.what}", file=sys.stderr)
    if failure.advice:
        print(f"next: {failure.advice}", file=sys.stderr)
    if request := failure.problem.get("request_id"):
        print(f"request: {request}", file=sys.stderr)
