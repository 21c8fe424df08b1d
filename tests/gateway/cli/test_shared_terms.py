"""What people read of a sharing: times as times, and what a term that is left out means."""

from __future__ import annotations

from typing import Any

from gateway.cli.model_sharing import readable

OFFER: dict[str, Any] = {
    "name": "hospital~tumour",
    "versions": [],
    "purposes": [],
    "until": 4102358400,
    "offered": 1795764031,
    "accepted": None,
}


def test_terms_of_an_offer_are_told_in_words() -> None:
    told = readable(OFFER, as_json=False)
    assert (told["until"], told["offered"], told["accepted"]) == (
        "2099-12-31 00:00:00Z", "2026-11-27 07:20:31Z", None,
    )  # fmt: skip
    assert (told["versions"], told["purposes"]) == ("released", "any")


def test_an_end_beyond_all_calendars_is_told_as_it_is() -> None:
    assert readable({**OFFER, "until": 10**15}, as_json=False)["until"] == "1e+15 s"


def test_programs_get_what_the_gateway_said() -> None:
    assert readable(OFFER, as_json=True) is OFFER
