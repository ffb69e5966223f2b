import re
from pathlib import Path
from typing import get_args

import pytest

from leap_audit.artifacts import (
    Audit,
    Coincident,
    Cosines,
    Entanglement,
    Finding,
    Isolation,
    Outcome,
    Stability,
)
from leap_audit.errors import PictureRefused
from leap_audit.report import render_html
from leap_audit.report.key_regions import bars, isolation_check, reading, region, two_figures
from leap_audit.report.selection import PHOTOGRAPHS_IN_FULL
from leap_audit.report.templates import template_folder
from leap_audit.report.wording import stability_reading
from tests.builders.audits import changed, seen_once
from tests.builders.pages import HOSTILE, Page, assert_sound
from tests.builders.records import detected
from tests.builders.vectors import vectors
from tests.report.conftest import Build


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"classes": HOSTILE, "prototypes": 9},
        {"prototypes": 0, "samples": 0},
        {"prototypes": 12, "isolations": 5, "samples": 3},
        {"isolations": 0},
    ],
    ids=["usual", "hostile", "empty", "many", "no isolations"],
)
def test_the_page_is_one_sound_offline_file(build: Build, folder: Path, shape: dict) -> None:
    page = Page(render_html(build(**shape), folder))
    assert_sound(page)
    assert "compliant" not in page.text.lower()


def test_the_page_says_what_the_audit_holds(build: Build, folder: Path) -> None:
    text = Page(render_html(build(), folder)).text.replace("\u00a0", " ")
    for said in (
        "model.onnx",
        "ab" * 6,
        "NOT ASSESSED",
        "No pass/fail criteria were set. The reviewer decides.",
        "2 of 3",
        "COMPLETE",
        "Reviewer",
        "With the outlined 12 % of the picture alone, the model still answers ‘cat’ (91 %). "
        "Without it, 3 % is left.",
        "Recommended action.",
        "12.25",
        "−0.22 to −0.19",
        "prototype.steps",
        "A note.",
        "CPUExecutionProvider",
        "SR 26-2",
    ):
        assert said in text, said
    assert "INCOMPLETE" not in text


def test_what_one_seed_cannot_say_is_not_said(build: Build, folder: Path) -> None:
    audit = build()
    text = Page(render_html(changed(audit, prototypes=seen_once(audit)), folder)).text
    assert "Standardised" not in text
    assert "Repeat runs" not in text


def test_the_overlap_is_printed_beside_the_weights_alone(build: Build, folder: Path) -> None:
    audit = build(prototypes=1)
    (prototype,) = audit.prototypes
    assert "by the weights alone" not in Page(render_html(audit, folder)).text
    own = prototype.entanglements[0].model_copy(update={"overlap": 0.91, "weights": 1.0})
    others = [
        own.model_copy(update={"class_": k, "name": audit.classes[k], "entanglement": 0.5 - k / 10})
        for k in range(len(audit.classes))
        if k != own.class_
    ][:2]
    others = [
        others[0].model_copy(update={"overlap": 0.11, "weights": 0.31}),
        others[1].model_copy(update={"overlap": 0.43, "weights": -0.07}),
    ]
    measured = prototype.model_copy(update={"entanglements": (own, *others)})
    text = Page(render_html(changed(audit, prototypes=(measured,)), folder)).text
    said = text[text.index("Overlap.") :]
    assert said.index("+0.43") < said.index("+0.11")
    assert "(by the weights alone −0.07)" in said
    assert "Overlap, weights" in text


@pytest.mark.parametrize(
    ("objective", "said"),
    [("standardised", "Standardised logit during"), ("logit", "Logit during")],
)
def test_the_curve_is_of_what_was_raised(
    build: Build, folder: Path, objective: str, said: str
) -> None:
    audit = build(prototypes=1)
    page = render_html(changed(audit, config={"prototype": {"objective": objective}}), folder)
    assert said in Page(page).text


