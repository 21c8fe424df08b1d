"""Errors of running a model.

EngineError
├── RunFailed     the model failed on this input
├── RunTimeout    the model did not finish in time
├── EngineFailed  the process that ran the model ended in the middle of it
├── EngineBusy    too much waits already, or there is no room for one more engine
├── SetAside      the model ended its engines again and again
└── EnginesDown   no engine can be started on this machine
    └── Unconfined    because it could not be confined
"""

from __future__ import annotations

from gateway.errors import SealgateError


class EngineError(SealgateError):
    """Base of the errors of engines."""

    code = "engine"


class RunFailed(EngineError):
    """The model could not be run on this input."""

    code = "run_failed"
    message = "the model failed on this input"


class RunTimeout(EngineError):
    """The model did not finish in time; the process that ran it was ended."""

    code = "run_timeout"
    message = "the model did not finish in time"


class EngineFailed(EngineError):
    """The process that ran the model ended in the middle of this request."""

    code = "engine_failed"
    message = "the process that ran the model ended; try another input, or this one again"
    retry_after = "1"


class EngineBusy(EngineError):
    """Too many requests wait for this model, or every place for an engine is taken."""

    code = "engine_busy"
    message = "too many requests wait for this model; try again shortly"
    retry_after = "1"


class SetAside(EngineError):
    """The model ended its engines again and again and is left alone for a while."""

    code = "model_set_aside"
    message = "the model ended its process again and again and rests; its owner was told"


class EnginesDown(EngineError):
    """An engine cannot be started: the machine is short of processes, files or memory."""

    code = "engines_down"
    message = "no engine can be started now; try again shortly"
    retry_after = "1"


class Unconfined(EnginesDown):
    """The kernel has neither of the two walls of which an engine needs one: it did not run."""

    message = "engines cannot be confined on this machine, so none is started"
    retry_after = ""


class Gone(Exception):
    """A version's engines were given up to make room: ask for them anew."""
