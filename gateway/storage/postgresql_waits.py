"""PostgreSQL that does not answer: each thing that is asked of it ends within a stated time.

Safety argument.
1. The server keeps `statement_timeout` itself, and `connect_timeout` ends with the connection:
   neither helps against a server that hangs, or a line that is dead. Whatever this driver waits for
   passes through `Connection.wait`, and there a clock of ours runs.
2. A connection that was given up is closed. What it was asked may or may not have been done, as
   after any connection that is lost; nothing else is read from it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from psycopg import Connection, OperationalError

_T = TypeVar("_T")
Moment = Callable[[], float]


class PatientConnection(Connection[Any]):
    """A connection that gives up a server that hangs.

    Attributes:
        patience: Seconds for each thing that is asked; `None` is for ever.
    """

    patience: float | None = None

    def wait(self, gen: Generator[Any, int, _T], *args: Any, **kwargs: Any) -> _T:
        """Drive what the driver asks, for `patience` at most.

        Raises:
            OperationalError: The time is over; the connection is closed.
        """
        if self.patience is None:
            return super().wait(gen, *args, **kwargs)
        watched = until(gen, time.monotonic() + self.patience)
        try:
            return super().wait(watched, *args, **kwargs)
        except TimeoutError:
            self.pgconn.finish()
            raise OperationalError("the server does not answer") from None


def until(
    asked: Generator[Any, int, _T], deadline: float, monotonic: Moment = time.monotonic
) -> Generator[Any, int, _T]:
    """Pass on what a conversation waits for and what came, until the time is over.

    Args:
        asked: Of the driver, which wakes it now and then with 0 when nothing came.
        deadline: On the clock `monotonic`, in seconds.
        monotonic: The clock.

    Raises:
        TimeoutError: Nothing came, and the time is over.
    """
    try:
        waits = next(asked)
        while True:
            came = yield waits
            if not came and monotonic() >= deadline:
                raise TimeoutError
            waits = asked.send(came)
    except StopIteration as end:
        result: _T = end.value
        return result
