"""A small network of PyTorch, exported once, for the explainers and for captum."""

from dataclasses import dataclass
from typing import Any

import pytest

from leap_audit.pipeline.inputs import Network

HEIGHT, WIDTH, CLASSES, TARGET = 8, 10, 5, 3


@dataclass(frozen=True)
class Prepared:
    """The module, its graph, and two inputs beyond 0..1."""

    module: Any
    network: Network
    inputs: Any


@pytest.fixture(scope="session")
def prepared() -> Prepared:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    torch.manual_seed(0)
    of = torch.nn
    module = of.Sequential(
        of.Conv2d(3, 6, 3, padding=1),
        of.ReLU(),
        of.MaxPool2d(2),
        of.Conv2d(6, 4, 3, padding=1),
        of.ReLU(),
        of.Flatten(),
        of.Linear(4 * HEIGHT * WIDTH // 4, CLASSES),
    ).eval()
    return Prepared(module, Network(module), torch.randn(2, 3, HEIGHT, WIDTH))
