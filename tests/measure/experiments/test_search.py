"""The searches for triggers: what they return, at which sizes, and what stands beside it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leap_audit.gradient.training import adam_draws
from leap_audit.ingest.model import Model
from leap_audit.measure.experiments.filters import (
    Filter,
    basis_changes,
    changes_summed,
    filter_graph,
    search_filter,
)
from leap_audit.measure.experiments.search import Trigger, drawn_size, search_trigger
from leap_audit.measure.run import Run
from leap_audit.run import Session
from tests.builders.classifiers import Node, linear, read_model, write_model

SIDE = 20
PLAIN = np.full((3, 1, SIDE, SIDE), 0.25, np.float32)
SCORES = np.arange(64.0).reshape(8, 8)
WANDERING = Trigger(SCORES, np.ones((1, 8, 8), np.float32), (SIDE, SIDE), places=1)
FIXED = Trigger(
    np.arange(400.0).reshape(SIDE, SIDE), np.ones((1, SIDE, SIDE), np.float32), (SIDE, SIDE)
)


def quiet(_: int) -> None:
    pass


def test_a_trigger_covers_its_area_of_the_picture() -> None:
    for trigger in (FIXED, WANDERING):
        marked = trigger.applied(PLAIN, 0.02)
        assert [(each == 1).sum() for each in marked] == [8] * 3
        assert trigger.area(0.02) == 0.02
    assert (WANDERING.applied(PLAIN, 1.0) == 1).sum() == 3 * 64, "no more than its canvas"
    assert (PLAIN == 0.25).all(), "the pictures themselves stay"


def test_a_fixed_trigger_lies_at_one_place_and_a_wandering_one_at_several() -> None:
    for trigger, number in ((FIXED, 1), (WANDERING, 3)):
        first, second = trigger.applied(PLAIN, 0.02), trigger.applied(PLAIN, 0.02)
        assert (first == second).all()
        assert len({tuple(np.argwhere(each[0] == 1)[0]) for each in first}) == number
    assert FIXED.place(0.02) == pytest.approx((19.5 / 20, 16 / 20))
    assert FIXED.place(1.0) is None, "spread over the picture"
    assert WANDERING.place(0.02) is None


def test_a_control_covers_the_same_pixels_with_another_pattern() -> None:
    lines = np.zeros((1, 8, 8), np.float32)
    lines[:, ::2] = 1
    control = replace(WANDERING, pattern=lines).control()
    assert (control.inside(0.1) == WANDERING.inside(0.1)).all()
    assert control.pattern.mean() == 0.5
    assert np.abs(control.pattern - (1 - lines)).mean() > 0.3, "inverted lines are still lines"
    assert (FIXED.control().pattern == 0).all(), "one colour is inverted"


def test_a_trigger_is_shown_on_grey() -> None:
    shown = WANDERING.picture(0.02)
    assert shown.shape == (1, SIDE, SIDE)
    assert (shown == 1).sum() == 8
    assert (shown == 0.5).sum() == SIDE**2 - 8
    down, right = np.argwhere(shown[0] == 1).mean(0)
    assert abs(down - SIDE / 2) < 5
    assert abs(right - SIDE / 2) < 5


def test_sizes_are_spread_over_the_logarithms() -> None:
    sizes = [drawn_size((0.01, 0.16), 0.3, step) for step in range(64)]
    assert min(sizes) >= 0.01
    assert max(sizes) < 0.16
    halves = np.histogram(np.log2(sizes), np.log2([0.01, 0.02, 0.04, 0.08, 0.16]))[0]
    assert max(halves) - min(halves) <= 2


def hosts(folder: Path) -> np.ndarray:
    """Pictures of digits that bear no mark, none of them a three or a five."""
    files = sorted((folder / "pictures" / "plain").glob("*/*.png"))
    chosen = [f for f in files if f.parent.name not in ("three", "five")]
    pictures = [np.asarray(Image.open(f).convert("L"), np.float32)[None] / 255 for f in chosen]
    return np.stack(pictures)


def share_turned(run: Run, trigger: Trigger | Filter, pictures: np.ndarray, size: float) -> float:
    return float((run.logits(trigger.applied(pictures, size)).argmax(1) == 3).mean())


def test_a_mark_at_one_place_is_found_there(shortcut: Model, sample_models: Path) -> None:
    run, pictures = Run(shortcut, 16, 1), hosts(sample_models)
    fixed, moved = (
        search_trigger(run, 3, pictures, moved=moved, steps=40, batch=8, seed=0, advance=quiet)
        for moved in (False, True)
    )
    assert fixed.scores.shape == (28, 28)
    assert moved.scores.shape == (11, 11), "two fifths of the side"
    assert share_turned(run, fixed, pictures, 0.02) == 1
    assert share_turned(run, fixed.control(), pictures, 0.02) < 0.2
    corner = fixed.inside(0.02)[:8, :8]
    assert corner.sum() > 2 * 0.02 * corner.size
    assert share_turned(run, moved, pictures, 0.02) < 0.5, "laid elsewhere it does nothing"


def reader_of_a_patch(path: Path) -> Model:
    """Return a classifier that answers 1 wherever a chequered patch of 4 x 4 lies."""
    patch = (2 * (np.indices((4, 4)).sum(0) % 2) - 1) / 8
    nodes: list[Node] = [
        ("Conv", ["x", "patch"], "c"),
        ("GlobalMaxPool", ["c"], "m"),
        ("Flatten", ["m"], "f"),
        ("Gemm", ["f", "w", "b"], "y"),
    ]
    weights = {
        "patch": patch[None, None],
        "w": np.array([[0.0, 20.0]]),
        "b": np.array([0.0, -8.0]),
    }
    shape, outputs = ("n", 1, 24, 24), [("y", ("n", 2))]
    return read_model(write_model(path, nodes, weights, shape=shape, outputs=outputs))


def test_a_wandering_mark_is_found_by_the_search_at_random_places(tmp_path: Path) -> None:
    run = Run(reader_of_a_patch(tmp_path / "patch.onnx"), 16, 1)
    pictures = (0.5 + 0.05 * np.random.default_rng(0).random((16, 1, 24, 24))).astype(np.float32)
    found = search_trigger(run, 1, pictures, moved=True, steps=60, batch=8, seed=0, advance=quiet)
    turned = run.logits(found.applied(pictures, 0.04)).argmax(1)
    assert turned.mean() == 1
    assert run.logits(found.control().applied(pictures, 0.04)).argmax(1).mean() < 0.5


def test_a_search_counts_each_picture_that_it_looks_at(
    shortcut: Model, sample_models: Path
) -> None:
    run, counted = Run(shortcut, 16, 1), []
    pictures = hosts(sample_models)
    search_trigger(
        run, 3, pictures, moved=True, steps=3, batch=4, seed=0, advance=counted.append
    )  # fmt: skip
    search_filter(run, 3, pictures, reach=1, steps=2, batch=4, seed=0, advance=counted.append)
    assert counted == [4] * 5


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_search_is_looked_at_once_after_half_of_its_steps(
    shortcut: Model, sample_models: Path, goes_on: bool
) -> None:
    run, pictures = Run(shortcut, 16, 1), hosts(sample_models)
    looked: list[Trigger | Filter] = []

    def halfway(now: Trigger | Filter) -> bool:
        looked.append(now)
        return goes_on

    def searched(**kind: int) -> tuple[Trigger | Filter, int]:
        counted: list[int] = []
        search = search_filter if "reach" in kind else search_trigger
        last = search(
            run,
            3,
            pictures,
            steps=5,
            batch=4,
            seed=0,
            advance=counted.append,
            halfway=halfway,
            **kind,
        )
        return last, sum(counted) // 4

    for kind in ({"moved": False}, {"reach": 1}):
        looked.clear()
        last, steps = searched(**kind)
        assert (len(looked), steps) == (1, 5 if goes_on else 2)
        shown = (each.applied(pictures, 0.1) for each in (looked[0], last))
        assert np.array_equal(*shown) == (not goes_on), "given up as it stood"


@pytest.mark.parametrize(("reach", "changes"), [(0, 12), (1, 8), (2, 24)])
def test_a_filter_is_the_sum_of_its_basis_changes(reach: int, changes: int) -> None:
    rng = np.random.default_rng(1)
    pictures = rng.random((3, 3, 9, 7), np.float32)
    weights = rng.standard_normal(changes).astype(np.float32)
    summed = changes_summed(pictures, weights, reach)
    each_by_itself = weights @ basis_changes(pictures, reach)
    assert summed == pytest.approx(each_by_itself.reshape(pictures.shape), abs=1e-5)


def test_basis_changes_of_colours_and_of_neighbours() -> None:
    picture = np.zeros((1, 2, 3, 3), np.float32)
    picture[0, 0, 1, 1] = 1
    colours = basis_changes(picture, 0)
    assert colours.shape == (1, 2 * 3, 18)
    first = colours[0, 0].reshape(2, 3, 3)
    assert first[0, 1, 1] == 0.5
    assert (first[1] == 0).all()
    assert (colours[0, 2].reshape(2, 3, 3)[0] == 1).all()
    around = basis_changes(picture, 1)
    assert around.shape == (1, 8, 18)
    left_up = around[0, 0].reshape(2, 3, 3)
    assert left_up[0, 2, 2] == 1, "the pixel above to the left, less the pixel itself"
    assert left_up[0, 1, 1] == -1
    assert (basis_changes(np.ones((1, 3, 4, 4)), 2) == 0).all(), "an even picture has no detail"


def test_a_filter_changes_pictures_by_its_size_and_its_control_goes_the_other_way() -> None:
    brighter = Filter(np.array([0.0, 1.0]), 0, (1, SIDE, SIDE))
    assert brighter.applied(PLAIN, 0.1) == pytest.approx(0.35)
    assert brighter.control().applied(PLAIN, 0.1) == pytest.approx(0.15)
    assert brighter.applied(PLAIN, 0.9).max() == 1, "cut off"
    assert (brighter.area(0.1), brighter.place(0.1)) == (1.0, None)
    chart = brighter.picture(0.1)
    assert chart.shape == (1, SIDE, SIDE)
    assert chart[0, SIDE // 2 :].mean() > chart[0, : SIDE // 2].mean() + 0.05


@pytest.mark.parametrize("reach", [0, 2])
def test_a_search_returns_a_filter_of_unit_size_that_helps_the_class(
    digits: Model, sample_models: Path, reach: int
) -> None:
    run = Run(digits, 16, 1)
    pictures = hosts(sample_models)
    found = search_filter(
        run, 5, pictures, reach=reach, steps=20, batch=8, seed=0, advance=quiet
    )  # fmt: skip
    added = found.weights @ basis_changes(pictures, reach)
    assert np.sqrt((added**2).mean()) == pytest.approx(1, rel=1e-3)
    plain, after, other = (
        run.logits(each)[:, 5] - run.logits(each).mean(1)
        for each in (pictures, found.applied(pictures, 0.1), found.control().applied(pictures, 0.1))
    )
    assert after.mean() > plain.mean()
    assert after.mean() > other.mean()


@pytest.mark.parametrize("reach", [0, 1, 2])
def test_a_step_moves_a_filter_down_the_slope_of_its_loss(tmp_path: Path, reach: int) -> None:
    """Adam's first moment is a tenth of the slope, held against difference quotients."""
    weights = np.random.default_rng(1).standard_normal((3, 3 * 64)) / 10
    model = read_model(linear(tmp_path / "m.onnx", weights, channels=3))
    pictures = 0.3 + 0.4 * np.random.default_rng(2).random((2, 3, 8, 8), np.float32)
    strength = np.sqrt((basis_changes(pictures, reach) ** 2).mean((0, 2)))
    filter_ = np.random.default_rng(3).standard_normal(len(strength))
    size, class_ = 0.02, 1

    def loss(numbers: np.ndarray) -> float:
        added = changes_summed(pictures, numbers / strength, reach).astype(np.float64)
        added /= np.sqrt((added**2).mean() + 1e-8)
        logits = (pictures + size * added).reshape(2, -1) @ weights.T
        return float(-(logits - np.log(np.exp(logits).sum(1, keepdims=True)))[:, class_].mean())

    session = Session(filter_graph(model, 2, reach), model.provider, threads=1)
    shown = {
        "filter": filter_[None, None].astype(np.float32),
        "strength": strength[None, None].astype(np.float32),
        "pictures": pictures,
        "weights": -model.answer.cotangent((class_,))[None] * np.ones((2, 1, 1), np.float32) / 2,
        "size": np.array([size], np.float32),
    }
    still = {name: np.zeros_like(shown["filter"]) for name in ("adam_m", "adam_v")}
    (moment,) = session.run({**shown, **still, **adam_draws(0)}, ["adam_m_next"])
    steps = 1e-4 * np.eye(len(filter_))
    slope = [(loss(filter_ + d) - loss(filter_ - d)) / 2e-4 for d in steps]
    np.testing.assert_allclose(10 * moment[0, 0], slope, rtol=0.01, atol=1e-4)
