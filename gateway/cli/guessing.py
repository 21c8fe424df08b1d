"""Names the word that a refusal was about, and what may have been meant.

The gateway repeats nothing that was sent: it tells the field and the words that exist there
(`field` and `known` of a problem), or those that may have been meant (`near`) where the caller may
not know them all. Which of ours does not exist is found here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final
from urllib.parse import unquote

from gateway.cli.failures import CommandFailed

LISTED: Final = 20
"""Words that a message lists; beyond them the nearest ones are told only."""
MOST_LISTED: Final = 100
"""Names of things that one that is not there is compared with: one page."""
_NAMED: Final = re.compile(r"(/v[12]/(models|federations))/([^/]+)(?:(/versions)/([^/]+))?")


@dataclass(frozen=True, slots=True)
class Absent:
    """A thing that a request named, and where its kind is listed.

    Attributes:
        path: Of the list.
        key: Member of an item that has its name.
        name: What was asked for.
    """

    path: str
    key: str
    name: str

    def meant(self, items: Any) -> str:
        """Return what may have been meant; empty where nothing is near, or the name is there."""
        found = [str(one.get(self.key)) for one in items or () if isinstance(one, dict)]
        if self.name in found:
            return ""
        near = get_close_matches(self.name, found)
        return f"did you mean {' or '.join(f'`{one}`' for one in near)}?" if near else ""


def absent_things(path: str) -> Iterator[Absent]:
    """Yield what a request named that was answered "not found", the innermost first."""
    match = _NAMED.match(path)
    if match is None:
        return
    if match[4]:
        yield Absent(f"/v1/models/{match[3]}/versions", "version", unquote(match[5]))
    yield Absent(f"/v1/{match[2]}", "name", unquote(match[3]))


def name_the_wrong(refused: CommandFailed, sent: Mapping[str, Any]) -> None:
    """Say in a refusal which word of a request does not exist, and what is near it.

    Args:
        refused: What the gateway said; changed in place where it names a field.
        sent: The fields of the request.
    """
    field, known = refused.problem.get("field"), refused.problem.get("known")
    if not isinstance(field, str) or not isinstance(known, list):
        return
    near = refused.problem.get("near")
    words = [word for word in known if isinstance(word, str)]
    wrong = [word for word in _words(sent.get(field)) if word not in words]
    if wrong:
        refused.what = f"{refused.what}: {', '.join(f'`{word}`' for word in wrong)}"
    if isinstance(near, list):  # there may be more than are told
        meant = " or ".join(f"`{word}`" for word in near)
        refused.advice = f"did you mean {meant}?" if meant else refused.advice
    elif wrong:
        refused.advice = advice(wrong, words) or refused.advice


def advice(wrong: Iterable[str], known: Iterable[str]) -> str:
    """Return what may have been meant, and else all that exists; empty where nothing does."""
    words = sorted(known)
    near = {word: get_close_matches(word, words) for word in wrong}
    guesses = [f"`{guess}`" for found in near.values() for guess in found[:1]]
    meant = f"did you mean {' and '.join(dict.fromkeys(guesses))}? " if guesses else ""
    if len(words) > LISTED:
        return meant.strip()
    listed = ", ".join(f"`{word}`" for word in words)
    return f"{meant}there are {listed}" if words else meant.strip()


def _words(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
