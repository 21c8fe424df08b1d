"""The parent of the engines of one kind: it imported the runtime once, and forks when it is told.

Safety argument.
1. It runs nothing hostile itself: it holds a runtime without a model, a socket to the gateway and
   a descriptor of each engine's process, and it parses only what the gateway sends.
2. It has left the network, its user and its capabilities before its first fork: an engine has lost
   them before it begins. Its environment is the gateway's choice and holds nothing of it.
3. It has one thread, so that a fork copies no lock in the middle of being held.
   `ORT_DISABLE_TELEMETRY` is set before the import: without it the runtime starts a thread, writes
   under HOME and looks up a host.
4. It ends with the gateway, and the engines end with it (`gateway.parent_death`).
5. It alone reaps its children, after the gateway was sent a descriptor of each: a process id that
   is used again is never signalled.

The kernel chooses whom to end when memory runs out; these processes offer themselves first.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import sys
from pathlib import Path
from typing import Final

import onnxruntime

from gateway.engine import inside
from gateway.engine.orders import ENDED, FAULT, STARTED, UP, Order, report
from gateway.engine.system_calls import filter_calls
from gateway.parent_death import die_with_parent
from gateway.privileges import drop_user, forbid_new_privileges, leave_network

_OOM_SCORE: Final = "500"
_MAX_ORDER: Final = 256


def main(control_descriptor: int, parent: int) -> None:
    """Serve the gateway until it closes the socket.

    Args:
        control_descriptor: A SEQPACKET socket.
        parent: Process id of the gateway.
    """
    die_with_parent(parent)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
    network = leave_network()
    drop_user()
    forbid_new_privileges()
    die_with_parent(parent)  # again: the kernel forgets it when the user changes
    control = socket.socket(fileno=control_descriptor)
    confined = network or _can_filter_calls()
    providers = ",".join(onnxruntime.get_available_providers())
    control.send(report(UP, int(network), int(confined), f"{onnxruntime.__version__} {providers}"))
    _Nursery(control, network).serve()


def _can_filter_calls() -> bool:
    """Tell whether an engine could filter its system calls; a child tries, as it is for good."""
    pid = os.fork()
    if pid == 0:
        os._exit(0 if filter_calls() else 1)
    return os.waitpid(pid, 0)[1] == 0


class _Nursery:
    """The children that run."""

    def __init__(self, control: socket.socket, network: bool) -> None:
        self._control = control
        self._network = network
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)

    def serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is not None:
                    self._reap(key.fd, key.data)
                elif not self._obey():
                    return

    def _obey(self) -> bool:
        """Start one engine; False when the gateway is gone."""
        message, descriptors, _, _ = socket.recv_fds(self._control, _MAX_ORDER, 4)
        if not message:
            return False
        order = Order.decode(message)
        try:
            self._start(order, descriptors)
        except OSError as fault:
            self._control.send(report(FAULT, order.engine, fault.errno or 0))
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return True

    def _start(self, order: Order, descriptors: list[int]) -> None:
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            inside.become_engine(order, descriptors, server, confined_network=self._network)
        try:
            descriptor = os.pidfd_open(pid)  # nobody but this thread reaps it: the id is its own
        except OSError:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        self._selector.register(descriptor, selectors.EVENT_READ, order.engine)
        started = report(STARTED, order.engine, pid)
        socket.send_fds(self._control, [started], [descriptor])

    def _reap(self, descriptor: int, engine: int) -> None:
        ended = os.waitid(os.P_PIDFD, descriptor, os.WEXITED)
        self._selector.unregister(descriptor)
        os.close(descriptor)
        status = ended.si_status if ended is not None else 0
        killed = ended is not None and ended.si_code != os.CLD_EXITED
        self._control.send(report(ENDED, engine, -status if killed else status))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
