"""Small networks of which everything is known, and `generate` run on them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from leap_audit import engine
from leap_audit.progress import Silent
from tests.builders.classifiers import Node, write_model

SIDE = 16
CLASSES = ["corner", "middle", "checks", "red"]


def planted() -> NDArray[Any]:
    """Weights (classes, 3 · SIDE · SIDE): a bright corner, a bright middle, a checkerboard, red."""
    weights = np.zeros((4, 3, SIDE, SIDE))
    weights[0, :, 1:6, 1:6] = 1
    weights[1, :, 5:11, 5:11] = 1
    weights[2] = np.indices((SIDE, SIDE)).sum(0) % 2 - 0.5
    weights[3, 0], weights[3, 1:] = 0.5, -0.25
    return weights.reshape(4, -1) * 0.1


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return logits = weights · pixels + bias, for pictures of SIDE × SIDE in colour."""
    path = tmp_path_factory.mktemp("network") / "planted.onnx"
    nodes: list[Node] = [("Flatten", ["x"], "f"), ("Gemm", ["f", "w", "b"], "y", {"transB": 1})]
    bias = np.array([0.0, 0.0, 0.0, 2.0])
    return write_model(
        path,
        nodes,
        {"w": planted(), "b": bias},
        shape=("n", 3, SIDE, SIDE),
        outputs=[("y", ("n", 4))],
    )


@pytest.fixture(scope="session")
def sizeless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a network for pictures of any size: the mean of each colour."""
    path = tmp_path_factory.mktemp("network") / "means.onnx"
    nodes: list[Node] = [("GlobalAveragePool", ["x"], "p"), ("Flatten", ["p"], "y")]
    shape = ("n", 3, "h", "w")
    return write_model(path, nodes, {}, shape=shape, outputs=[("y", ("n", 3))])


class Run:
    """What `generate` gave: its table, its dict, and the pictures that the table names."""

    def __init__(self, frame: Any, stages: dict[str, Any]) -> None:
        self.frame, self.stages = frame, stages
        named = next(path for path in (*frame["prototype"], *frame["isolation"]) if path == path)
        self.folder = Path(named).parents[1]

    def rows(self, kind: str) -> Any:
        return self.frame[self.frame["kind"] == kind]

    def logits(self) -> NDArray[Any]:
        return np.asarray(self.rows("prototype")["logits"].to_numpy(float))

    def pictures(self, column: str = "prototype", kind: str = "prototype") -> NDArray[Any]:
        """(rows, channels, height, width) in 0..1."""
        return np.stack([pixels(path) for path in self.rows(kind)[column]])


def pixels(path: str) -> NDArray[Any]:
    """Return a picture as (channels, height, width) in 0..1."""
    with Image.open(path) as image:
        return np.atleast_3d(np.asarray(image, np.float64) / 255).transpose(2, 0, 1)


@pytest.fixture
def run(network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """Return `generate`, in a folder of its own, on the planted network unless told otherwise."""
    monkeypatch.chdir(tmp_path)

    def started(config: dict[str, Any] | None = None, **given: Any) -> Run:
        model = given.pop("model", network)
        names = given.pop("names", CLASSES)
        options = {"isolation": False, "max_steps": 24, "transform": None, **(config or {})}
        project = given.pop("project", "test")
        return Run(*engine.generate(project, model, names, options, progress=Silent(), **given))

    return started
