"""What a request states of its inputs, held against a model before it runs. Pure."""

from __future__ import annotations

from gateway.inference.bfloat16 import BF16
from gateway.inference.codec import InferRequest
from gateway.inference.models import ServableModel
from gateway.screening.contract import Contract, ContractFailure


def stated_otherwise(model: ServableModel, request: InferRequest) -> ContractFailure | None:
    """Find an input whose array would do, but which was stated as another datatype."""
    for spec in model.inputs:
        datatype: str = spec.datatype
        if (datatype == BF16) != (spec.name in request.bfloat16) and spec.name in request.inputs:
            return ContractFailure("datatype", spec.name)
    return None


def alone_wrong(contract: Contract, request: InferRequest) -> tuple[int, ...]:
    """Return the rows that would break the contract by themselves."""
    inputs = request.inputs.items()
    return tuple(
        row
        for row in range(request.rows)
        if contract.check({name: array[row : row + 1] for name, array in inputs}) is not None
    )
