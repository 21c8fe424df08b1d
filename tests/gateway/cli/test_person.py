"""`sealgate person`: what administrators type."""

from __future__ import annotations

from pathlib import Path

from gateway.cli.failures import ExitCode
from tests.gateway.cli.command import Said, sealgate
from tests.gateway.place import Place


def test_a_person_is_invited_changed_suspended_and_deleted(place: Place) -> None:
    place.tenant("people")

    def run(*words: str | Path) -> Said:
        admin = place.folder / "data" / "admin.json"
        return sealgate("person", *words, "--tenant", "people", "--profile", admin, "--json")

    assert run("list").json == []
    given = ("--email", "ada@people.example", "--name", "Ada", "--role", "caller")
    planned = run("invite", *given, "--plan")
    assert planned.code == ExitCode.OK
    made = run("invite", *given, "--purpose", "care").json
    assert (made["accept_at"], len(made["code"])) == (f"{place.url}/people/invitation", 43)
    person = made["person"]
    assert run("invite", *given).code == ExitCode.FAILED
    again = run("reinvite", person).json
    assert (again["person"], again["code"] == made["code"]) == (person, False)
    changed = run("roles", person, "--role", "owner", "--purpose", "care").json
    assert (changed["roles"], changed["default_purpose"]) == (["owner"], "care")
    assert run("suspend", person).code == ExitCode.USAGE
    assert run("suspend", person, "--confirm", person).json["state"] == "suspended"
    assert run("enable", person).json["state"] == "invited"
    shown = run("show", person).json
    assert (shown["email"], shown["name"]) == ("ada@people.example", "Ada")
    assert run("delete", person, "--confirm", person).json == {"deleted": person}
    assert run("show", person).code == ExitCode.NOT_FOUND


def test_a_role_that_people_cannot_have_is_told_with_those_they_can(place: Place) -> None:
    place.tenant("people")
    admin = place.folder / "data" / "admin.json"
    refused = sealgate(
        "person", "invite", "--tenant", "people", "--email", "b@people.example", "--name", "B",
        "--role", "site", "--profile", admin,
    )  # fmt: skip
    assert refused.code == ExitCode.USAGE
    assert "owner" in refused.err
