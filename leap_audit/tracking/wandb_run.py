"""A run of Weights & Biases."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from leap_audit.tracking.tracker import (
    PICTURES,
    Keys,
    Tracker,
    missing,
    named_pictures,
    plain,
    refused,
)

__all__ = ["wandb_run"]


class _Wandb:
    def __init__(self, wandb: Any, run: Any) -> None:
        self._wandb, self._run = wandb, run
        self._targets, self._classes = Keys(), Keys()
        self._defined: set[str] = set()

    def stage(
        self, target: str, step: int, probabilities: Mapping[str, float], picture: Path | None
    ) -> None:
        name = self._targets.of(target)
        if name not in self._defined:  # each target counts its own steps; the run's only rise
            self._defined.add(name)
            self._run.define_metric(f"{name}/*", step_metric=f"{name}/step")
        point: dict[str, Any] = {f"{name}/step": step}
        for class_, probability in probabilities.items():
            point[f"{name}/probability/{self._classes.of(class_)}"] = probability
        if picture is not None:
            point[f"{name}/picture"] = self._wandb.Image(str(picture))
        self._run.log(point)

    def results(self, table: pd.DataFrame, folder: Path) -> None:
        pictures = {
            name: self._wandb.Image(str(path))
            for name, path in named_pictures(table, folder).items()
        }
        rows = [
            [
                pictures[value] if column in PICTURES and value is not None else value
                for column, value in zip(table.columns, row, strict=True)
            ]
            for row in plain(table).itertuples(index=False)
        ]
        columns = [str(column) for column in table.columns]
        shown = self._wandb.Table(columns=columns, data=_one_kind(rows))
        self._run.log({"results": shown})

    def folder(self, folder: Path, name: str) -> None:
        artifact = self._wandb.Artifact(name, type="audit")
        artifact.add_dir(str(folder))
        self._run.log_artifact(artifact)


def _one_kind(rows: list[list[Any]]) -> list[list[Any]]:
    """Return rows whose columns wandb takes: numbers become text where a column has text too.

    A column of a table that may hold anything is not shown as pictures.
    """
    mixed = {i for row in rows for i, value in enumerate(row) if isinstance(value, str)}
    return [
        [
            str(value) if i in mixed and isinstance(value, int | float) else value
            for i, value in enumerate(row)
        ]
        for row in rows
    ]


@contextmanager
def wandb_run(
    project: str, options: dict[str, Any], key: str | None, entity: str | None, folder: Path
) -> Iterator[Tracker]:
    """Yield what logs to a new run of `project`. Raises as `tracking` does."""
    try:
        import wandb
    except ImportError:
        raise missing("wandb") from None
    folder.mkdir(parents=True, exist_ok=True)
    # In the settings the key counts for this run alone; wandb.login would write it to a file.
    settings: dict[str, Any] = {"silent": True, "console": "off"}
    if key is not None:
        settings["api_key"] = key
    try:
        run = wandb.init(
            project=project,
            entity=entity,
            dir=str(folder),
            config=json.loads(json.dumps(options, default=str)),
            settings=wandb.Settings(**settings),
        )
    except Exception as error:  # also pydantic's, of a key that cannot be one
        raise refused("Weights & Biases", error, key) from None
    code = 1
    try:
        yield _Wandb(wandb, run)
        code = 0
    finally:
        run.finish(exit_code=code)
