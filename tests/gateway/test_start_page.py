"""The page at `/`, read by a parser: it runs and loads nothing, and tells no more than it may."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Final

import pytest

from gateway.start_page import (
    HEADERS,
    STYLE,
    Link,
    Part,
    Step,
    operators_page,
    public_page,
)

HOSTILE: Final = "\"><script>alert(1)</script><img src=x onerror='x'>"
PARTS: Final = [Part("the audit log", True, "takes records"), Part(HOSTILE, False, HOSTILE)]
STEPS: Final = [
    Step("a tenant", True, "why", "sealgate tenant create"),
    Step("a client", False, HOSTILE, f"sealgate {HOSTILE}"),
    Step("a backup", None, "why", "sealgate doctor"),
]
PAGES: Final = {
    "public": public_page("1.2.3", True),
    "operators": operators_page("1.2.3", PARTS, STEPS, [Link("/metrics", "numbers")]),
    "hostile": operators_page(HOSTILE, PARTS, STEPS, [Link(HOSTILE, HOSTILE)]),
}
ALLOWED: Final = frozenset(
    [
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "header",
        "h1",
        "h2",
        "p",
        "main",
        "section",
        "ul",
        "ol",
        "li",
        "span",
        "small",
        "footer",
        "nav",
        "a",
        "pre",
        "code",
        "br",
    ]
)


class Page(HTMLParser):
    """What a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[tuple[str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, "tags are closed in order"

    def handle_data(self, data: str) -> None:
        self.words.append((self.open[-1] if self.open else "", data))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join(data for tag, data in self.words if tag != "style")


@pytest.fixture(params=sorted(PAGES))
def page(request: pytest.FixtureRequest) -> Page:
    return Page(PAGES[request.param])


def test_it_runs_nothing_and_loads_nothing(page: Page) -> None:
    assert page.open == []
    assert {tag for tag, _ in page.tags} <= ALLOWED
    for tag, attributes in page.tags:
        loud = [name for name in attributes if name.startswith("on") or name in {"src", "style"}]
        assert loud == [], tag
    assert "url(" not in STYLE
    assert "@import" not in STYLE


def test_what_others_wrote_is_text() -> None:
    assert HOSTILE in Page(PAGES["hostile"]).text


def test_it_has_landmarks_headings_and_a_language(page: Page) -> None:
    assert page.of("html") == [{"lang": "en"}]
    assert [len(page.of(tag)) for tag in ("main", "header", "footer", "nav", "h1", "title")] == [
        1
    ] * 6
    ids = [attributes["id"] for attributes in page.of("h2")]
    assert len(ids) == len(set(ids))
    named = [one.get("aria-labelledby") for one in [*page.of("section"), *page.of("nav")]]
    assert set(named) == set(ids)
    assert any("width=device-width" in str(one.get("content")) for one in page.of("meta"))


def test_a_state_is_told_in_words_and_not_by_colour_alone() -> None:
    text = Page(PAGES["operators"]).text
    for word in ("takes records", "done", "to do", "could not be seen", "2 of 3 are left to do"):
        assert word in text


def test_what_is_done_needs_no_command() -> None:
    text = Page(PAGES["operators"]).text
    assert "sealgate tenant create" not in text
    assert "sealgate doctor" in text


def test_the_policy_allows_its_one_style_and_nothing_else() -> None:
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = dict(
        part.strip().split(" ", 1) for part in HEADERS["content-security-policy"].split(";")
    )
    assert policy == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert HEADERS["cache-control"] == "no-store"
    for text in PAGES.values():
        assert text.count("<style>") == 1
        assert f"<style>{STYLE}</style>" in text


def test_strangers_hear_neither_steps_nor_reasons() -> None:
    for ready in (True, False):
        text = Page(public_page("1.2.3", ready)).text.lower()
        for word in ("tenant", "administrator", "backup", "policy", "checkpoint", "database"):
            assert word not in text
        assert ("takes requests" in text) is ready


def luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    digits = "".join(one * 2 for one in digits) if len(digits) == 3 else digits
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_every_text_has_contrast_in_both_themes(theme: int) -> None:
    """WCAG 2.2, success criterion 1.4.3: 4.5 to 1."""
    pairs = {
        name.strip("{};"): (light, dark)
        for name, light, dark in re.findall(
            r"([\w-]+):light-dark\((#\w+),(#\w+)\)", STYLE.replace("--line", "line")
        )
        if name != "line"
    }
    colours = re.findall(r"(?<![-\w])(?:color|--quiet):light-dark\((#\w+),(#\w+)\)", STYLE)
    assert len(colours) == 6
    behind = luminance(pairs["background"][theme])
    for colour in colours:
        one = luminance(colour[theme])
        contrast = (max(one, behind) + 0.05) / (min(one, behind) + 0.05)
        assert contrast >= 4.5, (colour, contrast)


def test_it_fits_a_narrow_screen_and_knows_the_dark() -> None:
    assert "overflow-wrap:anywhere" in STYLE
    assert "white-space:pre-wrap" in STYLE
    assert not re.search(r"(?<!max-)width:\d", STYLE), "nothing is wider than the screen"
    assert "color-scheme:light dark" in STYLE


def test_it_is_small() -> None:
    assert max(len(text.encode()) for text in PAGES.values()) < 10_000
