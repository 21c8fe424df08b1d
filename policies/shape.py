"""The shape of a policy text, checked before Cedar's parser sees it.

Cedar's parser and validator recurse. A few hundred nested brackets, or some thousand chained
operators, overflow the stack and kill the process (seen with cedarpy 4.12.2: 128 nested parentheses
on a 1 MiB stack, 1,000 on the main thread). So whoever may publish a policy could stop the gateway.

1. Every text passes here first, so what reaches the parser has bounded size, bracket depth and
   tokens a policy; a chain of operators cannot be longer than its tokens.
2. `has` with a path is bounded here by what it expands to (`policies.cost`): the parser itself
   writes it out, and a set of 256 KiB would take all memory.
3. Words are cut as Cedar cuts them: a bracket within a string or a comment does not count, and
   an unfinished string is refused here.
"""

from __future__ import annotations

import re
from typing import Final

from policies.cost import PUBLISHED, Bounds, expands_too_far, expansion_of_path
from policies.errors import PolicySetInvalid, Problem

MAX_TEXT_BYTES: Final = 256 * 1024
"""UTF-8 bytes of a set. A set of 50 policies, more than we advise, has about 20 KiB."""
MAX_POLICIES: Final = 200
"""Policies in a set: a decision takes time in proportion to them."""
MAX_DEPTH: Final = 24
"""Nested brackets: a fifth of what was seen to overflow the smallest common stack."""
MAX_TOKENS: Final = 600
"""Words and signs of one policy: far from what was seen to overflow (20,000 in a chain), and its
JSON form stays within Python's recursion limit."""

NO_PATH: Final = -1
"""No `has` went before."""

_TOKEN: Final = re.compile(
    r"""(?P<skip>\s+|//[^\n\r]*)
      | (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<open>[(\[{]) | (?P<close>[)\]}]) | (?P<end>;)
      | (?P<word>\w+) | (?P<sign>[^\s"])""",
    re.VERBOSE | re.DOTALL,
)


def check_shape(text: str, bounds: Bounds = PUBLISHED) -> None:
    """Refuse a text that could harm the parser.

    Args:
        text: Cedar policies.
        bounds: What paths may expand to.

    Raises:
        PolicySetInvalid: The text is too large, too deep, too long, or has an unfinished string.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise _invalid("", "the text is not valid Unicode") from None
    if size > MAX_TEXT_BYTES:
        raise _invalid("", f"the text is longer than {MAX_TEXT_BYTES} bytes")
    depth = tokens = policies = position = expanded = 0
    path = NO_PATH
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _invalid(f"policy{policies}", "a string is not finished")
        position = match.end()
        kind = match.lastgroup
        if kind == "skip":
            continue
        tokens += 1
        path = _path(path, match.group())
        if path > 1:
            expanded += expansion_of_path(path) - expansion_of_path(path - 1)
        if expanded > bounds.policy_parts:
            problem = expands_too_far(f"policy{policies}", expanded, bounds.policy_parts)
            raise PolicySetInvalid((problem,))
        if kind == "open":
            depth += 1
        elif kind == "close":
            depth -= 1
        elif kind == "end" and depth == 0:
            policies, tokens, expanded = policies + 1, 0, 0
        if depth < 0:
            raise _invalid(f"policy{policies}", "a bracket is closed that was never opened")
        if depth > MAX_DEPTH:
            raise _invalid(f"policy{policies}", f"brackets are nested deeper than {MAX_DEPTH}")
        if tokens > MAX_TOKENS:
            raise _invalid(f"policy{policies}", f"there are more than {MAX_TOKENS} words")
        if policies > MAX_POLICIES:
            raise _invalid("", f"there are more than {MAX_POLICIES} policies")


def statements(text: str) -> list[str]:
    """Return the policies of a text that `check_shape` accepts, each as it was written.

    Comments before a policy are left out. Their order is that of Cedar's own numbers.
    """
    found: list[str] = []
    start, depth, position = -1, 0, 0
    while match := _TOKEN.match(text, position):
        kind = match.lastgroup
        if kind != "skip" and start < 0:
            start = match.start()
        depth += (kind == "open") - (kind == "close")
        position = match.end()
        if kind == "end" and depth == 0:
            found.append(text[start:position])
            start = -1
    return found


def _path(names: int, word: str) -> int:
    """Return how many names a path after `has` has with one more word; else `NO_PATH`.

    It may count a dot as nothing and two names without one as two: that is no path in Cedar either.
    """
    if word == "has":
        return 0
    if names == NO_PATH or word == ".":
        return names
    return names + 1 if word.isidentifier() else NO_PATH


def _invalid(policy: str, reason: str) -> PolicySetInvalid:
    return PolicySetInvalid((Problem(policy, reason),))
