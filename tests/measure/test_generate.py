"""Prototypes on the bundled model: they rise, and each is itself whoever it is made beside."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leap_audit.config import PrototypeOptions
from leap_audit.errors import GradientUnavailable
from leap_audit.gradient import RULES
from leap_audit.ingest.model import Model
from leap_audit.measure.prototype import Drawn, Request, make_prototypes, settled
from leap_audit.measure.prototype.generate import CURVE_POINTS, _parts
from leap_audit.measure.run import Run
from tests.builders.classifiers import Node, read_model, write_model

STEPS = 12


def made(model: Model, requests: list[Request], **given: Any) -> list[Drawn]:
    counted: list[int] = []
    steps = given.pop("steps", STEPS)
    chosen = {"seed": 0, "batch": 4, "spread": 1.0, **given}
    options = settled(PrototypeOptions(steps=steps), model.picture_shape)
    drawn = list(
        make_prototypes(Run(model, 1, 1), requests, options, advance=counted.append, **chosen)
    )
    assert sum(counted) == steps * len(requests)
    assert [each.request for each in drawn] == requests
    return drawn


def test_the_objective_rises(digits: Model) -> None:
    drawn = made(digits, [Request((k,)) for k in (1, 4, 8)])
    for each in drawn:
        assert np.mean(each.curve[-3:]) > np.mean(each.curve[:3])
        assert each.picture.shape == digits.picture_shape
        assert 0 <= each.picture.min() <= each.picture.max() <= 1


def test_a_prototype_is_the_same_in_any_company(digits: Model) -> None:
    (alone,) = made(digits, [Request((4,))], batch=1)
    company = [Request((k,)) for k in (1, 7, 4, 0, 2)]
    for batch in (2, 3, 5):
        together = made(digits, company, batch=batch)
        assert len(together) == 5
        np.testing.assert_allclose(together[2].picture, alone.picture, atol=1e-3)
        np.testing.assert_allclose(together[2].curve, alone.curve, rtol=1e-2, atol=1e-2)


def test_the_seed_decides(digits: Model) -> None:
    request = [Request((3,))]
    first, again, other = (made(digits, request, seed=seed)[0] for seed in (5, 5, 6))
    assert first.picture.tobytes() == again.picture.tobytes()
    assert first.curve == again.curve
    assert np.abs(first.picture - other.picture).max() > 1e-3


def test_replicates_and_hybrids_differ(digits: Model) -> None:
    requests = [Request((3,)), Request((3,), 1), Request((3, 5)), Request((5,))]
    pictures = [each.picture for each in made(digits, requests)]
    for i in range(4):
        for j in range(i):
            assert np.abs(pictures[i] - pictures[j]).max() > 1e-3


def test_no_requests(digits: Model) -> None:
    assert made(digits, []) == []


def test_missing_rules_are_said_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(RULES, "Cosh")
    nodes: list[Node] = [
        ("Flatten", ["x"], "f"),
        ("Cosh", ["f"], "c"),
        ("Gemm", ["c", "w"], "y"),
    ]
    path = write_model(tmp_path / "m.onnx", nodes, {"w": np.ones((64, 3))})
    with pytest.raises(GradientUnavailable, match="Cosh"):
        made(read_model(path), [Request((0,))])


@pytest.mark.parametrize("steps", [1, 7, CURVE_POINTS, 100])
def test_the_curve_is_made_of_means_of_equal_parts(steps: int) -> None:
    curve = np.arange(float(steps))
    parts = _parts(curve)
    assert len(parts) == min(steps, CURVE_POINTS)
    assert list(parts) == sorted(parts)
    if steps <= CURVE_POINTS:
        assert list(parts) == curve.tolist()
