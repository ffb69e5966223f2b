"""Keras models and modules without a graph in `engine.generate`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leap_audit.errors import EngineFallback
from tests.engine.conftest import SIDE, planted

pytestmark = pytest.mark.xdist_group("tensorflow")  # one process imports it
Start = Callable[..., Any]


def test_a_keras_model_behind_its_preprocessing(run: Start) -> None:
    keras = pytest.importorskip("keras", reason="Keras is not installed")
    layer = keras.layers.Dense(4)
    model = keras.Sequential([keras.Input((SIDE, SIDE, 3)), keras.layers.Flatten(), layer])
    last = planted().reshape(4, 3, SIDE, SIDE).transpose(0, 2, 3, 1).reshape(4, -1)
    layer.set_weights([last.T.astype(np.float32), np.zeros(4, np.float32)])
    found = run(
        {"max_steps": 16}, model=model, preprocessing=[lambda x: (x - 0.5) / 0.5], mode="tf"
    )
    picture = (found.pictures().transpose(0, 2, 3, 1) - 0.5) / 0.5
    want = float(np.asarray(model(picture.astype(np.float32)))[0, 0])
    assert found.logits()[0] == pytest.approx(want, abs=1e-3)
    assert (Path(found.folder) / "model.onnx").is_file()


def test_a_module_that_no_graph_can_be_made_of(run: Start) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")

    class Choosing(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.tensor(planted(), dtype=torch.float32))

        def forward(self, x: Any) -> Any:
            y = x.flatten(1) @ self.weight.T
            return y if y.sum().item() < 1e9 else -y

    with pytest.warns(EngineFallback, match="cannot trace"):
        found = run({"input_dim": [3, SIDE, SIDE], "max_steps": 40}, model=Choosing())
    picture = torch.tensor(found.pictures(), dtype=torch.float32)
    want = Choosing()(picture)[0]
    assert found.logits()[0] == pytest.approx(want[0].item(), abs=1e-3)
    assert want.argmax() == 0
