"""Preloaded by a fork server: it must not outlive the SuperExec that started it.

A fork server ends by itself when no process is left that can ask it for a fork. Its own tasks can
ask, so one task that hangs, as a ServerApp does whose SuperLink was killed, would keep itself and
the fork server alive for ever.

A fork server reads no configuration, so the environment tells it who its parent is. To its tasks
it is the parent itself. Only the preload imports this module, because the import does the work.
"""

from __future__ import annotations

import os

from federated.child import PARENT_VARIABLE, forbid_core_dumps
from gateway.parent_death import die_with_parent

forbid_core_dumps()
die_with_parent(int(os.environ[PARENT_VARIABLE]))
os.environ[PARENT_VARIABLE] = str(os.getpid())
