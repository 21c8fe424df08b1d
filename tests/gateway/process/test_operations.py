from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from audit.log import AuditLog, Limits
from audit.note import LogSigner
from gateway.errors import SealgateError
from gateway.inference.warming import Warming
from gateway.process.life import Life
from gateway.process.operations import OperationsApp
from gateway.process.readiness import Readiness
from gateway.start_page import HEADERS, Step
from policies.engine import PolicyEngine
from tests.audit.samples import until
from tests.audit.stalling import StallingStore
from tests.gateway.inference.works import CLEAN, Works, row, works
from tests.gateway.parts import KEY, NOW
from tests.gateway.web.in_process import call

MARKER = "Marta-Example-1971"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Works]:
    with works() as made:
        made.publish()
        yield made


def operations(
    shop: Works,
    log: AuditLog | None = None,
    warming: Warming | None = None,
    readiness: Readiness | None = None,
    steps: Callable[[], Sequence[Step]] | None = None,
    refused: tuple[str, ...] = (),
) -> OperationsApp:
    return OperationsApp(
        shop.metrics,
        log or shop.house.log,
        PolicyEngine(lambda: NOW),
        shop.authenticator,
        engines=shop.engines,
        life=Life(),
        readiness=readiness or Readiness({}),
        version="1",
        refused_sets=lambda: refused,
        steps=steps
        or (lambda: [Step("a backup", False, "a disk is not for ever", "cp -a here there")]),
        public_url="https://models.example",
        host="Ops.internal",
        warming=warming or warmed(shop),
    )


def warmed(shop: Works) -> Warming:
    made = shop.warming()
    made.start()
    until(lambda: made.done)
    return made


def get(shop: Works, path: str, log: AuditLog | None = None) -> httpx.Response:
    return call(operations(shop, log), "GET", path)


async def _ignore(shop: Works, **options: object) -> None:
    try:
        await shop.infer(**options)  # type: ignore[arg-type]
    except SealgateError:
        return


