"""A real audit of two steps, which each test gets a copy of."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from leap_audit.pipeline import audit


@dataclass(frozen=True)
class Audited:
    folder: Path
    model: Path
    classes: Path
    photos: Path


@pytest.fixture(scope="session")
def original(sample_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Audited:
    """Return an audit of one digit and two photographs, in a folder that nobody may change."""
    place = tmp_path_factory.mktemp("original")
    found = Audited(
        place / "audit", place / "digits_clean.onnx", place / "digits.txt", place / "photos"
    )
    for path in (found.model, found.classes):
        shutil.copy(sample_models / path.name, path)
    found.photos.mkdir()
    for number, picture in enumerate(sorted(sample_models.glob("pictures/plain/*/*.png"))[:2]):
        shutil.copy(picture, found.photos / f"picture {number}.png")
    audit(
        found.model,
        found.classes,
        out=found.folder,
        targets="1",
        samples=(found.photos,),
        top_classes=1,
        seeds=2,
        prototype={"steps": 2},
        isolation={"steps": 2, "grid": 4, "per_prototype": 1},
        threads=1,
    )
    return found


@pytest.fixture
def audited(original: Audited, tmp_path: Path) -> Audited:
    """Return a copy of that audit, of its model and of its data."""
    shutil.copytree(original.folder.parent, tmp_path, dirs_exist_ok=True)
    return Audited(
        tmp_path / "audit",
        tmp_path / original.model.name,
        tmp_path / original.classes.name,
        tmp_path / "photos",
    )
