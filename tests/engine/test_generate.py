"""`generate` as users of leap_ie call it: what may be given, what comes back, what is refused."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest

from leap_audit import engine
from leap_audit.engine.generate import warn_of_hybrids
from leap_audit.errors import (
    ClassesRefused,
    ConfigRefused,
    ModelRefused,
    PictureRefused,
    TargetRefused,
)
from leap_audit.models import get_model
from leap_audit.progress import Silent
from leap_audit.report.table import COLUMNS
from tests.builders.classifiers import Node, write_model
from tests.engine.conftest import CLASSES, SIDE, Run, planted

Start = Callable[..., Run]
FEW = {"max_steps": 4}


class Noted(Silent):
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)

    warn = note


def test_the_table_and_the_dict(run: Start) -> None:
    found = run({"isolation": True, "log_freq": 12}, target_classes=[1])
    frame = found.frame
    assert list(frame.columns) == list(COLUMNS)
    assert set(frame["kind"]) == {"prototype", "entanglement", "isolation"}
    assert set(frame["project"]) == {"test"}
    assert set(frame["target_class"]) == {"middle"}
    (prototype,) = found.rows("prototype").to_dict("records")
    assert prototype["output_class"] == "middle"
    assert prototype["target_index"] == prototype["output_index"] == 1
    assert prototype["prototype"] == "leap_files/test/0001/images/prototype-0001-0.png"
    others = found.rows("entanglement")
    assert sorted(others["output_class"]) == sorted(CLASSES)
    assert others["entanglement"].astype(float).between(-1, 1).all()
    assert others["probs"].astype(float).sum() == pytest.approx(1)
    (stages,) = found.stages.values()
    assert stages["step"] == [12, 24]
    np.testing.assert_allclose(np.asarray(stages["probs"]).sum(1), 1)
    assert stages["probs"][-1][1] == pytest.approx(prototype["probs"], abs=0.02)


def test_class_0_where_no_target_is_named(run: Start) -> None:
    assert list(run(FEW).rows("prototype")["target_index"]) == [0]


def test_several_of_a_class_and_hybrids(run: Start) -> None:
    found = run(target_classes=[0, 0, [0, 1]])
    rows = found.rows("prototype")
    assert list(rows["target_index"]) == [0, 0, "0+1"]
    assert list(rows["target_class"]) == ["corner", "corner", "corner+middle"]
    first, second, both = found.pictures()
    assert np.abs(first - second).max() > 0.01
    middle = np.s_[:, 7:10, 7:10]
    assert both[middle].mean() > first[middle].mean() + 0.1


def test_a_hybrid_that_the_model_does_not_see_is_warned_of() -> None:
    told: list[str] = []
    made = [
        SimpleNamespace(target=target, name="+".join(map(str, target)), prob=prob)
        for target, prob in (((0, 1), 0.26), ((0, 2), 0.5), ((1,), 0.1))
    ]
    warn_of_hybrids(SimpleNamespace(prototypes=made), SimpleNamespace(warn=told.append))
    assert len(told) == 1
    assert told[0].startswith("The hybrid 0+1 reached only 26\u00a0%")


def test_an_earlier_table_keeps_its_pictures(run: Start) -> None:
    first = run(FEW).frame["prototype"].iloc[0]
    before = Path(first).read_bytes()
    second = run({**FEW, "seed": 5}).frame["prototype"].iloc[0]
    assert first != second
    assert Path(first).read_bytes() == before


def test_samples_alone_are_isolated(run: Start) -> None:
    pictures = np.random.default_rng(0).random((2, 3, SIDE, SIDE), np.float32)
    found = run(FEW, samples=pictures)
    assert set(found.frame["kind"]) == {"isolation"}
    assert list(found.frame["sample"].value_counts()) == [3, 3]  # the three most probable each
    assert found.pictures("sample", "isolation").shape[1:] == (3, SIDE, SIDE)
    named = run(FEW, samples=pictures, target_classes=[2])
    assert list(named.frame["output_index"]) == [2, 2]
    probs = [each["probs"].shape for each in named.stages.values()]
    assert probs == [(3, 1), (3, 1)]


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("levels", [False, True])
def test_samples_of_any_kind_are_the_same_picture(run: Start, last: bool, levels: bool) -> None:
    picture = np.round(np.random.default_rng(1).random((1, 3, SIDE, SIDE)) * 255)
    given = picture.astype(np.uint8) if levels else (picture / 255).astype(np.float32)
    samples = np.moveaxis(given, 1, -1) if last else given
    found = run(FEW, samples=samples, mode="tf" if last else "pt")
    np.testing.assert_allclose(found.pictures("sample", "isolation")[0], picture[0] / 255)


def test_samples_in_the_networks_own_units(run: Start) -> None:
    noted = Noted()
    picture = np.random.default_rng(0).standard_normal((1, 3, SIDE, SIDE)).astype(np.float32)
    found = Run(
        *engine.generate(
            "own", str(run_network(run)), CLASSES, FEW, samples=picture, progress=noted
        )
    )
    shown = found.pictures("sample", "isolation")[0]
    assert shown.min() == 0
    assert shown.max() == 1
    assert any("as from black to white" in line for line in noted.said)
    scores = planted() @ picture.ravel() + [0, 0, 0, 2]
    want = np.exp(scores) / np.exp(scores).sum()
    got = dict(zip(found.frame["output_index"], found.frame["probs"], strict=True))
    for index, prob in got.items():
        assert prob == pytest.approx(want[index], abs=0.01)
    logits = dict(zip(found.frame["output_index"], found.frame["logits"], strict=True))
    assert all(logit == pytest.approx(scores[k], abs=0.01) for k, logit in logits.items())


def run_network(run: Start) -> Path:
    path = Path("own.onnx")
    nodes: list[Node] = [("Flatten", ["x"], "f"), ("Gemm", ["f", "w", "b"], "y", {"transB": 1})]
    weights = {"w": planted(), "b": np.array([0.0, 0.0, 0.0, 2.0])}
    shape, outputs = ("n", 3, SIDE, SIDE), [("y", ("n", 4))]
    return write_model(path, nodes, weights, shape=shape, outputs=outputs)


def test_a_model_proto_and_a_path_are_the_same(run: Start, network: Path) -> None:
    by_path = run(FEW).pictures()
    by_proto = run(FEW, model=onnx.load(network)).pictures()
    np.testing.assert_array_equal(by_path, by_proto)


def test_a_softmax_at_the_end_is_taken_off_and_said(run: Start, network: Path) -> None:
    proto = onnx.load(network)
    proto.graph.node.append(onnx.helper.make_node("Softmax", ["y"], ["p"]))
    proto.graph.output[0].name = "p"
    noted = Noted()
    logits = run(FEW).logits()
    frame, _ = engine.generate(
        "soft", proto, CLASSES, {**FEW, "transform": None, "isolation": False}, progress=noted
    )
    assert float(frame["logits"].iloc[0]) == pytest.approx(logits[0], rel=1e-4)
    assert any("Softmax taken off" in line for line in noted.said)


def test_a_module_behind_its_preprocessing(run: Start) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * SIDE * SIDE, 4))
    with torch.no_grad():
        module[1].weight.copy_(torch.tensor(planted(), dtype=torch.float32))
        module[1].bias.zero_()
    seen: list[Any] = []

    def centred(x: Any) -> Any:
        seen.append(x.shape)
        return (x - 0.5) / 0.5

    config = {"input_dim": [3, SIDE, SIDE], "max_steps": 16}
    found = run(config, model=module, preprocessing=[lambda x: x, centred])
    assert seen
    assert module.training
    picture = torch.tensor(found.pictures(), dtype=torch.float32)
    want = module.eval()(centred(picture))[0, 0].item()
    assert found.logits()[0] == pytest.approx(want, abs=1e-3)
    assert (Path(found.folder) / "model.onnx").is_file()


def test_functions_before_an_onnx_file(run: Start, network: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    still = {**FEW, "baseline_init": 0.5, "objective_weight": 0.0}
    plain = run(still, preprocessing=lambda x: x)
    turned = run(still, preprocessing=[lambda x: x, lambda x: 2 * x])
    assert turned.logits()[0] == pytest.approx(2 * plain.logits()[0], rel=0.01)


def test_models_by_name_bring_their_preprocessing(run: Start, sample_models: Path) -> None:
    preprocessing, model, names = get_model(f"onnx:{sample_models / 'digits_clean.onnx'}")
    sample = preprocessing[0](np.random.default_rng(0).random((1, 1, 40, 40), np.float32))
    found = run(FEW, model=model, names=names, preprocessing=preprocessing, samples=sample)
    assert len(found.frame) == 3
    assert found.pictures("sample", "isolation").shape[2:] == (28, 28)


def test_the_options_from_a_file(run: Start, network: Path) -> None:
    Path("options.json").write_text(json.dumps({**FEW, "isolation": False}))
    frame, stages = engine.generate("f", network, CLASSES, "options.json", progress=Silent())
    assert list(frame[frame["kind"] == "prototype"]["step"]) == [4]
    assert next(iter(stages.values()))["step"] == [4]


def test_the_key_is_not_needed_and_said_once(run: Start, network: Path) -> None:
    noted = Noted()
    engine.generate("k", network, CLASSES, {**FEW, "leap_api_key": "KEY"}, progress=noted)
    assert sum("leap_api_key" in line for line in noted.said) == 1
    assert not any("KEY" in line for line in noted.said)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_results_are_logged_to_mlflow(run: Start, mlflow: Any, mlflow_database: Path) -> None:
    shutil.copy(mlflow_database, "mlflow.db")
    uri = f"sqlite:///{Path.cwd()}/mlflow.db"
    run({**FEW, "mlflow_tracking_uri": uri}, project="tracked")
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("tracked")
    (logged,) = client.search_runs([experiment.experiment_id])
    assert logged.data.params["max_steps"] == "4"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.xdist_group("wandb")  # one process imports it
def test_results_are_logged_to_weights_and_biases(
    run: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    config = {**FEW, "wandb_api_key": "x" * 40, "wandb_entity": "somebody"}
    run(config, project="tracked")
    (written,) = Path("leap_files").rglob("*.wandb")
    # wandb's own process may still be writing when the run is finished.
    until = time.monotonic() + 60
    while written.stat().st_size < 1000 and time.monotonic() < until:
        time.sleep(0.1)
    assert written.stat().st_size > 1000
    assert b"x" * 40 not in written.read_bytes()


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"config": {"max_step": 3}}, ConfigRefused, "max_steps"),
        ({"config": {"lr": -1}}, ConfigRefused, "lr"),
        ({"config": {"transform": "xxl"}}, ConfigRefused, "transform"),
        ({"config": {"input_dim": [3, 16]}}, ConfigRefused, "input_dim"),
        ({"config": {"isolation": True, "isolate_classes": [[1], [2]]}}, ConfigRefused, "target"),
        ({"config": {"isolation": True, "isolate_classes": [9]}}, TargetRefused, "no class 9"),
        ({"target_classes": [4]}, TargetRefused, "no class 4"),
        ({"target_classes": [[]]}, TargetRefused, "hybrid"),
        ({"names": ["a", "b"]}, ClassesRefused, "4"),
        ({"samples": np.zeros((2, 5))}, PictureRefused, "batch of pictures"),
        ({"samples": np.zeros((1, 5, 16, 16))}, PictureRefused, "channels"),
        ({"samples": np.zeros((1, 3, 8, 8))}, PictureRefused, "resize"),
        ({"samples": np.full((1, 3, 16, 16), np.nan)}, PictureRefused, "NaN"),
        ({"preprocessing": 3}, ConfigRefused, "cannot be called"),
        ({"model": object()}, ModelRefused, "ONNX"),
        ({"mode": "jax"}, ConfigRefused, "jax"),
        ({"project": ".."}, ConfigRefused, "folder"),
    ],
)
def test_refusals_say_what_is_wrong(
    run: Start, given: dict[str, Any], error: type[Exception], said: str
) -> None:
    config = {**FEW, **given.pop("config", {})}
    with pytest.raises(error, match=said):
        run(config, **given)
    assert not Path("leap_files").exists()


def test_a_hostile_project_name_stays_in_its_folder(run: Start) -> None:
    found = run(FEW, project="../a b/<c>")
    assert Path(found.folder).resolve().is_relative_to(Path("leap_files").resolve())


def test_a_vector_without_classes_is_refused(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    nodes: list[Node] = [
        ("Conv", ["x", "k"], "c"),
        ("Relu", ["c"], "r"),
        ("GlobalAveragePool", ["r"], "g"),
        ("Flatten", ["g"], "y"),
    ]
    weights = {"k": np.random.default_rng(0).standard_normal((5, 3, 3, 3))}
    shape, outputs = ("n", 3, SIDE, SIDE), [("y", ("n", 5))]
    path = write_model(tmp_path / "m.onnx", nodes, weights, shape=shape, outputs=outputs)
    with pytest.raises(ModelRefused, match="embedding of 5 features"):
        engine.generate("own", str(path), None, FEW, target_classes=[0], progress=Silent())
