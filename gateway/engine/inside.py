"""The inside of an engine: one model, one region, two bells, and nothing else.

Safety argument, in the order of the steps:
1. Everything that the engine needs is mapped first: the model from a sealed memory file, and the
   region. No other descriptor stays open, those of its siblings included.
2. Then it gives away what is left of its freedom, for good: it is a session of its own, ends with
   its server, writes no core, hides its memory from processes of its user, and cannot take more
   memory than its bound, open files, start processes, or make a system call that no loaded
   runtime needs (`gateway.engine.system_calls`). Where neither an empty network nor the filter is
   to be had it refuses to run.
3. Only then are bytes of the model looked at. The copy that it was loaded from is unmapped.
4. A fault of our own ends the process at once, without handlers.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Final, NoReturn

from gateway.engine import wire
from gateway.engine.orders import Order
from gateway.engine.runtime import Runtime
from gateway.engine.system_calls import deny_files, filter_calls, gpu_devices
from gateway.parent_death import die_with_parent
from gateway.privileges import hide_memory, limit

EXIT_UNCONFINED: Final = 17
EXIT_FAULT: Final = 18
_BELLS: Final = (3, 4)
_OPEN_FILES: Final = 16
_OPEN_FILES_WIDE: Final = 256
_THREADS: Final = 4096  # of all processes of the user
_READABLE: Final = (
    *("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/proc/self", "/proc/cpuinfo", "/proc/meminfo"),
    *("/sys/devices/system", "/dev/null", sys.prefix, sys.base_prefix),
)
"""What libraries that load late are read from; nothing of the gateway's data."""
_PAGE: Final = resource.getpagesize()


def become_engine(
    order: Order, descriptors: list[int], server: int, *, confined_network: bool
) -> NoReturn:
    """Run as an engine until the gateway or the kernel ends this process. Call it in a fresh fork.

    Args:
        order: What to run.
        descriptors: Model, region, bell in, bell out.
        server: Process id of the parent.
        confined_network: Whether the network was left already.
    """
    try:
        model_file, region_file, bell_in, bell_out = descriptors
        model = mmap.mmap(
            model_file, order.model_bytes, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ
        )
        region = mmap.mmap(region_file, order.region_bytes)
        _keep_only(bell_in, bell_out)
        _confine(order, server, confined_network=confined_network)
        start = wire.DATA_AT
        specification = json.loads(region[start : start + order.specification_bytes])
        Runtime(region, order.output_at, specification, _BELLS).serve(model)
    except BaseException:  # an uncaught fault would take 100 ms to end the process, and print
        os._exit(EXIT_FAULT)
    os._exit(0)


def _keep_only(bell_in: int, bell_out: int) -> None:
    """Make the bells 3 and 4, the standard streams nothing, and close everything else."""
    null = os.open(os.devnull, os.O_RDWR)
    copies = [os.dup(descriptor) for descriptor in (null, null, null, bell_in, bell_out)]
    for number, copy in enumerate(copies):
        os.dup2(copy, number)
    os.closerange(_BELLS[-1] + 1, max(*copies, *(bell_in, bell_out, null), 1 << 16) + 1)


def opens(*, wide: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what an engine can read, and the devices that it can use: nothing, or a GPU's."""
    return (_READABLE, gpu_devices()) if wide else ((), ())


def _confine(order: Order, server: int, *, confined_network: bool) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if order.nice:
        os.nice(order.nice)
    die_with_parent(server)
    hide_memory()
    taken = int(Path("/proc/self/statm").read_text().split()[5]) * _PAGE
    limit(
        {
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_DATA: taken + order.memory_bytes,
            resource.RLIMIT_FSIZE: 0,
            resource.RLIMIT_NOFILE: _OPEN_FILES_WIDE if order.wide else _OPEN_FILES,
            resource.RLIMIT_NPROC: _THREADS if order.wide else 0,
        }
    )
    readable, devices = opens(wide=order.wide)
    deny_files(*readable, devices=devices)
    if not filter_calls(wide=order.wide) and not confined_network:
        os._exit(EXIT_UNCONFINED)
