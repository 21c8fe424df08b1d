"""Who cannot have a port learns which setting is meant, and who has it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.errors import ConfigurationError
from gateway.process.binding import bind, holder
from tests.tools import NOT_ALLOWED

LISTENS = """
import socket, sys
with socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    sys.stdin.read()
"""
PRIVILEGED = """
import os
from gateway.process.binding import bind
from gateway.errors import ConfigurationError
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    bind("127.0.0.1", 79, "operations_port").close()
except ConfigurationError as refused:
    print(refused.public, refused.advice)
"""


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_that_is_taken_names_its_own_setting(host: str) -> None:
    try:
        first = bind(host, 0)
    except ConfigurationError:
        pytest.skip(f"{NOT_ALLOWED}this machine has no such loopback address")
    with first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"`grpc_port`: port {port} is taken") as told:
            bind(host, port, "grpc_port")
        assert "by another door of this gateway" in told.value.public
        assert "`grpc_port`" in told.value.advice
        assert not first.get_inheritable()
    bind(host, port).close()


@pytest.mark.e2e
def test_it_says_who_has_the_port() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", LISTENS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        with pytest.raises(ConfigurationError, match=rf"by `python.*` \(process {child.pid}\)"):
            bind("127.0.0.1", port, "sites_port")
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()
    assert holder(port) == ""


def test_an_address_of_another_machine_names_the_setting_of_the_host() -> None:
    with pytest.raises(
        ConfigurationError, match=r"`grpc_host`: `192\.0\.2\.1` is no address"
    ) as told:
        bind("192.0.2.1", 0, "grpc_port")
    assert "`grpc_host`" in told.value.advice
    with pytest.raises(ConfigurationError, match="`host`: `nonsense` is no address"):
        bind("nonsense", 0)


@pytest.mark.e2e
def test_a_port_that_needs_privileges_says_so() -> None:
    if os.geteuid() != 0:
        pytest.skip(f"{NOT_ALLOWED}only root can become nobody")
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 79:
        pytest.skip(f"{NOT_ALLOWED}every port is for everybody here")
    done = subprocess.run(
        [sys.executable, "-c", PRIVILEGED], capture_output=True, text=True, check=True
    )
    assert "`operations_port`: port 79 is not allowed to this user" in done.stdout
    assert "1024 or more" in done.stdout
