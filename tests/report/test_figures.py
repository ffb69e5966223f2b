import base64

from leap_audit.report.figures import BarScale, curve, entanglement_scale
from tests.report.conftest import Build


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
