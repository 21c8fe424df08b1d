"""Calls of a model that another tenant shares: who gets an answer, and what both logs say."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from audit.errors import AuditUnavailable
from audit.event import Event
from audit.log import AuditLog, Receipt
from audit.verify import verify_export
from gateway.errors import NotFound, StateConflict
from gateway.inference.errors import ModelNotFound, OutputRefused
from gateway.inference.oip import OipBody
from gateway.inference.pipeline import InferAnswer
from gateway.registry.records import Model
from tests.gateway.inference.sharing_works import (
    OWNER,
    RIVAL,
    SHARED,
    THEIR_OWNER,
    THIRD,
    ask,
    offer,
    share,
    two_tenants,
)
from tests.gateway.parts import NOW, TENANT, call
from tests.sharings import sharing

from .works import STRANGE, Works, row


def told(answer: InferAnswer[OipBody]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.rendered.parts[0])
    return found


def test_issue_8_4_a_model_that_both_agreed_to_share_answers_the_other_tenant() -> None:
    with two_tenants() as shop:
        with pytest.raises(ModelNotFound):
            ask(shop)
        made = offer(shop)
        with pytest.raises(ModelNotFound):
            ask(shop)
        shop.house.use.sharings.accept(THEIR_OWNER, TENANT, "m", made.id)
        answer = told(ask(shop))
        assert (answer["model_name"], answer["model_version"]) == (SHARED, "1")
        assert told(ask(shop, version="1"))["model_version"] == "1"
        with pytest.raises(ModelNotFound):
            ask(shop, tenant=THIRD)
        with pytest.raises(ModelNotFound):
            ask(shop, model="m")


def test_a_tenants_own_model_of_the_same_name_is_never_shadowed() -> None:
    with two_tenants() as shop:
        share(shop)
        shop.publish("7", tenant=RIVAL)
        assert told(ask(shop, model="m"))["model_version"] == "7"
        assert told(ask(shop))["model_version"] == "1"
        with pytest.raises(ModelNotFound):  # one name a model: the long one is for the others
            ask(shop, model=f"{RIVAL}~m")
        shop.publish("9", model="n", tenant=RIVAL)
        with pytest.raises(ModelNotFound):
            ask(shop, model="n", tenant=TENANT)


def test_both_logs_have_the_use_and_the_owners_names_nobody() -> None:
    with two_tenants() as shop:
        share(shop)
        answer = ask(shop)
        theirs = shop.house.events(RIVAL)[-1]
        mine = shop.house.events(TENANT)[-1]
        assert theirs["id"] == answer.receipt.event_id
        assert (theirs["model_id"], theirs["client_id"]) == (SHARED, f"{RIVAL}-caller")
        assert (mine["actor_ref"], mine["actor_type"]) == (RIVAL, "tenant")
        assert (mine["model_id"], mine["model_version"]) == ("m", "1")
        assert mine["resource"] == theirs["resource"] == f"ModelVersion::{TENANT}/m@1"
        assert mine["request_id"] == theirs["request_id"]
        kept = {"client_id", "purpose", "subject_refs", "input_commit", "auth_method", "n_in"}
        assert not {name for name in kept if mine.get(name)}
        assert f"{RIVAL}/" not in json.dumps(mine)
        assert f"{TENANT}/caller-infer" in json.dumps(mine)
        assert f"{TENANT}/caller-infer" not in json.dumps(theirs)


def test_an_agreed_purpose_is_told_to_the_owner_and_another_is_refused() -> None:
    with two_tenants() as shop:
        share(shop, purposes=frozenset({"care"}))
        ask(shop)
        assert shop.house.events(TENANT)[-1]["purpose"] == "care"
        share(shop, purposes=frozenset({"billing"}))
        with pytest.raises(ModelNotFound):
            ask(shop)
        assert "platform-agreed-purpose" in shop.house.events(RIVAL)[-1]["policy_ids"]  # type: ignore[operator]
        assert shop.house.events(TENANT)[-1]["action"] != "infer", "it was not used"


def test_a_data_subject_stays_on_its_own_side_of_the_border() -> None:
    with two_tenants() as shop:
        shop.publish(model="p", personal=True)
        made = shop.house.use.sharings.offer(OWNER, "p", replace(_terms(), tenant=RIVAL))
        shop.house.use.sharings.accept(THEIR_OWNER, TENANT, "p", made.id)
        ask(shop, f"{TENANT}~p", body=row(subject="patient-7"))
        theirs, mine = shop.house.events(RIVAL)[-1], shop.house.events(TENANT)[-1]
        ref = shop.vault.ref(RIVAL, "patient-7")
        assert list(theirs["subject_refs"]) == [ref]  # type: ignore[call-overload]
        assert ref not in json.dumps(mine)
        assert not {"subject_refs", "sealed_commit", "input_commit"} & set(mine)
        assert shop.vault.ref(TENANT, "patient-7") != ref
        before = len(shop.house.events(TENANT))
        assert shop.house.log.erase_subject(RIVAL, ref) == 1
        assert len(shop.house.events(TENANT)) == before


class Closed(AuditLog):
    """A log that takes nothing for one tenant."""

    def __init__(self, log: AuditLog, closed: str) -> None:
        self.real, self.closed = log, closed

    async def append(self, event: Event, sealed: Any = ()) -> Receipt:
        if event.tenant == self.closed:
            raise AuditUnavailable
        return await self.real.append(event, sealed)


@pytest.mark.parametrize(("closed", "left"), [(TENANT, (0, 0)), (RIVAL, (1, 0))])
def test_where_one_of_the_two_logs_takes_nothing_there_is_no_answer(
    closed: str, left: tuple[int, int]
) -> None:
    """The owner's comes first: what the caller's log lets out is in the owner's."""
    with two_tenants() as shop:
        share(shop)
        before = [len(shop.house.events(tenant)) for tenant in (TENANT, RIVAL)]
        shop.log = Closed(shop.house.log, closed)
        with pytest.raises(AuditUnavailable):
            ask(shop)
        after = [len(shop.house.events(tenant)) for tenant in (TENANT, RIVAL)]
        assert tuple(now - then for now, then in zip(after, before, strict=True)) == left


