"""A kernel without Landlock: data is opened, programs only where they are trusted."""

import ctypes
import json
import os
import platform
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from leap_audit.walls.seccomp import ALLOW, EQUAL, FAIL, LOAD, RETURN
from leap_audit.walls.seccomp import _Filter as Filter
from leap_audit.walls.seccomp import _Program as Program
from tests.builders.commands import Said, run_commands

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"),
    reason="takes Landlock away by a filter of system calls",
)
SAMPLES = Path(__file__).parents[2] / "sample_models"
NO_SUCH_CALL = FAIL | 38


def without_landlock() -> None:
    """Let this process and what it starts find a kernel that has no Landlock."""
    rules = [(LOAD, 0, 0, 0)]
    for number in (444, 445, 446):
        rules += [(EQUAL, 0, 1, number), (RETURN, 0, 0, NO_SUCH_CALL)]
    rules.append((RETURN, 0, 0, ALLOW))
    filters = (Filter * len(rules))(*[Filter(*rule) for rule in rules])
    program = Program(len(rules), ctypes.cast(filters, ctypes.POINTER(Filter)))
    library = ctypes.CDLL(None)
    library.prctl(38, 1, 0, 0, 0)
    if library.prctl(22, 2, ctypes.byref(program), 0, 0) != 0:
        os._exit(99)


def run(folder: Path, *commands: Sequence[str]) -> list[Said]:
    passed: dict[str, Any] = {k: v for k, v in os.environ.items() if not k.startswith("LEAP_")}
    passed |= {"PYTHONPATH": os.pathsep.join(sys.path), "NO_COLOR": "1"}
    return run_commands(*commands, env=passed, cwd=folder, before=without_landlock)


def test_the_doctor_says_what_is_missing(tmp_path: Path) -> None:
    listed, told = run(tmp_path, ["doctor", "--json"], ["doctor"])
    found = json.loads(listed.stdout)
    assert "no Landlock" in found["walls"]["files"]
    assert found["walls"]["network, programs and other processes"] == ""
    said = told.stdout
    assert "missing: the kernel offers no Landlock" in said
    assert "are opened only with --trust-model" in said


def test_data_is_opened_and_programs_are_not(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.pt", "w") as archive:
        archive.writestr("m/code/__torch__.py", "class M(Module):\n  training : bool\n")
        archive.writestr("m/data.pkl", b"\x80\x02}.")
    data, refused, trusted = run(
        tmp_path,
        ["export", str(SAMPLES / "digits_clean.onnx"), "--out", "a.onnx"],
        ["export", "m.pt"],
        ["export", "m.pt", "--trust-model"],
    )
    assert data.returncode == 0, data.stderr
    assert refused.returncode == 3
    assert "m.pt: is TorchScript, which is a program" in refused.stderr
    assert "--trust-model" in refused.stderr
    assert trusted.returncode == 3
    assert "which is a program" not in trusted.stderr
    assert "itself failed" not in trusted.stderr
