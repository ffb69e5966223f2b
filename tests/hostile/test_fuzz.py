"""Some broken files, and whether fuzzing notices what it is for."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from leap_audit.errors import ModelRefused
from tests.builders.mutate import mutated_bytes, mutated_model
from tests.builders.seeds import models, others
from tools import fuzz

FILE = Path("m.onnx")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks")


def test_broken_files_are_refused() -> None:
    """In a process of its own, which has no threads when it forks."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-m", "tools.fuzz", "--count", "300", "--seed", "42"]
    told = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "   300  files in" in told.stdout
    assert "refused: ModelRefused" in told.stdout
    assert "read all the same" in told.stdout


def test_every_seed_is_read_as_it_is(tmp_path: Path) -> None:
    files = {"m.onnx": [model.SerializeToString() for model in models(fuzz.SAMPLES)]}
    files |= {name: [data] for name, data in others().items()}
    for name, contents in files.items():
        for data in contents:
            (tmp_path / name).write_bytes(data)
            assert fuzz.reading(fuzz.reader(name), tmp_path / name) == ("read all the same", "")


def test_mutations_are_drawn_from_the_seed() -> None:
    model = models(fuzz.SAMPLES)[-1]
    data = model.SerializeToString()
    bytes_, models_ = (
        [change(np.random.default_rng((seed, 0))) for seed in (0, 0, 1)]
        for change in (
            lambda rng: mutated_bytes(data, data, rng),
            lambda rng: mutated_model(model, rng),
        )
    )
    for first, again, other in (bytes_, models_):
        assert first == again
        assert first not in (other, data)


def _defect(path: Path) -> NoReturn:
    raise KeyError("shape")


def _two_lines(path: Path) -> NoReturn:
    raise ModelRefused("one line\nand another.")


def _endless(path: Path) -> NoReturn:
    raise ModelRefused("x" * 10_000 + ".")


def _without_an_end(path: Path) -> NoReturn:
    raise ModelRefused("the model is")


@pytest.mark.parametrize("read", [_defect, _two_lines, _endless, _without_an_end])
def test_a_defect_is_noticed(read: fuzz.Read) -> None:
    kind, said = fuzz.reading(read, FILE)
    assert kind == "uncontained"
    assert "Traceback" in said


def _swell(path: Path) -> int:
    return len(bytearray(2 * fuzz.LIMITS.memory))


def _crash(path: Path) -> object:
    return ctypes.string_at(0)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize(
    ("read", "kind"),
    [(_swell, "contained: no more memory"), (_crash, "contained: Segmentation fault")],
)
def test_the_end_of_a_child_is_told(read: fuzz.Read, kind: str) -> None:
    assert fuzz.forked(read, FILE) == (kind, "")
