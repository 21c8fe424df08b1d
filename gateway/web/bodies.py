"""What bodies of requests are made of. Each text is bounded; the use case checks its rule.

A bound here keeps the work of reading small. It is not the rule for a name: see `gateway.names`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from gateway.names import NAME, REACHED, VERSION

MAX_WORDS: Final = 64
"""Members of a set: roles, scopes, purposes, tenants that share."""


class Body(BaseModel):
    """A body with no field but those that it names."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _told(rule: re.Pattern[str]) -> dict[str, Any]:
    """Tell a rule in the API's document; who breaks it hears it from the use case, in words."""
    return {"pattern": "^" + rule.pattern.replace(r"\Z", "$")}


Name = Annotated[str, Field(max_length=63, json_schema_extra=_told(NAME))]
"""Of a tenant, client, model, site, federation, purpose."""
ModelName = Annotated[str, Field(max_length=127, json_schema_extra=_told(REACHED))]
"""Of a model of the caller's tenant, or `owner~model` of one that is shared with it."""
VersionName = Annotated[str, Field(max_length=32, json_schema_extra=_told(VERSION))]
Reference = Annotated[str, Field(max_length=64)]
"""What the gateway gave out: the id of an upload, the reference of a data subject."""
Title = Annotated[str, Field(max_length=200)]
"""For people."""
Words = Annotated[frozenset[Name], Field(max_length=MAX_WORDS)]
