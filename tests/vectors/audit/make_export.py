"""Make `export-v1.zip`, from the root: `python -m tests.vectors.audit.make_export`.

The file is kept, not made anew: every later verifier must still verify it.
"""

from __future__ import annotations

from pathlib import Path

from audit.event import ERASE_ACTION, PRUNE_ACTION, Event, Screening, new_event_id
from audit.export import export_log
from audit.ports import SealedField
from audit.reader import LogReader
from audit.stores.memory import MemoryLogStore
from tests.audit.samples import ref, signer, started


def numbered(number: int, **fields: object) -> Event:
    """Return the same event for the same number, whenever it is asked for."""
    given: dict[str, object] = {
        "id": new_event_id(lambda: 1_700_000_000.0 + number, lambda n: number.to_bytes(n, "big")),
        "ts": (1_700_000_000 + number) * 10**9,
        "tenant": "acme",
        "category": "inference",
        "action": "infer",
        "outcome": "allow" if number % 5 else "deny",
        "subject_refs": (ref(number % 7),),
        "screening": Screening(profile="p", bucket="0.5-1"),
    }
    return Event(**(given | fields))  # type: ignore[arg-type]


def main() -> None:
    """Write the file beside this script."""
    store = MemoryLogStore()
    with started(store) as log:
        for number in range(270):
            field = SealedField(ref(number % 7), number.to_bytes(40, "big"))
            log.append_blocking(numbered(number), [field])
        log.append_blocking(numbered(270, action=ERASE_ACTION, outcome="done"))
        log.prune(numbered(271, action=PRUNE_ACTION, outcome="done", pruned=((3, 9), (250, 260))))
    with (Path(__file__).parent / "export-v1.zip").open("wb") as out:
        export_log(LogReader(store, lambda tenant: signer(tenant).verifier), "acme", out)


if __name__ == "__main__":
    main()
