"""What several tests need: the bundled sample models, and the folder of real networks."""

import functools
import gc
import importlib
import os
import sys
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leap_audit.run.options import session_options

ROOT = Path(__file__).resolve().parents[1]

# A file is opened in a process of its own, which takes a second each time: here only where a test
# is about that. Tests that start the command inherit it.
os.environ.setdefault("LEAP_AUDIT_CONTAINED", "0")
# Several processes share the cores, and the networks are tiny: threads would only wait for one
# another, which costs a quarter more.
for _variable in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(_variable, "1")


COSTLY = {
    "finished": "finished",
    "keras": "tensorflow",
    "mlflow": "mlflow",
    "original": "original",
    "wandb": "wandb",
}
"""Fixtures that take long to make, with the group of their tests: those of a group run in one of
the processes, which makes the fixture once."""


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in this hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        group = None if item.get_closest_marker("xdist_group") else _group(item)
        if group is not None:
            item.add_marker(pytest.mark.xdist_group(group))


def _group(item: pytest.Item) -> str | None:
    """Return what keeps a test beside those it shares a fixture with: every process makes its own.

    None for a test that shares none.
    """
    asked = getattr(item, "fixturenames", ())
    for name, group in COSTLY.items():
        if name in asked:
            return group
    made = item._fixtureinfo.name2fixturedefs if isinstance(item, pytest.Function) else {}
    if any(each.scope == "module" for name in asked for each in made.get(name, ())[-1:]):
        return str(item.path.relative_to(ROOT))
    return None


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fail where pytest-xdist passes over the groups: every process would make what is costly.

    And leave what is imported by now out of the search for garbage, which takes a tenth of the time
    otherwise: the libraries hold millions of objects.
    """
    if getattr(session.config.option, "loadgroup", False):
        lost = [
            i for i in session.items if i.get_closest_marker("xdist_group") and "@" not in i.nodeid
        ]
        assert not lost, f"{lost[0].nodeid}: its group is not seen by pytest-xdist"
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def shared_folder() -> Path:
    """Return where real networks and pictures are if there are any: beside the checkout."""
    return Path(os.environ.get("LEAP_AUDIT_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real networks and pictures that stands beside the checkout."""
    folder = shared_folder()
    if not (folder / "models").is_dir():
        pytest.skip(f"{folder} is absent (LEAP_AUDIT_SHARED names another place)")
    return folder


@pytest.fixture(autouse=True)
def _same_draws(request: pytest.FixtureRequest) -> None:
    """Let a test draw the same numbers from its module's RNG, whichever tests ran before it."""
    if (rng := getattr(request.module, "RNG", None)) is not None:
        rng.bit_generator.state = np.random.default_rng(0).bit_generator.state


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read files in the process of the tests, which has everything imported.

    Programs are opened in it as if the walls stood around it: the tests made them. Tests of the
    child process take the variable away again.
    """
    monkeypatch.setenv("LEAP_AUDIT_CONTAINED", "0")
    monkeypatch.setattr("leap_audit.walls.confinement._missing", {})


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Let a graph of ONNX Runtime run in one thread where none are asked for.

    A second one would look for work all the time, and take it from the other process.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "leap_audit.run.session.session_options",
            lambda threads=0, **more: session_options(threads or 1, **more),
        )
        yield


@pytest.fixture(autouse=True)
def _translations_gathered_once() -> None:
    """Let PyTorch gather its translations into ONNX once: that takes half of a small export."""
    exporter = sys.modules.get("torch.onnx._internal.exporter._registration")
    registry = getattr(exporter, "ONNXRegistry", None)
    gather = getattr(registry, "from_torchlib", None)
    if gather is not None and not hasattr(gather, "cache_info"):
        registry.from_torchlib = staticmethod(functools.cache(gather))


@pytest.fixture
def without_pdf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the HTML, of which the PDF is a print that takes seconds."""
    monkeypatch.setattr("leap_audit.report.render_pdf", lambda *_: b"%PDF-")


@pytest.fixture(scope="session")
def sample_models() -> Path:
    """Return the folder of the bundled models and their held-out pictures."""
    return ROOT / "sample_models"


@pytest.fixture(scope="session")
def torchvision() -> Any:
    """Return torchvision, which does not load beside the CPU build of torch without help."""
    if find_spec("torch") is None or find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    from benchmarks.networks import torchvision_operators

    torchvision_operators()
    return importlib.import_module("torchvision")


@pytest.fixture(scope="session")
def keras() -> Any:
    """Return Keras on TensorFlow, imported by the first test that needs it."""
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    pytest.importorskip("tf2onnx", reason="tf2onnx is not installed")
    found = pytest.importorskip("keras", reason="Keras is not installed")
    if found.backend.backend() != "tensorflow":
        pytest.skip("Keras runs on another backend")
    return found


@pytest.fixture(scope="session")
def mlflow() -> Any:
    """Return MLflow, imported once: that takes long, and warns."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("mlflow", reason="MLflow is not installed")


@pytest.fixture(scope="session")
def mlflow_database(mlflow: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an empty database of MLflow, to copy: making the tables takes seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path
