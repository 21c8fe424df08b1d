"""Instructions and answers as Flower records.

All values of a message are packed into one array: the transport makes one request for each
array and object at each of four hops, and these requests take most of a round's time.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from federated.aggregation import MAX_PARAMETERS, Contribution, Vector
from federated.errors import WireInvalid
from federated.rounds import Answer, Instruction, SiteFailure
from federated.task import TrainingSettings

T = TypeVar("T")

VECTOR, TASK, RESULT = "vector", "task", "result"
MAX_CODE = 64
"""Length of a failure's code: a word, not a text."""


def instruction_to_records(instruction: Instruction) -> RecordDict:
    """Pack an instruction."""
    task = {
        "operation": instruction.operation,
        "round": instruction.round,
        "features": instruction.features,
        "epochs": instruction.training.epochs,
        "learning_rate": instruction.training.learning_rate,
        "l2": instruction.training.l2,
    }
    return RecordDict({VECTOR: _array(instruction.vector), TASK: ConfigRecord(task)})


def records_to_instruction(records: RecordDict) -> Instruction:
    """Unpack an instruction.

    Raises:
        WireInvalid: The records are not an instruction.
    """
    try:
        task = records[TASK]
        return Instruction(
            operation=_typed(task["operation"], str),
            round=_typed(task["round"], int),
            features=_typed(task["features"], int),
            vector=_vector(records),
            training=TrainingSettings(
                _typed(task["epochs"], int),
                _typed(task["learning_rate"], float),
                _typed(task["l2"], float),
            ),
        )
    except (KeyError, TypeError, ValueError):
        raise WireInvalid from None


def answer_to_records(answer: Answer) -> RecordDict:
    """Pack an answer; the site's name does not travel, its node key says who it is."""
    if isinstance(answer, SiteFailure):
        return RecordDict({TASK: ConfigRecord({"error": answer.code})})
    result = {"rows": answer.rows, **{f"m.{k}": float(v) for k, v in answer.metrics.items()}}
    return RecordDict({VECTOR: _array(answer.vector), RESULT: MetricRecord(result)})


def records_to_answer(records: RecordDict, site: str) -> Answer:
    """Unpack the answer of `site`; whatever is not an answer becomes a failure of that site."""
    try:
        if VECTOR not in records:
            code = _typed(records[TASK]["error"], str)
            known = 0 < len(code) <= MAX_CODE and code.replace("_", "").isalnum()
            return SiteFailure(site, code if known and code.isascii() else WireInvalid.code)
        result = records[RESULT]
        metrics = {
            key[2:]: _typed(value, float)
            for key, value in list(result.items())[:MAX_CODE]
            if key.startswith("m.") and len(key) <= MAX_CODE
        }
        return Contribution(site, _typed(result["rows"], int), _vector(records), metrics)
    except (KeyError, TypeError, ValueError, WireInvalid):
        return SiteFailure(site, WireInvalid.code)


def _array(vector: Vector) -> ArrayRecord:
    return ArrayRecord([np.ascontiguousarray(vector, dtype=np.float64)])


def _vector(records: RecordDict) -> Vector:
    arrays = list(records.array_records[VECTOR].values())
    if len(arrays) != 1 or arrays[0].dtype != "float64":
        raise WireInvalid
    if len(arrays[0].shape) != 1 or arrays[0].shape[0] > MAX_PARAMETERS:
        raise WireInvalid
    try:
        values = arrays[0].numpy()
    except Exception:  # the reader of the bytes' header raises whatever its parser does
        raise WireInvalid from None
    if values.dtype != np.float64 or values.ndim != 1 or values.size > MAX_PARAMETERS:
        raise WireInvalid
    return np.array(values, dtype=np.float64)


def _typed(value: object, kind: type[T]) -> T:
    if type(value) is not kind:
        raise WireInvalid
    return value