def test_an_incomplete_audit_says_so_loudly(build: Build, folder: Path) -> None:
    html = render_html(build(status="incomplete"), folder)
    assert '<div class="alarm" role="note"><strong>INCOMPLETE</strong>' in html
    assert "(INCOMPLETE)</title>" in html
    assert "Main limit.</strong> The audit is incomplete" in html
    assert "Not for signature." in html
    assert "Reviewer" not in html


def test_an_audit_of_several_runs_says_so(build: Build, folder: Path) -> None:
    audit = build()
    assert "runs" not in Page(render_html(audit, folder)).text.partition("Audited")[2][:90]
    environment = audit.environment.model_copy(update={"seconds": 71.5, "runs": 3})
    text = Page(render_html(audit.model_copy(update={"environment": environment}), folder)).text
    assert "71.5 seconds in 3 runs, of which the last began then" in text


def test_what_was_not_measured_is_written_out(build: Build, folder: Path) -> None:
    text = Page(render_html(build(prototypes=0, samples=0), folder)).text
    assert "Not measured: no prototype was made." in text
    assert "Not measured: there were no photographs." in text
    text = Page(render_html(build(isolations=0), folder)).text
    assert "Isolations: not measured." in text


def test_hostile_names_are_shown_and_harmless(build: Build, folder: Path) -> None:
    audit = _hostile_file(build(classes=HOSTILE, prototypes=9))
    html = render_html(audit, folder)
    page = Page(html)
    assert "<script" not in html.lower()
    assert not re.search("[\x00-\x09\x0b-\x1f\u200b-\u200f\u202a-\u202e\u2066-\u2069]", html)
    assert "x" * 100 not in page.text
    for shown in (
        "<img src=x onerror=alert(1)>",
        "a[U+202E]gnp.exe",
        "nul[U+0000][U+001B][31m[U+000A]break",
        "{{ 7 * 7 }}",
        "crane (class 6)",
        "crane (class 7)",
        "(no name)",
        "evil[U+202E]xnno.<b>",
    ):
        assert shown in page.text, shown


def test_small_pictures_stay_sharp_and_photographs_are_of_the_format_of_the_page(
    build: Build, folder: Path
) -> None:
    small = Page(render_html(build(picture="small"), folder)).all("img")
    assert not [i for i in small if (i["src"] or "").startswith("data:image/webp")]
    assert [i for i in small if i.get("class") == "pixel"]
    for paper, kind, other in ((False, "webp", "jpeg"), (True, "jpeg", "webp")):
        large = Page(render_html(build(picture="large"), folder, paper=paper)).all("img")
        assert [i for i in large if (i["src"] or "").startswith(f"data:image/{kind}")]
        assert not [i for i in large if (i["src"] or "").startswith(f"data:image/{other}")]
        assert not [i for i in large if i.get("class") == "pixel"]


def test_two_prototypes_of_a_class_are_told_apart(build: Build, folder: Path) -> None:
    audit = build(prototypes=1)
    (one,) = audit.prototypes
    two = audit.model_copy(update={"prototypes": (one, one.model_copy(update={"replicate": 1}))})
    assert "cat, replicate 2" in Page(render_html(two, folder)).text


@pytest.mark.parametrize("name", ["images/none.png", "../secret.png", "/etc/passwd"])
def test_a_picture_that_is_missing_or_elsewhere_is_refused(
    build: Build, folder: Path, name: str
) -> None:
    audit = build(prototypes=1)
    (one,) = audit.prototypes
    changed = audit.model_copy(update={"prototypes": (one.model_copy(update={"image": name}),)})
    with pytest.raises(PictureRefused, match=re.escape(name)):
        render_html(changed, folder)


def test_a_table_without_end_is_capped(build: Build, folder: Path) -> None:
    config = {f"key{n}": n for n in range(1000)}
    text = Page(render_html(build(config=config), folder)).text
    assert "800 more rows are in audit.json." in text
    assert "key200" not in text


def test_every_template_is_where_the_loader_looks() -> None:
    names = {path.name for path in template_folder().iterdir()}
    assert {"report.html.j2", "report.css", "screen.css", "print.css"} <= names