def test_both_logs_verify_after_shared_use(tmp_path: Path) -> None:
    from audit.export import export_log

    with two_tenants() as shop:
        share(shop)
        ask(shop)
        for tenant in (TENANT, RIVAL):
            path = tmp_path / f"{tenant}.zip"
            with path.open("wb") as out:
                export_log(shop.house.reader, tenant, out)
            report = verify_export(path, shop.house.log.verifier(tenant).vkey, [])
            assert report.status == "VERIFIED"


def test_what_the_screen_refuses_is_in_the_owners_log() -> None:
    with two_tenants() as shop:
        share(shop)
        with pytest.raises(OutputRefused):
            ask(shop, body=row(STRANGE))
        mine = shop.house.events(TENANT)[-1]
        assert (mine["action"], mine["outcome"]) == ("releaseOutput", "deny")
        assert mine["screening"]["rules"]  # type: ignore[index]


def test_the_index_metadata_and_counts_are_those_of_who_asks() -> None:
    with two_tenants() as shop:
        share(shop)
        directory = replace(_directory(shop), models=shop.models, counts=shop.pipeline.statistics)
        asyncio.run(shop.infer())
        ask(shop)
        for tenant, name, count in ((RIVAL, SHARED, 1), (TENANT, "m", 1), (THIRD, None, 0)):
            asked = call("caller", tenant)
            index = asyncio.run(directory.index(asked))
            assert [entry["name"] for entry in index] == ([name] if name else [])
            if name is None:
                with pytest.raises(ModelNotFound):
                    asyncio.run(directory.target(asked, SHARED, None))
                continue
            target = asyncio.run(directory.target(asked, name, None))
            assert asyncio.run(directory.describe(target))["name"] == name
            (counted,) = directory.statistics(target)["model_stats"]
            assert (counted["name"], counted["inference_count"]) == (name, count)
        share(shop, download=True, infer=False)
        with pytest.raises(ModelNotFound):
            ask(shop)


def _terms() -> Any:
    from gateway.registry.terms import Terms

    return Terms(RIVAL)


def _directory(shop: Works) -> Any:
    from gateway.composition.inference import make_directory

    return make_directory(shop.house.base, shop.pipeline)


