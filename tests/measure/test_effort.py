"""Recipes by effort, and what is left out in less time."""

from itertools import pairwise
from typing import get_args

import pytest

from leap_audit.config import AuditOptions, Effort
from leap_audit.measure.effort import (
    LADDER,
    changed_amounts,
    declared_paths,
    first_rung,
    with_rung,
)

SETTLED = AuditOptions.parse(
    {
        "prototype": {"views": 2},
        "experiments": {"search_steps": 96},
        "second_opinions": ("saliency", "rise"),
    },
    "here",
)
NOTHING = frozenset[tuple[str, ...]]()


def work(options: AuditOptions) -> tuple[float, ...]:
    return (
        options.seeds,
        options.top_classes,
        options.prototype.steps,
        options.prototype.views or 2,
        options.isolation.steps,
        options.isolation.per_prototype,
        options.experiments.hosts,
        96 if options.experiments.search_steps is None else options.experiments.search_steps,
        2 if options.second_opinions is None else len(options.second_opinions),
        options.vectors.changed,
        options.vectors.pairs,
    )


def test_every_effort_is_on_the_ladder() -> None:
    assert [rung.name for rung in LADDER if rung.name] == list(get_args(Effort))[::-1]
    assert LADDER[first_rung("quick")].name == "quick"
    assert LADDER[first_rung(None)].name == "standard"


def test_the_standard_is_what_the_options_are_by_default() -> None:
    assert with_rung(AuditOptions(), LADDER[first_rung("standard")], NOTHING) == AuditOptions()


def test_a_lower_rung_is_less_work_everywhere() -> None:
    made = [work(with_rung(AuditOptions(), rung, NOTHING)) for rung in LADDER]
    for more, less in pairwise(made):
        assert all(b <= a for a, b in zip(more, less, strict=True))
        assert more != less


def test_what_is_declared_stays() -> None:
    values = {"seeds": 4, "prototype": {"steps": 7}, "preprocessing": {"layout": "NCHW"}}
    options = AuditOptions.parse(values, "here")
    declared = declared_paths(options)
    assert declared == {("seeds",), ("prototype", "steps"), ("preprocessing", "layout")}
    least = with_rung(options, LADDER[-1], declared)
    assert (least.seeds, least.prototype.steps) == (4, 7)
    assert (least.isolation.steps, least.prototype.views) == (24, 1)


def test_differences_in_words() -> None:
    least = with_rung(SETTLED, LADDER[-1], NOTHING)
    said = changed_amounts(least, SETTLED)
    assert said == (
        "1 seed instead of 3",
        "1 answer explained in a photograph instead of 3",
        "no isolation of a prototype instead of 3",
        "64 steps of a prototype instead of 192",
        "1 view in a step of a prototype instead of 2",
        "24 steps of an isolation instead of 48",
        "6 pictures in an experiment instead of 36",
        "no step of a search for a trigger instead of 96",
        "no second opinion on a photograph instead of 2",
        "8 pictures that changes are tried on instead of 48",
        "no pair of near pictures explained instead of 3",
    )
    assert changed_amounts(least, least) == ()
    more = changed_amounts(SETTLED, least)
    assert more[-3] == "2 second opinions on a photograph instead of 0"
    assert "2 views in a step of a prototype instead of 1" in more


@pytest.mark.parametrize(("effort", "seeds"), [("quick", 1), ("standard", 3), ("full", 5)])
def test_an_effort_sets_the_seeds(effort: Effort, seeds: int) -> None:
    assert with_rung(AuditOptions(), LADDER[first_rung(effort)], NOTHING).seeds == seeds
