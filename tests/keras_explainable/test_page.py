"""Every block of code on docs/from-keras-explainable.md runs, one after the other."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leap_audit.keras_explainable import cams, gradient, meta
from tests.builders.documentation import ROOT, blocks
from tests.keras_explainable.conftest import Array, Worked

PAGE = "docs/from-keras-explainable.md"


def test_its_code_runs_on_a_graph(
    request: pytest.FixtureRequest, worked: Worked, inputs: Array, units: Array
) -> None:
    if "any size" not in request.node.name:
        pytest.skip("scales need a model of any size")
    names: dict[str, Any] = {"model": worked.path, "x": inputs, "y": units}
    for block in blocks(PAGE):
        if "network" not in block:  # layers have names in Keras
            exec(compile(block, PAGE, "exec"), names)
    size = inputs.shape[:3]
    assert names["scores"].shape == units.shape
    for each in ("maps", "smoothed", "views"):
        assert names[each].shape == (*size, 2)
        assert (names[each].min(), names[each].max()) == (0, pytest.approx(1))
    assert type(names["cams"]) is np.ndarray


def test_its_code_runs_on_keras(inputs: Array, units: Array, tmp_path: Path) -> None:
    keras = pytest.importorskip("keras", reason="Keras is not installed")
    pytest.importorskip("tf2onnx", reason="tf2onnx is not installed")
    of = keras.layers
    network = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            of.Conv2D(4, 3, padding="same"),
            of.BatchNormalization(),
            of.ReLU(name="post_relu"),
            of.GlobalAveragePooling2D(name="avg_pool"),
            of.Dense(5, name="predictions"),
        ]
    )
    names: dict[str, Any] = {"model": network, "network": network, "x": inputs, "y": units}
    for block in blocks(PAGE):
        if "meta" not in block:  # the same on a graph, and quicker there
            exec(compile(block, PAGE, "exec"), names)
    assert names["maps"].shape == (*inputs.shape[:3], 1)
    for exposed in ("by_name", "by_pool"):
        _, maps = cams.gradcam(names[exposed], inputs, units)
        _, chosen = cams.gradcam(network, inputs, units)
        np.testing.assert_allclose(maps, chosen, atol=1e-5)


def test_every_function_has_a_row() -> None:
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    for module in (gradient, cams):
        for method in module.METHODS:
            assert f"| `methods.{module.__name__.rpartition('.')[2]}.{method.__name__}` |" in text
    for name in ("smooth", "tta"):
        assert name in meta.__all__
        assert f"| `methods.meta.{name}` |" in text
