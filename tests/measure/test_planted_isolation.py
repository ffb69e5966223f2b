"""Isolation where the truth is planted: either of two patches is enough, or both are needed.

Where either is enough, keeping one keeps the class, and only what is lost by erasing says that the
other carries it too. Where both are needed, erasing one loses the class, and only what is kept says
that the other is needed too. So each network needs one term of the loss.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from leap_audit.config import IsolationOptions
from leap_audit.ingest.model import Model
from leap_audit.measure.isolation.optimise import rank_pixels
from leap_audit.measure.run import Run
from leap_audit.measure.subject import Subject
from tests.builders.classifiers import Node, read_model, uncounted, write_model

SIDE = 24
PATCHES = (np.s_[3:9, 3:9], np.s_[14:20, 13:19])
CHECKS = np.indices((SIDE, SIDE)).sum(0) % 2


def network(path: Path, joined: str) -> Model:
    """Return a classifier whose class 1 is the largest (ReduceMax) or smallest of two patches."""
    patterns = np.zeros((2, SIDE, SIDE))
    for pattern, place in zip(patterns, PATCHES, strict=True):
        pattern[place] = (2 * CHECKS[place] - 1) / 18
    nodes: list[Node] = [
        ("Flatten", ["x"], "f"),
        ("Gemm", ["f", "patterns"], "each", {"transB": 1}),
        (joined, ["each"], "joined", {"axes": [1], "keepdims": 1}),
        ("Gemm", ["joined", "w", "b"], "y"),
    ]
    weights = {
        "patterns": patterns.reshape(2, -1),
        "w": np.array([[0.0, 12.0]]),
        "b": np.array([0.0, -6.0]),
    }
    shape = ("n", 1, SIDE, SIDE)
    return read_model(write_model(path, nodes, weights, shape=shape, outputs=[("y", ("n", 2))]))


def picture(seed: int) -> NDArray[Any]:
    """Return an uneven grey picture with both patches checkered."""
    found = 0.5 + 0.05 * np.random.default_rng(seed).standard_normal((1, SIDE, SIDE))
    for place in PATCHES:
        found[0][place] = CHECKS[place]
    return np.asarray(found, np.float32)


def covered(model: Model, **changes: Any) -> NDArray[np.float64]:
    """Return (pictures, 2): how much of each patch lies in the quarter of the map ranked first."""
    options = IsolationOptions(steps=120, grid=12, **changes)
    subjects = [Subject(picture(k), 1) for k in range(3)]
    maps = rank_pixels(Run(model, 3, 1), subjects, options, seed=0, batch=3, advance=uncounted)
    first = [scores > np.quantile(scores, 0.75) for scores in maps]
    return np.array([[mask[place].mean() for place in PATCHES] for mask in first])


@pytest.mark.parametrize("joined", ["ReduceMax", "ReduceMin"])
def test_both_patches_are_ranked_first(tmp_path: Path, joined: str) -> None:
    found = covered(network(tmp_path / "m.onnx", joined))
    assert found.min() > 0.8, found


def test_without_what_is_erased_one_of_two_sufficient_patches_is_missed(tmp_path: Path) -> None:
    found = covered(network(tmp_path / "m.onnx", "ReduceMax"), delete_weight=0)
    assert (found.max(1) > 0.8).all(), found
    assert (found.min(1) < 0.5).all(), found
