"""Ask served models as strangers' clients do, and compare: `python -m tests.corpus.answers`.

usage: python -m tests.corpus.answers --models FOLDER [--only WORD] [--json FILE]

Every model below the folder is pushed and promoted at a gateway that runs on this machine, as an
owner would. Each is run by plain onnxruntime in a process of its own, and then asked the same by
each client: one request at a time, unchanged but for a token in a header. Answers must be the same
bit for bit, in JSON after reading into the datatype. A model whose answer JSON cannot carry must be
refused there and be exact in binary form. Fails when fewer than `WANTED` of the models that were
admitted answer so on every client; what a client itself cannot say does not count.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import httpx

from gateway.demo.place import Place, prepare
from gateway.demo.running import start_gateway
from tests.bench.dangers import people, profile
from tests.corpus.clients.exchange import Question, kept, write_questions
from tests.corpus.comparison import EXACT, Compared, difference, is_finite, judged
from tests.corpus.publishing import Failed, Owner, named, question_of

WANTED: Final = 0.95
OWNER, APP = "quiet-owner", "quiet-app"
REFERENCE: Final = "in_process"
RENEWED_SECONDS: Final = 60.0
BODY_BYTES: Final = 256 << 20
"""A picture of 640 x 640 takes 25 MB as JSON."""
REPOSITORY: Final = Path(__file__).parents[2]


def main() -> int:
    """Run everything; the exit code says whether enough answers were exact."""
    parser = argparse.ArgumentParser(prog="python -m tests.corpus.answers", description=__doc__)
    parser.add_argument("--models", type=Path, required=True, help="folder with *.onnx below it")
    parser.add_argument("--only", default="", help="only files whose path has this word")
    parser.add_argument("--json", type=Path, help="file for the outcomes")
    asked = parser.parse_args()
    os.environ["SEALGATE_FEDERATION"] = "off"
    os.environ["SEALGATE_MAX_BODY_BYTES"] = str(BODY_BYTES)
    models = [(name, file) for name, file in named(asked.models) if asked.only in str(file)]
    with tempfile.TemporaryDirectory() as passing:
        place = prepare(Path(passing) / "place")
        work = Path(passing) / "work"
        work.mkdir(mode=0o700)
        with start_gateway(place):
            outcomes = compare(place, work, models)
    if asked.json:
        asked.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1))
    return summed_up(outcomes)


def compare(place: Place, work: Path, models: Sequence[tuple[str, Path]]) -> list[Compared]:
    people(place)
    with fresh_authorization(place, work):
        outcomes, questions = published(place, models)
        write_questions(work, questions)
        aside = asked_by(REFERENCE, ("tests.corpus.clients.in_process", str(work)), work)
        outcomes += [Compared(model, "left aside", why) for model, why in aside.items()]
        questions = [question for question in questions if question.model not in aside]
        write_questions(work, questions)
        faults = {
            client: asked_by(client, (module, str(work), *arguments), work)
            for client, (module, *arguments) in clients(place).items()
        }
    took = json.loads((work / "took.json").read_text())
    for question in questions:
        outcomes.append(looked_at(work, question, faults))
        outcomes[-1].asked = asked_on(took[question.model])
        print(row(outcomes[-1]), flush=True)
    return outcomes


def published(
    place: Place, models: Sequence[tuple[str, Path]]
) -> tuple[list[Compared], list[Question]]:
    """Publish the models; returns those that cannot be asked, and questions for the others."""
    owner = Owner(profile(place, OWNER), place.folder / "owner.key")
    failed, questions = [], []
    for name, file in models:
        began = time.monotonic()
        try:
            questions.append(question_of(name, file, owner.publish(file, name)))
        except Failed as fault:
            outcome = "refused" if fault.reason else "not served"
            failed.append(Compared(name, outcome, str(fault)))
            print(row(failed[-1]), flush=True)
        else:
            print(f"{'published':<11}{time.monotonic() - began:5.1f} s  {name}", flush=True)
    return failed, questions


def clients(place: Place) -> dict[str, tuple[str, ...]]:
    """The clients that can be had: module and arguments by name."""
    address = place.url.removeprefix("http://")
    grpc = f"127.0.0.1:{place.grpc_port}"
    wanted = {
        "triton_http_binary": ("tritonclient", "triton_http", address, "binary"),
        "triton_http_json": ("tritonclient", "triton_http", address, "json"),
        "triton_grpc": ("tritonclient", "triton_grpc", grpc),
        "kserve_rest": ("kserve", "kserve_rest", place.url),
        "kserve_grpc": ("kserve", "kserve_grpc", grpc),
        "curl_json": ("", "curl_json", place.url),
    }
    found = {}
    for name, (package, module, *arguments) in wanted.items():
        if package and importlib.util.find_spec(package) is None:
            print(f"{name} is left out: `{package}` is not installed")
        elif not package and shutil.which("curl") is None:
            print(f"{name} is left out: `curl` is not installed")
        else:
            found[name] = (f"tests.corpus.clients.{module}", *arguments)
    return found


def asked_by(client: str, command: tuple[str, ...], work: Path) -> dict[str, str]:
    """Run a client over all models; returns its faults by model."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", *command],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{client} ended with {done.returncode}: {done.stderr[-2000:]}")
    print(f"{client} has asked, {time.monotonic() - began:.0f} s", flush=True)
    return dict(json.loads((work / f"{client}.json").read_text()))


