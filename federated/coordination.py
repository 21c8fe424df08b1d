"""The coordinator: runs of all tenants over their SuperLinks.

It keeps nothing on disk but unpacked app code. After a restart the gateway tells it again what it
must know (tenants, node keys, runs): every call that creates something may be repeated.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from federated.channel import Address, Assignment, unpack
from federated.errors import ControlFailed, FederatedError, TooBusy, UnknownTenant
from federated.executor import installed_app
from federated.onnx_export import export
from federated.plan import Event, Plan
from federated.runs import Run, RunBook
from federated.tenants import TenantLink

MAX_TENANTS = 64
"""SuperLinks of one coordinator: each pair of processes has some 350 MiB."""

WATCH_S = 1.0
"""How often a run is looked at from outside, to notice a ServerApp that died."""

SLACK_S = 60.0
"""A run may take this much longer than its rounds' deadlines, then it is stopped."""


class Coordinator:
    """Use it in one event loop.

    Args:
        state: Private folder, one subfolder a tenant.
        socket: Path of the Unix socket under which the internal API answers.
        random_bytes: Source of secrets.
    """

    def __init__(self, state: Path, socket: Path, random_bytes: Callable[[int], bytes]) -> None:
        self._state = state
        self._socket = socket
        self._random_bytes = random_bytes
        self._links: dict[str, TenantLink] = {}
        self._starting: dict[str, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._scratch = Path(tempfile.mkdtemp(prefix="sg-"))
        self.runs = RunBook(lambda delay, call: asyncio.get_running_loop().call_later(delay, call))

    async def ensure_link(self, tenant: str) -> TenantLink:
        """Return the tenant's SuperLink, started if need be; raises `ChildFailed`, `TooBusy`."""
        async with self._starting.setdefault(tenant, asyncio.Lock()):
            link = self._links.get(tenant)
            if link is None:
                if len(self._links) >= MAX_TENANTS:
                    raise TooBusy
                reports = Address(str(self._socket), self._random_bytes(32).hex())
                link = TenantLink(
                    tenant,
                    self._state / tenant,
                    self._scratch,
                    reports,
                    random_bytes=self._random_bytes,
                    on_lost=self._lost,
                )
                try:
                    await link.start()
                except FederatedError:
                    await link.stop()
                    raise
                self._links[tenant] = link
            return link

    def link(self, tenant: str) -> TenantLink:
        """Return a running SuperLink; raises `UnknownTenant`."""
        try:
            return self._links[tenant]
        except KeyError:
            raise UnknownTenant from None

    async def start_run(self, plan: Plan) -> Run:
        """Start a run; asking again for the same one gives the one that was started.

        Raises:
            UnknownTenant: No SuperLink runs for the tenant.
            UnknownNode: A site's node is not registered.
            RunExists, TooBusy: See `RunBook.add`.
            ControlFailed: The SuperLink did not take the run.
        """
        link = self.link(plan.tenant)
        if (known := self.runs.same(plan)) is not None:
            return known
        for site in plan.sites:
            link.node(site.node_id)
        run = self.runs.add(plan)
        try:
            run.flower_id = await link.start_run(installed_app(), plan.run_id)
        except ControlFailed:
            self.runs.remove(plan.run_id)
            raise
        task = asyncio.create_task(self._watch(link, run))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return run

    async def stop_run(self, run_id: str) -> None:
        """Stop a run that is under way and forget its result; raises `UnknownRun`."""
        run = self.runs.get(run_id)
        run.drop()
        if not run.has_ended:
            run.take(Event(type="run_failed", code="stopped"))
            if run.flower_id is not None:
                await self.link(run.plan.tenant).stop_run(run.flower_id)

    def assignment(self, run: Run) -> Assignment:
        """What the run's ServerApp is to do; raises `UnknownNode`, `UnknownTenant`."""
        link = self.link(run.plan.tenant)
        nodes = {site.name: link.node(site.node_id).flower_id for site in run.plan.sites}
        return Assignment(plan=msgspec.Raw(msgspec.json.encode(run.plan)), nodes=nodes)

    def deliver(self, run: Run, packed: bytes) -> None:
        """Turn a run's packed model into ONNX and hold it in memory.

        Raises:
            ValueError: The length is not the agreed one.
            FederatedError: It is not finite, or the run does not run.
        """
        outcome = unpack(packed, run.plan.config.features)
        run.keep(export(outcome.parameters, outcome.standardisation))
        self.runs.expire(run)

    async def close(self) -> None:
        """Stop everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(link.stop() for link in self._links.values()))
        shutil.rmtree(self._scratch, ignore_errors=True)

    @property
    def health(self) -> dict[str, object]:
        """States of all supervised processes."""
        return {tenant: link.health for tenant, link in self._links.items()}

    async def _watch(self, link: TenantLink, run: Run) -> None:
        """Fail the run when its ServerApp has ended without a report, or its time is over."""
        loop = asyncio.get_running_loop()
        plan = run.plan
        until = loop.time() + (plan.rounds + 1) * plan.deadline_s + SLACK_S
        assert run.flower_id is not None
        while not run.has_ended:
            await asyncio.sleep(WATCH_S)
            overdue = loop.time() > until
            gone = False
            with contextlib.suppress(ControlFailed):
                gone = await link.has_ended(run.flower_id)
            if not run.has_ended and (gone or overdue):
                code = "server_app_failed" if gone else "overdue"
                structlog.get_logger().warning("run_failed", run=plan.run_id, code=code)
                run.take(Event(type="run_failed", code=code))
                if overdue and not gone:
                    with contextlib.suppress(ControlFailed):
                        await link.stop_run(run.flower_id)

    async def _lost(self, tenant: str) -> None:
        """The tenant's SuperLink was restarted: its runs are gone."""
        for run in self.runs.active(tenant):
            run.take(Event(type="run_failed", code="superlink_lost"))
