"""Names the word that a refusal was about, and what may have been meant.

The gateway repeats nothing that was sent: it tells the field and the words that exist there
(`field` and `known` of a problem), or those that may have been meant (`near`) where the caller may
not know them all. Which of ours does not exist is found here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from gateway.cli.failures import CommandFailed

LISTED = 20
"""Words that a message lists; beyond them the nearest ones are told only."""


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