def test_only_what_is_covered_is_reached() -> None:
    with two_tenants() as shop:
        shop.publish("2", release=False)
        share(shop)
        for version, found in (("1", True), ("2", False), ("3", False)):
            if found:
                ask(shop, version=version)
            else:
                with pytest.raises(ModelNotFound):
                    ask(shop, version=version)
        shop.release("2")
        assert told(ask(shop))["model_version"] == "2", "it follows the release"
        assert told(ask(shop, version="1"))["model_version"] == "1"
        share(shop, versions=frozenset({"1"}))
        with pytest.raises(ModelNotFound):
            ask(shop)
        assert told(ask(shop, version="1"))["model_version"] == "1"
        with pytest.raises(ModelNotFound):
            ask(shop, version="2")
        shop.set_state("retired", "1")
        with pytest.raises(ModelNotFound):
            ask(shop, version="1")


def test_either_side_ends_it_and_an_old_offer_is_worth_nothing() -> None:
    with two_tenants() as shop:
        use = shop.house.use.sharings
        made = share(shop)
        use.withdraw(OWNER, "m", RIVAL)
        with pytest.raises(ModelNotFound):
            ask(shop)
        with pytest.raises(NotFound):
            use.accept(THEIR_OWNER, TENANT, "m", made.id)
        fresh = offer(shop, download=True)
        with pytest.raises(StateConflict):
            use.accept(THEIR_OWNER, TENANT, "m", made.id)
        with pytest.raises(ModelNotFound):
            ask(shop)
        use.accept(THEIR_OWNER, TENANT, "m", fresh.id)
        ask(shop)
        use.decline(THEIR_OWNER, TENANT, "m")
        with pytest.raises(ModelNotFound):
            ask(shop)
        with pytest.raises(NotFound):
            use.decline(THEIR_OWNER, TENANT, "m")


def test_a_model_that_was_made_anew_under_the_name_inherits_nothing() -> None:
    with two_tenants() as shop:
        registry = shop.house.stores.registry
        registry.offer(sharing(TENANT, "m", RIVAL, offered=int(NOW) - 1))
        shop.house.changed()
        assert _created(registry.get_model(TENANT, "m")) == int(NOW)
        with pytest.raises(ModelNotFound):
            ask(shop)
        with pytest.raises(NotFound):
            shop.house.use.sharings.received_from(THEIR_OWNER, TENANT, "m")


def _created(model: Model | None) -> int:
    assert model is not None
    return model.created


def test_it_ends_by_its_date_without_anything_being_changed() -> None:
    now = NOW
    with two_tenants(clock=lambda: now) as shop:
        share(shop, until=int(NOW) + 10)
        ask(shop)
        now += 9
        ask(shop)
        now += 1
        with pytest.raises(ModelNotFound):
            ask(shop)
        assert shop.house.use.sharings.received(THEIR_OWNER, after="", limit=9) == ([], None)


OTHER_WAYS = (
    f"{TENANT}/m",
    f"{TENANT}%2Fm",
    f"{TENANT}%7Em",
    f"{TENANT}%257Em",
    f"{TENANT.upper()}~m",
    f"{TENANT}~M",
    f"{TENANT}~~m",
    f"~{TENANT}~m",
    f"{TENANT}~m~",
    f"{TENANT}~",
    "~m",
    "~",
    f"{TENANT}~../{TENANT}~m",
    f"..~{TENANT}~m",
    f"{TENANT}\uff5em",
    f"{TENANT}\u223cm",
    f"{TENANT}~m\n",
    f"{TENANT}~m\u200b",
    f"{TENANT}~m\0",
    f"{RIVAL}~{TENANT}~m",
    f"{TENANT}:m",
    f"{TENANT}@m",
    "acme.m",
)


def test_no_other_way_to_write_the_name_reaches_it() -> None:
    with two_tenants() as shop:
        share(shop)
        for name in OTHER_WAYS:
            with pytest.raises(ModelNotFound) as refused:
                ask(shop, model=name)
            event = shop.house.events(RIVAL)[-1]
            assert str(refused.value) == ModelNotFound.message
            assert event["reason"] == "model_not_found"
            assert not {"model_id", "resource"} & set(event)
        assert ask(shop)
