"""The charts say in their alternative text what they draw, and hold hostile names."""

import base64
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from leap_audit.artifacts import Prediction, Sample
from leap_audit.report.charts import (
    BarScale,
    Chart,
    calibration,
    curve,
    entanglement_scale,
)
from leap_audit.report.matrix import entanglement_matrix
from leap_audit.report.svg import width_of
from leap_audit.text.names import ClassLabels
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


def many_classes(build: Build, many: int) -> Chart:
    names = tuple(f"a class called {n}" for n in range(many))
    audit = build(classes=names, prototypes=many, isolations=0, samples=0)
    chart = entanglement_matrix(audit, ClassLabels(audit.classes))
    assert chart is not None
    assert chart.width < 1400
    return chart


def test_a_matrix_of_twelve_has_its_numbers(build: Build) -> None:
    assert len(words(many_classes(build, 12))) == 2 * 12 + 12 * 12


def test_a_matrix_of_48_has_its_names(build: Build) -> None:
    assert not many_classes(build, 48).note
    assert many_classes(build, 49).note


def test_a_large_matrix_drops_its_numbers(build: Build) -> None:
    chart = many_classes(build, 13)
    assert len(words(chart)) == 2 * 13
    assert not chart.note


def test_a_huge_matrix_is_a_picture(build: Build) -> None:
    chart = many_classes(build, 60)
    assert "60 prototypes by 60 classes" in chart.alt
    assert "order of the prototypes" in chart.note
    pixels = np.asarray(Image.open(BytesIO(base64.b64decode(chart.image.split(",")[1]))))
    side = chart.width // 60
    assert pixels.shape == (60 * side, 60 * side, 3)
    squares = pixels[side // 2 :: side, side // 2 :: side].astype(int).sum(2)
    # Of the 60 classes the cosine with class k is 0.1 (k - 1), and 0.6 with its own.
    assert squares[5, 59] < squares[5, 30] < squares[5, 2]
    assert squares[5, 0] == squares[5, 1]
    assert len(set(squares[5, 2:5])) == 3
    framed = (pixels[::side, ::side] == (27, 35, 40)).all(2)
    assert np.array_equal(framed, np.eye(60, dtype=bool))


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


def test_the_axis_of_the_calibration_stands_beside_its_numbers() -> None:
    chart = calibration(photographs(*[(0.9, True)] * 10))
    assert chart is not None
    texts = list(drawn(chart).iter(f"{SVG}text"))
    (axis,) = [float(each.attrib["x"]) for each in texts if each.text == "right"]
    numbers = [
        float(each.attrib["x"]) - width_of(each.text or "")
        for each in texts
        if each.attrib["text-anchor"] == "end"
    ]
    assert len(numbers) == 3
    assert axis + 3 < min(numbers)  # letters reach below the line they stand on


def test_too_few_photographs_are_no_calibration(folder: Path) -> None:
    assert calibration(photographs(*[(0.9, True)] * 9)) is None
    unknown = [s.model_copy(update={"known": None}) for s in photographs(*[(0.9, True)] * 20)]
    assert calibration(unknown) is None


def test_bars_start_at_zero_and_stay_inside() -> None:
    scale = BarScale(-0.5, 1.0)
    assert scale.bar(1.0) == "left:33.33%;width:66.67%"
    assert scale.bar(-0.5) == "left:0.00%;width:33.33%"
    assert scale.bar(9.0) == scale.bar(1.0)
    assert scale.bar(float("nan")) == "left:0%;width:0%"


def test_one_scale_holds_every_entanglement(build: Build) -> None:
    scale = entanglement_scale(build().prototypes)
    assert (scale.low, scale.high) == (0.0, 0.6)
    assert entanglement_scale([]).high > 0


def test_a_curve_is_an_svg_or_nothing() -> None:
    drawn = curve([0.0, 3.0, 12.0])
    assert drawn is not None
    svg = base64.b64decode(drawn.split(",")[1]).decode()
    assert svg.startswith("<svg ")
    assert svg.count(",") == 3
    assert curve([1.0, 1.0]) is not None
    assert curve([1.0]) is None
    assert curve([1.0, float("nan"), 2.0]) is None
