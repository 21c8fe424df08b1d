"""Whatever names a model or a thing of a tenant: to who may not know of it, it is not there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.cli.failures import CommandFailed, ExitCode
from tests.gateway.serving import HTTPTOOLS
from tests.gateway.web.hidden import RUN, TENANT, Hidden, hidden_things
from tests.gateway.web.test_publishing import RECIPIENT
from tests.gateway.web.wire import ALIVE, Answer, Wire, request
from tests.gateway.web.wrong_bodies import MARKER

pytestmark = pytest.mark.e2e

JSON = "content-type: application/json"
TO = f"sealgate-recipient: {RECIPIENT}"
ORDER = {"version": "7", "upload": "u", "owner_bundle": "e30=", "owner_key": "k"}
ROWS = {"upload": "u", "format": "jsonl", "recipient": RECIPIENT}
QUESTION = {"action": "infer", "model": "{m}", "version": "{v}"}
SITE = {"name": "south", "public_key": MARKER}
KEY_AT = "/v1/models/{m}/versions/{v}/payloads/{d}"
STRICT: dict[str, Any] = {"headers": {"sealgate-purpose": "purpose-1"}}
ENDLESS = f"content-length: {1 << 40}"


@dataclass(frozen=True)
class Ask:
    """A request, with `{m}` for the model, `{v}` for its version, `{f}` for the federation …"""

    method: str
    path: str
    body: Any = None
    headers: tuple[str, ...] = ()
    raw: bytes | None = None

    def fill(self, token: str, names: dict[str, str]) -> bytes:
        def named(text: str) -> str:
            for key, value in names.items():
                text = text.replace("{" + key + "}", value)
            return text

        content, headers = self.raw or b"", list(self.headers)
        if self.body is not None:
            content = named(json.dumps(self.body)).encode()
            headers.append(JSON)
        if content and not any(one.startswith(("content-length", "transfer")) for one in headers):
            headers.append(f"content-length: {len(content)}")
        return request(self.method, named(self.path), token, *headers) + content


def post(path: str, body: Any, *headers: str) -> Ask:
    return Ask("POST", path, body, headers)


def get(path: str, *headers: str) -> Ask:
    return Ask("GET", path, headers=headers)


def every_method(path: str) -> list[Ask]:
    return [Ask(method, path) for method in ("HEAD", "OPTIONS", "DELETE", "PATCH", "POST", "PUT")]


OF_MODELS = [
    get("/v1/models/{m}"),
    get("/v1/models/{m}/"),
    *every_method("/v1/models/{m}"),
    get("/v1/models/{m}/versions"),
    get("/v1/models/{m}/versions?limit=1"),
    get("/v1/models/{m}/versions?limit=0"),
    get("/v1/models/{m}/versions?after=1"),
    get("/v1/models/{m}/release"),
    get("/v1/models/{m}/release?after=x"),
    get("/v1/models/{m}/nothing"),
    get("/v1/models/{m}/sharing"),
    Ask("DELETE", "/v1/models/{m}/sharing/rival"),
    Ask("PUT", "/v1/models/{m}/sharing/rival", {}),
    Ask("PUT", "/v1/models/{m}/sharing/rival", {"versions": [MARKER]}),
    Ask("PUT", "/v1/models/{m}/sharing/rival", {"until": "7"}),
    Ask("PUT", "/v1/models/{m}/sharing/rival", raw=b"{" + MARKER.encode(), headers=(JSON,)),
    Ask("PUT", "/v1/models/{m}/sharing/rival", raw=b"{", headers=(JSON, "content-length: 9")),
    Ask("PUT", "/v1/models/{m}/sharing/rival", headers=(JSON, ENDLESS)),
    post("/v1/models/{m}/versions", ORDER),
    post("/v1/models/{m}/versions", {**ORDER, "version": "1"}),
    post("/v1/models/{m}/versions", {**ORDER, "version": MARKER * 9}),
    post("/v1/models/{m}/versions", {**ORDER, "version": "-"}),
    post("/v1/models/{m}/versions", {**ORDER, "owner_bundle": MARKER}),
    post("/v1/models/{m}/versions", {**ORDER, "calibration": "u"}),
    post("/v1/models/{m}/versions", {MARKER: MARKER}),
    post("/v1/models/{m}/release", {}),
    post("/v1/models/{m}/release", {"version": "1"}),
    post("/v1/models/{m}/release", {"version": "9"}),
    post("/v1/models/{m}/release", {"version": 9}),
    post("/v1/uploads?model={m}", {"a": "b"}),
    Ask("POST", "/v1/uploads?model={m}"),
    Ask("POST", "/v1/uploads?model={m}", headers=("content-length: 0",)),
    Ask(
        "POST",
        "/v1/uploads?model={m}",
        raw=b"4\r\nabcd\r\n0\r\n\r\n",
        headers=("transfer-encoding: chunked",),
    ),
    Ask("POST", "/v1/uploads?model={m}", headers=("content-length: 9", "expect: 100-continue")),
    Ask("POST", "/v1/uploads?model={m}", headers=(f"content-length: {1 << 31}",)),
    Ask("POST", "/v1/uploads?model={m}", headers=(ENDLESS,)),
    Ask("POST", "/v1/uploads?model={m}&post_quantum=" + MARKER, headers=("content-length: 9",)),
    Ask("POST", "/v1/uploads?model={m}&use=rows", headers=("content-length: 9",)),
    Ask("POST", "/v1/uploads?model={m}&use=rows", headers=(f"content-length: {1 << 29}",)),
    Ask("POST", "/v1/uploads?model={m}&use=" + MARKER, headers=("content-length: 9",)),
    post("/v1/batches", {"model": "{m}", **ROWS}),
    post("/v1/batches", {"model": "{m}", **ROWS, "purpose": MARKER}),
    post("/v1/batches", {"model": "{m}", **ROWS, "recipient": MARKER}),
    post("/v1/batches", {"model": "{m}", **ROWS, "format": MARKER}),
    post("/v1/batches", {"model": "{m}", **ROWS, "subject": MARKER}),
    post("/v1/batches", {"model": "{m}", **ROWS, MARKER: 1}),
    get("/v2/models/{m}"),
    get("/v2/models/{m}/"),
    *every_method("/v2/models/{m}"),
    get("/v2/models/{m}/ready"),
    get("/v2/models/{m}/config"),
    get("/v2/models/{m}/stats"),
    *every_method("/v2/models/{m}/ready"),
    get("/v2/models/{m}/infer"),
    get("/v2/models/{m}/infer/"),
    post("/v2/models/{m}/infer/", {}),
]
OF_VERSIONS = [
    get("/v1/models/{m}/versions/{v}"),
    get("/v1/models/{m}/versions/{v}/"),
    *every_method("/v1/models/{m}/versions/{v}"),
    get("/v1/models/{m}/versions/{v}/manifest"),
    get("/v1/models/{m}/versions/{v}/signatures"),
    post("/v1/models/{m}/versions/{v}/promote", None),
    post("/v1/models/{m}/versions/{v}/promote", {"a": MARKER}),
    post("/v1/models/{m}/versions/{v}/promote", None, "sealgate-purpose: " + MARKER),
    post("/v1/models/{m}/versions/{v}/promote", None, "sealgate-purpose: " + MARKER * 9),
    post("/v1/models/{m}/versions/{v}/retire", None),
    post("/v1/models/{m}/versions/{v}/retire", None, "content-length: 0"),
    post("/v1/models/{m}/versions/{v}/retire", None, ENDLESS),
    post("/v1/models/{m}/release", {"version": "{v}"}),
    get(KEY_AT, TO),
    get(KEY_AT),
    get(KEY_AT, "sealgate-recipient: " + MARKER),
    get(KEY_AT, "sealgate-recipient: " + "a" * 5000),
    get(KEY_AT, TO, "range: bytes=0-9"),
    get(KEY_AT, TO, "range: bytes=999999999-"),
    get(KEY_AT, TO, "range: bytes=5-1"),
    get(KEY_AT, TO, "range: " + MARKER),
    get(KEY_AT, TO, "range: bytes=" + "1" * 200),
    get(KEY_AT, TO, "range: bytes=0-9", 'if-range: "{d}"'),
    get(KEY_AT.replace("{d}", "0" * 64), TO),
    get(KEY_AT.replace("{d}", MARKER), TO),
    *every_method(KEY_AT),
    post(KEY_AT + "/header", None, TO),
    post(KEY_AT + "/header", None),
    post(KEY_AT + "/header", None, "sealgate-recipient: " + MARKER),
    post(KEY_AT.replace("{d}", "0" * 64) + "/header", None, TO),
    Ask("POST", "/v1/uploads?model={m}&version={v}&use=rows", headers=("content-length: 9",)),
    post("/v1/batches", {"model": "{m}", "version": "{v}", **ROWS}),
    post("/v1/policies/explain", QUESTION),
    post("/v1/policies/explain", {**QUESTION, "action": MARKER}),
    post("/v1/policies/explain", {**QUESTION, "action": "administer"}),
    post("/v1/policies/explain", {**QUESTION, "verdict": "block"}),
    post("/v1/policies/explain", {**QUESTION, "verdict": MARKER * 9}),
    get("/v2/models/{m}/versions/{v}"),
    get("/v2/models/{m}/versions/{v}/ready"),
    get("/v2/models/{m}/versions/{v}/config"),
    get("/v2/models/{m}/versions/{v}/stats"),
    get("/v2/models/{m}%2Fversions%2F{v}"),
    *every_method("/v2/models/{m}/versions/{v}/stats"),
]
EXPLAIN = "/v1/policies/explain"
OF_FEDERATIONS = [
    get("/v1/federations/{f}"),
    get("/v1/federations/{f}/"),
    *every_method("/v1/federations/{f}"),
    get("/v1/federations/{f}/sites"),
    post("/v1/federations/{f}/sites", SITE),
    post("/v1/federations/{f}/sites", {**SITE, "name": MARKER}),
    post("/v1/federations/{f}/sites", {"name": 7}),
    post("/v1/federations/{f}/sites/north/revoke", None),
    post("/v1/federations/{f}/sites/nowhere/revoke", None),
    *every_method("/v1/federations/{f}/sites/north/revoke"),
    get("/v1/federations/{f}/rounds"),
    get("/v1/federations/{f}/rounds?limit=1"),
    get("/v1/federations/{f}/rounds?limit=x"),
    post("/v1/federations/{f}/rounds", {"version": "7", "rounds": 3}),
    post("/v1/federations/{f}/rounds", {"version": MARKER, "rounds": 0}),
    post("/v1/federations/{f}/rounds", {"version": "1", "rounds": 1}),
    post("/v1/federations/{f}/rounds", {"rounds": MARKER}),
    get("/v1/federations/{f}/rounds/" + RUN),
    get("/v1/federations/{f}/rounds/" + MARKER),
    get("/v1/federations/{f}/rounds/" + RUN + "/events"),
    get("/v1/federations/{f}/rounds/" + RUN + "/events?after=1"),
    get("/v1/federations/{f}/rounds/" + RUN + "/events?after=x"),
]
ABSENT, BANNED = {"m": "vanished", "v": "1"}, {"m": "banned", "v": "1"}
# Who asks; what is not there; what it may not know of.
SECRETS = {
    "caller, a banned model": ("caller", OF_MODELS + OF_VERSIONS, ABSENT, BANNED),
    "owner, a banned model": ("owner", OF_MODELS + OF_VERSIONS, ABSENT, BANNED),
    "caller, a candidate": (
        "caller",
        OF_VERSIONS,
        {"m": "open", "v": "9"},
        {"m": "open", "v": "2"},
    ),
    "no role": ("nobody", OF_MODELS + OF_VERSIONS, ABSENT, {"m": "open", "v": "1"}),
    "another tenant": ("rival", OF_MODELS + OF_VERSIONS, ABSENT, {"m": "open", "v": "1"}),
    "convenor, a banned federation": (
        "convenor",
        OF_FEDERATIONS,
        {"f": "vanished"},
        {"f": "banned"},
    ),
    "no role, a federation": ("nobody", OF_FEDERATIONS, {"f": "vanished"}, {"f": "open"}),
    "another tenant, a federation": ("rival", OF_FEDERATIONS, {"f": "vanished"}, {"f": "banned"}),
}


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hidden]:
    with hidden_things(tmp_path_factory.mktemp("hidden")) as made:
        yield made


def heard(hidden: Hidden, who: str, ask: Ask, names: dict[str, str]) -> tuple[Answer, object]:
    """The answer, and what the connection is good for afterwards."""
    with Wire(hidden.port(HTTPTOOLS)) as wire:
        wire.send(ask.fill(hidden.token(who), {"d": hidden.digest, **names}))
        answer = wire.answer(of_head=ask.method == "HEAD")
        assert answer is not None
        closes = answer.header(b"connection") == b"close"
        unfinished = any(one.startswith("content-length") for one in ask.headers)
        if unfinished and not closes:
            return answer.without_its_own(), wire.end()
        wire.send(ALIVE)
        alive = wire.answer()
        return answer.without_its_own(), alive and alive.without_its_own()


@pytest.mark.parametrize("secret", SECRETS)
def test_what_may_not_be_known_is_not_there(hidden: Hidden, secret: str) -> None:
    who, asks, absent, forbidden = SECRETS[secret]
    with ThreadPoolExecutor(8) as pool:
        theirs = list(pool.map(lambda ask: heard(hidden, who, ask, forbidden), asks))
        nobodys = list(pool.map(lambda ask: heard(hidden, who, ask, absent), asks))
    for ask, one, other in zip(asks, theirs, nobodys, strict=True):
        assert one == other, (secret, ask)
        # Explaining answers both alike, as if there were such a thing.
        explained = ask.path == EXPLAIN and one[0].status == 200
        assert explained or not 200 <= one[0].status < 400, (secret, ask)
        assert one[0].status not in (403, 409, 416, 429), (secret, ask)
        said = one[0].head + one[0].body
        for name in (MARKER, *forbidden.values(), *absent.values()):
            assert len(name) < 4 or name.encode() not in said, (secret, ask)


def test_there_are_enough_ways_to_ask() -> None:
    assert len(OF_MODELS + OF_VERSIONS + OF_FEDERATIONS) >= 120


def test_what_was_sent_is_in_no_log(hidden: Hidden) -> None:
    text = hidden.recorded()
    for sent in (MARKER, "vanished", "0" * 64, "south", "nowhere", "'7'"):
        assert sent not in text


def test_asking_for_what_is_absent_is_recorded_like_a_refusal(hidden: Hidden) -> None:
    base = hidden.place.foundation

    def events() -> list[Any]:
        return [entry.event for entry in base.reader.events(TENANT, after=-1, limit=200_000)]

    for name in ("vanished", "banned"):
        ask = post(f"/v1/models/{name}/versions/1/promote", None)
        before = len(events())
        heard(hidden, "owner", ask, {})
        (event,) = events()[before:]
        assert (event.action, event.outcome, event.actor_ref) == ("promote", "deny", "house-owner")
        assert event.model_id == ("banned" if name == "banned" else "")


def test_who_may_know_of_a_thing_hears_which_policy_forbids_what(hidden: Hidden) -> None:
    path = f"/v1/models/open/versions/1/payloads/{hidden.digest}"
    to = {"sealgate-recipient": RECIPIENT}
    for who, method, target, how, ids in (
        ("owner", "GET", path, {"headers": to}, ["house/stays-here"]),
        ("owner", "POST", f"{path}/header", {"headers": to}, ["house/stays-here"]),
        (
            "owner",
            "PUT",
            "/v1/models/open/sharing/rival",
            {"json": {}, **STRICT},
            ["house/no-more-versions"],
        ),
        ("owner", "POST", "/v1/models/open/versions/2/retire", STRICT, ["house/no-way-back"]),
        (
            "owner",
            "POST",
            "/v1/models/open/release",
            {"json": {"version": "2"}, **STRICT},
            ["house/no-way-back"],
        ),
        ("caller", "PUT", "/v1/models/open/sharing/rival", {"json": {}}, None),
        ("caller", "POST", "/v1/models/open/versions/1/retire", {}, None),
    ):
        with pytest.raises(CommandFailed) as refused:
            hidden.connection(who).send(method, target, **how)
        assert refused.value.code == ExitCode.DENIED, target
        assert refused.value.problem.get("policy_ids") == ids


def test_lists_show_nothing_of_what_may_not_be_known(hidden: Hidden) -> None:
    """Not even by a cursor: `next` names a thing."""

    def walked(who: str, path: str, name: str) -> tuple[list[str], list[str]]:
        items: list[str] = []
        cursors: list[str] = []
        after = None
        while True:
            page = hidden.connection(who).get(path, limit=1, after=after)
            items += [item[name] for item in page["items"]]
            after = page["next"]
            if after is None:
                return items, cursors
            cursors.append(after)

    for who, path, name, seen in (
        ("caller", "/v1/models", "name", ["bound", "open", "unused"]),
        ("caller", "/v1/models/open/versions", "version", ["1"]),
        ("owner", "/v1/models/open/versions", "version", ["1", "2"]),
        ("nobody", "/v1/models", "name", []),
        ("rival", "/v1/models", "name", []),
        ("convenor", "/v1/federations", "name", ["open"]),
        ("nobody", "/v1/federations", "name", []),
    ):
        items, cursors = walked(who, path, name)
        assert items == seen
        assert set(cursors) <= set(seen)
