from __future__ import annotations

import gc
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.processes import Watch
from tests.tools import NOT_ALLOWED
from tests.workers import WholeFiles

IN_CI = bool(os.environ.get("CI"))

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile(
    "ci", max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci" if IN_CI else "dev")

# Workers, and what they start, have the cores busy already. NumPy reads this when it is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# A shell that runs the tests in its background has told them, and so all that they start, to
# ignore Ctrl-C, by which a reader of the tutorials ends a command.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Nothing of what is imported and collected becomes garbage: looking through hundreds of thousands
# of objects again and again, now and at the end, takes each worker a second.
gc.disable()


def pytest_collection_finish() -> None:
    """Set aside what is there for good; what tests leave behind is looked for as ever."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Watch())
    _give_a_temporary_folder(config)


def _give_a_temporary_folder(config: pytest.Config) -> None:
    """Let this process, and what it starts, have a folder of its own for temporary files.

    Tests search it for what must be in no file; the system's may hold gigabytes of others. Its
    name is short, because sockets are made in it. `tmp_path` stays where one looks for it.
    """
    outside = tempfile.gettempdir()
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", outside)
        folder = tempfile.mkdtemp(prefix="sgt-")
    else:
        folder = str(Path(outside, worker))
        os.mkdir(folder, 0o700)
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> WholeFiles:
    """Replace what `--dist` names."""
    config.option.loadscopereorder = False  # by the number of tests, which says little here
    return WholeFiles(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long loops to `make soak`; workers begin with the files that have processes."""
    soak = [item for item in items if item.get_closest_marker("soak")]
    if soak and not os.environ.get("SOAK"):
        config.hook.pytest_deselected(items=soak)
        items[:] = [item for item in items if not item.get_closest_marker("soak")]
    if hasattr(config, "workerinput"):
        long = {item.path for item in items if item.get_closest_marker("e2e")}
        items.sort(key=lambda item: item.path not in long)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let no skipped test pass for one that ran, where all that tests need is to be installed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not IN_CI or reporter is None:
        return
    reasons = {report.longrepr[2] for report in reporter.stats.get("skipped", ())}
    if any(not reason.startswith(f"Skipped: {NOT_ALLOWED}") for reason in reasons):
        reporter.write_line("\nskipped tests are failures in CI: .ci/run installs what they need")
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
