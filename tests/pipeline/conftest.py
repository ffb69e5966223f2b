"""One small audit that several tests look at; writing its PDF takes seconds."""

import shutil
from pathlib import Path

import pytest

from leap_audit.pipeline import AuditResult, audit

TINY = {
    "prototype": {"steps": 2},
    "isolation": {"steps": 2, "grid": 4, "per_prototype": 2},
    "threads": 1,
}
"""Too few steps to show anything, enough to pass through everything."""


@pytest.fixture(scope="session")
def photos(sample_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of two held-out pictures."""
    folder = tmp_path_factory.mktemp("photos")
    for number, picture in enumerate(sorted(sample_models.glob("pictures/plain/*/*.png"))[:2]):
        shutil.copy(picture, folder / f"picture {number}.png")
    return folder


@pytest.fixture(scope="session")
def finished(
    sample_models: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> AuditResult:
    """Return a whole audit of three digits and two photographs."""
    return audit(
        sample_models / "digits_clean.onnx",
        sample_models / "digits.txt",
        out=tmp_path_factory.mktemp("finished") / "audit",
        targets="1,8-9",
        samples=(photos,),
        top_classes=2,
        **TINY,
    )
