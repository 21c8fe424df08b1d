"""curl with JSON, as shell scripts have it; argv: folder, URL."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gateway.artifacts.trial import DTYPES
from tests.corpus.clients.exchange import Arrays, CannotSend, Question, ask_all

SECONDS = 180


class Refused(Exception):
    """An answer that is none."""


def main(url: str) -> None:
    def ask(folder: Path, question: Question, given: Arrays) -> Mapping[str, Any]:
        body, answer = folder / "curl.body", folder / "curl.answer"
        body.write_text(json.dumps(request(question, given)))
        done = subprocess.run(
            [
                *("curl", "--silent", "--show-error", "--max-time", str(SECONDS)),
                *("--header", f"@{folder}/authorization"),
                *("--header", "content-type: application/json"),
                *("--data-binary", f"@{body}", "--output", str(answer)),
                *("--write-out", "%{http_code}", f"{url}/v2/models/{question.model}/infer"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or done.stdout != "200":
            told = answer.read_text()[:300] if answer.exists() else ""
            raise Refused(f"{done.stdout}{done.stderr} {told}")
        return read(json.loads(answer.read_text()), question)

    ask_all("curl_json", ask)


def request(question: Question, given: Arrays) -> dict[str, Any]:
    inputs = []
    for one in question.inputs:
        array = given[one.name]
        if one.datatype == "BF16":
            raise CannotSend("BF16 in JSON")
        inputs.append(
            {
                "name": one.name,
                "datatype": one.datatype,
                "shape": list(array.shape),
                "data": array.ravel().tolist(),
            }
        )
    return {"inputs": inputs, "outputs": [{"name": one.name} for one in question.outputs]}


def read(answer: Any, question: Question) -> Arrays:
    """Take the numbers as the datatype that the answer tells."""
    told = {output["name"]: output for output in answer["outputs"]}
    return {one.name: array(told[one.name]) for one in question.outputs}


def array(output: Any) -> Any:
    if output["datatype"] == "BF16":
        halves = np.array(output["data"], np.float32).view(np.uint32) >> 16
        return halves.astype(np.uint16).reshape(output["shape"])
    return np.array(output["data"], DTYPES[output["datatype"]]).reshape(output["shape"])


if __name__ == "__main__":
    main(*sys.argv[2:])
