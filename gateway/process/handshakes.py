"""TLS before there is a request: handshakes under way are bounded, and certificates can be renewed.

Safety argument.
1. A protocol hears of a connection when its handshake is done; until then it counts here. A door
   has at most `most_handshakes()` under way. One more takes the place of the oldest of the address
   that has most: so strangers who stall hold few descriptors, and none that others need.
2. A handshake ends within `HANDSHAKE_SECONDS`, however it is sent.
3. Nothing that a stranger does in a handshake writes a line of the log.
4. A certificate is used for handshakes to come once it was seen to fit its key; one that does not
   leaves that in use which was. A connection keeps what it began with.
"""

from __future__ import annotations

import asyncio
import errno
import resource
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from cryptography import x509

from gateway.giving_way import Crowds
from gateway.origins import group_of

HANDSHAKE_SECONDS: Final = 10.0
"""A few round trips of any network; what asyncio allows by itself is 60 s."""
MAX_HANDSHAKES: Final = 1024
"""An honest handshake takes a tenth of a second, so 10,000 can begin in each."""
_SHORTAGE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_SHORTAGE_SECONDS: Final = 1.0
_AGAIN_SECONDS: Final = 0.01


def most_handshakes() -> int:
    """Return how many handshakes one door may have under way: a part of the descriptors."""
    return max(16, min(MAX_HANDSHAKES, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 32))


class Certificate:
    """The certificate of a door and its key.

    Args:
        certificate, key: PEM files.
        alpn: Names of what is spoken inside TLS (RFC 7301).
        client_ca: PEM file of authorities; clients may show a certificate that one of them vouches
            for, and need not. None where no certificate is asked for.

    Attributes:
        context: For the handshakes of the door.
        ends: When what is shown in handshakes to come ends, in Unix seconds; `None` where that
            cannot be read.

    Raises:
        OSError: The files cannot be read, are not PEM or do not belong together.
    """

    def __init__(
        self,
        certificate: Path,
        key: Path | None,
        alpn: Sequence[str] = (),
        client_ca: Path | None = None,
    ) -> None:
        self._files = certificate, key
        self._client_ca = client_ca
        self._alpn = list(alpn)
        self._current, self.ends = self._read()
        self.context = self._current
        # Asked in each handshake, also where the client names no server: whole contexts change
        # places, as a certificate that was loaded into one before its key would be alone in it.
        self.context.sni_callback = self._choose

    def renew(self) -> None:
        """Use what the files hold now for handshakes to come.

        Raises:
            OSError: They cannot be used; nothing changed.
        """
        self._current, self.ends = self._read()

    def _choose(self, line: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        line.context = self._current

    def _read(self) -> tuple[ssl.SSLContext, float | None]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(*self._files)
        if self._client_ca is not None:
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(self._client_ca)
        if self._alpn:
            context.set_alpn_protocols(self._alpn)
        return context, _end_of(self._files[0])


def _end_of(path: Path) -> float | None:
    """Return when the first certificate of a file ends, which is the one that is shown."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc.timestamp()
    except ValueError:  # OpenSSL takes some that are not as RFC 5280 says
        return None


class TlsServer:
    """Accepts connections of one socket and hands them over when their handshake is done.

    It has what uvicorn asks of an `asyncio.Server`.

    Args:
        listener: Listens already.
        protocol: Makes the protocol of a connection.
        tls: Of the handshakes.
        most: How many handshakes may be under way.
        seconds: How long one may take.
    """

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.BaseProtocol],
        tls: ssl.SSLContext,
        *,
        most: int | None = None,
        seconds: float = HANDSHAKE_SECONDS,
    ) -> None:
        self._listener = listener
        self._protocol = protocol
        self._tls = tls
        self._most = most_handshakes() if most is None else most
        self._seconds = seconds
        self._under_way: Crowds[asyncio.Task[bool]] = Crowds()
        self._accepting: asyncio.Task[None] | None = None

    @property
    def handshakes(self) -> int:
        """How many are under way."""
        return len(self._under_way)

    def start(self) -> None:
        """Begin to accept."""
        self._listener.setblocking(False)
        self._accepting = asyncio.get_running_loop().create_task(self._accept())

    def close(self) -> None:
        """Accept no more, and end the handshakes under way."""
        if self._accepting is not None:
            self._accepting.cancel()
        self._listener.close()
        for task in self._under_way.keys():  # noqa: SIM118  # no mapping
            task.cancel()

    async def wait_closed(self) -> None:
        """Wait until nothing is under way."""
        tasks = [*self._under_way.keys(), *([self._accepting] if self._accepting else [])]
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                line, peer = await loop.sock_accept(self._listener)
            except OSError as fault:
                short = fault.errno in _SHORTAGE
                await asyncio.sleep(_SHORTAGE_SECONDS if short else _AGAIN_SECONDS)
                continue
            self._begin(line, group_of(peer))
            await asyncio.sleep(0)  # whoever has connected must not wait for all who connect

    def _begin(self, line: socket.socket, group: str) -> None:
        if len(self._under_way) >= self._most:
            self._give_up_one()
        task = asyncio.get_running_loop().create_task(self._shake(line))
        self._under_way.add(task, group)
        task.add_done_callback(partial(self._ended, line))

    def _ended(self, line: socket.socket, task: asyncio.Task[bool]) -> None:
        self._under_way.drop(task)
        # Here and not in the task: one that is cancelled before its first step runs nothing.
        if task.cancelled() or not task.result():
            line.close()

    def _give_up_one(self) -> None:
        oldest = self._under_way.oldest_of_largest()
        self._under_way.drop(oldest)
        oldest.cancel()

    async def _shake(self, line: socket.socket) -> bool:
        """Tell whether the protocol has the connection now."""
        with suppress(OSError):  # also what TLS says of it, and that it took too long
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().connect_accepted_socket(
                self._protocol, line, ssl=self._tls, ssl_handshake_timeout=self._seconds
            )
            return True
        return False
