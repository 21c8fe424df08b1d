"""Tells a model's owner, in the tenant's log, that a version ends its engines and rests."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import structlog

from gateway.authorization.recorder import Recorder
from gateway.engine.starting import Recipe
from gateway.registry.facts import version_resource

ACTION = "setAside"


class SetAsideNotices:
    """Records that models were set aside.

    Args:
        recorder: Makes events durable.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="set-aside")

    def __call__(self, recipe: Recipe, reason: str) -> None:
        """Tell of one; does not wait.

        Args:
            recipe: What was run.
            reason: How its last engine ended: `time`, `nonsense`, `ended`, or `signal_` and a
                number.
        """
        self._threads.submit(self._record, recipe, reason)

    def close(self) -> None:
        """Record what was told, and no more. Call it before the log closes."""
        self._threads.shutdown()

    def _record(self, recipe: Recipe, reason: str) -> None:
        event = self._recorder.event_for(
            None,
            ACTION,
            "error",
            tenant=recipe.tenant,
            reason=f"engine.{reason}",
            resource=version_resource(recipe.tenant, recipe.model, recipe.version),
            model_id=recipe.model,
            model_version=recipe.version,
        )
        try:
            self._recorder.write(event)
        except Exception as fault:  # the log is down: requests are refused for that anyway
            structlog.get_logger().warning("notice_not_recorded", fault=type(fault).__name__)