def _hostile_file(audit: Audit) -> Audit:
    model = audit.model.model_copy(update={"file": "evil\u202exnno.<b>"})
    return audit.model_copy(update={"model": model, "notes": ("<script>note</script>\x07",)})


def test_how_much_repeated_runs_agree() -> None:
    images = ("images/b.png", "images/c.png")
    logits = (7.84, 7.6, -0.5)
    for similarity, verb in ((0.9, "look alike"), (0.5, "look alike"), (0.499, "differ")):
        seeds = Stability(images=images, logits=logits, similarity=similarity, agreement=0.5)
        assert stability_reading(seeds).startswith(f"Repeat runs {verb}: feature similarity 0.")
        assert stability_reading(seeds).endswith("Same top-3 related classes: 50\u00a0%.")


def test_runs_that_were_pushed_apart_say_how_many_faces_a_class_has() -> None:
    def said(faces: tuple[tuple[int, ...], ...]) -> str:
        return stability_reading(
            Stability(images=("b.png",), logits=(7, 6, 5), similarity=0.1, agreement=0, faces=faces)
        )

    assert said(((0, 1),)).endswith(
        "recognises 2 of 3 runs that were pushed apart: they show one face of this class."
    )
    assert "3 of 3 runs that were pushed apart: they show 2 faces" in said(((0, 2), (1,)))
    assert said(()) == "The model recognises none of 3 runs that were pushed apart."


def test_a_class_that_no_part_carries_is_told_from_one_without_a_region(build: Build) -> None:
    figures = build().prototypes[0].isolations[0].model_dump(exclude={"outcome", "enough"})
    failed = Isolation(
        **figures | {"enough": False, "prob": 0.97, "prob_keep": 0.6, "prob_delete": 0.4}
    )
    assert isolation_check(failed) == "no region is enough"
    assert region(failed) == "Tried region, 12\u00a0%"
    assert "falls from 97\u00a0% to 60\u00a0%" in reading(failed, "sky")
    everywhere = Isolation(
        **figures | {"enough": False, "prob": 0.73, "prob_keep": 0.99, "prob_delete": 0.37}
    )
    assert isolation_check(everywhere) == "nothing to show"
    assert "No part of the picture carries the class" in reading(everywhere, "sky")
    assert "falls" not in reading(everywhere, "sky")


@pytest.mark.parametrize(("kept", "verb"), [(0.499, "still gives"), (0.5, "still answers")])
def test_the_model_says_a_class_from_one_half_on(build: Build, kept: float, verb: str) -> None:
    each = build().prototypes[0].isolations[0].model_copy(update={"prob_keep": kept})
    assert verb in reading(each, "sky")


COSINES = Cosines(whole=0.3127, keep=0.2917, delete=0.2213, erased=0.1009)


@pytest.mark.parametrize("outcome", get_args(Outcome))
@pytest.mark.parametrize("cosines", [None, COSINES])
def test_every_outcome_has_its_words(
    build: Build, outcome: Outcome, cosines: Cosines | None
) -> None:
    each = build().prototypes[0].isolations[0]
    each = each.model_copy(update={"outcome": outcome, "cosines": cosines})
    assert isolation_check(each)
    said = reading(each, "sky")
    assert said.endswith(".")
    assert ("0.313" in said) == (cosines is not None)


def test_an_encoder_is_explained_in_cosines(build: Build, folder: Path) -> None:
    """A probability of 99 % that falls to 98 % says nothing of a region."""
    audit = build(embedding=vectors())
    first = audit.samples[0]
    parts = tuple(
        each.model_copy(update={"cosines": COSINES, "outcome": "not needed"})
        for each in first.isolations
    )
    shown = audit.model_copy(update={"samples": (first.model_copy(update={"isolations": parts}),)})
    page = render_html(shown, folder)
    text = " ".join(Page(page).text.split())
    assert "the cosine with" in text
    assert "is 0.292 (whole picture: 0.313, all erased: 0.101). Without it, 0.221 is left" in text
    assert "whole picture0.313region alone0.292without it0.221" in text
    assert "half or more of what the whole picture adds to the cosine" in text
    assert "kept enough of the cosine" in text
    assert "The report prints both cosines" in text
    assert two_figures(parts[0]) == "cosine 0.292 alone, 0.221 without it"
    assert [round(part, 2) for _, part, _ in bars(parts[0])] == [1, 0.9, 0.57]
    nothing = parts[0].model_copy(update={"outcome": "nothing to isolate"})
    assert [round(part, 2) for _, part, _ in bars(nothing)] == [0.31, 0.29, 0.22]
    plain = Page(render_html(build(), folder)).text
    assert "The report prints both probabilities" in plain


