"""Errors of the way of an inference request; `gateway.engine.errors` has those of running a model.

InferenceError
├── MalformedRequest     the body is not an Open Inference Protocol request
├── UnsupportedParameter a parameter would change the meaning of the request, and is not offered
├── UnsupportedEncoding  the body is compressed in a way that is not read here
├── ContractViolation    the tensors do not fit the signed contract of the model
├── BodyTooLarge         the body is over the configured bound
├── BodyTimeout          the body did not arrive in time
├── ModelNotFound        absent, not released, or not for this caller: all look the same
├── OutputRefused        the screen and the policy keep the answer back
├── AnswerNotFinite      the answer holds what JSON cannot carry, and JSON was asked for
├── TooManyRequests      the caller's rate is used up
└── ModelUnavailable     the stored version is missing, not what was signed, or has expired
"""

from __future__ import annotations

import math
from typing import ClassVar, Self

from gateway.errors import SealgateError


class InferenceError(SealgateError):
    """Base of the errors of inference."""

    code = "inference"


class MalformedRequest(InferenceError):
    """The body is not an Open Inference Protocol v2 request."""

    code = "malformed_request"
    message = "the body is not a valid inference request"


class UnsupportedParameter(InferenceError):
    """A parameter asks for what this gateway does not do; leaving it out would change the answer.

    Args:
        reason: A key of `REASONS`.
    """

    code = "unsupported_parameter"
    message = "a parameter of the request asks for what is not offered here"
    REASONS: ClassVar[dict[str, str]] = {
        "shared_memory": "shared memory is not offered: send and take tensors in the body",
        "sequence": "sequences are not offered: send each request whole, without `sequence_id`",
    }

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(self.REASONS[reason])


class UnsupportedEncoding(InferenceError):
    """The body has a content coding that is not read here (RFC 9110, section 15.5.16).

    Attributes:
        accept_encoding: Codings that are read.
    """

    code = "unsupported_encoding"
    message = "the body may be sent as it is, or compressed with `gzip` or `deflate`, once"
    accept_encoding: ClassVar[str] = "gzip, deflate"


class ContractViolation(InferenceError):
    """The request does not fit the contract in the model's signed manifest.

    Args:
        reason: A key of `REASONS`.
        name: The manifest's name of the input at fault.

    Attributes:
        rows: The rows to blame, where the door asked for them.
    """

    code = "contract_violation"
    message = "the request does not fit the model's contract"
    REASONS: ClassVar[dict[str, str]] = {
        "inputs": "the inputs are not those of the model",
        "datatype": "an input has another datatype than the model's",
        "shape": "an input has another shape than the model's",
        "rows": "the inputs disagree on the number of rows, or have none",
        "too_many_rows": "there are more rows than one request may have",
        "too_large": "the inputs are larger than one request may have",
        "not_finite": "an input holds a value that is not a finite number",
        "out_of_range": "an input holds a value outside the model's range",
        "subject_missing": "this model needs the data subject: the parameter `subject`",
        "subject_rows": "name one data subject for the request, or one for each row",
        "too_many_subjects": "one request names at most 256 different data subjects",
    }

    def __init__(self, reason: str, name: str = "") -> None:
        self.reason = reason
        self.rows: tuple[int, ...] = ()
        text = self.REASONS[reason]
        super().__init__(f"{text}: `{name}`" if name else text)


class BodyTooLarge(InferenceError):
    """The body is larger than the gateway accepts."""

    code = "body_too_large"
    message = "the body is larger than the gateway accepts"


class BodyTimeout(InferenceError):
    """The body did not arrive in time."""

    code = "body_timeout"
    message = "the body did not arrive in time"


class ModelNotFound(InferenceError):
    """The model is absent, has no release, or is not for this caller."""

    code = "model_not_found"
    message = "no such model"


class OutputRefused(InferenceError):
    """The answer is kept back: the input looks adversarial and policy does not release it.

    Args:
        rows: The rows to blame, for doors that ask again without them; callers are not told.
    """

    code = "output_refused"
    message = "the answer is not released for this input"

    def __init__(self, rows: tuple[int, ...] = ()) -> None:
        self.rows = rows
        super().__init__()


class AnswerNotFinite(InferenceError):
    """An output that is to be told in JSON holds an infinity or no number.

    Args:
        name: The manifest's name of the output.
    """

    code = "answer_not_finite"
    message = "an output holds a value that JSON cannot carry: infinite, or not a number"

    def __init__(self, name: str) -> None:
        super().__init__(f"{self.message}; ask for `{name}` in binary form, `binary_data: true`")


class TooManyRequests(InferenceError):
    """The caller's rate is used up for now, or too much is held at the moment."""

    code = "too_many_requests"
    message = "too many requests are held at the moment; try again shortly"
    retry_after = "1"

    @classmethod
    def for_rate(cls, seconds: float) -> Self:
        """Say that the rate is used up for so many seconds."""
        again = max(1, math.ceil(seconds))
        text = f"the rate limit of this client is used up; try again in {again} s"
        return cls(text).again_in(again)


class ModelUnavailable(InferenceError):
    """The stored version is missing or not what was signed, or has expired; it is not served."""

    code = "model_unavailable"
    message = "this version of the model cannot be served"