def test_metrics_name_nobody(shop: Works) -> None:
    asked = {**row(CLEAN[:1], subject=MARKER, purpose="care"), "id": MARKER}
    for options in (
        {"body": asked},
        {"body": row(purpose=MARKER)},
        {"model": MARKER.lower()},
        {"version": MARKER},
        {"token": MARKER},
    ):
        asyncio.run(_ignore(shop, **options))
    answer = get(shop, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert MARKER.lower() not in answer.text.lower()
    for secret in ("acme-caller", shop.bearer(), "sub_"):
        assert secret not in answer.text
    assert 'outcome="answered",tenant="acme",version="1"} 1.0' in answer.text
    assert 'sealgate_refused_before_tenant_total{code="invalid_token"} 1.0' in answer.text
    assert "sealgate_audit_ready 1.0" in answer.text


def test_engines_and_what_waits_for_them_are_counted(shop: Works) -> None:
    asyncio.run(shop.infer())
    told = get(shop, "/metrics").text
    assert "sealgate_engines 1.0" in told
    assert "sealgate_engine_waiting 0.0" in told
    assert "sealgate_models_unavailable 0.0" in told


def test_it_is_ready_when_what_is_released_was_loaded(shop: Works) -> None:
    app = operations(shop, warming=shop.warming())
    assert call(app, "GET", "/health/ready").status_code == 503
    app = operations(shop, warming=warmed(shop))
    assert call(app, "GET", "/health/ready").status_code == 200


def test_memo_ratios_are_looked_up_when_somebody_asks(shop: Works) -> None:
    token = shop.bearer()
    for _ in range(4):
        asyncio.run(shop.infer(token=token))
    counters = shop.authenticator.counters
    ratio = counters.hits / (counters.hits + counters.misses)
    assert f'sealgate_memo_hit_ratio{{memo="token"}} {ratio}' in get(shop, "/metrics").text
    assert 'sealgate_memo_hit_ratio{memo="policy"} 0.0' in get(shop, "/metrics").text


def test_ready_turns_with_the_log_and_live_does_not(shop: Works) -> None:
    store = StallingStore()
    log = AuditLog(
        store,
        lambda tenant: LogSigner(f"log/{tenant}", KEY),
        clock=lambda: NOW,
        random_bytes=lambda length: b"r" * length,
        limits=Limits(idle_seconds=30.0),
    )

    def seen() -> tuple[int, int, bool]:
        gauge = "sealgate_audit_ready 1.0" in get(shop, "/metrics", log).text
        ready = get(shop, "/health/ready", log).status_code
        return get(shop, "/health/live", log).status_code, ready, gauge

    assert seen() == (200, 503, False), "not started yet"
    log.start()
    assert seen() == (200, 200, True)
    store.fill_disk()
    event = shop.house.recorder.event_for(None, "administer", "done", tenant="acme")
    with pytest.raises(Exception, match="cannot record"):
        log.append_blocking(event)
    assert seen() == (200, 503, False)
    assert get(shop, "/health/ready", log).text == "the audit log is down\n"
    store.make_room()
    log.append_blocking(event)
    assert seen() == (200, 200, True)
    log.close()
    assert seen() == (200, 503, False)


@pytest.mark.parametrize("path", ["/docs", "/health", "/v2/models", f"/{MARKER}"])
def test_what_is_not_there_is_told_without_repeating_it(shop: Works, path: str) -> None:
    answer = get(shop, path)
    assert answer.status_code == 404
    assert MARKER not in answer.text
    assert int(answer.headers["content-length"]) == len(answer.content)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_first_page_says_what_is_well_and_what_is_left(shop: Works, method: str) -> None:
    answer = call(operations(shop), method, "/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    if method == "GET":
        for told in ("the audit log", "takes records", "a backup", "https://models.example/docs"):
            assert told in answer.text


def test_the_first_page_names_what_is_not_well_and_no_tenant(shop: Works) -> None:
    def broken() -> None:
        raise OSError(MARKER)

    readiness = Readiness({"keystore": broken, "database": lambda: None})
    text = call(operations(shop, readiness=readiness), "GET", "/").text
    assert 'the keystore: <span class="state">does not answer</span>' in text
    assert 'the database: <span class="state">answers</span>' in text
    assert MARKER not in text
    assert "acme" not in text


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:9090", 200),
        ("[::1]:9090", 200),
        ("10.0.0.7", 200),
        ("LocalHost:9090", 200),
        ("ops.internal:9090", 200),
        ("rebound.example:9090", 421),
        ("127.0.0.1.rebound.example", 421),
        ("rebound.example@127.0.0.1", 421),
        ("[rebound.example]", 421),
        ("", 421),
    ],
)
def test_a_name_that_somebody_gave_the_address_shows_no_page(
    shop: Works, host: str, status: int
) -> None:
    """A page elsewhere could read it through the operator's browser (DNS rebinding)."""
    answer = call(operations(shop), "GET", "/", headers={"host": host})
    assert answer.status_code == status
    assert ("a backup" in answer.text) is (status == 200)
    assert ("localhost" in answer.text) is (status == 421)
    for path in ("/metrics", "/health/live"):
        named = call(operations(shop), "GET", path, headers={"host": host})
        assert named.status_code == 200, "scraped by the name of a service"


def test_a_database_that_hangs_keeps_neither_the_metrics_nor_the_first_page(shop: Works) -> None:
    """They waited in the pool of threads that the database had filled."""
    go = threading.Event()

    def hang() -> list[Step]:
        assert go.wait(240)
        return []

    app = operations(shop, readiness=Readiness({"database": hang}, 0.1), steps=hang)

    async def scenario() -> tuple[int, int, str]:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        waiting = loop.run_in_executor(None, hang)
        try:
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url="http://127.0.0.1"
            ) as client:
                metrics, ready, page = [
                    await client.get(path) for path in ("/metrics", "/health/ready", "/")
                ]
        finally:
            go.set()
            await waiting
        assert ready.text == "not well: database\n"
        return metrics.status_code, page.status_code, page.text

    metrics, page, text = asyncio.run(scenario())
    assert (metrics, page) == (200, 200)
    assert "cannot be looked at now" in text


def test_a_tenant_whose_stored_set_cannot_be_used_is_named(shop: Works) -> None:
    assert get(shop, "/health/policies").status_code == 200
    refused = call(operations(shop, refused=("slow", "acme")), "GET", "/health/policies")
    assert (refused.status_code, refused.text.splitlines()) == (
        503,
        ["acme: policy_set_invalid", "slow: policy_set_invalid"],
    )
    assert call(operations(shop, refused=("slow",)), "GET", "/health/ready").status_code == 200