def test_a_page_shows_so_much_of_each_list(build: Build, folder: Path) -> None:
    classes = tuple(f"class {n}" for n in range(14))
    audit = build(classes=classes, prototypes=13, samples=0, isolations=0)
    finding = Finding(id="r", severity="low", title="It stands", evidence="", limits="")
    others = tuple(
        Entanglement(class_=k, name=classes[k], entanglement=0.01 * k, logit=1, prob=0.1)
        for k in range(14)
    )
    audit = audit.model_copy(
        update={
            "findings": (finding,) * 201,
            "notes": ("n" * 4000, "m" * 4001),
            "prototypes": (
                audit.prototypes[0].model_copy(update={"entanglements": others}),
                *audit.prototypes[1:],
            ),
        }
    )
    html = render_html(audit, folder)
    cover, chapters = html.split('<h2 id="findings"')
    assert cover.count("It stands") == 4  # the concern, and the three first
    assert chapters.count("It stands") == 200
    assert "1 more findings are in audit.json." in html
    assert "n" * 4000 in html
    assert "m" * 4001 not in html
    assert cover.count('class="thumbnail"') == 8
    plate = html[html.index('<article class="plate"') :]
    assert (
        plate[: plate.index("</article>")].count(
            '<td class="graph"><span class="track" aria-hidden="true"><span class="zero"'
        )
        == 8
    )


def test_a_method_states_its_own_limits(build: Build, folder: Path) -> None:
    methods = {"smoothgrad": {"method": "Mean gradient", "limits": "A slope is no cause."}}
    text = Page(render_html(build().model_copy(update={"methods": methods}), folder)).text
    assert text.count("A slope is no cause.") == 2  # among the methods and among the limits
    assert text.count("Smoothgrad") == 2


def test_photographs_beyond_those_printed_are_folded_on_the_screen(
    build: Build, folder: Path
) -> None:
    audit = build()
    (first, *_) = audit.samples
    many = tuple(first.model_copy(update={"file": f"{n}.png"}) for n in range(8))
    audit = audit.model_copy(update={"samples": many})
    page = render_html(audit, folder)
    assert page.count('class="sample"') == PHOTOGRAPHS_IN_FULL
    assert page.count('class="sample folded"') == 8 - PHOTOGRAPHS_IN_FULL
    summaries = page.split('class="sample folded"')[1:]
    assert all("<details><summary>" in each.split("</h3>")[0] for each in summaries)
    assert "sample folded" not in render_html(audit, folder, paper=True)


def test_few_pairs_of_objects_are_told_and_the_rest_counted(build: Build, folder: Path) -> None:
    def told(pairs: tuple[Coincident, ...]) -> str:
        photograph = detected(0, 0, 1).model_copy(update={"coincident": pairs})
        audit = build()
        model = audit.model.model_copy(update={"task": "detection"})
        shown = audit.model_copy(update={"model": model, "samples": (photograph,)})
        return Page(render_html(shown, folder)).text

    held = Coincident(first=0, second=1, held=True, covered=True)
    three, five = told((held,) * 3), told((held,) * 5)
    assert (three.count("may be one"), five.count("may be one")) == (3, 3)
    assert "more such pair" not in three
    assert "2 more such pairs in audit.json." in five
    assert "may be one" not in told((Coincident(first=0, second=1, held=False, covered=False),))
