"""What this package refuses.

PolicyError
├── PolicySetInvalid    the text is not an acceptable policy set
├── BundleRefused       a signed bundle is not genuine, not the tenant's, or not newer
└── EpochExists         a bundle of that epoch is already stored

A decision is a value (`policies.engine.Decision`) and never one of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a policy text, told to its author.

    Attributes:
        policy: The `@id` of the policy, its position (`policy3`), or empty for the whole text.
        reason: What is wrong. May quote the author's own text.
    """

    policy: str
    reason: str


class PolicyError(Exception):
    """Base of every error that this package raises on purpose.

    Args:
        message: Public text: lowercase, no full stop, nothing that a caller sent.
    """

    code: ClassVar[str] = "policy"
    message: ClassVar[str] = "the policies could not be used"

    def __init__(self, message: str | None = None) -> None:
        self.public = message or type(self).message
        super().__init__(self.public)


class PolicySetInvalid(PolicyError):
    """The text is not an acceptable policy set.

    Attributes:
        problems: Why, for the author of the text; bounded, never empty.
        tenants: `@id` of a policy → the tenants that it names, where the text could be read.
    """

    code = "policy_set_invalid"
    message = "the policy set is not valid"

    def __init__(
        self,
        problems: tuple[Problem, ...],
        tenants: Mapping[str, frozenset[str]] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        self.problems = problems
        self.tenants = tenants


class BundleRefused(PolicyError):
    """A signed bundle must not come into force."""

    code = "policy_bundle_refused"
    message = "the policy bundle is not acceptable"


class EpochExists(PolicyError):
    """Somebody else published at the same time; nothing was changed."""

    code = "policy_epoch_exists"
    message = "the policy set was published by someone else meanwhile"
