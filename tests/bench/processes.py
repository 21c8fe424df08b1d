"""The processor time of a server: of every process that belongs to it, those that ended too."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TICKS = os.sysconf("SC_CLK_TCK")


class _Process(NamedTuple):
    parent: int
    session: int
    ticks: int
    """Of the process, and of its children that ended and were waited for."""


def family(pid: int) -> set[int]:
    """Return a process, its descendants, and who shares its session when it leads one.

    The session finds those whose parent ended. Who starts a session of its own and then loses its
    parent is not found: no server here does.
    """
    return set(_family(pid, _all()))


def cpu_seconds(pid: int) -> float:
    """Return the processor seconds that a family has used until now."""
    processes = _all()
    return sum(processes[one].ticks for one in _family(pid, processes)) / TICKS


def pin(pid: int, core: int) -> None:
    """Give every thread of a family one core; what it starts later inherits that."""
    for one in family(pid):
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setaffinity(int(task.name), {core})


def _family(pid: int, processes: dict[int, _Process]) -> Iterator[int]:
    leads = pid in processes and processes[pid].session == pid
    members = {pid} & processes.keys()
    if leads:
        members |= {one for one, found in processes.items() if found.session == pid}
    grown = -1
    while grown != len(members):
        grown = len(members)
        members |= {one for one, found in processes.items() if found.parent in members}
    yield from members


def _all() -> dict[int, _Process]:
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                # proc(5): behind the name in brackets stand state, parent, group, session, …
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                ticks = sum(map(int, fields[11:15]))
                found[int(folder.name)] = _Process(int(fields[1]), int(fields[3]), ticks)
    return found
