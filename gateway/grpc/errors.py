"""Errors that only the gRPC door tells.

GrpcError
├── UnknownMethod        the service does not have the method
├── UnknownCompression   the message is compressed in a way that is not read
└── DeadlineExceeded     the caller's own deadline passed
"""

from __future__ import annotations

from gateway.errors import SealgateError


class GrpcError(SealgateError):
    """Base of what only this door refuses."""

    code = "grpc"


class UnknownMethod(GrpcError):
    """The service does not have the method."""

    code = "unknown_method"
    message = "the gateway does not offer this method"


class UnknownCompression(GrpcError):
    """The message is compressed in a way that is not read here."""

    code = "unknown_compression"
    message = "send messages as they are, or compressed with `gzip` or `deflate`"


class DeadlineExceeded(GrpcError):
    """The caller's own deadline passed."""

    code = "deadline_exceeded"
    message = "the deadline of the call passed"
