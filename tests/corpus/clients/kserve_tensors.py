"""What both of kserve's clients send and get."""

from __future__ import annotations

from typing import Any

from kserve import InferInput

from tests.corpus.clients.exchange import Arrays, CannotSend, Question


def tensors(question: Question, given: Arrays) -> list[Any]:
    """The inputs in binary form.

    Raises:
        CannotSend: The client knows no BF16.
    """
    made = []
    for one in question.inputs:
        if one.datatype == "BF16":
            raise CannotSend("BF16")
        array = given[one.name]
        tensor = InferInput(one.name, list(array.shape), one.datatype)
        tensor.set_data_from_numpy(array, binary_data=True)
        made.append(tensor)
    return made


def answered(answer: Any) -> Arrays:
    return {output.name: output.as_numpy() for output in answer.outputs}
