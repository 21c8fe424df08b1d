"""`python -m federated.superexec`: Flower's SuperExec with our executor, supervised."""

from __future__ import annotations

import importlib
from typing import Any

from federated.channel import Address
from federated.child import announce, begin
from federated.executor import ForkServerExecutor, client_task, server_target
from federated.tuning import quiet, replace


def main() -> None:
    """Read the configuration from standard input and take tasks until stopped.

    The configuration has `runtime` (host:port), `secret` (hex) and, for ServerApps, `reports` with
    the coordinator's `socket` and `secret`.
    """
    config = begin()
    quiet()
    executor = _executor(config)
    executor.warm_up()
    module = importlib.import_module("flwr.supercore.superexec.run_superexec")
    replace(module, "get_executor", lambda *_, **__: executor)
    announce()
    module.run_superexec(
        runtime_api_address=config["runtime"],
        insecure=True,
        superexec_auth_secret=bytes.fromhex(config["secret"]),
        runtime_dependency_install=False,
    )


def _executor(config: dict[str, Any]) -> ForkServerExecutor:
    reports = config.get("reports")
    if reports is None:
        return ForkServerExecutor("flwr-clientapp", client_task)
    address = Address(reports["socket"], reports["secret"])
    return ForkServerExecutor("flwr-serverapp", server_target(address))


if __name__ == "__main__":
    main()
