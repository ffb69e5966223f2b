"""What measures the benchmarks: ratios of times, memory of a process, which gradient is right."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks import gradient, networks, side_by_side
from benchmarks.networks import Case, Network, module

ROOT = Path(__file__).resolve().parents[2]

linux = pytest.mark.skipif(
    sys.platform != "linux", reason="the peak of a process is read from /proc"
)


class Clock:
    """The time as a slowing machine has it: each sleep takes longer than the one before."""

    def __init__(self, slower: float) -> None:
        self.now, self.pace, self.slower = 0.0, 1.0, slower

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds * self.pace
        self.pace *= self.slower


def sleeper(clock: Clock, seconds: float) -> Callable[[], np.ndarray]:
    def run() -> np.ndarray:
        clock.sleep(seconds)
        return np.zeros(0)

    return run


@pytest.mark.parametrize("slower", [1.0, 1.02])
def test_the_ratio_of_two_sleeps(slower: float, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(slower)
    monkeypatch.setattr(side_by_side, "time", clock)
    rounds: list[int] = []
    engines = {"short": sleeper(clock, 0.01), "long": sleeper(clock, 0.04)}
    seconds = side_by_side.alternate(engines, 10, lambda: rounds.append(1))
    assert len(rounds) == len(seconds["short"]) == len(seconds["long"]) == 10
    # Always in one order, the slowing alone would make it .24 or .26.
    assert side_by_side.ratio(seconds, "short", "long") == pytest.approx(0.25, rel=0.005)
    assert side_by_side.ratio(seconds, "long", "short") == pytest.approx(4, rel=0.005)


def test_real_sleeps_are_timed() -> None:
    import time

    engines = {"short": sleeper(time, 0.005), "long": sleeper(time, 0.05)}
    seconds = side_by_side.alternate(engines, 3)
    assert min(seconds["short"]) >= 0.005
    assert min(seconds["long"]) >= 0.05


ALLOCATION = """
import numpy as np
from benchmarks.side_by_side import print_peak
before = np.ones({before})  # given back before the baseline: its peak must not count
del before
print_peak(lambda: lambda: np.ones({size}))
"""


@linux
def test_a_child_measures_an_allocation() -> None:
    size = 4_000_000
    code = ALLOCATION.format(before=2 * size, size=size)
    assert side_by_side.measured_child(["-c", code]) == pytest.approx(8 * size, rel=0.3)


@linux
def test_a_child_measures_the_weights_of_a_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from tests.builders import torch_modules as networks

    monkeypatch.setenv("PYTHONPATH", str(ROOT) + os.pathsep + os.environ.get("PYTHONPATH", ""))
    wide = Network(
        "wide", f"{networks.__name__}:wide", shape=(networks.INSIDE,), classes=networks.OUTSIDE
    )
    found = gradient.memory("torch", Case(wide, 1, 1, str(tmp_path)))
    assert found == pytest.approx(networks.BYTES, rel=0.3)


@pytest.mark.parametrize("right", ["first", "second"])
def test_difference_quotients_confirm_the_right_gradient(right: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 3, 4))
    gradients = {"first": 2 * x + 0.1, "second": 2 * x - 0.1}
    gradients[right] = 2 * x
    assert gradient.confirmed(lambda x: float((x**2).sum()), x, gradients) == right


def test_difference_quotients_confirm_neither_of_two_wrong_gradients() -> None:
    x = np.random.default_rng(0).standard_normal((1, 3, 4))
    gradients = {"first": 3 * x, "second": x}
    assert gradient.confirmed(lambda x: float((x**2).sum()), x, gradients) == "neither"


def test_the_difference_is_relative() -> None:
    expected = np.full((2, 3), 100.0)
    assert gradient.difference(expected * 1.01, expected) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("found", "expected"), [(0.0, 0.0), (1.0, 0.0), (np.nan, 1.0), (1.0, np.inf)]
)
def test_what_cannot_be_compared_is_an_error(found: float, expected: float) -> None:
    with pytest.raises(ValueError, match="nothing to compare"):
        gradient.difference(np.full(3, found), np.full(3, expected))


def test_a_head_of_zeros_is_drawn() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    made = module(Network("zeros", "tests.builders.torch_modules:zeros"))
    assert made.weight.all()
    assert not made.bias.any()
    assert torch.equal(
        made.weight, module(Network("zeros", "tests.builders.torch_modules:zeros")).weight
    )


def test_a_case_reaches_the_child_as_it_is() -> None:
    case = Case(networks.NETWORKS["deit_tiny"], 8, 2, "folder")
    assert Case.from_json(case.to_json()) == case
