"""One step of a prototype: the average of its views, whatever else the step does."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from leap_audit.config import PrototypeOptions
from leap_audit.errors import ConfigRefused
from leap_audit.gradient.training import adam_draws
from leap_audit.ingest.model import Model
from leap_audit.measure.prototype import Request, make_prototypes, settled
from leap_audit.measure.prototype.image import coefficient_channels
from leap_audit.measure.prototype.objective import alike, target_weights
from leap_audit.measure.prototype.step import Key, step_draws, step_graph
from leap_audit.measure.run import Run
from leap_audit.run.session import Array
from tests.builders.classifiers import uncounted

KEYS: list[Key] = [(3, 0), (8, 0)]
VIEWS = 3


def stepped(
    model: Model, options: PrototypeOptions, drawn: dict[str, Array], objective: Any = "target"
) -> dict[str, Array]:
    """Return what a first step on two prototypes gives: `score` and Adam's first moment."""
    step = step_graph(model, len(KEYS), options, 2.0, objective)
    asked, answered = ([v.name or "" for v in vs] for vs in (step.graph.inputs, step.graph.outputs))
    channels, height, width = model.picture_shape
    shape = (len(KEYS), coefficient_channels(channels, options), height, width)
    first = np.random.default_rng(0).standard_normal(shape, np.float32)
    given = {
        "coefficients": first,
        "adam_m": np.zeros_like(first),
        "adam_v": np.zeros_like(first),
        "weights": target_weights([key[:-1] for key in KEYS], model.classes),
        "same": alike([(3,), (3,)]),
        **drawn,
        **adam_draws(0),
    }
    found = Run(model, 1, 1).load(step).run({name: given[name] for name in asked})
    return dict(zip(answered, found, strict=True))


@pytest.mark.parametrize(
    ("objective", "given"),
    [
        ("target", {}),
        ("target", {"alpha": True, "alpha_weight": 0.5}),
        ("target", {"alpha_mask": True}),
        ("target", {"alpha": True, "alpha_mask": True, "jitter": 0.2}),
        ("target", {"alpha_only": True, "alpha_weight": 0.5}),
        ("even", {"logit_scale": 0.5}),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else None,
)
def test_several_views_are_averaged(digits: Model, objective: Any, given: dict[str, Any]) -> None:
    options = settled(PrototypeOptions(views=VIEWS, transform="m", **given), digits.picture_shape)
    drawn = step_draws(digits, KEYS, options, 0, 5)
    together = stepped(digits, options, drawn, objective)
    one = options.model_copy(update={"views": 1})
    alone = [
        stepped(digits, one, {k: v[n::VIEWS] for k, v in drawn.items()}, objective)
        for n in range(VIEWS)
    ]
    for name in ("score", "adam_m_next"):
        want = np.mean([each[name] for each in alone], axis=0)
        np.testing.assert_allclose(together[name], want, rtol=1e-3, atol=1e-5 * np.abs(want).max())
        assert np.abs(alone[0][name] - want).max() > 1e-2 * np.abs(want).max()


def test_prototypes_of_a_class_are_pushed_apart_by_the_mean_of_their_views(digits: Model) -> None:
    """The same view twice is one view."""
    options = settled(PrototypeOptions(diversity=1.0), digits.picture_shape)
    drawn = step_draws(digits, KEYS, options, 0, 0)
    one = stepped(digits, options, drawn)
    twice = {name: np.repeat(value, 2, axis=0) for name, value in drawn.items()}
    two = stepped(digits, options.model_copy(update={"views": 2}), twice)
    free = stepped(digits, options.model_copy(update={"diversity": 0.0}), drawn)
    np.testing.assert_allclose(two["adam_m_next"], one["adam_m_next"], rtol=1e-3, atol=1e-6)
    assert np.abs(free["adam_m_next"] - one["adam_m_next"]).max() > 1e-3


def test_the_first_views_of_many_are_those_of_few(digits: Model) -> None:
    options = [settled(PrototypeOptions(views=v, jitter=0.1), digits.picture_shape) for v in (1, 3)]
    few, many = (step_draws(digits, KEYS, o, 7, 2) for o in options)
    for name, value in few.items():
        assert len(many[name]) == 3 * len(value)
        np.testing.assert_array_equal(many[name][::3], value)
        assert np.abs(many[name][1] - many[name][0]).max() > 0


def test_scenes_are_seen_in_two_views_small_pictures_in_one() -> None:
    shapes = {(3, 224, 224): 2, (3, 32, 32): 1, (1, 224, 224): 1, (1, 28, 28): 1, (7, 96, 64): 2}
    for shape, views in shapes.items():
        assert settled(PrototypeOptions(), shape).views == views
        assert settled(PrototypeOptions(views=5), shape).views == 5
        assert settled(PrototypeOptions(), shape, batchable=False).views == 1
        assert settled(PrototypeOptions(views=1), shape, batchable=False).views == 1


def test_a_model_of_one_picture_at_a_time_has_one_view(digits: Model) -> None:
    single = replace(digits, batchable=False)
    options = settled(PrototypeOptions(steps=2), (3, 224, 224), batchable=False)
    common: dict[str, Any] = {"seed": 0, "batch": 4, "spread": 1.0}
    made = make_prototypes(
        Run(single, 1, 1), [Request((k,)) for k in (1, 2)], options, advance=uncounted, **common
    )
    assert len([each for each in made if np.isfinite(each.picture).all()]) == 2
    with pytest.raises(ConfigRefused, match=r"one picture at a time.*4 views.*give 1"):
        settled(PrototypeOptions(views=4), digits.picture_shape, batchable=False)
