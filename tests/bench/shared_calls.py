"""What a shared call costs beside one of the owner's: `python -m tests.bench.shared_calls`.

Both in one process, on a log in SQLite with fsync, one caller and eight; decision 0020 cites it.
"""

from __future__ import annotations

import asyncio
import secrets
import statistics
import tempfile
import time
from pathlib import Path

from audit.log import AuditLog
from audit.stores.sqlite import SqliteLogStore
from tests.gateway.inference.sharing_works import RIVAL, SHARED, share, two_tenants
from tests.gateway.inference.works import Works
from tests.gateway.parts import TENANT

CALLS = 400


async def _time(shop: Works, callers: int, *, shared: bool) -> list[float]:
    taken: list[float] = []
    tenant, model = (RIVAL, SHARED) if shared else (TENANT, "m")
    token = shop.bearer("caller", tenant)

    async def one() -> None:
        for _ in range(CALLS // callers):
            began = time.perf_counter()
            await shop.infer(token=token, model=model)
            taken.append((time.perf_counter() - began) * 1e3)

    await asyncio.gather(*(one() for _ in range(callers)))
    return taken


def main() -> None:
    """Print medians and tenths."""
    with two_tenants() as shop, tempfile.TemporaryDirectory() as folder:
        share(shop)
        store = SqliteLogStore(Path(folder) / "audit.db")
        shop.log = AuditLog(
            store, shop.house.base.log_signer, clock=time.time, random_bytes=secrets.token_bytes
        )
        shop.log.start()
        for callers in (1, 8):
            for shared in (False, True, False, True):
                taken = asyncio.run(_time(shop, callers, shared=shared))
                tenth = statistics.quantiles(taken, n=10)[-1]
                kind = "shared" if shared else "own"
                middle = statistics.median(taken)
                print(f"{callers} callers, {kind:6}: median {middle:.2f} ms, p90 {tenth:.2f} ms")
        shop.log.close()


if __name__ == "__main__":
    main()
