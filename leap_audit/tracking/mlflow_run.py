"""A run of MLflow."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from leap_audit.tracking.tracker import Keys, Tracker, missing, named_pictures, plain, refused

__all__ = ["mlflow_run"]

MLFLOW_METRICS, MLFLOW_PARAMS, MLFLOW_TEXT = 1000, 100, 6000
"""Most of them in one call, and most characters of a parameter."""


class _Mlflow:
    def __init__(self, mlflow: Any, client: Any, run_id: str) -> None:
        self._mlflow, self._client, self._run_id = mlflow, client, run_id
        self._targets, self._classes = Keys(), Keys()

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
        pictures = named_pictures(table, folder)
        self._client.log_table(self._run_id, plain(table), "results.json")
        for name, path in pictures.items():  # where the table says that they are
            parent = str(PurePosixPath(name).parent)
            self._client.log_artifact(self._run_id, str(path), None if parent == "." else parent)

    def folder(self, folder: Path, name: str) -> None:
        try:
            self._client.log_artifacts(self._run_id, str(folder), name)
        except Exception as error:  # MLflow's, or that of the store of the artifacts
            raise refused("MLflow", error, None) from None


@contextmanager
def mlflow_run(
    project: str, options: dict[str, Any], uri: str, folder: Path, existing: str | None = None
) -> Iterator[Tracker]:
    """Yield what logs to a new run of `project`, or to the run with the id `existing`.

    An existing run is left as it stands: its parameters and its status stay. Raises as `tracking`
    does.
    """
    try:
        import mlflow
    except ImportError:
        raise missing("mlflow") from None
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///").partition("?")[0]).parent.mkdir(
            parents=True, exist_ok=True
        )
    try:
        client = mlflow.MlflowClient(tracking_uri=uri)
        if existing is not None:
            run_id = str(client.get_run(existing).info.run_id)
        else:
            run_id = client.create_run(_experiment(client, project, uri, folder)).info.run_id
            _log_params(mlflow, client, run_id, options)
    except Exception as error:  # MLflow's, or that of the store behind the address
        raise refused("MLflow", error, uri) from None
    if existing is not None:
        yield _Mlflow(mlflow, client, run_id)
        return
    status = "FAILED"
    try:
        yield _Mlflow(mlflow, client, run_id)
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        client.set_terminated(run_id, status)


def _log_params(mlflow: Any, client: Any, run_id: str, options: dict[str, Any]) -> None:
    keys = Keys()
    params = [
        mlflow.entities.Param(keys.of(name), str(value)[:MLFLOW_TEXT])
        for name, value in options.items()
    ]
    for start in range(0, len(params), MLFLOW_PARAMS):
        client.log_batch(run_id, params=params[start : start + MLFLOW_PARAMS])


def _experiment(client: Any, project: str, uri: str, folder: Path) -> str:
    """The experiment called like the project; a local store keeps its artifacts in the folder."""
    found = client.get_experiment_by_name(project)
    if found is not None:
        return str(found.experiment_id)
    served = uri.startswith(("http://", "https://", "databricks"))
    place = None if served else (folder / "mlartifacts").resolve().as_uri()
    return str(client.create_experiment(project, artifact_location=place))
