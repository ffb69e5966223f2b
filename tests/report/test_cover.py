"""The first page, for every verdict; the lists of checks; the confusion table; the limits."""

from pathlib import Path

import pytest
from weasyprint import HTML

from leap_audit.artifacts import (
    Audit,
    Coverage,
    Declared,
    EvidencePicture,
    Finding,
    PolicyIdentity,
    Prediction,
    Question,
    Readings,
    Sample,
)
from leap_audit.report import render_html
from leap_audit.report.confusion import confusion_of
from leap_audit.report.limits import limits_of
from leap_audit.report.selection import for_print
from tests.builders.pages import HOSTILE, Page
from tests.builders.vectors import vectors
from tests.report.conftest import Build

LONG = " ".join(["long"] * 60)


def pages_of(audit: Audit, folder: Path) -> list[str]:
    """Return the text of each printed page."""
    html = render_html(audit, folder, for_print(audit), paper=True)
    return [
        " ".join(
            box.text
            for box in page._page_box.descendants(placeholders=True)
            if hasattr(box, "text")
        )
        for page in HTML(string=html).render().pages
    ]


def grave(n: int) -> Finding:
    return Finding(
        id=f"r:{n}", rule="one-corner", severity="high", title=f"{n} {LONG}", evidence=LONG,
        limits=LONG, consequence=LONG[:200], action=LONG[:200],
        pictures=(EvidencePicture(image="images/small.png", caption=LONG),),
    )  # fmt: skip


@pytest.mark.parametrize("verdict", ["PASS", "WARN", "FAIL", "NOT ASSESSED"])
@pytest.mark.parametrize("status", ["complete", "incomplete"])
def test_the_signature_is_on_the_first_page_of_every_verdict(
    build: Build, folder: Path, verdict: str, status: str
) -> None:
    declared = Declared(owner=LONG, purpose=LONG, version=LONG, data=LONG)
    policy = PolicyIdentity(name=LONG[:90], file="x" * 90, sha256="ab" * 32)
    audit = build(
        classes=HOSTILE, prototypes=1, status=status, verdict=verdict, policy=policy,
        declared=declared, findings=tuple(map(grave, range(5))),
    )  # fmt: skip
    first, second, *_ = pages_of(audit, folder)
    sign, unsigned = "Signature", "Not for signature."
    assert (sign in first) == (status == "complete")
    assert (unsigned in first) == (status == "incomplete")
    assert "Findings" in second


def below_its_frame(audit: Audit, folder: Path) -> list[str]:
    """Return the text of the cover that is cut off, because it stands below the cover's frame."""
    html = render_html(audit, folder, for_print(audit), paper=True)
    (front,) = (
        box
        for box in HTML(string=html).render().pages[0]._page_box.descendants(placeholders=True)
        if box.element is not None and box.element.get("class") == "front-body"
    )
    foot = front.position_y + front.height
    texts = (box for box in front.descendants(placeholders=True) if hasattr(box, "text"))
    return [box.text for box in texts if box.position_y + box.height > foot + 0.5]


@pytest.mark.parametrize("prototypes", [1, 4, 9])
def test_nothing_that_is_usual_is_cut_off_the_cover(
    build: Build, folder: Path, prototypes: int
) -> None:
    """A plan that left out much, declared facts, three findings of two lines each."""
    left_out = (
        "1 seed instead of 3", "1 answer explained in a photograph instead of 3",
        "1 isolation of a prototype instead of 3", "128 steps of a prototype instead of 192",
        "32 steps of an isolation instead of 48", "18 pictures in an experiment instead of 36",
        "no step of a search for a trigger instead of 16",
        "no second opinion on a photograph instead of 2",
    )  # fmt: skip
    coverage = Coverage(
        classes_audited=prototypes,
        classes_in_all=prototypes,
        left_out=left_out,
        operators={},
        engine="",
    )
    title = "The model answers far more often with 'pituitary' than the pictures show it"
    findings = tuple(
        grave(n).model_copy(update={"title": title, "consequence": LONG[:90], "action": LONG[:150]})
        for n in range(5)
    )
    facts = Declared(owner="Owner", purpose="A sample, for this report", version="1.2", data="Own")
    audit = build(
        classes=HOSTILE, prototypes=prototypes, declared=facts, findings=findings, coverage=coverage
    )
    assert below_its_frame(audit, folder) == []


def test_findings_without_a_picture_stand_below_those_with_one(build: Build, folder: Path) -> None:
    def columns(*findings: Finding) -> int:
        html = render_html(build(findings=findings), folder)
        return html.count('<span class="finding-picture">')

    plain = grave(1).model_copy(update={"pictures": ()})
    assert columns(grave(0), plain) == 2
    assert columns(plain) == 0


