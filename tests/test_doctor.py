"""What the doctor says of machines that are well, and of those that lack something."""

import json
import sys
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from leap_audit.cli import app
from leap_audit.cli import checkup as doctor
from leap_audit.errors import RuntimeMissing
from leap_audit.installed import installed

WELL = {name: "1.0" for name in doctor.PACKAGES if name not in ("onnxruntime-gpu", "tensorflow")}


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["doctor", *words], env={"NO_COLOR": "1", "COLUMNS": "80"})


def test_this_machine_is_well() -> None:
    result = run("--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 0, result.output
    assert found["can_audit"] is True
    assert found["formats"]["ONNX"] == ""
    assert found["packages"]["leap-audit"] == installed(["leap-audit"])["leap-audit"]
    assert found["cores"] >= 1
    cpu = found["providers"][-1]
    assert (cpu["name"], cpu["works"]) == ("CPUExecutionProvider", True)
    assert "difference quotients" in cpu["said"]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what the packages and the execution providers of the machine are, to be changed."""
    cpu = doctor.ProviderState("CPUExecutionProvider", True, "right")
    state: dict[str, Any] = {"packages": dict(WELL), "providers": ((cpu,), [])}
    monkeypatch.setattr(doctor, "installed", lambda _: state["packages"])
    monkeypatch.setattr(doctor, "_providers", lambda: state["providers"])
    return state


def test_what_is_there_is_ready(machine: dict[str, Any]) -> None:
    result = run()
    assert result.exit_code == 0
    assert result.stdout.endswith("An ONNX file can be audited.\n")
    assert "pip install" not in result.stdout


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        ("torch", "PyTorch                  pip install 'leap-audit[torch]'"),
        ("timm", "networks of timm         pip install timm"),
        ("tf2onnx", "Keras and TensorFlow     pip install 'leap-audit[tensorflow]'"),
    ],
)
def test_what_is_missing_is_named(machine: dict[str, Any], missing: str, says: str) -> None:
    del machine["packages"][missing]
    result = run()
    assert result.exit_code == 0
    assert says in result.stdout
    assert f"{missing}" in result.stdout


def test_two_onnxruntimes_are_a_warning(machine: dict[str, Any]) -> None:
    machine["packages"]["onnxruntime-gpu"] = "1.0"
    assert "warning: onnxruntime and onnxruntime-gpu are both" in run().stdout


def test_without_onnxruntime_nothing_can_be_audited(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise RuntimeMissing("ONNX Runtime is not installed.")

    monkeypatch.setattr("leap_audit.run.providers.runtime", missing)
    result = run()
    assert result.exit_code == 3
    assert "warning: ONNX Runtime is not installed." in result.stdout
    assert result.stdout.endswith("An ONNX file cannot be audited.\n")


def test_without_the_libraries_of_the_page_nothing_can_be_audited(
    machine: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    result = run()
    assert result.exit_code == 3
    assert "warning: WeasyPrint does not load" in result.stdout


@pytest.mark.parametrize(
    ("answer", "works", "says"),
    [
        ([1.0, 2.0], True, "0.0e+00 apart"),
        ([1.0, 2.1], False, "apart from the CPU"),
        ([1.0, float("nan")], False, "nan apart"),
        (RuntimeError("no driver.\n"), False, "no driver."),
    ],
)
def test_a_provider_is_held_against_the_cpu(
    monkeypatch: pytest.MonkeyPatch, answer: Any, works: bool, says: str
) -> None:
    def answered(*_: Any) -> list[Any]:
        if isinstance(answer, Exception):
            raise answer
        return [np.array(answer)]

    monkeypatch.setattr(doctor, "_run", answered)
    state = doctor._state("CUDAExecutionProvider", None, {}, [np.array([1.0, 2.0])])
    assert state.works is works
    assert says in state.said
