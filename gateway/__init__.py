"""The gateway: composes identity, policy, artifacts, serving and audit; the only package that speaks HTTP."""
