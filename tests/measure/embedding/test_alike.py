"""The region that makes two pictures alike, where it was planted."""

from pathlib import Path

import numpy as np
import pytest

from leap_audit.config import DeclaredPreprocessing
from leap_audit.ingest import load
from leap_audit.measure.embedding.alike import AlikeOptions, alike_region
from leap_audit.measure.embedding.spread import unit_vectors
from leap_audit.measure.run import Run
from leap_audit.run.session import Array
from tests.builders.classifiers import CPU, RAW
from tests.builders.encoders import SIDE, tiny_encoder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tiny_encoder(tmp_path_factory.mktemp("models") / "encoder.onnx")
    declared = DeclaredPreprocessing.model_validate(RAW)
    return Run(load(path, declared, CPU, task="embedding"), 8, 1)


def cross(down: int, across: int) -> Array:
    picture = np.full((1, SIDE, SIDE), 0.5, np.float32)
    picture[:, down + 2, across : across + 5] = 1
    picture[:, down : down + 5, across + 2] = 0
    return picture


def test_the_shared_part_is_found_and_checked(run: Run) -> None:
    shared, own = cross(1, 1), cross(10, 10)
    other = np.where(own != 0.5, own, shared)
    vector = run.logits(shared[None])[0]
    found = alike_region(run, other, vector, AlikeOptions(enough=0.9), 0)
    units = unit_vectors(run.logits(np.stack([shared, other])))
    assert found.cosine == pytest.approx(units[0] @ units[1], abs=1e-5)
    inside = found.ranking > 255 * (1 - found.area)
    assert inside[: SIDE // 2, : SIDE // 2].sum() > 0.7 * inside.sum()
    assert found.enough
    assert found.area <= 0.4
    assert found.kept > found.cosine - 0.1
    assert found.erased < found.kept - 0.3
    again = alike_region(run, other, vector, AlikeOptions(enough=0.9), 0)
    assert np.array_equal(found.ranking, again.ranking)


def test_a_picture_that_adds_nothing_has_no_region_that_is_enough(tmp_path: Path) -> None:
    path = tiny_encoder(tmp_path / "encoder.onnx", "collapsed")
    declared = DeclaredPreprocessing.model_validate(RAW)
    run, picture = Run(load(path, declared, CPU, task="embedding"), 8, 1), cross(1, 1)
    found = alike_region(run, picture, run.logits(picture[None])[0], AlikeOptions(), 0)
    assert 0 < found.cosine - found.blank < 0.02
    assert found.kept > (found.cosine + found.blank) / 2, "enough of what is next to nothing"
    assert not found.enough
