"""What a report says, at the edges where it starts to say something else."""

import base64
import csv
from pathlib import Path

import pytest

from leap_audit.artifacts import Coverage, EntanglementMatrix, Opinion
from leap_audit.report import render_html
from leap_audit.report.key_regions import isolation_check
from leap_audit.report.limits import limits_of
from leap_audit.report.matrix import entanglement_matrix
from leap_audit.report.selection import for_print
from leap_audit.report.table import write_table
from leap_audit.text.names import ClassLabels
from tests.builders.records import isolation
from tests.report.conftest import Build


@pytest.mark.parametrize(
    ("prob", "keep", "delete", "enough", "said"),
    [
        (0.1, 0.1, 0.0, True, "confirmed"),
        (0.099, 0.1, 0.0, True, "a trace only"),
        (0.8, 0.8, 0.4, True, "not the only evidence"),
        (0.8, 0.8, 0.39, True, "confirmed"),
        (0.8, 0.79, 0.0, False, "no region is enough"),
        (0.8, 0.8, 0.0, False, "nothing to show"),
    ],
)
def test_how_an_isolation_did(
    prob: float, keep: float, delete: float, enough: bool, said: str
) -> None:
    part = isolation(prob=prob, prob_keep=keep, prob_delete=delete, enough=enough)
    assert isolation_check(part) == said


def test_so_many_are_shown_in_full_on_paper(build: Build) -> None:
    audit = build(prototypes=14, samples=8).model_copy(update={"findings": ()})
    assert for_print(audit).prototypes == set(range(12))
    assert for_print(audit).samples == set(range(6))
    opinion = Opinion(
        method="occlusion", class_=0, name="cat", map="m.png", agreement=0.6, other_class=0.2,
        other_weights=0.0,
    )  # fmt: skip
    first, *rest = audit.samples
    judged = (first.model_copy(update={"opinions": (opinion,)}), *rest)
    assert for_print(audit.model_copy(update={"samples": judged})).samples == set(range(4))


def coverage(audited: int, of: int) -> Coverage:
    return Coverage(classes_audited=audited, classes_in_all=of, operators={}, engine="e", batch={})


@pytest.mark.parametrize(("audited", "said"), [(3, False), (2, True), (1, True)])
def test_every_class_that_was_not_audited_is_a_limit(
    audited: int, said: bool, build: Build
) -> None:
    audit = build(coverage=coverage(audited, 3))
    titles = [limit.title for limit in limits_of(audit)]
    assert (f"{3 - audited} of 3 classes were not examined" in titles) == said


def test_without_a_prototype_there_are_no_other_classes(build: Build) -> None:
    said = {each.title: each.text for each in limits_of(build(coverage=coverage(0, 3)))}
    assert said["3 of 3 classes were not examined"] == "No class has a prototype."


def test_photographs_begin_a_page_of_the_pdf_after_prototypes_alone(
    build: Build, folder: Path
) -> None:
    page = '<section class="chapter page" aria-labelledby="photographs">'
    assert page in render_html(build(samples=1), folder, paper=True)
    assert page not in render_html(build(samples=1, prototypes=0), folder, paper=True)


def test_the_table_gives_a_prototype_its_own_entanglement(build: Build, tmp_path: Path) -> None:
    audit = build(prototypes=1, samples=0, isolations=0)
    (made,) = audit.prototypes
    other = made.entanglements[0].model_copy(update={"class_": 1, "entanglement": 0.25})
    made = made.model_copy(update={"entanglements": (other, *made.entanglements)})
    write_table(audit.model_copy(update={"prototypes": (made,)}), tmp_path / "results.csv")
    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "prototype"]
    assert [row["entanglement"] for row in rows] == ["0.6"]


def test_a_matrix_is_darkest_where_most_is_shared_and_says_the_strongest(build: Build) -> None:
    audit = build(prototypes=3, samples=0)
    cosines = ((0.5, 0.4, -0.3), (0.1, 0.5, 0.0), (0.2, 0.3, 0.5))
    audit = audit.model_copy(
        update={"matrix": EntanglementMatrix(classes=(0, 1, 2), cosines=cosines)}
    )
    chart = entanglement_matrix(audit, ClassLabels(audit.classes))
    assert chart is not None
    drawn = base64.b64decode(str(chart.image).partition("base64,")[2]).decode()
    fills = [part.split('"')[0] for part in drawn.split('fill="#')[1:]]
    squares = [colour for colour in fills if colour in {"0b4858", "f3f6f7"}]
    assert squares.count("0b4858") == 3  # the greatest, 0.5, as dark as the ink goes
    assert squares.count("f3f6f7") >= 2  # none and less than none
    first = chart.alt.split("The most entangled: ")[1]
    assert first.startswith("‘cat’ with ‘dog’ 0.40, ‘owl’ with ‘dog’ 0.30")
