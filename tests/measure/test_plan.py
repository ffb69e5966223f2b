"""How many items go together."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from leap_audit.ingest.model import Model
from leap_audit.measure import plan
from leap_audit.measure.plan import (
    Batches,
    choose_batches,
    logit_spread,
)
from leap_audit.measure.run import Run
from tests.builders.classifiers import linear, read_model


@pytest.mark.parametrize("free", [1, 50_000, 10_000_000, 10**13])
def test_batches_are_powers_of_two_that_fit(
    digits: Model, monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    monkeypatch.setattr(plan, "free_memory", lambda _provider: free)
    batches = choose_batches(digits, 1)
    for number in (batches.prototypes, batches.isolations, batches.predictions):
        assert number >= 1
        assert number & (number - 1) == 0
    assert batches.isolations <= batches.prototypes  # two pictures each
    if free == 1:
        assert batches == Batches(1, 1, 1)


def test_more_memory_never_means_less(digits: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for free in (10**k for k in range(4, 12)):
        monkeypatch.setattr(plan, "free_memory", lambda _provider, free=free: free)
        found.append(choose_batches(digits, 1).prototypes)
    assert found == sorted(found)
    assert found[0] < found[-1]


@pytest.mark.parametrize(("wanted", "isolations"), [(1, 1), (3, 1), (10, 5)])
def test_what_is_wanted_overrides(digits: Model, wanted: int, isolations: int) -> None:
    assert choose_batches(digits, 1, wanted) == Batches(wanted, isolations, wanted)


def test_several_views_of_a_prototype_are_several_pictures(
    digits: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [choose_batches(digits, v, 10).prototypes for v in (1, 2, 3, 10, 64)] == [10, 5, 3, 1, 1]
    monkeypatch.setattr(plan, "free_memory", lambda _provider: 10**13)
    one, two = (choose_batches(digits, views) for views in (1, 2))
    assert two == replace(one, prototypes=one.prototypes // 2)


def test_a_model_that_takes_one_at_a_time(digits: Model) -> None:
    assert choose_batches(replace(digits, batchable=False), 2, 10) == Batches(1, 1, 1)


def test_the_spread_is_in_the_units_of_the_logits(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).standard_normal((5, 64))
    small = Run(read_model(linear(tmp_path / "a.onnx", weights)), 4, 1)
    large = Run(read_model(linear(tmp_path / "b.onnx", weights * 1000)), 4, 1)
    assert logit_spread(small, 0) > 0
    assert logit_spread(large, 0) == pytest.approx(1000 * logit_spread(small, 0), rel=1e-3)
