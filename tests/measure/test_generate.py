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
from leap_audit.measure.prototype.rate import has_settled
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


def test_converged_means_that_the_end_is_flat() -> None:
    t = np.linspace(0, 1, 80)
    assert has_settled(1 - np.exp(-12 * t))
    assert not has_settled(t)
    assert not has_settled(np.ones(7))  # too few steps to tell
    assert has_settled(np.ones(64))  # what cannot rise has settled
    steps = np.arange(80.0)
    assert has_settled(steps % 2 + 0.001 * steps)  # a rise that chance would bring as well
    assert not has_settled(t + 1e-3 * np.random.default_rng(1).standard_normal(len(t)))


@pytest.mark.parametrize("steps", [24, 48, 96, 192])
def test_a_noisy_rise_has_not_settled(steps: int) -> None:
    """What rises evenly is told from what is flat in nine of ten draws, however few the steps."""
    rng = np.random.default_rng(steps)
    t = np.linspace(0, 1, steps)
    noise = 0.2 * rng.standard_normal((200, steps))
    assert np.mean([has_settled(t + each) for each in noise]) < 0.1
    assert np.mean([has_settled(each) for each in noise]) > 0.9


@pytest.mark.parametrize(("share", "settled"), [(0.095, True), (0.105, False)])
def test_a_tenth_of_the_rise_may_be_left(share: float, settled: bool) -> None:
    """The later half of 125 steps at full learning rate is a line: 15 more bring the share."""
    steps = np.arange(192.0)
    curve = np.minimum(steps, 62) / 62

    def left(slope: float) -> float:
        whole = curve + slope * np.maximum(steps - 62, 0)
        return float(15 * slope / (whole[110:125].mean() - whole[:15].mean()))

    slope = next(s for s in np.linspace(0, 0.02, 20001) if left(s) >= share)
    assert has_settled(curve + slope * np.maximum(steps - 62, 0)) == settled


@pytest.mark.parametrize(("errors", "settled"), [(1.9, True), (2.1, False)])
def test_a_rise_of_two_standard_errors_is_one(errors: float, settled: bool) -> None:
    steps = np.arange(192.0)
    noise = np.random.default_rng(0).standard_normal(192)
    full, own = steps[:125] - 62, noise[:125]
    own -= own.mean() + full * (full @ own) / (full @ full)  # without a slope of its own
    error = np.sqrt(own @ own / 123 / (full @ full))
    assert has_settled(noise + errors * error * steps) == settled


def test_what_is_nearly_flat_at_the_end_has_settled() -> None:
    rng = np.random.default_rng(0)
    t = np.linspace(0, 1, 192)
    noise = 0.05 * rng.standard_normal((100, 192))
    assert np.mean([has_settled(1 - np.exp(-8 * t) + each) for each in noise]) > 0.95
    assert np.mean([has_settled(1 - np.exp(-1.2 * t) + each) for each in noise]) < 0.1
