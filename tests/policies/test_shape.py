from __future__ import annotations

import contextlib
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.compiled import compile_set, starter_text
from policies.errors import PolicySetInvalid
from policies.shape import MAX_DEPTH, MAX_POLICIES, MAX_TEXT_BYTES, MAX_TOKENS, check_shape


def policy(body: str) -> str:
    return f'@id("a") permit (principal, action, resource) when {{ {body} }};'


HOSTILE = {
    "parentheses": policy("(" * 1000 + "true" + ")" * 1000),
    "sets": policy("[" * 1000 + "]" * 1000 + " == []"),
    "records": policy('{"a":' * 1000 + "1" + "}" * 1000 + ' has "a"'),
    "brackets that never close": "(" * 100_000,
    "brackets hidden behind a comment": policy("// ) ) )\n" + "(" * 50 + "true" + ")" * 50),
    "brackets after a string with a quote": policy(
        '"\\"" == "" || ' + "(" * 50 + "true" + ")" * 50
    ),
    "conditionals": policy("if true then " * 20_000 + "true" + " else false" * 20_000),
    "a chain of operators": policy("&&".join(["true"] * 20_000)),
    "a chain of attributes": policy("context" + ".a" * 20_000),
    "closed before opened": ")" * 50 + "(" * 60,
    "too many policies": policy("true") * (MAX_POLICIES + 1),
    "too much text": "//" + "x" * MAX_TEXT_BYTES,
    "an unfinished string": '@id("a) permit (principal, action, resource);',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_would_overflow_the_parser_is_refused_before_it(text: str) -> None:
    with pytest.raises(PolicySetInvalid) as caught:
        check_shape(text)
    assert caught.value.problems


AT_THE_LIMIT = {
    "parentheses": policy("(" * (MAX_DEPTH - 2) + "true" + ")" * (MAX_DEPTH - 2)),
    "sets": policy("[" * (MAX_DEPTH - 2) + "]" * (MAX_DEPTH - 2) + " == []"),
    "conjunctions": policy("&&".join(["true"] * ((MAX_TOKENS - 40) // 3))),
    "sums": policy("+".join(["1"] * ((MAX_TOKENS - 40) // 2)) + " == 1"),
    "attributes": policy("context" + ".a" * ((MAX_TOKENS - 40) // 2)),
    "conditionals": policy(
        "if true then " * ((MAX_TOKENS - 40) // 5)
        + "true"
        + " else false" * ((MAX_TOKENS - 40) // 5)
    ),
}


@pytest.mark.parametrize("text", AT_THE_LIMIT.values(), ids=AT_THE_LIMIT.keys())
def test_the_parser_survives_the_limits_on_a_small_stack(text: str) -> None:
    """If it did not, this process would die here rather than the gateway."""
    check_shape(text)
    ended: list[bool] = []

    def run() -> None:
        with contextlib.suppress(PolicySetInvalid):
            compile_set(text)
        ended.append(True)

    before = threading.stack_size(512 * 1024)
    try:
        thread = threading.Thread(target=run)
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    assert ended


def test_brackets_in_strings_and_comments_do_not_count() -> None:
    check_shape(policy('"' + "(" * 100 + '" == "" // ' + "[" * 100 + "\n"))


def test_the_starter_set_is_far_from_the_limits() -> None:
    check_shape(starter_text() * 3)


SIGNS = '(){}[];,.:?"\\/!-+*<>=&| \n'
WORDS = """permit forbid when unless principal action resource context @id if then else true
has in is like Action:: ip( __cedar 9223372036854775808 // ü \x00 \ud800"""
PIECES = st.sampled_from([*SIGNS, *WORDS.split()])


@settings(deadline=None, max_examples=300)
@given(st.lists(PIECES, max_size=60).map("".join) | st.text(max_size=200))
def test_any_text_ends_as_a_set_or_a_refusal(text: str) -> None:
    with contextlib.suppress(PolicySetInvalid):
        compile_set(text)
