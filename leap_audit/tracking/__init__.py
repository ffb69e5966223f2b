"""What is found on the way, and in the end, as runs of Weights & Biases or of MLflow."""

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from leap_audit.tracking.mlflow_run import mlflow_run
from leap_audit.tracking.tracker import Tracker
from leap_audit.tracking.wandb_run import wandb_run

__all__ = ["Tracker", "Tracking", "tracking"]

NOT_LOGGED = re.compile(r"(api_?key|token|password|secret|tracking_uri)$", re.IGNORECASE)
"""Options that hold secrets, or addresses that may."""


class Tracking:
    """All places that are logged to: none, one or several."""

    def __init__(self, trackers: list[Tracker]) -> None:
        self._trackers = trackers

    def stage(
        self, target: str, step: int, probabilities: Mapping[str, float], picture: Path | None
    ) -> None:
        for tracker in self._trackers:
            tracker.stage(target, step, probabilities, picture)

    def results(self, table: pd.DataFrame, folder: Path) -> None:
        for tracker in self._trackers:
            tracker.results(table, folder)

    def folder(self, folder: Path, name: str) -> None:
        for tracker in self._trackers:
            tracker.folder(folder, name)


@contextmanager
def tracking(
    project: str,
    *,
    options: Mapping[str, Any],
    wandb_api_key: str | None = None,
    wandb_entity: str | None = None,
    mlflow_tracking_uri: str | None = None,
    mlflow_run_id: str | None = None,
    folder: Path,
) -> Iterator[Tracking]:
    """Yield what logs to a run of `project`, ended when the context is left, as failed by an error.

    A key or an entity turns Weights & Biases on; its own environment variables hold too
    (WANDB_MODE=offline needs no account, and neither a key that is right). A tracking URI turns
    MLflow on, 'sqlite:///mlflow.db' for a file and no server. With neither nothing is logged.
    An `mlflow_run_id` names the run that is logged to, which is then left as it stands.
    `options` are logged with the run, without those that hold secrets. `folder`: for what the
    two write on this machine. The key is never written.

    Raises RuntimeMissing: the package is not installed. LeapAuditError: it refuses the run.
    """
    logged = {name: value for name, value in options.items() if not NOT_LOGGED.search(name)}
    with ExitStack() as stack:
        trackers: list[Tracker] = []
        if wandb_api_key is not None or wandb_entity is not None:
            run = wandb_run(project, logged, wandb_api_key, wandb_entity, folder)
            trackers.append(stack.enter_context(run))
        if mlflow_tracking_uri is not None:
            served = mlflow_run(project, logged, mlflow_tracking_uri, folder, mlflow_run_id)
            trackers.append(stack.enter_context(served))
        yield Tracking(trackers)
