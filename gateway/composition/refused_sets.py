"""Stored policy sets that cannot be used: said when the gateway starts, and whenever it is asked.

Only their own tenants are shut; the process serves the others and is ready.
"""

from __future__ import annotations

import structlog

from policies.author import PolicyAuthor


def warn_of_refused(author: PolicyAuthor) -> None:
    """Say in the log which tenants' sets cannot be used, why, and what helps."""
    for tenant, problems in author.refused.items():
        structlog.get_logger().error(
            "policy_set_refused",
            tenant=tenant,
            policy=problems[0].policy,
            reason=problems[0].reason,
            next=f"sealgate policy rescue {tenant}",
        )
