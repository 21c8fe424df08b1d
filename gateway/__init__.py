"""The gateway: composes identity, policy, artifacts, serving and audit; alone in speaking HTTP."""
