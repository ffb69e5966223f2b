"""Every real network beside the checkout has a gradient that its own forward confirms."""

import functools
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from leap_audit.errors import GradientUnavailable, StraightThrough
from leap_audit.gradient import build_gradient, check_gradient
from leap_audit.run import Session, choose_provider
from tests.conftest import shared_folder

pytestmark = pytest.mark.xdist_group("shared models")  # one process differentiates each
CPU = choose_provider("cpu")
KINKS = 0.1
"""Of the slope: a narrow network of Relu6 has several kinks within the shortest step."""
SCORES = {"deeplabv3_mnv2_pascal_quant_f32": "Resize__492:0"}
"""Models of which only a tensor inside the graph has a gradient, and that tensor."""
LARGE = 100_000
"""Numbers in an input above which difference quotients take too long."""


def _models() -> list[Any]:
    index = shared_folder() / "models" / "index.json"
    if not index.exists():
        absent = pytest.mark.skip(reason=f"{index} is absent (see LEAP_AUDIT_SHARED)")
        return [pytest.param({}, id="none", marks=absent)]
    return [
        pytest.param(entry, id=Path(entry["file"]).stem)
        for entry in json.loads(index.read_text(encoding="utf-8"))["models"]
    ]


@dataclass(frozen=True)
class _Built:
    """A gradient graph and what it gives at a photograph."""

    graph: onnx.ModelProto
    rounds: bool
    picture: np.ndarray
    outputs: dict[str, np.ndarray]


def _photograph(entry: dict[str, Any], shape: list[int], shared: Path) -> np.ndarray:
    """A photograph as the model takes it, of its own task where the folder has one."""
    last = entry["layout"] == "NHWC"
    height, width, channels = shape[1:] if last else (*shape[2:], shape[1])
    names = {28: "mnist/3", 32: "cifar10/dog"}
    folder = shared / "images" / names.get(height, "misc")
    file = folder / "kitten_224.png" if height not in names else sorted(folder.iterdir())[1]
    picture = Image.open(file).convert("L" if channels == 1 else "RGB").resize((width, height))
    low, high = entry["range"]
    x = np.asarray(picture, np.float64).reshape(height, width, channels) / 255 * (high - low) + low
    x = x[..., ::-1] if entry["channel_order"] == "BGR" else x
    x = (x - entry["mean"]) / entry["std"]
    return (x if last else x.transpose(2, 0, 1))[None]


@functools.cache
def _built(name: str, shared: Path) -> _Built:
    """The gradient of the most probable class's score, or of all that there is."""
    index = json.loads((shared / "models" / "index.json").read_text(encoding="utf-8"))["models"]
    (entry,) = [entry for entry in index if Path(entry["file"]).stem == name]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        graph = build_gradient(shared / "models" / entry["file"], of=SCORES.get(name))
    given, cotangent = graph.graph.input
    dtype = onnx.helper.tensor_dtype_to_np_dtype(given.type.tensor_type.elem_type)
    x = _photograph(entry, [d.dim_value for d in given.type.tensor_type.shape.dim], shared)
    x = (np.rint(x) if np.issubdtype(dtype, np.integer) else x).astype(dtype)
    session = Session(graph, CPU, threads=1)
    shape = [d.dim_value for d in cotangent.type.tensor_type.shape.dim]
    of = SCORES.get(name, graph.graph.output[0].name)
    (scores,) = session.run({given.name: x, "cotangent": np.zeros(shape, np.float32)}, [of])
    dy = np.zeros(shape, np.float32)
    dy.reshape(-1)[int(scores.argmax())] = 1
    found = session.run({given.name: x, "cotangent": dy})
    rounds = any(issubclass(each.category, StraightThrough) for each in caught)
    return _Built(graph, rounds, x, dict(zip(session.outputs, found, strict=True)))


@pytest.mark.parametrize("entry", _models())
def test_a_real_network_has_a_gradient(entry: dict[str, Any], shared: Path) -> None:
    name = Path(entry["file"]).stem
    built = _built(name, shared)
    given = built.graph.graph.input[0].name
    dx = built.outputs[f"{given}_grad"]
    assert dx.dtype == np.float32
    assert dx.shape == built.picture.shape
    assert np.isfinite(dx).all()
    assert np.abs(dx).max() > 0
    original = Session(onnx.load(shared / "models" / entry["file"]), CPU, 1, often=not built.rounds)
    wanted = dict(zip(original.outputs, original.run({given: built.picture}), strict=True))
    for output, want in wanted.items():
        assert built.outputs[output].dtype == want.dtype
        largest = np.abs(want.astype(np.float64)).max()
        np.testing.assert_allclose(built.outputs[output], want, atol=1e-3 * largest)
    if not built.rounds and built.picture.size < LARGE:
        assert check_gradient(built.graph, threads=1).error < KINKS


def test_of_a_segmentation_the_scores_are_named(shared: Path) -> None:
    for name, scores in SCORES.items():
        with pytest.raises(GradientUnavailable, match=f"such as '{scores}'"):
            build_gradient(shared / "models" / f"{name}.onnx")


@pytest.mark.parametrize(
    ("quantised", "floating", "least"),
    [
        ("mlperf_tiny_resnet8_quant_tflite", "mlperf_tiny_resnet8_tflite", 0.8),
        ("mobilenet_v2_1.0_224_quant_tflite", "mobilenet_v2_1.0_224_quant_f32", 0.5),
    ],
)
def test_a_quantised_network_has_nearly_the_gradient_of_its_floating_sibling(
    quantised: str, floating: str, least: float, shared: Path
) -> None:
    found = [_built(name, shared) for name in (quantised, floating)]
    assert [built.rounds for built in found] == [True, False]
    q, f = (built.outputs[f"{built.graph.graph.input[0].name}_grad"].ravel() for built in found)
    assert float(q @ f / np.linalg.norm(q) / np.linalg.norm(f)) > least
