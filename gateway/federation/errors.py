"""What federations refuse besides the errors that everybody shares (`gateway.errors`).

Refusal
└── CoordinatorUnavailable  the federation coordinator did not answer
"""

from __future__ import annotations

from gateway.errors import Refusal


class CoordinatorUnavailable(Refusal):
    """The federation coordinator is not running or did not answer in time."""

    code = "coordinator_unavailable"
    message = "the federation service does not answer"
    retry_after = "5"  # it is started again after one to thirty seconds, and then takes some
