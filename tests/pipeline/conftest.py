"""One small audit that several tests look at; writing its PDF takes seconds."""

import shutil
from pathlib import Path

import pytest

from leap_audit.pipeline import AuditResult, audit, flow
from tests.builders.running import TINY


@pytest.fixture
def unprinted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write audit.json alone: pages are not what these tests look at."""
    monkeypatch.setattr(flow, "write_report", lambda record, folder: record.write(folder))


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
