"""What an engine takes beside another: seconds in turns, and the memory of a fresh process."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

__all__ = ["Run", "alternate", "measured_child", "print_peak", "ratio", "resident_peak"]

ROOT = Path(__file__).resolve().parents[1]
WARM_UP = 2
RUNS_IN_CHILD = 3
REST = 0.1
"""Seconds before each run: the threads of the engine before spin for a while when they are done.

On two cores, ResNet-18 at batch 1 took 81 ms in ONNX Runtime and 117 in PyTorch without a rest, 70
to 81 and 96 to 102 after 0.02 s, 62 and 75 after 0.05 s or more.
"""

Run = Callable[[], np.ndarray]


def alternate(
    engines: Mapping[str, Run],
    pairs: int,
    advance: Callable[[], object] = lambda: None,
    warm_up: int = WARM_UP,
) -> dict[str, list[float]]:
    """Return the seconds of each engine in each of `pairs` rounds; every other goes backwards.

    warm_up: runs of each before that, which are not timed.
    """
    for run in engines.values():
        for _ in range(warm_up):
            run()
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for k in range(pairs):
        for name in list(engines)[:: -1 if k % 2 else 1]:
            time.sleep(REST)
            start = time.perf_counter()
            engines[name]()
            seconds[name].append(time.perf_counter() - start)
        advance()
    return seconds


def ratio(seconds: Mapping[str, list[float]], over: str, under: str) -> float:
    """The median over the rounds: what slows a whole round down slows both."""
    pairs = zip(seconds[over], seconds[under], strict=True)
    return statistics.median(a / b for a, b in pairs)


def print_peak(prepare: Callable[[], Run]) -> None:
    """Print, as JSON, the bytes that preparing and running an engine add to this process."""
    # Not getrusage: its peak begins at the parent's and cannot be set back.
    Path("/proc/self/clear_refs").write_text("5")
    baseline = resident_peak()
    run = prepare()
    for _ in range(RUNS_IN_CHILD):
        run()
    print(json.dumps({"baseline": baseline, "above": resident_peak() - baseline}))


def measured_child(arguments: Sequence[str]) -> int:
    """Return the bytes that a fresh Python process, which calls `print_peak`, says it needed."""
    command = [sys.executable, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, cwd=ROOT)
    return int(json.loads(done.stdout)["above"])


def resident_peak() -> int:
    """The most bytes this process held in memory since its peak was last set back."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (line,) = [line for line in lines if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024
