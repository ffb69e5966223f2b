"""The marked section of a card: found, replaced, appended, and nothing else touched."""

from pathlib import Path

import pytest

from leap_audit.attach.section import END, START, card_text, with_section
from leap_audit.errors import CardRefused

CARD = Path("README.md")
SECTION = f"{START}\nnew\n{END}"
ODD = (
    "---\n# a comment\nlicense: \"mit\"   # odd\ntags: ['a',   b]\nmodel-index:\n- name: x\n---\n\n"
    "# Title\n\n| a | b |\n|:--|--:|\n| 1 | ä → 2 |\n\n<div align=center>\n<img src='x.png'>\n"
    "</div>\n\n```python\nx = 1\t# tab  \n```\ntrailing blanks   \n"
)
CARDS = {
    "as it comes": ODD,
    "CRLF": ODD.replace("\n", "\r\n"),
    "CR": ODD.replace("\n", "\r"),
    "no final newline": ODD.rstrip("\n"),
    "a mark of the order of bytes": "\ufeff" + ODD,
    "mixed line ends": ODD.replace("\n", "\r\n", 3),
    "many empty lines at its end": ODD + "\n\n\n",
    "empty": "",
    "prose that names the marks": ODD + "It writes leap-audit:start and leap-audit:end.\n",
}


@pytest.mark.parametrize("name", CARDS)
def test_an_appended_section_leaves_the_card_as_it_is(name: str) -> None:
    card = CARDS[name].encode()
    once = with_section(card, SECTION, CARD)
    assert once.startswith(card)
    rest = once[len(card) :].decode()
    assert START in rest
    assert rest.replace(START, "").replace(END, "").replace("new", "").strip("\r\n") == ""
    assert with_section(once, SECTION, CARD) == once


@pytest.mark.parametrize("name", CARDS)
@pytest.mark.parametrize("after", ["", "\n", "\n\n## Below\nkept  \n", "\r\n\r\nkept"])
def test_a_refreshed_section_leaves_what_is_around_it(name: str, after: str) -> None:
    before = (CARDS[name] if not CARDS[name] else CARDS[name].rstrip("\r\n") + "\n").encode()
    if name == "a mark of the order of bytes":
        before = "\ufeff".encode()  # the section is the first thing in the card
    old = f"{START}\nold\n\n|x|\n{END}".encode()
    made = with_section(before + old + after.encode(), SECTION, CARD)
    assert made.startswith(before)
    assert made.endswith(after.encode())
    inside = made[len(before) : len(made) - len(after.encode())].decode()
    assert inside.splitlines() == SECTION.splitlines()


@pytest.mark.parametrize(("ending", "card"), [("\r\n", "a\r\nb"), ("\r", "a\rb"), ("\n", "ab")])
def test_lines_end_as_those_of_the_card(ending: str, card: str) -> None:
    made = with_section(card.encode(), SECTION, CARD).decode()
    assert made == card + ending * 2 + SECTION.replace("\n", ending) + ending


@pytest.mark.parametrize(
    "broken",
    [
        f"{START}\nx\n",
        f"x\n{END}\n",
        f"{END}\nx\n{START}\n",
        f"{SECTION}\n{SECTION}\n",
        f"{START}\n{SECTION}\n",
        f"{SECTION}\n{END}\n",
        f"text {START}\nx\n{END}\n",
        f"{START}\nx\n{END} text\n",
        f"<!-- leap-audit:start\nx\n{END}\n",
        f"<!--leap-audit:start-->\nx\n{END}\n",
    ],
)
def test_broken_marks_are_refused(broken: str) -> None:
    with pytest.raises(CardRefused, match=r"README\.md: the marks .* are broken"):
        with_section(broken.encode(), SECTION, CARD)


@pytest.mark.parametrize("data", [ODD.encode("utf-16"), ODD.encode("utf-16-le"), b"caf\xe9 \xff"])
def test_other_encodings_are_refused(data: bytes) -> None:
    with pytest.raises(CardRefused, match="is not UTF-8"):
        card_text(data, CARD)
    assert card_text("\ufeffä".encode(), CARD) == "ä"
