"""A module of PyTorch and a model of Keras, from the object and from the file, to a report."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import leap_audit
from tests.builders.running import TINY

pytestmark = pytest.mark.xdist_group("tensorflow")  # one process imports it
CLASSES = ("red", "green", "blue")


def torch_module() -> Any:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Dropout(0.5),
        torch.nn.Linear(8, 3),
    )


def keras_model() -> Any:
    keras = pytest.importorskip("keras", reason="Keras is not installed")
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((24, 24, 3)),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )


@pytest.mark.parametrize("build", [torch_module, keras_model])
def test_an_object_in_one_call(build: Any, tmp_path: Path) -> None:
    result = leap_audit.audit(
        build(),
        CLASSES,
        out=tmp_path / "audit",
        preprocessing={"input_size": (24, 24), "range": (0, 1), "mean": 0, "std": 1},
        targets="green",
        seeds=1,
        **TINY,
    )
    record = result.audit
    assert record.classes == CLASSES
    assert "written as ONNX by" in record.model.converted
    assert len(record.prototypes) == 1
    assert record.prototypes[0].isolations
    assert (result.folder / "report.pdf").stat().st_size > 10_000
    assert "written as ONNX by" in (result.folder / "report.html").read_text()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's
@pytest.mark.parametrize("kind", ["pt2", "keras"])
def test_a_file_with_one_command(kind: str, tmp_path: Path, monkeypatch: Any) -> None:
    """As a user calls it: in a process of its own, the file opened in a child of that."""
    monkeypatch.setenv("LEAP_AUDIT_CONTAINED", "1")
    path = tmp_path / f"model.{kind}"
    if kind == "pt2":
        torch = pytest.importorskip("torch", reason="PyTorch is not installed")
        program = torch.export.export(torch_module().eval(), (torch.rand(1, 3, 24, 24),))
        torch.export.save(program, path)
    else:
        keras_model().save(path)
    (tmp_path / "classes.txt").write_text("\n".join(CLASSES))
    command = f"{path} --classes {tmp_path / 'classes.txt'} --steps 2 --seeds 1 --targets blue"
    words = [*command.split(), "--out", str(tmp_path / "audit"), "--threads", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "leap_audit", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "audit" / "report.html")
    assert "written as ONNX by" in done.stderr
    assert (tmp_path / "audit" / "report.pdf").is_file()
