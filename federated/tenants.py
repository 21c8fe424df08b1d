"""One tenant's SuperLink and SuperExec: two supervised processes and the secrets between them.

1. Secrets are made here, live in memory, and reach the two processes on standard input.
2. The SuperLink's socket is bound here, to loopback, and outlives a restart of the SuperLink: its
   address never changes, and no other process can take the port.
3. A SuperLink that was restarted has lost its nodes and runs: nodes are registered again, runs have
   failed.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from federated.channel import Address
from federated.control import Control, node_id, node_key_pem
from federated.errors import TooBusy, UnknownNode
from federated.supervisor import Child, ChildSpec, environment

MAX_NODES = 1024
"""Node keys of a tenant; each is a row in the SuperLink's memory."""


@dataclass(frozen=True, slots=True)
class Node:
    """A registered node: its key (PEM), the SuperLink's id, and whether it is connected."""

    key: bytes
    flower_id: int


class TenantLink:
    """A tenant's SuperLink.

    Args:
        tenant: The tenant's id.
        folder: Private folder; it holds unpacked app code and nothing else.
        scratch: Short folder for sockets.
        reports: Where ServerApps of this tenant report.
        random_bytes: Source of the secrets.
        on_lost: Awaited when the SuperLink was restarted and its runs are gone.
    """

    def __init__(
        self,
        tenant: str,
        folder: Path,
        scratch: Path,
        reports: Address,
        *,
        random_bytes: Callable[[int], bytes],
        on_lost: Callable[[str], Awaitable[None]],
    ) -> None:
        self.tenant = tenant
        self.reports = reports
        self.nodes: dict[str, Node] = {}
        self._on_lost = on_lost
        self._changing = asyncio.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        control_secret, superexec_secret = random_bytes(32).hex(), random_bytes(32).hex()
        self._control = Control(self.address, control_secret)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        env = environment(folder, scratch)
        self._superlink = Child(
            ChildSpec(
                f"superlink/{tenant}",
                "federated.launcher",
                {
                    "socket": self._listener.fileno(),
                    "control_secret": control_secret,
                    "superexec_secret": superexec_secret,
                },
                env,
                folder,
                (self._listener.fileno(),),
            ),
            on_restart=self._restarted,
        )
        self._superexec = Child(
            ChildSpec(
                f"superexec/{tenant}",
                "federated.superexec",
                {
                    "runtime": self.address,
                    "secret": superexec_secret,
                    "reports": {"socket": reports.socket, "secret": reports.secret},
                },
                env,
                folder,
            )
        )

    @property
    def fleet_url(self) -> str:
        """Where the gateway relays `/v1/fleet/*` to."""
        return f"http://{self.address}"

    @property
    def health(self) -> Mapping[str, object]:
        """States and process ids of the two processes."""
        children = {"superlink": self._superlink, "superexec": self._superexec}
        return {
            name: {"state": child.state, "pid": child.pid, "restarts": child.restarts}
            for name, child in children.items()
        }

    async def start(self) -> None:
        """Start both processes and wait until they are ready; raises `ChildFailed`."""
        await self._superlink.start()
        await self._superexec.start()
        await asyncio.gather(self._superlink.wait_ready(), self._superexec.wait_ready())

    async def stop(self) -> None:
        """Stop both processes and give the socket back."""
        await asyncio.gather(self._superexec.stop(), self._superlink.stop())
        self._control.close()
        self._listener.close()

    async def register(self, public_key: str) -> str:
        """Register a node key in OpenSSH form; doing it again changes nothing.

        Raises:
            NodeKeyInvalid: It is not an EC P-384 public key.
            TooBusy: The tenant has `MAX_NODES` nodes.
            ControlFailed: The SuperLink did not take it.
        """
        pem = node_key_pem(public_key)
        name = node_id(pem)
        async with self._changing:
            if name not in self.nodes:
                if len(self.nodes) >= MAX_NODES:
                    raise TooBusy
                flower_id = await asyncio.to_thread(self._control.register, pem)
                self.nodes[name] = Node(pem, flower_id)
        return name

    async def unregister(self, name: str) -> None:
        """Forget a node; one that is not registered stays so. Raises `ControlFailed`."""
        async with self._changing:
            if (node := self.nodes.get(name)) is not None:
                await asyncio.to_thread(self._control.unregister, node.flower_id)
                del self.nodes[name]

    def node(self, name: str) -> Node:
        """Return a registered node; raises `UnknownNode`."""
        try:
            return self.nodes[name]
        except KeyError:
            raise UnknownNode from None

    async def online(self) -> dict[str, bool]:
        """Which registered nodes are connected; raises `ControlFailed`."""
        online = await asyncio.to_thread(self._control.online)
        return {name: node.flower_id in online for name, node in self.nodes.items()}

    async def start_run(self, fab: bytes, run_id: str) -> int:
        """Start a run and return the SuperLink's id of it; raises `ControlFailed`."""
        return await asyncio.to_thread(self._control.start, fab, {"run": run_id})

    async def stop_run(self, flower_id: int) -> None:
        """Stop a run; raises `ControlFailed`."""
        await asyncio.to_thread(self._control.stop, flower_id)

    async def has_ended(self, flower_id: int) -> bool:
        """Whether a run's ServerApp is gone; raises `ControlFailed`."""
        return await asyncio.to_thread(self._control.has_ended, flower_id)

    async def _restarted(self) -> None:
        async with self._changing:
            for name, node in list(self.nodes.items()):
                flower_id = await asyncio.to_thread(self._control.register, node.key)
                self.nodes[name] = Node(node.key, flower_id)
        await self._on_lost(self.tenant)
