"""What is found on the way, and in the end, as runs of Weights & Biases or of MLflow."""

import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import pandas as pd

from leap_audit.errors import LeapAuditError, PictureRefused, RuntimeMissing
from leap_audit.findings.names import shortened

__all__ = ["Tracker", "Tracking", "tracking"]

PICTURES = ("prototype", "isolation", "mask")
"""Columns of the results that name pictures."""
NOT_LOGGED = re.compile(r"(api_?key|token|password|secret|tracking_uri)$", re.IGNORECASE)
"""Options that hold secrets, or addresses that may."""
MLFLOW_METRICS, MLFLOW_PARAMS, MLFLOW_TEXT = 1000, 100, 6000
"""Most of them in one call, and most characters of a parameter."""


class Tracker(Protocol):
    """One place that is logged to."""

    def stage(
        self, target: str, step: int, probabilities: Mapping[str, float], picture: Path | None
    ) -> None:
        """Log what the model makes of a target's picture at a step."""

    def results(self, table: pd.DataFrame, folder: Path) -> None:
        """Log the results, and the pictures that they name, which lie in `folder`.

        Raises PictureRefused: one of them is missing.
        """


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


@contextmanager
def tracking(
    project: str,
    *,
    options: Mapping[str, Any],
    wandb_api_key: str | None = None,
    wandb_entity: str | None = None,
    mlflow_tracking_uri: str | None = None,
    folder: Path,
) -> Iterator[Tracking]:
    """Yield what logs to a run of `project`, ended when the context is left, as failed by an error.

    A key or an entity turns Weights & Biases on; its own environment variables hold too
    (WANDB_MODE=offline needs no account, and neither a key that is right). A tracking URI turns
    MLflow on, 'sqlite:///mlflow.db' for a file and no server. With neither nothing is logged.
    `options` are logged with the run, without those that hold secrets. `folder`: for what the
    two write on this machine. The key is never written.

    Raises RuntimeMissing: the package is not installed. LeapAuditError: it refuses the run.
    """
    logged = {name: value for name, value in options.items() if not NOT_LOGGED.search(name)}
    with ExitStack() as stack:
        trackers: list[Tracker] = []
        if wandb_api_key is not None or wandb_entity is not None:
            run = _wandb_run(project, logged, wandb_api_key, wandb_entity, folder)
            trackers.append(stack.enter_context(run))
        if mlflow_tracking_uri is not None:
            trackers.append(
                stack.enter_context(_mlflow_run(project, logged, mlflow_tracking_uri, folder))
            )
        yield Tracking(trackers)


class _Keys:
    """Names of classes as both services take them in keys, each with a key of its own."""

    def __init__(self) -> None:
        self._key_of: dict[str, str] = {}

    def of(self, name: str) -> str:
        if name not in self._key_of:
            plain = re.sub(r"[^\w .-]", "_", shortened(name)).strip(" .") or "_"
            key, number = plain, 1
            while key in self._key_of.values():
                number += 1
                key = f"{plain} {number}"
            self._key_of[name] = key
        return self._key_of[name]


class _Wandb:
    def __init__(self, wandb: Any, run: Any) -> None:
        self._wandb, self._run = wandb, run
        self._targets, self._classes = _Keys(), _Keys()
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
            name: self._wandb.Image(str(path)) for name, path in _pictures(table, folder).items()
        }
        rows = [
            [
                pictures[value] if column in PICTURES and value is not None else value
                for column, value in zip(table.columns, row, strict=True)
            ]
            for row in _plain(table).itertuples(index=False)
        ]
        columns = [str(column) for column in table.columns]
        shown = self._wandb.Table(columns=columns, data=_one_kind(rows))
        self._run.log({"results": shown})


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
def _wandb_run(
    project: str, options: dict[str, Any], key: str | None, entity: str | None, folder: Path
) -> Iterator[Tracker]:
    try:
        import wandb
    except ImportError:
        raise _missing("wandb") from None
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
        raise _refused("Weights & Biases", error, key) from None
    code = 1
    try:
        yield _Wandb(wandb, run)
        code = 0
    finally:
        run.finish(exit_code=code)


