"""The coordinator's internal HTTP API, on a Unix socket.

1. Every call needs a bearer secret, compared in constant time: the gateway's for everything outside
   `/reports`, a tenant's report secret for that tenant's runs under `/reports`.
2. Bodies are bounded before they are read.
3. Errors are `{"code", "message"}`; the table below says which status goes with which.

| call | body → answer |
|---|---|
| `PUT /tenants/{t}/superlink` | → `{fleet_url}` |
| `POST /tenants/{t}/nodes` | `{public_key}` (OpenSSH line) → `{node_id}` |
| `GET /tenants/{t}/nodes` | → `{nodes: [{node_id, online}]}` |
| `DELETE /tenants/{t}/nodes/{id}` | → 204 |
| `POST /runs` | `plan.Plan` → 202 `{run, state}` |
| `GET /runs/{id}/events?after=N&wait=S` | → `{events, state}` |
| `GET /runs/{id}/result` | → ONNX bytes, once |
| `DELETE /runs/{id}` | → 204: stopped, result forgotten |
| `GET /health` | → `{status, tenants}` |
"""

from __future__ import annotations

import hmac
import math
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from federated.aggregation import MAX_PARAMETERS
from federated.coordination import Coordinator
from federated.errors import (
    ChildFailed,
    ControlFailed,
    FederatedError,
    IllegalMove,
    NotAuthenticated,
    PlanInvalid,
    ResultGone,
    RunExists,
    TooBusy,
    UnknownNode,
    UnknownRun,
    UnknownTenant,
)
from federated.plan import MAX_PLAN_BYTES, Event, parse_plan
from federated.runs import Run

STATUS: Final[dict[type[FederatedError], int]] = {
    NotAuthenticated: 401,
    UnknownTenant: 404,
    UnknownNode: 409,
    UnknownRun: 404,
    ResultGone: 410,
    RunExists: 409,
    IllegalMove: 409,
    TooBusy: 429,
    ControlFailed: 502,
    ChildFailed: 503,
}
"""Error → HTTP status; every other one is 422."""

MAX_WAIT_S = 30.0
"""A long poll for events ends before clients lose patience."""

MAX_SMALL_BODY = 64 * 1024
"""A key, an event."""

MAX_RESULT_BYTES = MAX_PARAMETERS * 8
"""A packed model."""

TENANT: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")

Handler = Callable[[Request], Awaitable[Response]]


class NodeKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a registration."""

    public_key: str


def build_app(coordinator: Coordinator, secret: str) -> Starlette:
    """Return the ASGI app.

    Args:
        coordinator: Carries out the calls.
        secret: The gateway's bearer secret.
    """
    api = _Api(coordinator, secret)
    routes = [
        Route("/health", api.guarded(api.health), methods=["GET"]),
        Route("/tenants/{tenant}/superlink", api.guarded(api.superlink), methods=["PUT"]),
        Route("/tenants/{tenant}/nodes", api.guarded(api.register), methods=["POST"]),
        Route("/tenants/{tenant}/nodes", api.guarded(api.nodes), methods=["GET"]),
        Route("/tenants/{tenant}/nodes/{node}", api.guarded(api.unregister), methods=["DELETE"]),
        Route("/runs", api.guarded(api.start), methods=["POST"]),
        Route("/runs/{run}", api.guarded(api.stop), methods=["DELETE"]),
        Route("/runs/{run}/events", api.guarded(api.events), methods=["GET"]),
        Route("/runs/{run}/result", api.guarded(api.result), methods=["GET"]),
        Route("/reports/{run}/assignment", api.reporting(api.assignment), methods=["GET"]),
        Route("/reports/{run}/events", api.reporting(api.report), methods=["POST"]),
        Route("/reports/{run}/result", api.reporting(api.deliver), methods=["PUT"]),
    ]
    return Starlette(routes=routes)


class _Api:
    def __init__(self, coordinator: Coordinator, secret: str) -> None:
        self._coordinator = coordinator
        self._secret = secret

    def guarded(self, handler: Handler) -> Handler:
        """Serve the gateway only."""

        async def call(request: Request) -> Response:
            try:
                _authenticate(request, self._secret)
                return await handler(request)
            except FederatedError as error:
                return _problem(error)

        return call

    def reporting(self, handler: Callable[[Request, Run], Awaitable[Response]]) -> Handler:
        """Serve a ServerApp of the run's tenant; an unknown run looks like a wrong secret."""

        async def call(request: Request) -> Response:
            try:
                try:
                    run = self._coordinator.runs.get(request.path_params["run"])
                    expected = self._coordinator.link(run.plan.tenant).reports.secret
                except (UnknownRun, UnknownTenant):
                    raise NotAuthenticated from None
                _authenticate(request, expected)
                return await handler(request, run)
            except FederatedError as error:
                return _problem(error)

        return call

    async def health(self, _request: Request) -> Response:
        return _json({"status": "ok", "tenants": self._coordinator.health})

    async def superlink(self, request: Request) -> Response:
        tenant = request.path_params["tenant"]
        if not TENANT.match(tenant):
            raise UnknownTenant
        link = await self._coordinator.ensure_link(tenant)
        return _json({"fleet_url": link.fleet_url})

    async def register(self, request: Request) -> Response:
        link = self._coordinator.link(request.path_params["tenant"])
        key = _decode(await _body(request, MAX_SMALL_BODY), NodeKey)
        return _json({"node_id": await link.register(key.public_key)}, 201)

    async def nodes(self, request: Request) -> Response:
        online = await self._coordinator.link(request.path_params["tenant"]).online()
        return _json(
            {"nodes": [{"node_id": name, "online": up} for name, up in sorted(online.items())]}
        )

    async def unregister(self, request: Request) -> Response:
        link = self._coordinator.link(request.path_params["tenant"])
        await link.unregister(request.path_params["node"])
        return Response(status_code=204)

    async def start(self, request: Request) -> Response:
        plan = parse_plan(await _body(request, MAX_PLAN_BYTES))
        run = await self._coordinator.start_run(plan)
        return _json({"run": plan.run_id, "state": run.state}, 202)

    async def stop(self, request: Request) -> Response:
        await self._coordinator.stop_run(request.path_params["run"])
        return Response(status_code=204)

    async def events(self, request: Request) -> Response:
        run = self._coordinator.runs.get(request.path_params["run"])
        after = int(_query(request, "after"))
        wait = min(_query(request, "wait"), MAX_WAIT_S)
        events = await run.after(after, wait)
        return _json({"events": events, "state": run.state})

    async def result(self, request: Request) -> Response:
        run = self._coordinator.runs.get(request.path_params["run"])
        model = run.fetch()
        headers = {
            "x-sealgate-run": run.plan.run_id,
            "x-sealgate-rounds": str(run.plan.rounds),
            "x-sealgate-features": str(run.plan.config.features),
        }
        return Response(model, media_type="application/onnx", headers=headers)

    async def assignment(self, _request: Request, run: Run) -> Response:
        return _json(self._coordinator.assignment(run))

    async def report(self, request: Request, run: Run) -> Response:
        run.take(_decode(await _body(request, MAX_SMALL_BODY), Event))
        return Response(status_code=204)

    async def deliver(self, request: Request, run: Run) -> Response:
        try:
            self._coordinator.deliver(run, await _body(request, MAX_RESULT_BYTES))
        except ValueError:
            raise PlanInvalid from None
        return Response(status_code=204)


def _authenticate(request: Request, secret: str) -> None:
    given = request.headers.get("authorization", "")
    if not hmac.compare_digest(given.encode(), f"Bearer {secret}".encode()):
        raise NotAuthenticated


async def _body(request: Request, limit: int) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise PlanInvalid("the body is too large")
        parts.append(part)
    return b"".join(parts)


def _decode(data: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise PlanInvalid("the body is not valid") from None


def _query(request: Request, name: str) -> float:
    try:
        value = float(request.query_params.get(name, "0"))
    except ValueError:
        raise PlanInvalid("a query parameter is not a number") from None
    if not math.isfinite(value) or value < 0:
        raise PlanInvalid("a query parameter is out of bounds")
    return value


def _json(content: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")


def _problem(error: FederatedError) -> Response:
    status = STATUS.get(type(error), 422)
    return _json({"code": error.code, "message": str(error)}, status)
