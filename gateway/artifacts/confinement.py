"""The inside of the sandbox: what a confined job does to itself before it looks at its input.

The safety argument; `gateway.artifacts.sandbox` is the other half:

1. `start` runs first in a fresh interpreter, single-threaded, before the job's module is imported,
   so that every thread that a library starts later inherits the limits and the empty network.
2. No core file (RLIMIT_CORE 0): a crash cannot write a plaintext model to a disk.
3. Address space, processor time, file size, open files and processes are bounded by the kernel.
4. A network namespace of its own, where the kernel permits: it has no interface but a dead
   loopback, and abstract Unix sockets are scoped to it as well. Elsewhere no socket can be made.
5. No privilege can be gained again (`no_new_privs`), and the child dies with the thread that
   waits for it (`gateway.parent_death`).
6. `job` then leaves root for `nobody` and gives up every capability. The job's module has been
   imported by then, so an installation that only root can read still works; a module imported
   later, from such a place, would not be.
7. Inputs are sealed memory files, mapped read-only; the environment holds nothing of the gateway.

What is left: the kernel and the C library stay reachable, and memory held by several files is
bounded only by their count times their size. Run the gateway in a container with a memory limit.
"""

from __future__ import annotations

import errno
import json
import mmap
import os
import resource
import runpy
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.parent_death import die_with_parent
from gateway.privileges import deny_sockets, drop_user, forbid_new_privileges, leave_network, limit

Main = Callable[
    [dict[str, memoryview], dict[str, Any]], tuple[Mapping[str, Any], Mapping[str, bytes]]
]

RESULT_MAGIC: Final = b"sealgate-job\x01"
HEADER_LENGTH_BYTES: Final = 4
EXIT_MEMORY: Final = 12
EXIT_CRASHED: Final = 13
EXIT_OUTPUT: Final = 14

_SPEC_LIMIT: Final = 1 << 20  # arguments are small; models and data come as inputs
_OPEN_FILES: Final = 128
_PROCESSES: Final = 512  # threads count too, and so do those of other processes of the user


def job(main: Main) -> None:
    """Run `main` as a confined job. A job's module ends with it.

    Import everything that the job needs at the top of its module: after this call the process
    is another user, who may not be able to read the installed packages. Example::

        def main(inputs, args):
            rows = np.load(io.BytesIO(inputs["calibration"]))
            return {"rows": len(rows["x"])}, {"fused": fuse(bytes(inputs["model"]))}


        if __name__ == "__main__":
            job(main)

    Args:
        main: Gets the inputs, read-only, and the arguments; returns a report that fits JSON and
            named outputs. An expected refusal is a report. A `MemoryError` and any other
            exception end as `SandboxFailed` of kind `memory` and `crashed` in the caller.
    """
    spec = _read_spec(int(sys.argv[1]))
    dropped = drop_user()
    die_with_parent(spec["parent"])  # again: the kernel forgets it when the user changes
    inputs = {name: _map(fd, length) for name, (fd, length) in spec["inputs"].items()}
    try:
        report, outputs = main(inputs, spec["args"])
    except MemoryError:
        os._exit(EXIT_MEMORY)
    except Exception:
        traceback.print_exc()
        _leave(EXIT_CRASHED)
    facts = {"network": spec["network"], "user": dropped}
    try:
        _write_result(spec["result"], {"report": report, "confinement": facts}, outputs)
    except OSError as error:
        _leave(EXIT_OUTPUT if error.errno == errno.EFBIG else EXIT_CRASHED)
    _leave(0)


def start(spec_fd: int) -> None:
    """Confine this process and run the job that the specification names.

    Args:
        spec_fd: A memory file with the JSON that `gateway.artifacts.sandbox` wrote.
    """
    spec = _read_spec(spec_fd)
    limit(_ceilings(spec["limits"]))
    forbid_new_privileges()
    die_with_parent(spec["parent"])
    spec["network"] = leave_network() or deny_sockets()
    confined_fd = os.memfd_create("spec")
    _write_all(confined_fd, json.dumps(spec).encode())
    sys.argv = [spec["module"], str(confined_fd)]
    runpy.run_module(spec["module"], run_name="__main__", alter_sys=False)


def _read_spec(fd: int) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads(os.pread(fd, _SPEC_LIMIT, 0))
    return spec


def _ceilings(limits: Mapping[str, int]) -> dict[int, int]:
    return {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_AS: limits["memory_bytes"],
        resource.RLIMIT_CPU: limits["cpu_seconds"],
        resource.RLIMIT_FSIZE: limits["file_bytes"],
        resource.RLIMIT_NOFILE: _OPEN_FILES,
        resource.RLIMIT_NPROC: _PROCESSES,
    }


def _map(fd: int, length: int) -> memoryview:
    """Map a sealed input. Private, as kernels before 6.7 refuse to share a sealed file."""
    if length == 0:
        return memoryview(b"")
    return memoryview(mmap.mmap(fd, length, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ))


def _write_result(fd: int, header: Mapping[str, Any], outputs: Mapping[str, bytes]) -> None:
    sizes = {name: len(data) for name, data in outputs.items()}
    head = json.dumps({**header, "outputs": sizes}).encode()
    _write_all(fd, RESULT_MAGIC + len(head).to_bytes(HEADER_LENGTH_BYTES, "big") + head)
    for data in outputs.values():
        _write_all(fd, data)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _leave(code: int) -> None:
    """End without running exit handlers: libraries hold threads and hostile state by now."""
    sys.stderr.flush()
    os._exit(code)