def test_declared_facts_are_on_the_cover_and_their_lack_is_said(build: Build, folder: Path) -> None:
    said = Page(render_html(build(declared=Declared(owner="Post", version="2.1")), folder)).text
    assert "Owner Post" in said
    assert "Version 2.1" in said
    assert "were not declared" not in said
    assert "Intended use, owner and version were not declared." in (
        Page(render_html(build(), folder)).text
    )


def test_an_encoder_is_called_one(build: Build, folder: Path) -> None:
    said = Page(render_html(build(embedding=vectors()), folder)).text
    assert said.count("embedding, audited as a classifier of directions") == 2


def test_directions_that_nobody_named_are_no_classes(build: Build, folder: Path) -> None:
    audit = build(embedding=vectors(kind="principal")).model_copy(update={"findings": ()})
    text = Page(render_html(audit, folder)).text
    assert "2 of 3 directions examined" in text
    assert "Directions3" in text
    assert text.count("looks for in each direction") == 2
    assert "Which directions overlap" in text
    assert "until the model is sure of one direction" in text
    assert "Mistakes are" not in text
    named = Page(render_html(build(embedding=vectors()), folder)).text
    assert "Which classes overlap" in named
    assert "Mistakes are likeliest" in named


def test_what_was_not_assessed_stands_apart_from_what_raised_nothing(
    build: Build, folder: Path
) -> None:
    asked = (
        Question(rule="a", question="Is A right?", raised=False, basis="7 photographs"),
        Question(rule="b", question="Is B right?", raised=False, reason="there were none"),
        Question(rule="c", question="Is C right?", raised=True, basis="7 photographs"),
    )
    text = Page(render_html(build(questions=asked), folder)).text
    clear, open_ = text.split("Checks without findings")[1].split("Not assessed")[:2]
    assert "Is A right? 7 photographs" in clear
    assert "Is B right? because there were none" in open_.split("How to read")[0]
    assert "Is C right?" not in text
    assert "did not record" in Page(render_html(build(), folder)).text


def photographs(*pairs: tuple[int, int]) -> tuple[Sample, ...]:
    """Photographs of known classes: (shows, answered)."""
    return tuple(
        Sample(
            file=f"{n}.png", sha256="", image="images/small.png", known=shows,
            predicted=(Prediction(class_=answer, name="", prob=0.9),),
        )
        for n, (shows, answer) in enumerate(pairs)
    )  # fmt: skip


def test_the_confusion_table_counts_labels_against_answers() -> None:
    table = confusion_of(photographs((0, 0), (0, 1), (0, 1), (2, 2)))
    assert table is not None
    assert (table.shown, table.answered) == ((0, 2), (0, 1, 2))
    assert table.counts == {(0, 0): 1, (0, 1): 2, (2, 2): 1}
    assert table.left_out == 0
    assert confusion_of(()) is None


def test_of_many_classes_the_table_has_those_with_mistakes() -> None:
    right = [(k, k) for k in range(13)]
    table = confusion_of(photographs(*right, (3, 4)))
    assert table is not None
    assert (table.shown, table.answered) == ((3,), (3, 4))
    assert table.left_out == 12
    assert confusion_of(photographs(*right)) is None
    assert confusion_of(photographs(*right[:12])) is not None


def test_an_assumption_that_photographs_support_ranks_lower(build: Build) -> None:
    assumed = {"mean": "no mean was declared"}
    audit = build()
    model = audit.model.model_copy(
        update={"preprocessing": audit.model.preprocessing.model_copy(update={"assumed": assumed})}
    )
    audit = audit.model_copy(update={"model": model})
    doubtful = [each.title for each in limits_of(audit)]
    assert doubtful[0] == "The preprocessing was partly assumed"
    readings = Readings(photographs=10, right=9, others=())
    checked = [each.title for each in limits_of(audit.model_copy(update={"readings": readings}))]
    assert checked[0] == "1 of 3 classes were not examined"
    assert checked[1] == "The accuracy in use was not measured"
    assert checked[2] == "Photographs support the assumed preprocessing"
    few = Readings(photographs=9, right=9, others=())
    assert limits_of(audit.model_copy(update={"readings": few}))[0].title == doubtful[0]
    assert "use labelled photographs" in limits_of(audit)[0].text
    encoder = limits_of(audit.model_copy(update={"embedding": vectors()}))[0]
    assert encoder.title == doubtful[0]
    assert "labelled photographs" not in encoder.text
