"""What the clients of the corpus are given, and what they leave: files in one folder.

`questions.json` lists the models; `MODEL.in.npz` holds a model's inputs, `MODEL.CLIENT.npz` what a
client was answered, arrays by their place in the question (names of tensors may be anything).
Texts are kept as Unicode, BF16 as the bits of each value. `authorization` is a header line, kept
fresh by whoever started the clients.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Arrays: TypeAlias = dict[str, NDArray[Any]]


class CannotSend(Exception):
    """The client has no way to say this, whatever the server."""


@dataclass(frozen=True)
class Tensor:
    """A tensor by its name at the model's border."""

    name: str
    datatype: str


@dataclass(frozen=True)
class Plan:
    """Inputs that a model may take.

    Attributes:
        values: What is in them, as `gateway.artifacts.trial.make_values` has it.
        shapes: Their sizes, by name.
    """

    values: str
    shapes: dict[str, list[int]]


@dataclass(frozen=True)
class Question:
    """One model, and what it is asked.

    Attributes:
        file: The model, for who runs it without a gateway.
        plans: Inputs that it may take, the best first.
    """

    model: str
    file: str
    plans: tuple[Plan, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def write_questions(folder: Path, questions: list[Question]) -> None:
    (folder / "questions.json").write_text(json.dumps([asdict(question) for question in questions]))


def read_questions(folder: Path) -> list[Question]:
    return [
        Question(
            **{
                **told,
                "plans": tuple(Plan(**one) for one in told["plans"]),
                "inputs": tuple(Tensor(**one) for one in told["inputs"]),
                "outputs": tuple(Tensor(**one) for one in told["outputs"]),
            }
        )
        for told in json.loads((folder / "questions.json").read_text())
    ]


def keep(path: Path, tensors: tuple[Tensor, ...], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays in the order of the tensors.

    Raises:
        KeyError: One is missing.
    """
    placed = {str(at): _kept(arrays[tensor.name]) for at, tensor in enumerate(tensors)}
    np.savez(path, allow_pickle=False, **placed)


def kept(path: Path, tensors: tuple[Tensor, ...]) -> Arrays:
    """Read arrays; texts come as objects, as the clients want them."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {tensor.name: file[str(at)] for at, tensor in enumerate(tensors)}
    return {
        name: array.astype(object) if array.dtype.kind == "U" else array
        for name, array in arrays.items()
    }


def _kept(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.name == "bfloat16":
        return array.view(np.uint16)
    if array.dtype.kind in "OSU":
        texts = [text.decode() if isinstance(text, bytes) else str(text) for text in array.ravel()]
        return np.array(texts, dtype=np.str_).reshape(array.shape)
    return array


def authorization(folder: Path) -> str:
    """The value of the header."""
    return (folder / "authorization").read_text().partition(": ")[2].strip()


def ask_all(client: str, ask: Callable[[Path, Question, Arrays], Mapping[str, Any]]) -> None:
    """Ask every model of the folder that the command line names, and leave answers and faults."""
    folder = Path(sys.argv[1])
    faults: dict[str, str] = {}
    for question in read_questions(folder):
        try:
            given = kept(folder / f"{question.model}.in.npz", question.inputs)
            answer = ask(folder, question, given)
            keep(folder / f"{question.model}.{client}.npz", question.outputs, answer)
        except CannotSend as fault:
            faults[question.model] = f"cannot send: {fault}"
        except Exception as fault:  # those of clients share no base
            faults[question.model] = f"{type(fault).__name__}: {fault}"
    (folder / f"{client}.json").write_text(json.dumps(faults))
