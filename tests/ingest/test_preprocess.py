"""What is declared of the input holds; what is not is inferred, and said to be assumed."""

import json
from pathlib import Path
from typing import Any

import pytest

from leap_audit.artifacts import Preprocessing
from leap_audit.config import DeclaredPreprocessing
from leap_audit.errors import ConfigRefused, PreprocessingRefused
from leap_audit.ingest.pictures.preprocessing import read_preprocessing, resolve, statement
from leap_audit.ingest.pictures.scaling import Scaling

Shape = tuple[int | str | None, ...]
SCALED = Scaling((0, 255), "the model scales its input itself")


def resolved(shape: Shape, *, scaling: Scaling | None = None, **declared: Any) -> Preprocessing:
    return resolve(DeclaredPreprocessing(**declared), shape, scaling=scaling)


@pytest.mark.parametrize(
    ("shape", "layout", "order"),
    [
        ((1, 3, 224, 224), "NCHW", "RGB"),
        (("N", 224, 224, 3), "NHWC", "RGB"),
        ((1, 1, 28, 28), "NCHW", "GRAY"),
        ((1, 28, 28, 1), "NHWC", "GRAY"),
        ((1, 1, 28, 3), "NHWC", "RGB"),
        ((1, 3, 64, 3), "NCHW", "RGB"),
        ((1, 7, 64, 64), "NCHW", "BANDS"),
        ((1, 64, 48, 4), "NHWC", "BANDS"),
    ],
)
def test_layout_and_channels_follow_from_the_shape(shape: Shape, layout: str, order: str) -> None:
    found = resolved(shape)
    assert (found.layout, found.channel_order) == (layout, order)
    assert {"layout", "channel_order", "input_size", "resize"} <= set(found.assumed)


def test_the_convention_of_pytorch_models() -> None:
    found = resolved((1, 3, 224, 224))
    assert found.range == (0, 1)
    assert found.mean == (0.485, 0.456, 0.406)
    assert found.std == (0.229, 0.224, 0.225)
    assert "PyTorch" in found.assumed["mean"]


@pytest.mark.parametrize(
    ("shape", "declared", "low_high", "mean", "std"),
    [
        ((1, 1, 28, 28), {}, (0, 1), (0,), (1,)),
        ((1, 32, 32, 3), {}, (0, 1), (0, 0, 0), (1, 1, 1)),
        (
            (1, 3, 32, 32),
            {"scaling": SCALED},
            (0, 255),
            (0, 0, 0),
            (1, 1, 1),
        ),
        ((1, 3, 32, 32), {"range": (-1, 1)}, (-1, 1), (0, 0, 0), (1, 1, 1)),
        ((1, 3, 32, 32), {"channel_order": "BGR"}, (0, 1), (0, 0, 0), (1, 1, 1)),
        ((1, 3, 32, 32), {"mean": (0.5,), "std": (0.5,)}, (0, 1), (0.5,) * 3, (0.5,) * 3),
        ((1, 3, 32, 32), {"mean": (103.9, 116.8, 123.7)}, (0, 255), (103.9, 116.8, 123.7), None),
    ],
)
def test_scaling(
    shape: Shape,
    declared: dict[str, Any],
    low_high: tuple[float, float],
    mean: tuple[float, ...],
    std: tuple[float, ...] | None,
) -> None:
    found = resolved(shape, **declared)
    assert found.range == low_high
    assert found.mean == mean
    assert found.std == (std or (1, 1, 1))


def test_an_integer_input_takes_0_to_255() -> None:
    found = resolve(DeclaredPreprocessing(), (1, 3, 32, 32), pixels=(0, 255))
    assert (found.range, found.mean) == ((0, 255), (0, 0, 0))


def test_nothing_declared_is_called_assumed() -> None:
    everything: dict[str, Any] = {
        "layout": "NHWC",
        "channel_order": "BGR",
        "range": (0, 255),
        "mean": (1, 2, 3),
        "std": (1, 1, 1),
        "resize": "stretch",
        "input_size": (32, 48),
        "crop": 0.9,
        "interpolation": "bicubic",
        "declared_by": "a test",
    }
    found = resolved((1, None, 48, "channels"), **everything)
    assert found.assumed == {}
    assert found.model_dump(exclude={"assumed"}) == everything
    assert not any("assumed" in line for line in statement(found))


@pytest.mark.parametrize(
    ("shape", "declared", "says"),
    [
        ((1, 784), {}, "2 dimensions"),
        ((1, 64, 64, 64), {}, "does not say where the channels"),
        ((1, 7, 64, 64), {"layout": "NHWC"}, "finds 64 channels"),
        ((1, 7, 64, 64), {"channel_order": "RGB"}, "does not fit .* 7 channels"),
        ((1, None, 64, 64), {"layout": "NCHW", "channel_order": "BANDS"}, "pass --mean"),
        ((1, None, 64, 64), {}, "pass --layout"),
        ((1, 3, 224, 224), {"layout": "NHWC"}, "finds 224 channels"),
        ((1, 3, 8, 8), {"channel_order": "GRAY"}, "does not fit .* 3 channels"),
        ((1, 1, 8, 8), {"channel_order": "BGR"}, "does not fit .* 1 channel[.]"),
        ((1, 3, "h", "w"), {}, "pass --input-size"),
        ((1, 3, 224, None), {}, "pass --input-size"),
        ((1, 3, 224, None), {"input_size": (192, 192)}, "contradicts .* height of 224"),
        ((1, 3, None, None), {"input_size": (0, 5)}, "between 1 and"),
        ((1, 3, None, None), {"input_size": (10**9, 5)}, "between 1 and"),
        ((1, 3, 8, 8), {"range": (1, 1)}, "is empty"),
        ((1, 3, 8, 8), {"mean": (1, 2)}, "--mean has 2 numbers for 3 channels"),
        ((1, 1, 8, 8), {"std": (1, 2, 3)}, "--std has 3 numbers for 1 channel"),
        ((1, 3, 8, 8), {"mean": ()}, "--mean has 0 numbers"),
        ((1, 3, 8, 8), {"std": (1, 0, 1)}, "above 0"),
        ((1, 3, 8, 8), {"std": ()}, "above 0"),
    ],
)
def test_what_is_refused(shape: Shape, declared: dict[str, Any], says: str) -> None:
    with pytest.raises(PreprocessingRefused, match=says):
        resolved(shape, **declared)


def test_a_file_of_preprocessing(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"layout": "NHWC", "range": [0, 255], "input_size": 96}))
    declared = read_preprocessing(path)
    assert (declared.layout, declared.range, declared.input_size) == ("NHWC", (0, 255), (96, 96))
    path.write_text('{"layuot": "NHWC"}')
    with pytest.raises(ConfigRefused, match="did you mean 'layout'"):
        read_preprocessing(path)


def test_the_statement_says_what_was_assumed() -> None:
    lines = statement(resolved((1, 3, 192, 224), range=(0, 255)))
    assert any("224 × 192 pixels" in line for line in lines)
    assert any("assumed: the usual order" in line for line in lines)
    assert any(line == "Black becomes 0, white 255." for line in lines)
