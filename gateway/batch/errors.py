"""What batches refuse besides the errors that everybody shares (`gateway.errors`).

SealgateError
└── RowsRefused    the file of rows is not one that the model can be asked about
"""

from __future__ import annotations

from typing import ClassVar

from gateway.errors import SealgateError


class RowsRefused(SealgateError):
    """The file of rows cannot be taken in; nothing of it was asked.

    Args:
        reason: A key of `REASONS`.
        row: The row at fault, from 0; -1 when it is none in particular.
        column: Position of the model's input at fault, from 0; -1 likewise.
    """

    code = "rows_refused"
    message = "the rows cannot be read"
    REASONS: ClassVar[dict[str, str]] = {
        "malformed": "the file is not of the stated format",
        "encoding": "the file is not UTF-8; save it as UTF-8",
        "pickled": "the archive holds pickled objects; save texts as a text array (`dtype=str`)",
        "no_parquet": "this gateway does not read Parquet; send JSON lines or npz, "
        "or ask its operator for the extra `parquet`",
        "empty": "the file holds no rows",
        "too_many_rows": "the file holds more rows than one job may have; split it",
        "too_large": "the rows take more memory than one job may; split the file",
        "time": "the rows took too long to read; split the file",
        "fixed_rows": "this version takes a fixed number of rows at once; "
        "export it with an open first dimension",
        "columns": "the columns are not the inputs of the model",
        "unknown_column": "there is a column that is no input of the model; leave it out",
        "duplicate_column": "a column is there twice",
        "row_count": "the columns disagree on the number of rows",
        "null": "a value is missing; fill it in or leave the row out",
        "shape": "a value has another shape than the input",
        "datatype": "a value is not of the input's datatype",
        "inexact": "a value cannot be kept exactly in the input's datatype",
        "subject": "each row needs one short text in `sealgate_subject`",
        "subject_twice": "name the data subject once: for the job, or in each row",
        "subject_missing": "this model needs the data subject: `sealgate_subject` in each row, "
        "or one for the job",
        "daily_rows": "the file has more rows than this tenant has left of its 24 hours; split it, "
        "or try again when earlier jobs are a day old",
        "outputs": "an output of the model has not one entry for each row",
        "crashed": "the file crashed its reader",
    }

    def __init__(self, reason: str, row: int = -1, column: int = -1) -> None:
        self.reason = reason if reason in self.REASONS else "crashed"
        self.row = row
        self.column = column
        super().__init__(self.REASONS[self.reason])
