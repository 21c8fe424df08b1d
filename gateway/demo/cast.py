"""Who takes part in the demo: two tenants, their clients, and the commands they run."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from gateway.cli.connection import Connection
from gateway.cli.profile import load_profile
from gateway.demo.narrator import BrokenPromise, Narrator
from gateway.demo.place import Place

CLINIC: Final = "clinic"
BANK: Final = "bank"
COMMAND_SECONDS: Final = 240.0

TENANTS: Final = {
    CLINIC: {"name": "Three Valleys Clinic", "purposes": ["diagnosis", "research"]},
    BANK: {"name": "Harbour Bank", "purposes": ["payments"]},
}
CLIENTS: Final[dict[str, dict[str, Any]]] = {
    "clinic-app": {
        "tenant": CLINIC,
        "name": "Ward application",
        "roles": ["caller"],
        "scopes": ["infer"],
        "purposes": ["diagnosis"],
        "default_purpose": "diagnosis",
    },
    "ward-app": {  # as any client is by default: its tokens are bound to a key
        "tenant": CLINIC,
        "name": "Ward round",
        "roles": ["caller"],
        "scopes": ["infer"],
        "purposes": ["diagnosis"],
        "default_purpose": "diagnosis",
        "token_binding": "dpop",
    },
    "clinic-owner": {
        "tenant": CLINIC,
        "name": "Model owner",
        "roles": ["owner", "convenor"],
        "scopes": ["models", "artifacts", "federate", "infer", "policies"],
        "purposes": ["research"],
        "default_purpose": "research",
    },
    "clinic-officer": {
        "tenant": CLINIC,
        "name": "Compliance officer",
        "roles": ["officer"],
        "scopes": ["audit", "models"],
    },
    "bank-app": {
        "tenant": BANK,
        "name": "Teller application",
        "roles": ["caller"],
        "scopes": ["infer"],
        "purposes": ["payments"],
        "default_purpose": "payments",
    },
}


@dataclass(slots=True)
class Cast:
    """The clients of the demo and how they speak to the gateway.

    Attributes:
        secrets: Client secret by client id.
        http: For calls as any HTTP client would make them.
    """

    place: Place
    narrator: Narrator
    secrets: dict[str, str] = field(default_factory=dict)
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=60.0))

    def assemble(self) -> None:
        """Let the administrator register tenants and clients."""
        with Connection(load_profile(self.place.data / "admin.json")) as admin:
            for tenant, facts in TENANTS.items():
                admin.post("/v1/tenants", {"id": tenant, "region": "eu", **facts})
            for client, facts in CLIENTS.items():
                made = admin.post(
                    "/v1/clients",
                    {
                        "id": client,
                        "auth_method": "client_secret_basic",
                        "token_binding": "none",
                        **facts,
                    },
                )
                self.secrets[client] = made["client_secret"]
                self._write_profile(client, made["token_binding"])

    def _write_profile(self, client: str, binding: str) -> None:
        self.place.write_private(f"profiles/{client}.secret", self.secrets[client])
        profile = {
            "url": self.place.url,
            "client_id": client,
            "secret_file": f"{client}.secret",
            "binding": binding,
        }
        self.place.write_private(f"profiles/{client}.json", json.dumps(profile, indent=2))

    def profile(self, client: str) -> Path:
        """Return the profile file of a client."""
        return self.place.folder / "profiles" / f"{client}.json"

    def connection(self, client: str) -> Connection:
        """Open an authenticated connection as a client."""
        return Connection(load_profile(self.profile(client)))

    def token(self, client: str) -> str:
        """Fetch an access token as any OAuth client would (RFC 6749 section 4.4)."""
        answer = self.http.post(
            f"{self.place.url}/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(client, self.secrets[client]),
        )
        return str(answer.raise_for_status().json()["access_token"])

    def infer(
        self,
        token: str | None,
        model: str,
        body: dict[str, Any],
        version: str | None = None,
    ) -> httpx.Response:
        """Call a model as any HTTP client would."""
        path = f"/v2/models/{model}" + (f"/versions/{version}" if version else "") + "/infer"
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return self.http.post(self.place.url + path, json=body, headers=headers)

    def run(self, client: str, *arguments: str) -> Any:
        """Run a `sealgate` command as a client, show it, and return its JSON answer.

        Raises:
            BrokenPromise: The command failed.
        """
        shown = [self._short(argument) for argument in arguments]
        self.narrator.console.print(
            f"  [cyan]$ sealgate {shlex.join(shown)}[/cyan]", highlight=False
        )
        done = subprocess.run(
            [sys.executable, "-P", "-m", "gateway", *arguments, "--json"],
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            env={**os.environ, "SEALGATE_PROFILE": str(self.profile(client))},
            check=False,
        )
        if done.returncode != 0:
            raise BrokenPromise(f"`sealgate {arguments[0]} {arguments[1]}`: {_reason(done.stderr)}")
        return json.loads(done.stdout) if done.stdout.strip() else None

    def _short(self, argument: str) -> str:
        return argument.replace(f"{self.place.folder}/", "")


def _reason(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if line.strip()]
    return lines[-1] if lines else "it ended without a word"
