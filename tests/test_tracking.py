"""Runs of Weights & Biases and of MLflow: read back from what they really wrote."""

import json
import shutil
import struct
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from leap_audit.errors import LeapAuditError, PictureRefused, RuntimeMissing
from leap_audit.ingest.pictures.images import write_picture
from leap_audit.report.table import COLUMNS
from leap_audit.tracking import tracking

KEY = "0123456789abcdef0123456789abcdef01234567"
HOSTILE = "../<b>a/b*\u202e"
OPTIONS = {"lr": 0.05, "steps": [1, 2], "wandb_api_key": KEY, "leap_api_key": KEY, "seed": None}


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    """Results as the engine gives them, and the pictures that they name."""
    (tmp_path / "out" / "images").mkdir(parents=True)
    for name in ("prototype.png", "region.png", "mask.png"):
        write_picture(tmp_path / "out" / "images" / name, np.full((3, 8, 8), 0.5))
    target = {"project": "p", "target_class": HOSTILE, "target_index": 1}
    picture = {"prototype": "images/prototype.png"}
    rows = [
        {**target, **picture, "kind": "prototype", "probs": 0.9, "step": 100},
        {**target, **picture, "kind": "entanglement", "output_class": "b", "entanglement": -0.25},
        {
            **target,
            **picture,
            "kind": "isolation",
            "isolation": "images/region.png",
            "mask": "images/mask.png",
        },
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)


def log(folder: Path, table: pd.DataFrame, **how: Any) -> None:
    """A run of two targets, each of which counts its own steps."""
    picture = folder / "out" / "images" / "prototype.png"
    with tracking("a project", options=OPTIONS, folder=folder / "leap_files", **how) as run:
        for target in (HOSTILE, "__b_a_b__U_202E_"):
            run.stage(target, 100, {"cat": 0.25, "cat/": 0.5}, None)
            run.stage(target, 200, {"cat": 0.75, "cat/": 0.125}, picture)
        run.results(table, folder / "out")


def test_nothing_configured_writes_nothing(tmp_path: Path, table: pd.DataFrame) -> None:
    before = sorted(tmp_path.rglob("*"))
    log(tmp_path, table)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("package", "how"),
    [("wandb", {"wandb_entity": "me"}), ("mlflow", {"mlflow_tracking_uri": "sqlite:///x.db"})],
)
def test_a_package_that_is_not_there(
    package: str, how: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with (
        pytest.raises(RuntimeMissing, match=rf"{package} is not .*leap-audit\[tracking\]"),
        tracking("p", options={}, folder=tmp_path, **how),
    ):
        pass


@pytest.fixture
def store(
    mlflow: Any, mlflow_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "leap_files").mkdir()
    shutil.copy(mlflow_database, tmp_path / "leap_files" / "mlflow.db")
    return f"sqlite:///{tmp_path / 'leap_files' / 'mlflow.db'}"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_a_run_of_mlflow(mlflow: Any, store: str, tmp_path: Path, table: pd.DataFrame) -> None:
    log(tmp_path, table, mlflow_tracking_uri=store)
    with (
        pytest.raises(KeyError),
        tracking("a project", options={}, folder=tmp_path, mlflow_tracking_uri=store),
    ):
        raise KeyError
    client = mlflow.MlflowClient(tracking_uri=store)
    experiment = client.get_experiment_by_name("a project")
    failed, finished = client.search_runs([experiment.experiment_id])
    assert (failed.info.status, finished.info.status) == ("FAILED", "FINISHED")
    assert finished.data.params == {"lr": "0.05", "steps": "[1, 2]", "seed": "None"}
    first, second = "__b_a_b__U_202E_", "__b_a_b__U_202E_ 2"
    wanted = sorted(f"{t}/probability/{c}" for t in (first, second) for c in ("cat", "cat_"))
    assert sorted(finished.data.metrics) == wanted
    for key in finished.data.metrics:
        history = client.get_metric_history(finished.info.run_id, key)
        values = [(each.step, each.value) for each in history]
        assert values == (
            [(100, 0.5), (200, 0.125)] if key.endswith("_") else [(100, 0.25), (200, 0.75)]
        )
    kept = tmp_path / "leap_files" / "mlartifacts" / finished.info.run_id / "artifacts"
    assert {path.name for path in (kept / "images").iterdir()} == {
        "prototype.png",
        "region.png",
        "mask.png",
    }
    rows = json.loads((kept / "results.json").read_text())
    assert rows["columns"] == list(COLUMNS)
    assert [row[rows["columns"].index("kind")] for row in rows["data"]] == list(table["kind"])
    assert len(list((kept / "stages").rglob("000200/prototype.png"))) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"leap_files", "out"}
    assert_no_key(tmp_path)
    again = {"options": {"b": 1}, "folder": tmp_path, "mlflow_tracking_uri": store}
    with tracking("another", mlflow_run_id=finished.info.run_id, **again) as run:
        run.folder(tmp_path / "out", "leap-audit")
    assert (kept / "leap-audit" / "images" / "prototype.png").is_file()
    after = client.get_run(finished.info.run_id)
    assert (after.data.params, after.info.status) == (finished.data.params, "FINISHED")
    with (
        pytest.raises(LeapAuditError, match="MLflow refuses"),
        tracking("another", mlflow_run_id="none", **again),
    ):
        pass


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_store_that_mlflow_cannot_open(mlflow: Any, tmp_path: Path) -> None:
    with (
        pytest.raises(LeapAuditError, match="MLflow refuses the run") as caught,
        tracking("p", options={}, folder=tmp_path, mlflow_tracking_uri="nosuch://me:secret@host"),
    ):
        pass
    assert "secret" not in str(caught.value)


