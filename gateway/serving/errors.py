"""Errors of the serving path.

ServingError
├── MalformedRequest     the body is not an Open Inference Protocol request
├── ContractViolation    the tensors do not fit the signed contract of the model
├── BodyTooLarge         the body is over the configured bound
├── BodyTimeout          the body did not arrive in time
├── ModelNotFound        absent, not released, or not for this caller: all look the same
├── OutputRefused        the screen and the policy keep the answer back
├── TooManyRequests      the caller's rate is used up
├── RunFailed            the model failed on this input
└── RunTimeout           the model did not finish in time
"""

from __future__ import annotations

from gateway.errors import SealgateError


class ServingError(SealgateError):
    """Base of the serving path's errors."""

    code = "serving"


class MalformedRequest(ServingError):
    """The body is not an Open Inference Protocol v2 request."""

    code = "malformed_request"
    message = "the body is not a valid inference request"


class ContractViolation(ServingError):
    """The tensors do not fit the contract in the model's signed manifest."""

    code = "contract_violation"
    message = "the inputs do not fit the model's contract"


class BodyTooLarge(ServingError):
    """The body is larger than the gateway accepts."""

    code = "body_too_large"
    message = "the body is larger than the gateway accepts"


class BodyTimeout(ServingError):
    """The body did not arrive in time."""

    code = "body_timeout"
    message = "the body did not arrive in time"


class ModelNotFound(ServingError):
    """The model is absent, has no release, or is not for this caller."""

    code = "model_not_found"
    message = "no such model"


class OutputRefused(ServingError):
    """The answer is kept back: the input looks adversarial and policy does not release it."""

    code = "output_refused"
    message = "the answer is not released for this input"


class TooManyRequests(ServingError):
    """The caller's rate is used up for now."""

    code = "too_many_requests"
    message = "the rate limit of this client is used up; try again shortly"


class RunFailed(ServingError):
    """The model could not be run on this input."""

    code = "run_failed"
    message = "the model failed on this input"


class RunTimeout(ServingError):
    """The model did not finish in time and was stopped."""

    code = "run_timeout"
    message = "the model did not finish in time"
