"""Task processes by fork: Flower, numpy and the app are imported once, for all tasks.

A stock SuperExec starts a new interpreter for each message. This executor keeps a fork server that
has imported everything; a task is a fork of it. The fork server ends with its SuperExec, and
tasks end with the fork server (`federated.die_with_parent`).

A site's task runs the app that the site installed, and nothing else: a FAB whose files differ from
it is refused, and no FAB is ever unpacked at a site.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import multiprocessing
import os
import zipfile
from collections.abc import Callable, Mapping
from functools import cache, partial
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from queue import Queue
from typing import Any, Final

from federated.channel import Address
from federated.child import PARENT_VARIABLE
from federated.errors import AppRefused
from federated.tuning import quiet, replace, tune_client_task, tune_server_task
from gateway.parent_death import die_with_parent

APP_FOLDER: Final = Path(__file__).parent / "app"

MAX_TASKS = 8
"""Tasks at once: a site has one a run; more would be a flood."""

MAX_FAB_BYTES = 1024 * 1024
"""The app is a few kilobytes of text."""

PRELOAD: Final[Mapping[str, tuple[str, ...]]] = {
    "flwr-clientapp": (
        "federated.die_with_parent",
        "flwr.supernode.runtime.run_clientapp",
        "federated.executor",
        "federated.app.client_app",
    ),
    "flwr-serverapp": (
        "federated.die_with_parent",
        "flwr.superlink.runtime.run_serverapp",
        "federated.executor",
        "federated.app.server_app",
    ),
}


class ForkServerExecutor:
    """Flower's `Executor` protocol over a fork server, for one kind of task.

    Args:
        task_type: `flwr-clientapp` or `flwr-serverapp`; no other task is acquired.
        target: What a task's process runs, given the execution's address and token.
    """

    def __init__(self, task_type: str, target: Callable[[str, str], None]) -> None:
        self._type = task_type
        self._target = target
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(PRELOAD[task_type]))
        os.environ[PARENT_VARIABLE] = str(os.getpid())  # for the fork server, which inherits it
        self._running: list[ForkServerProcess] = []

    def warm_up(self) -> None:
        """Start the fork server and wait until it has forked once."""
        process = self._context.Process(target=_nothing)
        process.start()
        process.join()

    def get_eligible_capacity(
        self, supported_task_types: set[Any], **_: object
    ) -> tuple[set[Any], set[str]]:
        """Take our kind of task while there is room."""
        if len(self._running) >= MAX_TASKS:
            return set(), set()
        return {kind for kind in supported_task_types if kind == self._type}, set()

    def wait_for_capacity(self, *_: object, **__: object) -> None:
        """Capacity is asked for with `get_eligible_capacity`."""

    def launch(self, spec: Any) -> Any:
        """Fork a process for the task."""
        from flwr.supercore.superexec.executor import LaunchResult

        if spec.task_type != self._type:
            return LaunchResult.failed("not this executor's kind of task")
        process = self._context.Process(
            target=self._target, args=(spec.runtime_api_address, spec.token)
        )
        process.start()
        self._running.append(process)
        return LaunchResult.accepted()

    def reconcile(self) -> None:
        """Reap the tasks that have ended."""
        self._running = [process for process in self._running if process.is_alive()]

    def close(self) -> None:
        """Stop the tasks that still run."""
        for process in self._running:
            process.terminate()


def client_task(address: str, token: str) -> None:
    """Run one ClientApp task with the installed app."""
    die_with_parent(int(os.environ[PARENT_VARIABLE]))
    quiet()
    tune_client_task()
    runtime = importlib.import_module("flwr.supernode.runtime.run_clientapp")
    from federated.app.client_app import app

    replace(runtime, "install_from_fab", _check_app)
    replace(runtime, "get_load_client_app_fn", lambda **_: lambda *_: app)
    runtime.run_clientapp(
        runtime_api_address=address, token=token, insecure=True, runtime_dependency_install=False
    )


def server_task(reports: Address, address: str, token: str) -> None:
    """Run one ServerApp task that reports to the coordinator at `reports`."""
    die_with_parent(int(os.environ[PARENT_VARIABLE]))
    quiet()
    tune_server_task()
    runtime = importlib.import_module("flwr.superlink.runtime.run_serverapp")
    from federated.app.server_app import build

    def run(*, grid: Any, context: Any, **_: object) -> Any:
        build(reports)(grid=grid, context=context)
        return context

    replace(runtime, "run_", run)
    runtime.run_serverapp(
        runtime_api_address=address,
        log_queue=Queue(),
        token=token,
        insecure=True,
        runtime_dependency_install=False,
    )


def server_target(reports: Address) -> Callable[[str, str], None]:
    """Return `server_task` bound to the coordinator's address."""
    return partial(server_task, reports)


@cache
def installed_app() -> bytes:
    """Return the FAB of the installed app; the same files give the same bytes."""
    from flwr.cli.build import build_fab_from_disk

    fab: bytes = build_fab_from_disk(APP_FOLDER)
    return fab


def same_app(fab: bytes, own: bytes) -> bool:
    """Whether two FABs hold the same files, byte for byte (however they were compressed)."""
    if len(fab) > MAX_FAB_BYTES:
        return False
    try:
        return _digests(fab) == _digests(own)
    # Zip readers raise many kinds of error on hostile bytes; none of them is our app.
    except Exception:
        return False


def _digests(fab: bytes) -> list[tuple[str, str]]:
    with zipfile.ZipFile(io.BytesIO(fab)) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > MAX_FAB_BYTES:
            raise AppRefused
        return sorted(
            (member.filename, hashlib.sha256(archive.read(member)).hexdigest())
            for member in members
        )


def _check_app(fab: bytes, **_: object) -> None:
    """Stand in for Flower's installation of a FAB: check it and write nothing."""
    if not same_app(fab, installed_app()):
        from flwr.clientapp.client_app import LoadClientAppError

        raise LoadClientAppError(AppRefused.text)


def _nothing() -> None:
    """Do nothing, in a fork."""
