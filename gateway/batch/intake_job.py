"""The intake job: a file of rows to requests of the Open Inference Protocol. Confined.

Input: `rows`, the file. Outputs: one body for each chunk, named by its number, as a caller would
have sent it in binary form. The report tells rows and length of the head of each; an expected
refusal is the report `{"refused": reason, "row": …, "column": …}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from gateway.artifacts.sandbox import job
from gateway.batch.columns import SUBJECT, Column, Input, Table, fit
from gateway.batch.errors import RowsRefused
from gateway.batch.readers import READERS
from gateway.inference.tensors import datatype_of, to_binary


def main(
    inputs: Mapping[str, memoryview], args: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Run the job.

    Args:
        inputs: `rows`.
        args: `format`; `inputs` as (name, datatype, shape, optional); `chunk_rows`, and
            `subject_rows` where rows name people; `chunk_bytes`, `max_chunks`.
    """
    wanted = [Input(name, kind, tuple(shape), *more) for name, kind, shape, *more in args["inputs"]]
    try:
        table = fit(READERS[args["format"]](inputs["rows"]), wanted)
        return _requests(table, args)
    except RowsRefused as refusal:
        return {"refused": refusal.reason, "row": refusal.row, "column": refusal.column}, {}


def _requests(table: Table, args: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, bytes]]:
    size = chunk_size(table, args)
    if table.rows > size * args["max_chunks"]:
        raise RowsRefused("too_many_rows")
    heads: list[tuple[int, int]] = []
    bodies: dict[str, bytes] = {}
    for number, start in enumerate(range(0, table.rows, size)):
        stop = min(start + size, table.rows)
        head, body = request(table, start, stop)
        heads.append((stop - start, head))
        bodies[str(number)] = body
    return {"chunks": heads, "subjects": bool(table.subjects)}, bodies


def chunk_size(table: Table, args: Mapping[str, Any]) -> int:
    """Return how many rows a chunk has: bounded in rows and, from the average row, in bytes."""
    most = int(args["subject_rows"] if table.subjects else args["chunk_rows"])
    total = sum(_weight(array) for array in table.arrays.values())
    return max(1, min(most, int(args["chunk_bytes"]) * table.rows // max(1, total)))


def request(table: Table, start: int, stop: int) -> tuple[int, bytes]:
    """Return the request of some rows, and the length of its JSON head."""
    arrays = {name: array[start:stop] for name, array in table.arrays.items()}
    if table.subjects:
        arrays[SUBJECT] = np.array(table.subjects[start:stop], dtype=object)
    tails = [to_binary(array) for array in arrays.values()]
    described = [
        {
            "name": name,
            "shape": list(array.shape),
            "datatype": datatype_of(array),
            "parameters": {"binary_data_size": len(tail)},
        }
        for (name, array), tail in zip(arrays.items(), tails, strict=True)
    ]
    head = orjson.dumps({"inputs": described})
    return len(head), b"".join([head, *tails])


def _weight(array: Column) -> int:
    if array.dtype == object:
        return sum(len(value) + 4 for value in array.ravel())
    return array.nbytes


if __name__ == "__main__":
    job(main)
