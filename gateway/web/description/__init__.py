"""The API's own description (OpenAPI 3.1), made of what its routes declare."""

from gateway.web.description.document import describe, operations

__all__ = ["describe", "operations"]