@contextlib.contextmanager
def fresh_authorization(place: Place, work: Path) -> Iterator[None]:
    """Keep a token in `authorization` that lives, while the block runs."""
    ended = threading.Event()
    secret = (place.folder / "profiles" / f"{APP}.secret").read_text().strip()

    def renew() -> None:
        answer = httpx.post(
            f"{place.url}/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(APP, secret),
            timeout=60.0,
        )
        token = answer.raise_for_status().json()["access_token"]
        (work / "next").write_text(f"authorization: Bearer {token}\n")
        (work / "next").replace(work / "authorization")

    def keep() -> None:
        while not ended.wait(RENEWED_SECONDS):
            renew()

    renew()
    thread = threading.Thread(target=keep)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def looked_at(work: Path, question: Question, faults: dict[str, dict[str, str]]) -> Compared:
    """Compare what every client got of one model."""
    wanted = kept(work / f"{question.model}.{REFERENCE}.npz", question.outputs)
    said = {}
    for client, of_client in faults.items():
        said[client] = of_client.get(question.model, "")
        if not said[client]:
            got = kept(work / f"{question.model}.{client}.npz", question.outputs)
            found = [difference(name, array, got[name]) for name, array in wanted.items()]
            said[client] = "; ".join(filter(None, found)) or EXACT
    return judged(question.model, said, finite=is_finite(wanted))


def asked_on(plan: dict[str, Any]) -> str:
    """Say in short what a model was asked."""
    sizes = " ".join(f"{name}{shape}" for name, shape in plan["shapes"].items())
    return f"{plan['values']}: {sizes}"


def row(outcome: Compared) -> str:
    """A line of the table."""
    agree = f"{outcome.agreeing}/{len(outcome.clients)}" if outcome.clients else ""
    return (
        f"{outcome.outcome:<11}{agree:<5}{outcome.model:<46}{(outcome.told or outcome.asked)[:300]}"
    )


def summed_up(outcomes: list[Compared]) -> int:
    """Print the shares."""
    count = collections.Counter(outcome.outcome for outcome in outcomes)
    counted = [o for o in outcomes if o.outcome not in ("refused", "left aside")]
    for client in sorted({client for outcome in counted for client in outcome.clients}):
        said = [outcome.clients.get(client, "") for outcome in counted]
        exact = sum(one == EXACT for one in said)
        cannot = sum(one.startswith("cannot send") for one in said)
        print(f"{client}: {exact} of {len(counted)} exact, {cannot} that it cannot send")
    share = count[EXACT] / max(1, len(counted))
    print(", ".join(f"{number} {outcome}" for outcome, number in count.most_common()))
    print(f"{share:.1%} of the admitted answer exactly on all clients")
    return 0 if share >= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
