"""The gateway: composes identity, policy, artifacts, inference, audit; alone in speaking HTTP."""
