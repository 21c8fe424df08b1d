"""What a site answers to an instruction: the only place where an instruction meets the rows.

1. Only these come out of the rows: sums per feature, parameters trained on at least `minimum_rows`
   rows, two metrics and the row count.
2. A failure leaves as a stable code. An exception's text could repeat a value of a row, so it never
   leaves.
3. The instruction is checked before the rows are touched.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import structlog

from federated.aggregation import Contribution
from federated.errors import FederatedError, NotFinite, TooFewRows, WireInvalid, WrongShape
from federated.rounds import Answer, Instruction, SiteFailure
from federated.site.data import Table
from federated.task import Standardisation, evaluate, sums, train

MAX_EPOCHS = 1000
"""Passes that a site is willing to make for one instruction."""


def answer(
    instruction: Instruction, load: Callable[[], Table], *, site: str, minimum_rows: int
) -> Answer:
    """Carry out `instruction` on the site's rows.

    Args:
        instruction: As decoded from the wire; not trusted.
        load: Reads the site's table.
        site: Name under which the answer travels.
        minimum_rows: With fewer rows the site does not take part.

    Returns:
        The contribution, or a failure with the code of what went wrong.
    """
    try:
        return _contribution(instruction, load(), site, minimum_rows)
    except FederatedError as refusal:
        return SiteFailure(site, refusal.code)
    except Exception as fault:
        structlog.get_logger().error("task_fault", kind=type(fault).__name__)
        return SiteFailure(site, "site_fault")


def _contribution(
    instruction: Instruction, table: Table, site: str, minimum_rows: int
) -> Contribution:
    rows, width = table.features.shape
    if rows < minimum_rows:
        raise TooFewRows
    if width != instruction.features:
        raise WrongShape
    if instruction.operation == "sums":
        return Contribution(site, rows, sums(table.features))
    if instruction.operation != "train" or not 1 <= instruction.training.epochs <= MAX_EPOCHS:
        raise WireInvalid
    if instruction.vector.shape != (3 * width + 1,):
        raise WrongShape
    if not np.isfinite(instruction.vector).all():
        raise NotFinite
    mean, scale, parameters = np.split(instruction.vector, [width, 2 * width])
    if (scale <= 0).any():
        raise WireInvalid
    features = Standardisation(mean, scale).apply(table.features)
    # Evaluation of the received model costs one product here and a whole exchange elsewhere.
    metrics = evaluate(parameters, features, table.labels)
    trained = train(parameters, features, table.labels, instruction.training)
    return Contribution(site, rows, trained, metrics)
