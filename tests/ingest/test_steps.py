"""A model's own preprocessing as functions: the same numbers as for files and inside graphs."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx_ir as ir
import pytest
from PIL import Image

from leap_audit.artifacts import Interpolation, Preprocessing
from leap_audit.errors import PreprocessingRefused
from leap_audit.gradient import Emitter
from leap_audit.graph.values import new_graph, new_input
from leap_audit.ingest.pictures.callables import Encode, Fit, resampling, steps
from leap_audit.ingest.pictures.images import read_picture
from leap_audit.measure.run import preprocess
from leap_audit.run import Session, choose_provider

RNG = np.random.default_rng(0)


def preprocessing(**changes: Any) -> Preprocessing:
    values: dict[str, Any] = {
        "layout": "NCHW",
        "channel_order": "RGB",
        "range": (0.0, 255.0),
        "mean": (120.0, 110.0, 100.0),
        "std": (60.0, 61.0, 62.0),
        "resize": "crop",
        "input_size": (20, 16),
    }
    return Preprocessing(**{**values, **changes})


def pictures(*shape: int) -> np.ndarray:
    return RNG.random(shape, np.float32)


@pytest.mark.parametrize("kind", get_args(Interpolation))
@pytest.mark.parametrize(("old", "new"), [(37, 16), (16, 37), (9, 9), (50, 3), (1, 4)])
def test_resampling_is_pillows(old: int, new: int, kind: Interpolation) -> None:
    row = RNG.random((1, old), np.float32)
    want = Image.fromarray(row).resize((new, 1), Image.Resampling[kind.upper()])
    np.testing.assert_allclose(resampling(old, new, kind) @ row[0], np.asarray(want)[0], atol=1e-5)


@pytest.mark.parametrize("kind", get_args(Interpolation))
@pytest.mark.parametrize(("resize", "crop"), [("crop", 0.875), ("crop", 1.0), ("stretch", 1.0)])
@pytest.mark.parametrize("size", [(41, 67), (20, 16), (13, 5)])
def test_fit_does_what_is_done_to_files(
    tmp_path: Path, resize: str, crop: float, size: tuple[int, int], kind: str
) -> None:
    """To half a level of 8 bits, to which a file is rounded, once per direction.

    A kernel with negative weights passes on a little more than the half of the first direction; and
    where it overshoots it is cut off after each direction there, and once here: no extremes.
    """
    p = preprocessing(resize=resize, crop=crop, interpolation=kind)
    edges = (40, 216) if kind in ("bicubic", "lanczos") else (0, 256)
    levels = RNG.integers(*edges, (*size, 3), np.uint8)
    Image.fromarray(levels).save(tmp_path / "x.png")
    batch = (levels.transpose(2, 0, 1)[None] / 255).astype(np.float32)
    fitted = Fit(p)(batch)
    assert fitted.dtype == np.float32
    np.testing.assert_allclose(fitted[0], read_picture(tmp_path / "x.png", p), atol=1.1 / 255)


def test_channels_last_stay_last() -> None:
    fit = Fit(preprocessing())
    x = pictures(2, 3, 41, 30)
    last = fit(x.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(last, fit(x).transpose(0, 2, 3, 1))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_where_both_places_could_hold_the_channels_the_model_decides(layout: str) -> None:
    fit = Fit(preprocessing(layout=layout))
    shape = fit(pictures(1, 3, 30, 3)).shape
    assert shape == ((1, 3, 20, 16) if layout == "NCHW" else (1, 20, 16, 3))


@pytest.mark.parametrize("order", ["RGB", "BGR", "GRAY"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_encode_is_what_stands_before_the_model_in_a_graph(layout: str, order: str) -> None:
    channels = 1 if order == "GRAY" else 3
    statistics = {"mean": (100.0,), "std": (50.0,)} if channels == 1 else {}
    p = preprocessing(layout=layout, channel_order=order, **statistics)
    x = pictures(2, channels, 20, 16)
    op = Emitter(new_graph(), "look")
    picture = new_input(op.graph, "picture", x.shape)
    op.graph.outputs.append(preprocess(op, p, picture))
    session = Session(ir.Model(op.graph, ir_version=10), choose_provider("cpu"), 1)
    (want,) = session.run({"picture": x})
    encode = Encode(p)
    np.testing.assert_allclose(encode(x), want, atol=1e-4)
    np.testing.assert_allclose(encode(x.transpose(0, 2, 3, 1)), want, atol=1e-4)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_tensors_come_back_as_tensors_with_the_same_numbers(layout: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    p = preprocessing(layout=layout, channel_order="BGR")
    x = pictures(2, 3, 41, 30)
    for pictures_ in (x, x.transpose(0, 2, 3, 1)):
        have, want = torch.from_numpy(pictures_.copy()), pictures_
        for step in steps(p):
            have, want = step(have), step(want)
            assert have.dtype == torch.float32
            np.testing.assert_allclose(have.numpy(), want, rtol=1e-4, atol=1e-4)


def test_what_is_no_batch_of_pictures() -> None:
    fit = Fit(preprocessing())
    with pytest.raises(PreprocessingRefused, match=r"shape \(3, 30, 30\); .* \(n, 3, height"):
        fit(pictures(3, 30, 30))
    with pytest.raises(PreprocessingRefused, match="uint8"):
        fit(np.zeros((1, 3, 30, 30), np.uint8))


def test_they_hold_what_they_were_made_of() -> None:
    p = preprocessing()
    assert [step.preprocessing for step in steps(p)] == [p, p]
    assert steps(p) == [Fit(p), Encode(p)]
