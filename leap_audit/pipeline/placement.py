"""What a worker takes of a node of a Ray cluster, and the variables that it runs with."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from leap_audit.run.providers import processors
from leap_audit.telemetry import SILENCE

__all__ = ["Footprint", "worker_environment"]

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables for the threads of NumPy's linear algebra, whose last bits may depend on them."""


@dataclass(frozen=True)
class Footprint:
    """What one worker takes of a node."""

    threads: int
    """0: all processors."""
    gpu: bool
    memory: int

    def room(self, resources: Mapping[str, float]) -> tuple[int, dict[str, float]]:
        """Return how many workers fit a node, and what Ray is to reserve for each."""
        cpus, gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
        memory = int(resources.get("memory", 0))
        each = self.threads or cpus
        count = cpus // each if each else 0
        if self.gpu:
            count = min(count, gpus)
        # Ray's figure is an estimate, as ours is: one worker is always tried.
        count = min(count, max(1, memory // self.memory))
        reserved = {"num_cpus": each, "num_gpus": int(self.gpu)}
        return count, {**reserved, "memory": min(self.memory, memory)}

    def __str__(self) -> str:
        each = f"{self.threads} processors" if self.threads > 1 else "a processor"
        return f"{each} and a GPU" if self.gpu else each


def worker_environment() -> dict[str, str]:
    """Return the variables of a worker: linear algebra takes as many threads as in this process."""
    found = {name: os.environ[name] for name in THREADS if name in os.environ}
    return {**SILENCE, THREADS[0]: str(processors()), **found}
