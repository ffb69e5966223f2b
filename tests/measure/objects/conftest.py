from pathlib import Path

import pytest

from leap_audit.config import DeclaredPreprocessing
from leap_audit.ingest import load
from leap_audit.measure.run import Run
from leap_audit.run.providers import choose_provider
from tests.builders.coloured import detector


def run_of(file: Path, *, planted: bool) -> Run:
    detector(file, planted=planted)
    model = load(file, DeclaredPreprocessing(), choose_provider("cpu"), names=3)
    return Run(model, 16, 1)


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_of(tmp_path_factory.mktemp("planted") / "planted.onnx", planted=True)


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_of(tmp_path_factory.mktemp("clean") / "clean.onnx", planted=False)