class _Mlflow:
    def __init__(self, mlflow: Any, client: Any, run_id: str) -> None:
        self._mlflow, self._client, self._run_id = mlflow, client, run_id
        self._targets, self._classes = _Keys(), _Keys()

    def stage(
        self, target: str, step: int, probabilities: Mapping[str, float], picture: Path | None
    ) -> None:
        name, now = self._targets.of(target), int(time.time() * 1000)
        metrics = [
            self._mlflow.entities.Metric(
                f"{name}/probability/{self._classes.of(class_)}", float(probability), now, step
            )
            for class_, probability in probabilities.items()
        ]
        for start in range(0, len(metrics), MLFLOW_METRICS):
            several = metrics[start : start + MLFLOW_METRICS]
            self._client.log_batch(self._run_id, metrics=several)
        if picture is not None:
            place = f"stages/{name}/{step:06d}"
            self._client.log_artifact(self._run_id, str(picture), place)

    def results(self, table: pd.DataFrame, folder: Path) -> None:
        pictures = _pictures(table, folder)
        self._client.log_table(self._run_id, _plain(table), "results.json")
        for name, path in pictures.items():  # where the table says that they are
            parent = str(PurePosixPath(name).parent)
            self._client.log_artifact(self._run_id, str(path), None if parent == "." else parent)


@contextmanager
def _mlflow_run(project: str, options: dict[str, Any], uri: str, folder: Path) -> Iterator[Tracker]:
    try:
        import mlflow
    except ImportError:
        raise _missing("mlflow") from None
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///").partition("?")[0]).parent.mkdir(
            parents=True, exist_ok=True
        )
    try:
        client = mlflow.MlflowClient(tracking_uri=uri)
        run_id = client.create_run(_experiment(client, project, uri, folder)).info.run_id
        keys = _Keys()
        params = [
            mlflow.entities.Param(keys.of(name), str(value)[:MLFLOW_TEXT])
            for name, value in options.items()
        ]
        for start in range(0, len(params), MLFLOW_PARAMS):
            client.log_batch(run_id, params=params[start : start + MLFLOW_PARAMS])
    except Exception as error:  # MLflow's, or that of the store behind the address
        raise _refused("MLflow", error, uri) from None
    status = "FAILED"
    try:
        yield _Mlflow(mlflow, client, run_id)
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        client.set_terminated(run_id, status)


def _experiment(client: Any, project: str, uri: str, folder: Path) -> str:
    """The experiment called like the project; a local store keeps its artifacts in the folder."""
    found = client.get_experiment_by_name(project)
    if found is not None:
        return str(found.experiment_id)
    served = uri.startswith(("http://", "https://", "databricks"))
    place = None if served else (folder / "mlartifacts").resolve().as_uri()
    return str(client.create_experiment(project, artifact_location=place))


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """The table with None for every missing value."""
    return table.astype(object).where(table.notna(), None)


def _pictures(table: pd.DataFrame, folder: Path) -> dict[str, Path]:
    """Name -> file of every picture that the table names, each once."""
    columns = [column for column in PICTURES if column in table]
    names = dict.fromkeys(str(name) for column in columns for name in table[column].dropna())
    paths = {name: folder / name for name in names}
    for name, path in paths.items():
        if not path.is_file():
            raise PictureRefused(
                f"{path}: the results name this picture, but it is not there; log them before "
                f"{shortened(name)} is moved."
            )
    return paths


def _missing(package: str) -> RuntimeMissing:
    return RuntimeMissing(f"{package} is not installed: pip install 'leap-audit[tracking]'.")


def _refused(service: str, error: Exception, secret: str | None) -> LeapAuditError:
    """What the service says, in a line and without what must not be shown."""
    text = str(error).replace(secret, "…") if secret else str(error)
    lines = text.strip().splitlines() or [type(error).__name__]
    return LeapAuditError(
        f"{service} refuses the run ({lines[0][:200].rstrip('.')}); check its options, or leave "
        "them out to run without it."
    )
