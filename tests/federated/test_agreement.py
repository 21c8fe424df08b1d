"""What stands in both packages on purpose, since their processes meet over HTTP only, is equal."""

from __future__ import annotations

from typing import get_args

import pytest

from federated import fleet, plan
from gateway.federation import coordinator
from gateway.web.fleet import CALLS, PREFIX

pytestmark = pytest.mark.federated


def test_a_run_has_the_same_events_on_both_sides() -> None:
    assert get_args(plan.EventType) == get_args(coordinator.EventType)


def test_the_site_door_passes_exactly_the_calls_of_a_site() -> None:
    assert {PREFIX + call for call in CALLS} == fleet.PATHS
