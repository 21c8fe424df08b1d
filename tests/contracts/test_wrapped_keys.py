"""Every store that keeps sealed payloads wraps their keys anew, and changes nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.artifacts.upload import SealedPayload
from gateway.storage.stores import ControlStores
from gateway.storage.wrapped_keys import ROWS
from tests.contracts.samples import BATCH, ECG, PART, PAYLOAD, PERSON, TRIAL, UPLOAD, VERSION

ANEW = b"\x00wrapped\xffanew"


def anew(sealed: SealedPayload) -> SealedPayload:
    return replace(sealed, wrapped_key=ANEW)


@pytest.fixture
def filled(stores: ControlStores) -> ControlStores:
    """A record of each kind, and the same of another tenant."""
    for tenant in ("acme", "other"):
        stores.registry.add_model(replace(ECG, tenant=tenant, sharings=frozenset()))
        stores.registry.add_version(replace(VERSION, tenant=tenant))
        stores.uploads.add_upload(replace(UPLOAD, id=f"u-{tenant}", tenant=tenant))
        stores.federations.add_federation(replace(TRIAL, tenant=tenant))
        stores.batches.add_batch(replace(BATCH, id=f"b-{tenant}", tenant=tenant))
        stores.batches.put_part(replace(PART, batch=f"b-{tenant}", tenant=tenant))
        stores.people.add(replace(PERSON, id=f"p-{tenant}", tenant=tenant))
    return stores


def records(stores: ControlStores, tenant: str) -> list[object]:
    batch = f"b-{tenant}"
    return [
        stores.registry.get_version(tenant, "ecg", "1.0"),
        stores.uploads.get_upload(tenant, f"u-{tenant}"),
        stores.federations.get_federation(tenant, "trial"),
        stores.batches.get_batch(tenant, batch),
        stores.batches.get_part(tenant, batch, 0),
        stores.people.get(f"p-{tenant}"),
    ]


def rewrap(stores: ControlStores, tenant: str, change: Callable[..., SealedPayload]) -> int:
    holders = (stores.registry, stores.uploads, stores.federations, stores.batches, stores.people)
    return sum(holder.rewrap(tenant, change) for holder in holders)


def test_the_tenants_keys_are_wrapped_anew_and_nothing_else_changes(filled: ControlStores) -> None:
    before, others = records(filled, "acme"), records(filled, "other")
    assert rewrap(filled, "acme", anew) == 6
    fresh = [anew(PAYLOAD), anew(VERSION.payloads[1])]
    names = ("payloads", "payload", "calibration", "source", "source", "sealed")
    values = (tuple(fresh), *[fresh[0]] * 5)
    expected = [
        replace(record, **{name: value})  # type: ignore[type-var]
        for record, name, value in zip(before, names, values, strict=True)
    ]
    assert records(filled, "acme") == expected
    assert records(filled, "other") == others


def test_what_needs_no_change_is_not_counted(filled: ControlStores) -> None:
    assert rewrap(filled, "acme", lambda sealed: sealed) == 0
    rewrap(filled, "acme", anew)
    assert rewrap(filled, "acme", anew) == 0


def test_a_record_without_a_payload_is_passed_over(stores: ControlStores) -> None:
    stores.registry.add_model(ECG)
    stores.registry.add_version(replace(VERSION, payloads=()))
    stores.batches.add_batch(replace(BATCH, source=None))
    stores.batches.put_part(replace(PART, source=None))
    stores.federations.add_federation(replace(TRIAL, calibration=None))
    assert rewrap(stores, "acme", anew) == 0


def test_what_the_change_raises_comes_out_and_the_record_is_as_it_was(
    filled: ControlStores,
) -> None:
    def broken(sealed: SealedPayload) -> SealedPayload:
        raise ZeroDivisionError

    before = records(filled, "acme")
    for holder in (filled.registry, filled.uploads, filled.federations, filled.batches):
        with pytest.raises(ZeroDivisionError):
            holder.rewrap("acme", broken)
    assert records(filled, "acme") == before


def test_more_records_than_one_transaction_takes_are_all_changed(stores: ControlStores) -> None:
    count = 2 * ROWS + 1
    for model in ("ecg", "mri"):
        stores.registry.add_model(replace(ECG, name=model, sharings=frozenset()))
    for number in range(count):
        model = ("ecg", "mri")[number % 2]
        stores.registry.add_version(replace(VERSION, model=model, version=f"{number}"))
        stores.uploads.add_upload(replace(UPLOAD, id=f"u{number}"))
        stores.batches.put_part(replace(PART, batch="b1", number=number)) if number else (
            stores.batches.add_batch(BATCH)
        )
    assert stores.registry.rewrap("acme", anew) == count
    assert stores.uploads.rewrap("acme", anew) == count
    assert stores.batches.rewrap("acme", anew) == count
