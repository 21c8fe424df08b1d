"""Why a request ended as it did: told to those who review the log, of their own tenant only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gateway.cli.connection import Connection
from gateway.cli.failures import CommandFailed, ExitCode
from tests.gateway.cli.command import sealgate
from tests.gateway.web.hidden import RIVAL, TENANT, Hidden, hidden_things

pytestmark = pytest.mark.e2e
ROW = {"inputs": [{"name": "in", "datatype": "FP32", "shape": [1, 6], "data": [0.0] * 6}]}


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hidden]:
    with hidden_things(tmp_path_factory.mktemp("hidden")) as made:
        yield made


def ask(hidden: Hidden, who: str, path: str, purpose: str | None = None) -> httpx.Response:
    headers = hidden.connection(who).headers("POST", path)
    body = ROW if purpose is None else {**ROW, "parameters": {"purpose": purpose}}
    return httpx.post(f"{hidden.place.url}{path}", json=body, headers=headers, timeout=60)


def request_of(answer: httpx.Response) -> str:
    return answer.headers["sealgate-request-id"]


def officer(hidden: Hidden, tenant: str = TENANT) -> Connection:
    return hidden.place.client(tenant, "officer")


def why(hidden: Hidden, answer: httpx.Response) -> dict[str, Any]:
    with officer(hidden) as asker:
        (record,) = asker.get(f"/v1/requests/{request_of(answer)}")["records"]
    assert record["event"]["request_id"] == request_of(answer)
    return dict(record)


def test_a_forbid_is_told_with_its_text_and_what_would_lift_it(hidden: Hidden) -> None:
    answer = ask(hidden, "caller", "/v2/models/bound/infer")
    assert answer.status_code == 404
    record = why(hidden, answer)
    (rule,) = record["rules"]
    assert (rule["id"], rule["effect"], rule["applies"]) == ("research-only", "forbid", True)
    assert 'context.purpose == "research"' in rule["text"]
    assert rule["ways"] == [['context.purpose == "research"']]
    assert record["certain"] is True


def test_where_nothing_permitted_the_nearest_permit_is_told(hidden: Hidden) -> None:
    record = why(hidden, ask(hidden, "nobody", "/v2/models/open/infer"))
    first = record["rules"][0]
    assert (first["id"], first["applies"]) == ("caller-infer", False)
    assert first["ways"] == [['principal.roles.contains("caller")']]
    assert record["event"].get("policy_ids", []) == []
    assert any("none permitted" in note for note in record["notes"])


def test_a_rule_without_conditions_is_told_to_be_so(hidden: Hidden) -> None:
    record = why(hidden, ask(hidden, "caller", "/v2/models/banned/infer"))
    assert [(rule["id"], rule["ways"]) for rule in record["rules"]] == [("nobody", [])]
    assert any("without conditions" in note for note in record["notes"])


def test_a_candidate_needs_its_release(hidden: Hidden) -> None:
    record = why(hidden, ask(hidden, "caller", "/v2/models/open/versions/2/infer"))
    ways = {rule["id"]: rule["ways"] for rule in record["rules"]}
    assert ways["caller-infer"] == [['resource.stage == "released"']]


def test_a_purpose_that_is_not_registered_is_not_repeated(hidden: Hidden) -> None:
    answer = ask(hidden, "caller", "/v2/models/open/infer", "marketing to widows")
    record = why(hidden, answer)
    assert [rule["id"] for rule in record["rules"]] == ["platform-purpose"]
    assert "widows" not in str(record)
    assert any("not registered" in note for note in record["notes"])


def test_a_model_that_is_not_there_has_no_rule(hidden: Hidden) -> None:
    record = why(hidden, ask(hidden, "caller", "/v2/models/vanished/infer"))
    assert (record["rules"], record["certain"]) == ([], False)
    assert "vanished" not in str(record)


def test_an_answer_names_the_rules_that_allowed_it(hidden: Hidden) -> None:
    answer = ask(hidden, "caller", "/v2/models/open/infer")
    assert answer.status_code == 200
    record = why(hidden, answer)
    assert [rule["id"] for rule in record["rules"]] == ["caller-infer"]
    assert record["event"]["outcome"] == "allow"


def test_a_request_that_failed_was_refused_by_no_rule(hidden: Hidden) -> None:
    headers = hidden.connection("caller").headers("POST", "/")
    answer = httpx.post(f"{hidden.place.url}/v2/models/open/infer", json={}, headers=headers)
    record = why(hidden, answer)
    assert any("no policy refused it" in note for note in record["notes"])


def test_a_change_is_found_by_the_id_of_its_request(hidden: Hidden) -> None:
    headers = hidden.connection("caller").headers("POST", "/")
    path = "/v1/models/open/versions/1/retire"
    answer = httpx.post(hidden.place.url + path, headers=headers, json={})
    assert answer.status_code in {403, 404, 422}
    with officer(hidden) as asker:
        searched = httpx.get(
            f"{hidden.place.url}/v1/audit/events",
            headers=asker.headers("GET", "/v1/audit/events"),
        )
        told = asker.get(f"/v1/requests/{request_of(searched)}")["records"]
    assert [record["event"]["action"] for record in told] == ["reviewAudit"]


def test_another_tenant_hears_what_it_would_hear_of_no_request(hidden: Hidden) -> None:
    answer = ask(hidden, "caller", "/v2/models/open/infer")
    heard = []
    with officer(hidden, RIVAL) as rival:
        for request in (request_of(answer), "01980f3c-1f2a-7c3e-9a51-5d8b6f0c2e77", "no-id"):
            with pytest.raises(CommandFailed) as refused:
                rival.get(f"/v1/requests/{request}")
            problem = refused.value.problem
            heard.append({name: problem[name] for name in problem if name != "request_id"})
    assert heard[0] == heard[1] == heard[2]
    assert heard[0]["status"] == 404


def test_another_tenants_model_is_not_looked_up(hidden: Hidden) -> None:
    answer = ask(hidden, "rival", "/v2/models/open/infer")
    with officer(hidden, RIVAL) as rival:
        (record,) = rival.get(f"/v1/requests/{request_of(answer)}")["records"]
    assert record["certain"] is False
    assert TENANT + "/" not in str(record["rules"])


def test_a_caller_may_not_ask_and_is_told_who_may(hidden: Hidden) -> None:
    answer = ask(hidden, "caller", "/v2/models/open/infer")
    said = sealgate("why", request_of(answer), "--profile", hidden.place.profile(TENANT, "caller"))
    assert said.code == ExitCode.DENIED
    assert "the role officer and the scope audit" in said.err


def test_asking_is_recorded(hidden: Hidden) -> None:
    answer = ask(hidden, "caller", "/v2/models/bound/infer")
    why(hidden, answer)
    with officer(hidden) as asker:
        (newest,) = asker.get("/v1/audit/events", action="reviewAudit", limit=1)["items"]
    assert newest["event"]["reason"] in {"why", "search"}


def test_the_command_tells_rule_and_way_out(hidden: Hidden) -> None:
    answer = ask(hidden, "caller", "/v2/models/bound/infer")
    profile = hidden.place.profile(TENANT, "officer")
    said = sealgate("why", request_of(answer), "--profile", profile)
    assert said.code == ExitCode.OK, said.err
    assert "infer refused (model_not_found)" in said.out
    assert "research-only forbids" in said.out
    assert 'to change that: context.purpose == "research"' in said.out
    absent = sealgate("why", "01980f3c-1f2a-7c3e-9a51-5d8b6f0c2e77", "--profile", profile)
    assert absent.code == ExitCode.NOT_FOUND
