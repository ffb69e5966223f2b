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
    even_batch,
    logit_spread,
    working_memory,
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
        assert batches == Batches(1, 1, 1, batches.workers, 1)


def test_more_memory_never_means_less(digits: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for free in (10**k for k in range(4, 12)):
        monkeypatch.setattr(plan, "free_memory", lambda _provider, free=free: free)
        found.append(choose_batches(digits, 1).prototypes)
    assert found == sorted(found)
    assert found[0] < found[-1]


@pytest.mark.parametrize(("wanted", "isolations"), [(1, 1), (3, 1), (10, 5)])
def test_what_is_wanted_overrides(digits: Model, wanted: int, isolations: int) -> None:
    assert choose_batches(digits, 1, wanted, 1) == Batches(wanted, isolations, wanted, 1, 1)


def test_several_views_of_a_prototype_are_several_pictures(
    digits: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [choose_batches(digits, v, 10).prototypes for v in (1, 2, 3, 10, 64)] == [10, 5, 3, 1, 1]
    monkeypatch.setattr(plan, "free_memory", lambda _provider: 10**13)
    one, two = (choose_batches(digits, views) for views in (1, 2))
    assert two == replace(one, prototypes=one.prototypes // 2)


def test_two_large_pictures_at_once_on_a_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "free_memory", lambda _provider: 10**13)
    for side, prototypes in ((100, (64, 32)), (101, (2, 1))):
        weights = np.ones((3, side * side))
        model = read_model(linear(tmp_path / f"{side}.onnx", weights, side, 1))
        assert tuple(choose_batches(model, v).prototypes for v in (1, 2)) == prototypes


def test_a_model_that_takes_one_at_a_time(digits: Model) -> None:
    one_by_one = replace(digits, batchable=False)
    assert choose_batches(one_by_one, 2, 10, 3) == Batches(1, 1, 1, 3, 1)


@pytest.mark.parametrize(
    ("cores", "workers", "each"),
    [(1, 1, 1), (2, 2, 1), (8, 8, 1), (9, 4, 2), (16, 8, 2), (17, 5, 3), (64, 8, 8)],
)
def test_batches_share_the_cores(
    digits: Model, monkeypatch: pytest.MonkeyPatch, cores: int, workers: int, each: int
) -> None:
    monkeypatch.setattr(plan, "processors", lambda: cores)
    for threads in (0, cores):
        batches = choose_batches(digits, 1, threads=threads)
        assert (batches.workers, batches.threads) == (workers, each)


@pytest.mark.parametrize("threads", [0, 5])
def test_a_graphics_card_computes_one_batch_at_a_time(digits: Model, threads: int) -> None:
    card = replace(digits, provider=replace(digits.provider, device="cuda"))
    batches = choose_batches(card, 1, 4, threads)
    assert (batches.workers, batches.threads) == (1, threads)


def test_batches_at_once_share_the_memory(digits: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "free_memory", lambda _provider: 20_000_000)
    alone, four = (choose_batches(digits, 1, threads=n) for n in (1, 4))
    assert four.prototypes == alone.prototypes // 4
    more = working_memory(digits, replace(alone, workers=4), 1) - working_memory(digits, alone, 1)
    of_one = working_memory(digits, alone, 1) - working_memory(digits, replace(alone, workers=0), 1)
    assert more == 3 * of_one


@pytest.mark.parametrize(
    ("count", "most", "workers", "size"),
    [
        (10, 4, 1, 2),  # 5 batches of 2: nothing is computed in vain
        (10, 5, 1, 5),
        (10, 4, 2, 1),
        (10, 8, 2, 5),
        (30, 4, 2, 3),
        (6, 4, 1, 3),
        (7, 4, 1, 1),  # 2 batches of 4 would take as long as 8 items
        (1, 8, 4, 1),
        (3, 64, 8, 1),
        (0, 8, 2, 1),
    ],
)
def test_batches_are_even(count: int, most: int, workers: int, size: int) -> None:
    assert even_batch(count, most, workers) == size


def test_the_spread_is_in_the_units_of_the_logits(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).standard_normal((5, 64))
    small = Run(read_model(linear(tmp_path / "a.onnx", weights)), 4, 1)
    large = Run(read_model(linear(tmp_path / "b.onnx", weights * 1000)), 4, 1)
    assert logit_spread(small, 0) > 0
    assert logit_spread(large, 0) == pytest.approx(1000 * logit_spread(small, 0), rel=1e-3)
