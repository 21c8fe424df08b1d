"""Explaining names policy, attribute and the smallest change, for every action, to whoever asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from gateway.errors import Forbidden, InvalidRequest, NotFound
from gateway.identity.person_details import PersonDetails
from gateway.people.rights import Rights
from gateway.registry.records import Model
from gateway.tenancy.explaining import OF_FEDERATIONS, OF_VERSIONS, Explanation, Question
from policies.compiled import ACTIONS, starter_text
from tests.gateway.parts import NOW, TENANT, House, call, client_record, house

CALLER, OWNER, OFFICER = call("caller"), call("owner"), call("officer")


@pytest.fixture(scope="module")
def home() -> Iterator[House]:
    with house("rival") as made:
        robot = client_record("robot", TENANT, "caller")
        made.stores.clients.add(
            replace(
                robot,
                scopes=frozenset({"models"}),
                purposes=frozenset({"care"}),
                default_purpose="care",
            )
        )
        made.stores.clients.add(client_record(f"{TENANT}-nobody", TENANT, "nobody"))
        for model in ("ecg", "hidden"):
            made.stores.registry.add_model(
                Model(TENANT, model, False, "internal", frozenset(), int(NOW), "somebody")
            )
        yield made


def question(action: str, **more: object) -> Question:
    about: dict[str, object] = {}
    if action in OF_VERSIONS:
        about = {"model": "ecg", "version": "1.0"}
    elif action in OF_FEDERATIONS:
        about = {"federation": "trial"}
    elif action in {"uploadArtifact", "readMetadata"}:
        about = {"model": "ecg"}
    return Question(action=action, **(about | more))  # type: ignore[arg-type]


def explain(home: House, who: object, action: str, **more: object) -> Explanation:
    return home.use.explaining.explain(who, question(action, **more))  # type: ignore[arg-type]


def invited(home: House, tenant: str) -> str:
    """Make a person who calls and reviews, and return its id."""
    administrator, name = call("administrator", "platform"), "platform-administrator"
    if home.stores.clients.get(name) is None:
        home.stores.clients.add(client_record(name, "platform", "administrator"))
        home.revocation_state.changed()
    details = PersonDetails("ada@clinic.example", "Ada")
    rights = Rights(frozenset({"caller", "officer"}), frozenset({"care"}), "care")
    return home.use.people.administration.invite(administrator, tenant, details, rights)[0].id


def test_it_is_told_about_a_person_as_about_a_client(home: House) -> None:
    """People were nobody's, so who publishes could not look why one of them is refused."""
    ada = invited(home, TENANT)
    assert explain(home, OFFICER, "infer", client=ada).decision.allowed
    alone = explain(home, OFFICER, "reviewAudit", client=ada, acr=1)
    assert alone.decision.policy_ids == ("platform-mfa",)
    assert explain(home, OFFICER, "reviewAudit", client=ada, acr=2).decision.allowed
    with pytest.raises(NotFound):
        explain(home, OFFICER, "infer", client=invited(home, "rival"))


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("role", ["caller", "owner", "officer", "site", "convenor"])
def test_every_action_is_explained_to_everybody(home: House, action: str, role: str) -> None:
    found = explain(home, call(role), action)
    assert found.decision.error is None
    assert found.decision.allowed or found.change or found.notes


def test_a_download_is_explained_with_its_recipient(home: House) -> None:
    without = explain(home, OWNER, "downloadArtifact")
    assert [change.policy for change in without.change] == ["owner-download"]
    assert without.change[0].conditions == ("context has recipient",)
    assert explain(home, OWNER, "downloadArtifact", recipient="age1x").decision.allowed


def test_a_missing_permit_is_named_with_attribute_and_condition(home: House) -> None:
    found = explain(home, CALLER, "uploadArtifact")
    assert [(change.policy, change.effect) for change in found.change] == [
        ("owner-models", "permit")
    ]
    assert found.change[0].conditions == ('principal.roles.contains("owner")',)
    assert found.change[0].attributes == ("principal.roles",)


