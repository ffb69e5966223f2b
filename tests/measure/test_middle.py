"""The middle of a picture, where a map shall say the class of a prototype."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from leap_audit.config import DeclaredPreprocessing, PrototypeOptions
from leap_audit.gradient import Emitter
from leap_audit.graph.values import new_graph, new_input
from leap_audit.ingest import load
from leap_audit.ingest.outputs.answer import ScoreMap, Softmax
from leap_audit.measure.prototype import (
    Request,
    has_a_middle,
    make_prototypes,
    middle_places,
    settled,
)
from leap_audit.measure.prototype.middle import LEAST_SIDE, place_weights
from leap_audit.measure.prototype.settings import MAPPED
from leap_audit.measure.prototype.step import weighed_places
from leap_audit.measure.prototype.transforms import view
from leap_audit.measure.run import Run
from leap_audit.run import Session, choose_provider
from tests.builders.kinds import segmenter

OPTIONS = settled(PrototypeOptions(), (3, 96, 96), mapped=True)
GRID = (12, 12)


def _whole(n: int) -> np.ndarray:
    return np.eye(n, dtype=np.float32)[None]


def test_the_middle_counts_for_the_class_and_the_border_against_it() -> None:
    weights = place_weights(_whole(96), _whole(96), GRID, OPTIONS).reshape(GRID)
    assert weights[weights > 0].sum() == pytest.approx(1, abs=1e-5)
    assert weights[weights < 0].sum() == pytest.approx(-OPTIONS.surround_weight, abs=1e-5)
    y, x = np.mgrid[:12, :12]
    away = np.hypot(y - 5.5, x - 5.5) / 12
    assert (weights[away < 0.13] > 0).all()
    assert (weights[(away > 0.27) & (away < 0.37)] == 0).all()
    assert (weights[away > 0.5] < 0).all()
    np.testing.assert_allclose(weights, weights[::-1, ::-1], atol=1e-7)


def test_places_follow_the_view() -> None:
    """A view whose rows are moved down by half the picture has the middle at its border."""
    moved = np.roll(np.eye(96, dtype=np.float32), 48, 0)[None]
    weights = place_weights(moved, _whole(96), GRID, OPTIONS).reshape(GRID)
    straight = place_weights(_whole(96), _whole(96), GRID, OPTIONS).reshape(GRID)
    np.testing.assert_allclose(weights, np.roll(straight, 6, 0), atol=1e-6)
    brighter = place_weights(3 * moved, _whole(96), GRID, OPTIONS).reshape(GRID)
    np.testing.assert_allclose(brighter, weights, atol=1e-6)  # light is no place


def test_a_view_that_shows_no_border_has_nothing_against_the_class() -> None:
    rows = np.zeros((1, 96, 96), np.float32)
    rows[0, np.arange(96), 36 + np.arange(96) // 4] = 1  # the middle quarter, enlarged
    weights = place_weights(rows, rows, GRID, OPTIONS)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1, abs=1e-5)


def test_no_place_counts_more_than_its_share_in_any_view() -> None:
    """Rounding leaves 1e-7 of a border that a view does not show; it must not be made large."""
    rng = np.random.default_rng(0)
    closed = 0
    for _ in range(200):
        rows, columns = view(rng, 96, 96, OPTIONS)
        weights = place_weights(rows[None], columns[None], GRID, OPTIONS)
        assert np.abs(weights).sum() <= 1 + OPTIONS.surround_weight + 1e-5
        closed += bool(weights.min() >= 0)
    assert 0 < closed < 200


def test_prototypes_are_read_in_the_middle() -> None:
    model: Any = SimpleNamespace(
        answer=ScoreMap(3, Softmax(3), (9, 18)), picture_shape=(3, 90, 180)
    )
    where = middle_places(model, OPTIONS)
    assert where is not None
    assert where.sum() == pytest.approx(1, abs=1e-5)
    assert where.min() == 0
    shown = where.reshape(9, 18)
    assert shown[4, 8] == shown[4, 9] > 0
    radius = MAPPED["middle"] * 9
    assert np.count_nonzero(shown) == pytest.approx(np.pi * (radius + 0.5) ** 2, rel=0.35)
    assert middle_places(model, OPTIONS.model_copy(update={"middle": 0.0})) is None
    one: Any = SimpleNamespace(answer=Softmax(3), picture_shape=(3, 90, 180))
    assert middle_places(one, OPTIONS) is None


@pytest.mark.parametrize(("sides", "fine"), [((8, 8), True), ((7, 40), False)])
def test_a_map_needs_places_enough(sides: tuple[int, int], fine: bool) -> None:
    answer = ScoreMap(3, Softmax(3), sides)
    assert has_a_middle(answer) is fine
    assert has_a_middle(Softmax(3)) is False
    assert LEAST_SIDE == 8
    cut = ScoreMap(3, Softmax(3), (40, 40), window=(slice(0, 7), slice(0, 40)))
    assert cut.grid == (7, 40)
    assert not has_a_middle(cut)


def test_only_of_a_map_the_middle_is_asked_for() -> None:
    plain = settled(PrototypeOptions(), (3, 96, 96))
    assert (plain.middle, plain.surround, plain.log_weight) == (0, 0, 0)
    assert {name: getattr(OPTIONS, name) for name in MAPPED} == MAPPED
    declared = settled(PrototypeOptions(middle=0.0), (3, 96, 96), mapped=True)
    assert declared.middle == 0


@pytest.mark.parametrize("log_weight", [0.0, 8.0])
def test_the_objective_is_the_weighed_score_and_log_probability(log_weight: float) -> None:
    class Model:
        answer = ScoreMap(3, Softmax(3), (2, 2))

    op = Emitter(new_graph(), "test")
    scores = new_input(op.graph, "scores", (2, 3, 4))
    where = new_input(op.graph, "where", (2, 4))
    op.graph.outputs.append(weighed_places(op, Model(), scores, where, log_weight))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 4)).astype(np.float32)
    w = rng.normal(size=(2, 4)).astype(np.float32)
    session = Session(ir.Model(op.graph, ir_version=10), choose_provider("cpu"))
    log_p = x - np.log(np.exp(x).sum(1, keepdims=True))
    want = np.einsum("nkp,np->nk", x + log_weight * log_p, w)
    np.testing.assert_allclose(session.run({"scores": x, "where": w})[0], want, rtol=1e-4)


def test_a_summary_heeds_the_places_that_count() -> None:
    answer = ScoreMap(2, Softmax(2), (1, 2))
    scores = np.array([[4.0, 0.0], [0.0, 4.0]])
    assert answer.summary(scores).probs[0] == pytest.approx(0.5)
    said = answer.summary(scores, np.array([1.0, 0.0]))
    assert said.probs[0] == pytest.approx(1 / (1 + np.exp(-4)))
    assert said.shares.tolist() == [1, 0]
    assert said.first is not None
    assert said.first.tolist() == [[0, 1]]


def test_a_map_is_given_an_object_in_the_middle(tmp_path: Path) -> None:
    path = segmenter(tmp_path / "m.onnx")
    run = Run(load(path, DeclaredPreprocessing(), choose_provider("cpu")), 1, 1)
    shape = run.model.picture_shape
    assert has_a_middle(run.model.answer)

    def lead(mapped: bool) -> tuple[float, float]:
        """How far class 1 is ahead of the ground in the middle of its prototype, and around."""
        asked = PrototypeOptions(steps=64, transform="s", views=1, jitter=0.0, noise=0.02)
        options = settled(asked, shape, mapped=mapped)
        (drawn,) = make_prototypes(
            run, [Request((1,))], options, seed=0, batch=1, spread=3.0, advance=lambda _: None
        )
        (scores,) = run.scores(drawn.picture[None])
        ahead = (scores[1] - scores[0]).reshape(shape[1:])
        border = np.concatenate([ahead[:3].ravel(), ahead[-3:].ravel()])
        return float(ahead[10:14, 10:14].mean()), float(border.mean())

    middle, border = lead(mapped=True)
    assert middle > 0 > border
    middle, border = lead(mapped=False)
    assert border > 0
