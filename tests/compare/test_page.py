"""The page of a comparison: sound, harmless, and saying what the comparison holds."""

import re
from pathlib import Path
from typing import Any

import pytest

from leap_audit.compare import Side, render_comparison
from leap_audit.compare.page import comparison_folder
from tests.builders.audits import seen_once
from tests.builders.pages import HOSTILE, Page, assert_sound
from tests.builders.sides import check, compared, finding, make_side, rewritten


def page_of(tmp_path: Path, old: Side, new: Side) -> tuple[Page, str]:
    html = render_comparison(*compared(tmp_path, old, new))
    return Page(html), html


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ({}, {"picture": "large"}),
        ({"classes": HOSTILE, "prototypes": 9}, {"classes": HOSTILE[::-1], "prototypes": 9}),
        ({"prototypes": 0, "samples": 0}, {"prototypes": 0, "samples": 0}),
        ({}, {"prototypes": 0, "samples": 0, "isolations": 0}),
        ({"samples": 30}, {"samples": 30, "isolations": 0}),
    ],
    ids=["usual", "hostile", "empty", "gone", "many"],
)
def test_the_page_is_one_sound_offline_file(
    tmp_path: Path, then: dict[str, Any], now: dict[str, Any]
) -> None:
    old, new = make_side(tmp_path / "old", **then), make_side(tmp_path / "new", **now)
    hostile = finding("planted:0", "high").model_copy(update={"title": "<script>x\u202e"})
    new = rewritten(new, findings=(hostile,))
    page, html = page_of(tmp_path, old, new)
    assert_sound(page)
    assert "<script" not in html.lower()
    assert not re.search("[\x00-\x09\x0b-\x1f\u200b-\u200f\u202a-\u202e\u2066-\u2069]", html)
    assert "New: <script>x[U+202E]" in page.text


def test_the_page_says_what_the_comparison_holds(tmp_path: Path) -> None:
    passed = {"verdict": "PASS", "checks": (check("PASS"),), "findings": ()}
    old = make_side(tmp_path / "v1-audit", passed)
    new = make_side(
        tmp_path / "v2-audit",
        {"verdict": "FAIL", "checks": (check("FAIL"),), "findings": (finding("border:0", "high"),)},
        classes=("cat", "dog", "fox"),
    )
    new = rewritten(new, config={"seed": 1}, prototypes=seen_once(new.audit))
    page, _ = page_of(tmp_path, old, new)
    for said in (
        "PASS → FAIL",
        "The verdict was PASS and is FAIL.",
        "The check 'accuracy' was PASS and is FAIL.",
        "1 new, 0 gone",
        "New: title of border:0",
        "Prototypes, then and now",
        "cannot be told from noise",
        "v1-audit",
        "v2-audit",
        "‘owl’ → ‘fox’",
    ):
        assert said in page.text.replace("\u00a0", " "), said
    assert "INCOMPLETE" not in page.text


def test_photographs_without_pictures_are_rows(tmp_path: Path) -> None:
    old, new = (make_side(tmp_path / name, samples=30) for name in ("old", "new"))
    page, _ = page_of(tmp_path, old, new)
    assert "Regions in common" in page.text
    assert sum("as the new model saw it" in (each["alt"] or "") for each in page.all("img")) == 6
    assert all(f"photo {n}.jpg" in page.text for n in range(30))


def test_an_incomplete_comparison_says_so_loudly(tmp_path: Path) -> None:
    old = make_side(tmp_path / "old", {"status": "incomplete"})
    page, html = page_of(tmp_path, old, make_side(tmp_path / "new"))
    assert '<div class="alarm" role="note"><strong>INCOMPLETE</strong>' in html
    assert "(INCOMPLETE)</title>" in html
    assert "The old audit was interrupted" in page.text


def test_where_a_comparison_goes(tmp_path: Path) -> None:
    (tmp_path / "net.v1-audit").mkdir()
    old, new = tmp_path / "net.v1-audit", tmp_path / "other" / "audit.json"
    assert comparison_folder(old, new) == Path("net.v1-other-compare")