def test_a_forbid_is_named_with_what_would_lift_it(home: House) -> None:
    found = explain(home, CALLER, "releaseOutput", verdict="block")
    assert found.decision.policy_ids == ("platform-screening",)
    (change,) = found.change
    assert (change.policy, change.effect) == ("platform-screening", "forbid")
    assert "context.verdict.outcome" in change.attributes


def test_a_second_person_is_what_a_promotion_lacks(home: House) -> None:
    alone = explain(home, OWNER, "promote")
    assert [change.policy for change in alone.change] == ["platform-four-eyes"]
    assert explain(home, OWNER, "promote", approvals=2).decision.allowed


def test_circumstances_can_be_set(home: House) -> None:
    narrow = explain(home, CALLER, "infer", scopes=frozenset({"models"}))
    assert narrow.change[0].attributes == ("context.scopes",)
    assert explain(home, CALLER, "infer").decision.allowed
    assert not explain(home, CALLER, "infer", purpose="marketing").decision.allowed


def test_whoever_may_not_read_a_model_learns_what_is_missing_and_not_whether_it_is_there(
    home: House,
) -> None:
    nobody = call("nobody")
    asked = [
        home.use.explaining.explain(nobody, Question(action="readMetadata", model=name))
        for name in ("hidden", "absent")
    ]
    assert asked[0] == asked[1]
    assert asked[0].change[0].policy == "caller-models"
    assert any("whether there is one is not told" in note for note in asked[0].notes)


def test_an_author_asks_about_any_client_of_its_tenant_and_that_is_recorded(home: House) -> None:
    found = explain(home, OWNER, "infer", client="robot")
    assert not found.decision.allowed
    assert found.change[0].attributes == ("context.scopes",)
    assert home.events()[-1]["reason"] == "explain"


def test_nobody_else_asks_about_others_and_no_author_about_strangers(home: House) -> None:
    with pytest.raises(Forbidden):
        explain(home, CALLER, "infer", client="robot")
    for name in ("rival-caller", "absent"):
        with pytest.raises(NotFound):
            explain(home, OWNER, "infer", client=name)


def test_texts_are_told_to_those_who_may_read_the_set(home: House) -> None:
    assert explain(home, OWNER, "eraseSubject").texts
    assert not explain(home, CALLER, "eraseSubject").texts


def test_a_condition_that_names_a_thing_is_shown_to_authors_only(home: House) -> None:
    named = '@id("named") permit (principal, action == Action::"exportAudit", resource)\n'
    named += 'when { principal == Service::"mary" };\n'
    home.author.publish(
        TENANT,
        named + '@id("all") permit (principal, action == '
        'Action::"managePolicy", resource) when { principal.roles.contains("owner") };',
        "x",
    )
    assert "mary" in str(explain(home, OWNER, "exportAudit"))
    hidden = explain(home, CALLER, "exportAudit")
    assert hidden.change[0].policy == "named"
    assert "mary" not in str(hidden)
    home.author.publish(TENANT, starter_text(), "x")


def test_no_rule_of_another_tenant_is_told(home: House) -> None:
    home.author.publish(
        "rival", starter_text() + '@id("secret") permit (principal, action, resource);', "x"
    )
    for action in ACTIONS:
        found = explain(home, call("nobody"), action)
        assert all(rule.id != "secret" for rule in found.rules)


def test_a_rule_that_errs_is_named(home: House) -> None:
    errs = '@id("odd") forbid (principal, action == Action::"infer", resource)\n'
    errs += "when { context.auth_age + 9223372036854775807 > 0 };\n"
    home.author.publish(TENANT, starter_text() + errs, "x")
    found = explain(home, CALLER, "infer")
    assert found.decision.error == "evaluation"
    assert [change.policy for change in found.change] == ["odd"]
    assert any("errs" in note for note in found.notes)
    home.author.publish(TENANT, starter_text(), "x")


@pytest.mark.parametrize(
    "wrong",
    [
        Question(action="infr", model="m", version="1"),
        Question(action="infer", model="m", version="1", verdict="odd"),
        Question(action="infer", model="m"),
        Question(action="startRound"),
        Question(action="uploadArtifact"),
    ],
)
def test_what_is_no_question_is_refused(home: House, wrong: Question) -> None:
    with pytest.raises(InvalidRequest):
        home.use.explaining.explain(CALLER, wrong)