@pytest.fixture(scope="module")
def wandb() -> Iterator[Any]:
    """wandb, imported once: that takes long, and warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = pytest.importorskip("wandb", reason="wandb is not installed")
    yield module
    module.teardown()


@pytest.fixture
def offline(wandb: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "home" / "config"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "home" / "cache"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "home" / "data"))


def records(path: Path) -> Iterator[Any]:
    """Yield the records of a .wandb file: LevelDB's log format, behind a header of 7 bytes."""
    from wandb.proto import wandb_internal_pb2

    data, position, parts = path.read_bytes(), 7, b""
    while position + 7 <= len(data):
        left = 32768 - position % 32768
        if left < 7:  # a header never crosses a block
            position += left
            continue
        size, kind = struct.unpack_from("<HB", data, position + 4)
        position += 7
        parts += data[position : position + size]
        position += size
        if kind in (1, 4):  # whole, or the last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


def written_records(path: Path) -> list[Any]:
    """All records of a run, once its end is on disk: another process writes them."""
    for _ in range(600):
        every = list(records(path))
        if any(record.HasField("exit") for record in every):
            return every
        time.sleep(0.1)
    raise AssertionError(f"{path} has no end after a minute")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.usefixtures("offline")
def test_a_folder_in_a_run_of_wandb(tmp_path: Path, table: pd.DataFrame) -> None:
    with tracking("p", options={}, folder=tmp_path / "leap_files", wandb_entity="me") as run:
        run.folder(tmp_path / "out", "leap-audit")
    (written,) = (tmp_path / "leap_files" / "wandb").glob("offline-run-*/*.wandb")
    found = [each.artifact for each in written_records(written) if each.HasField("artifact")]
    assert [(each.name, each.type) for each in found] == [("leap-audit", "audit")]
    kept = {entry.path for entry in found[0].manifest.contents}
    assert kept == {f"images/{name}.png" for name in ("prototype", "region", "mask")}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.usefixtures("offline")
def test_a_run_of_wandb(
    tmp_path: Path, table: pd.DataFrame, capfd: pytest.CaptureFixture[str]
) -> None:
    log(tmp_path, table, wandb_api_key=KEY, wandb_entity="me")
    printed = capfd.readouterr()
    assert KEY not in printed.out + printed.err
    (run,) = (tmp_path / "leap_files" / "wandb").glob("offline-run-*")
    (file,) = run.glob("*.wandb")
    every = written_records(file)
    (about,) = [record.run for record in every if record.HasField("run")][:1]
    assert (about.project, about.entity) == ("a project", "me")
    config = {item.key: json.loads(item.value_json) for item in about.config.update}
    assert {key: config.get(key) for key in OPTIONS} == {
        **OPTIONS,
        "wandb_api_key": None,
        "leap_api_key": None,
    }
    points = [
        {"/".join(item.nested_key) or item.key: item.value_json for item in record.history.item}
        for record in every
        if record.HasField("history")
    ]
    steps = [float(v) for p in points for k, v in p.items() if k.endswith("/step")]
    assert steps == [100, 200, 100, 200]
    cats = [float(v) for p in points for k, v in p.items() if k.endswith("/probability/cat")]
    assert cats == [0.25, 0.75, 0.25, 0.75]
    pictures = [p for p in points if any("/picture/" in f"{k}/" for k in p)]
    assert len(pictures) == 2
    table_of = {k: json.loads(v) for p in points for k, v in p.items() if k.startswith("results")}
    shown = table_of.get("results") or {k.rpartition("/")[2]: v for k, v in table_of.items()}
    assert (shown["_type"], shown["nrows"]) == ("table-file", 3)
    media = run / "files" / "media"
    (written,) = media.rglob("*.table.json")
    data = json.loads(written.read_text())
    assert data["columns"] == list(COLUMNS)
    isolation = dict(zip(data["columns"], data["data"][2], strict=True))
    assert isolation["target_class"] == HOSTILE
    assert isolation["entanglement"] is None
    assert isolation["mask"] == "Image"  # the picture itself goes with the table's artifact
    artifacts = [record.artifact for record in every if record.HasField("artifact")]
    held = [entry.path for artifact in artifacts for entry in artifact.manifest.contents]
    assert sum(path.endswith(".png") for path in held) == 3
    assert list(media.rglob("*.png"))
    assert_no_key(tmp_path)


def assert_no_key(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.usefixtures("offline")
def test_a_key_that_cannot_be_one(tmp_path: Path) -> None:
    with (
        pytest.raises(LeapAuditError, match="Weights & Biases refuses the run") as caught,
        tracking("p", options={}, folder=tmp_path, wandb_api_key=f" {KEY} "),
    ):
        pass
    assert KEY not in str(caught.value)


def test_a_picture_that_is_missing(
    tmp_path: Path, table: pd.DataFrame, mlflow: Any, store: str
) -> None:
    (tmp_path / "out" / "images" / "mask.png").unlink()
    with (
        pytest.raises(PictureRefused, match=r"mask\.png: the results name this picture"),
        tracking("p", options={}, folder=tmp_path, mlflow_tracking_uri=store) as run,
    ):
        run.results(table, tmp_path / "out")
