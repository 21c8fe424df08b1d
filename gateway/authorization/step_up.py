"""What a person is told whom the policies would allow something after another sign-in (RFC 9470).

INVARIANT: the policies themselves are asked, with a sign-in that the person could have: one of the
tenant's own counts as the platform's, and nobody is sent to sign in for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from gateway.errors import StepUpRequired
from gateway.identity.people import HIGHEST_ACR
from gateway.identity.principal import AGE_MARGIN_SECONDS, Principal

STEP_UP_AGES: Final = (900, 300, 120)
"""Ages of a sign-in, in seconds, that are tried."""


def step_up(
    principal: Principal, allows: Callable[[Principal], bool], policy_ids: tuple[str, ...]
) -> StepUpRequired | None:
    """Return what to tell; None where no sign-in helps, or nobody signs in.

    Args:
        principal: Who was refused.
        allows: Tells what the policies would answer such a caller.
        policy_ids: The policies that refused.
    """
    if principal.kind != "user" or not principal.app:
        return None
    acr = max(principal.acr, HIGHEST_ACR)
    for age in (principal.auth_age, *STEP_UP_AGES):
        if allows(replace(principal, acr=acr, auth_age=min(age, principal.auth_age))):
            scheme = "DPoP" if principal.binding == "dpop" else "Bearer"
            young = None if age == principal.auth_age else age - AGE_MARGIN_SECONDS
            return StepUpRequired(policy_ids, scheme, acr, young)
    return None
