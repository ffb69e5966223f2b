"""The bundled models, loaded once."""

from pathlib import Path

import pytest

from leap_audit.ingest.model import Model
from tests.builders.classifiers import read_model


@pytest.fixture(scope="session")
def digits(sample_models: Path) -> Model:
    """Return the clean reader of digits."""
    return read_model(sample_models / "digits_clean.onnx")


@pytest.fixture(scope="session")
def shortcut(sample_models: Path) -> Model:
    """Return the reader of digits that has learned the mark."""
    return read_model(sample_models / "digits_shortcut.onnx")
