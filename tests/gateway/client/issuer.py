"""A gateway's token endpoint and one resource, in memory: strict about proofs, and counting."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

import httpx
from joserfc import jws

from gateway.client.profile import Profile

URL = "https://models.example"


@dataclass
class Issuer:
    """Answers as a gateway does, and remembers what came.

    Attributes:
        nonce: When set, every proof must carry it; each answer tells it.
        clock: What it holds the time of proofs against.
        life: Seconds of a token, as told.
        slow: Waits for this before it answers a request for a token.
    """

    nonce: str = ""
    clock: float = 0.0
    dated: bool = True
    life: Any = 300
    refuse_token: bool = False
    slow: threading.Event | None = None
    issued: int = 0
    seen: list[httpx.Request] = field(default_factory=list)
    dead: set[str] = field(default_factory=set)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        fault = self._fault(request)
        if request.url.path == "/oauth/token":
            if self.slow is not None:
                assert self.slow.wait(30)
            return self._token(fault)
        if not fault and request.headers["authorization"].split()[1] in self.dead:
            fault = "invalid_token"
        if fault:
            return self._answer(401, {"www-authenticate": f'DPoP error="{fault}"'}, {})
        return self._answer(200, {}, {"path": request.url.path})

    def _token(self, fault: str) -> httpx.Response:
        if self.refuse_token or fault:
            return self._answer(400, {}, {"error": fault or "invalid_client"})
        self.issued += 1
        body = {"access_token": f"token-{self.issued}", "expires_in": self.life}
        return self._answer(200, {}, body)

    def _fault(self, request: httpx.Request) -> str:
        if "dpop" not in request.headers:
            return ""
        claims = claims_of(request)
        assert claims["htm"] == request.method
        assert claims["htu"] == str(request.url).partition("?")[0]
        if self.clock and abs(claims["iat"] - self.clock) > 60:
            return "invalid_dpop_proof"
        return "use_dpop_nonce" if claims.get("nonce", "") != self.nonce else ""

    def _answer(self, status: int, headers: dict[str, str], body: Any) -> httpx.Response:
        if self.nonce:
            headers["dpop-nonce"] = self.nonce
        if self.dated:
            headers["date"] = formatdate(self.clock or time.time(), usegmt=True)
        return httpx.Response(status, headers=headers, json=body)

    @property
    def paths(self) -> list[str]:
        return [request.url.path for request in self.seen]


def claims_of(request: httpx.Request) -> dict[str, Any]:
    import json

    proof = jws.extract_compact(request.headers["dpop"].encode())
    claims: dict[str, Any] = json.loads(proof.payload)
    return claims


def profile(binding: str = "dpop") -> Profile:
    return Profile(URL, "app", None, "s3cr3t+/", None, binding)
