"""The small audit of tests/builders/audits.py, as fixtures."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from leap_audit.artifacts import Audit
from tests.builders.audits import make_audit, with_pictures

Build = Callable[..., Audit]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return with_pictures(tmp_path)


@pytest.fixture
def build(folder: Path) -> Build:
    return partial(make_audit, folder)
