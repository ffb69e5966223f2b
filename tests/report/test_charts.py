"""The charts say in their alternative text what they draw, and hold hostile names."""

import base64
from pathlib import Path
from xml.etree import ElementTree

import pytest

from leap_audit.artifacts import Prediction, Sample
from leap_audit.findings.names import ClassLabels
from leap_audit.report.charts import CALIBRATION_NEEDS, Chart, calibration, entanglement_matrix
from tests.report.conftest import Build

SVG = "{http://www.w3.org/2000/svg}"


def drawn(chart: Chart) -> ElementTree.Element:
    return ElementTree.fromstring(base64.b64decode(chart.image.split(",")[1]))


def words(chart: Chart) -> list[str]:
    return [each.text or "" for each in drawn(chart).iter(f"{SVG}text")]


def photographs(*answers: tuple[float, bool]) -> list[Sample]:
    return [
        Sample(
            file=f"{n}.png",
            sha256="",
            image="x.png",
            predicted=(Prediction(class_=0, name="cat", prob=prob),),
            known=0 if right else 1,
        )
        for n, (prob, right) in enumerate(answers)
    ]


def test_the_matrix_has_a_cell_for_every_pair_and_frames_its_own(build: Build) -> None:
    audit = build(prototypes=3)
    chart = entanglement_matrix(audit, ClassLabels(audit.classes))
    assert chart is not None
    squares = list(drawn(chart).iter(f"{SVG}rect"))
    assert len([s for s in squares if s.get("fill") not in ("none", "#ffffff")]) == 9
    assert len([s for s in squares if s.get("fill") == "none"]) == 3
    assert words(chart).count("0.60") == 3
    assert "−0.10" in words(chart)
    assert "3 prototypes by 3 classes" in chart.alt
    assert "‘cat’ with ‘owl’ 0.10" in chart.alt


def test_one_class_makes_no_matrix(build: Build) -> None:
    audit = build(prototypes=1)
    assert entanglement_matrix(audit, ClassLabels(audit.classes)) is None


@pytest.mark.parametrize("many", [13, 60])
def test_a_large_matrix_drops_numbers_then_names(build: Build, many: int) -> None:
    names = tuple(f"a class called {n}" for n in range(many))
    audit = build(classes=names, prototypes=many, isolations=0, samples=0)
    chart = entanglement_matrix(audit, ClassLabels(audit.classes))
    assert chart is not None
    assert len(words(chart)) == (2 * many if many <= 48 else 0)
    assert chart.width < 1400


def test_hostile_names_stay_text(build: Build) -> None:
    audit = build(classes=("</text><script>", "a&b\u202e", "c"), prototypes=3)
    chart = entanglement_matrix(audit, ClassLabels(audit.classes))
    assert chart is not None
    assert "</text><script>" in words(chart)
    assert not list(drawn(chart).iter(f"{SVG}script"))


def test_calibration_counts_each_photograph_once() -> None:
    seen = photographs(*[(0.95, True)] * 6, *[(1.0, False)] * 2, (0.3, False), (0.0, True))
    chart = calibration(seen)
    assert chart is not None
    assert len(list(drawn(chart).iter(f"{SVG}circle"))) == 3
    assert "6 of 8 right" in chart.alt
    assert "0 of 1 right" in chart.alt
    assert "1 of 1 right" in chart.alt


def test_too_few_photographs_are_no_calibration(folder: Path) -> None:
    assert calibration(photographs(*[(0.9, True)] * (CALIBRATION_NEEDS - 1))) is None
    unknown = [s.model_copy(update={"known": None}) for s in photographs(*[(0.9, True)] * 20)]
    assert calibration(unknown) is None
