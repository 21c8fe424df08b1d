"""Preloaded by a fork server: it must not outlive the process that started it.

A fork server ends by itself when nobody can ask it for forks any more. Its own tasks can, so one
that hangs, as a ServerApp does whose SuperLink was killed, would keep it and itself alive for ever.
Nothing else imports this module, because importing it is what it does.
"""

from __future__ import annotations

from federated.child import die_with_parent

die_with_parent()
