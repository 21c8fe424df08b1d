"""Who may call: tokens that must not be accepted, and tenants that must not see each other."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.e2e.house import House
from tests.e2e.refusals import MARKER, nameless, newest, refused, tensor
from tests.e2e.tokens import Forger

pytestmark = pytest.mark.usefixtures("still_well")

BAD_TOKENS = [
    *("expired", "not_yet", "endless", "foreign_key", "foreign_issuer", "own_key_foreign_issuer"),
    *("foreign_audience", "foreign_tenant", "unknown_client", "no_audience", "no_expiry", "no_id"),
    *("id_token", "unsigned", "unsigned_with_signature", "tampered_claims", "tampered_signature"),
    *("no_signature", "key_in_header", "no_jwt", "huge"),
]


@pytest.fixture(scope="module")
def bad_tokens(house: House) -> dict[str, str]:
    forger = Forger(house)
    accepted = house.cast.infer(forger.signed(), "digits", house.owned["digits"].body())
    assert accepted.status_code == 200, "the forger's tokens must fail for their own reason"
    made = forger.all()
    assert list(made) == BAD_TOKENS
    return made


@pytest.mark.parametrize("kind", BAD_TOKENS)
@pytest.mark.parametrize("path", ["/v2/models/digits/infer", "/v1/whoami"])
def test_a_bad_token_opens_nothing(
    house: House, bad_tokens: dict[str, str], kind: str, path: str
) -> None:
    before = newest(house)["index"]
    method = "POST" if path.endswith("infer") else "GET"
    headers = {"authorization": f"Bearer {bad_tokens[kind]}"}
    answer = house.cast.http.request(method, house.url + path, headers=headers)
    refused(answer, 401, "invalid-token")
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    # Nobody fills the log from outside: only the second look is in it.
    assert newest(house)["index"] == before + 1


@pytest.mark.parametrize(
    "value", [None, "", "Basic Y2xpbmljLWFwcDp4", "Bearer", f"Negotiate {MARKER}"]
)
def test_no_token_is_told_where_to_get_one(house: House, value: str | None) -> None:
    headers = {} if value is None else {"authorization": value}
    url = f"{house.url}/v2/models/digits/infer"
    answer = house.cast.http.post(url, json=tensor(), headers=headers)
    refused(answer, 401, "token-missing")
    challenge = answer.headers["www-authenticate"]
    assert f'resource_metadata="{house.url}/.well-known/oauth-protected-resource"' in challenge


def test_two_authorization_headers_are_refused(house: House) -> None:
    good = house.bearer()["authorization"]
    for first, second in ((good, good), (good, f"Bearer {MARKER}"), (f"Bearer {MARKER}", good)):
        answer = house.cast.http.post(
            f"{house.url}/v2/models/digits/infer",
            json=tensor(),
            headers=[("authorization", first), ("authorization", second)],
        )
        refused(answer, 401, "invalid-token")


def test_a_token_counts_in_the_authorization_header_only(house: House) -> None:
    token = house.token()
    url = f"{house.url}/v2/models/digits/infer"
    for how in (
        {"params": {"access_token": token}},
        {"cookies": {"access_token": token}},
        {"headers": {"x-authorization": f"Bearer {token}"}},
    ):
        with httpx.Client() as client:
            client.cookies.update(how.pop("cookies", {}))
            answer = client.post(url, json=tensor(), **how)  # type: ignore[arg-type]
        refused(answer, 401, "token-missing")


def test_anothers_model_is_answered_like_no_model_at_all(house: House) -> None:
    """Byte for byte, by name and by version, whatever is asked about it."""
    bank = house.bearer("bank-app")

    def ask(method: str, path: str, **how: Any) -> tuple[int, bytes, list[tuple[str, str]]]:
        answer = house.cast.http.request(method, house.url + path, headers=bank, **how)
        # The place in the caller's own log goes up with every entry and tells nothing else; two
        # answers may be of two seconds.
        own = ("sealgate-audit", "sealgate-request-id", "date")
        headers = {name: value for name, value in answer.headers.items() if name not in own}
        return answer.status_code, nameless(answer), sorted(headers.items())

    for rest, method in (
        ("infer", "POST"),
        ("versions/1.0/infer", "POST"),
        ("", "GET"),
        ("ready", "GET"),
        ("config", "GET"),
        ("stats", "GET"),
        ("versions/1.0", "GET"),
    ):
        body = {"json": tensor()} if method == "POST" else {}
        theirs = ask(method, f"/v2/models/digits/{rest}".rstrip("/"), **body)
        nobodys = ask(method, f"/v2/models/absent/{rest}".rstrip("/"), **body)
        assert theirs == nobodys
        assert theirs[0] == 404
    for rest in ("", "/versions", "/versions/1.0", "/versions/1.0/manifest", "/release"):
        assert ask("GET", f"/v1/models/digits{rest}") == ask("GET", f"/v1/models/absent{rest}")
    index = house.cast.http.post(f"{house.url}/v2/repository/index", headers=bank)
    assert index.json() == []


def test_a_purpose_in_a_header_is_recorded_only_if_it_is_registered(house: House) -> None:
    headers = house.bearer("clinic-owner")
    stated_and_recorded = (("research", "research"), ("diagnosis", ""), (MARKER, ""))
    for number, (stated, recorded) in enumerate(stated_and_recorded):
        answer = house.cast.http.post(
            f"{house.url}/v1/models/digits/versions/9.9/promote",
            headers={**headers, "sealgate-purpose": stated},
        )
        refused(answer, 404, "not-found")
        name = f"stated-{number}"
        answer = house.cast.http.post(
            f"{house.url}/v1/models",
            json={"name": name, "personal": False},
            headers={**headers, "sealgate-purpose": stated},
        )
        assert answer.status_code == 201
        event = newest(house, model=name, actor_ref="clinic-owner")
        assert event["action"] != "infer"
        assert event.get("purpose", "") == recorded


def test_a_schema_refusal_of_the_control_plane_echoes_nothing(house: House) -> None:
    owner = house.bearer("clinic-owner")
    for path, body in (
        ("/v1/models", {"name": MARKER, "personal": MARKER}),
        ("/v1/models", {"name": "x", "personal": False, MARKER: MARKER}),
        ("/v1/models/digits/versions", {"version": MARKER, "upload": 7}),
    ):
        answer = house.cast.http.post(house.url + path, json=body, headers=owner)
        refused(answer, 422, "invalid-request")
    answer = house.cast.http.post(
        house.url + "/v1/models",
        content=b"{" + MARKER.encode(),
        headers={**owner, "content-type": "application/json"},
    )
    refused(answer, 422, "invalid-request")
