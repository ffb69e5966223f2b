"""The other ways of finding shortcuts that the benchmark measures beside the experiments."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.photographs import classifier_of
from benchmarks.shortcuts import by_clusters, coarse, corner_shares, read_photographs
from leap_audit.measure.run import Run


def test_a_corner_holds_what_ranks_first_there() -> None:
    scores = np.random.default_rng(0).random((32, 32))
    scores[:8, 24:] += 1  # 64 pixels of the upper right corner, more than the core
    assert corner_shares(scores) == pytest.approx([0, 1, 0, 0])
    scores[12:20, 12:20] += 2
    assert corner_shares(scores) == pytest.approx([0, 0, 0, 0], abs=0.02)


def test_a_map_is_averaged_over_cells() -> None:
    maps = np.zeros((2, 16, 16))
    maps[1, :2, 2:4] = 4
    found = coarse(maps)
    assert found.shape == (2, 64)
    assert found[1].tolist() == [0, 4, *[0] * 62]


def test_photographs_are_read_with_their_folders(tmp_path: Path) -> None:
    for name, level in (("cat", 0), ("dog", 255)):
        (tmp_path / name).mkdir()
        Image.new("RGB", (4, 4), (level, 0, 0)).save(tmp_path / name / "a.png")
    pictures, shows = read_photographs(tmp_path, ["dog", "owl", "cat"], 4)
    assert shows == [0, 2]
    assert pictures.shape == (2, 3, 4, 4)
    assert pictures[0, 0].min() == 1
    assert pictures[1].max() == 0


def test_pictures_of_two_kinds_are_two_clusters(sample_models: Path) -> None:
    rng = np.random.default_rng(0)
    model = classifier_of(sample_models / "digits_clean.onnx")
    run = Run(model, 16, 1)
    shape = model.picture_shape
    left, right = np.zeros((2, 8, *shape), np.float32)
    left[..., :8, :8] = 1
    right[..., -8:, -8:] = 1
    apart = np.concatenate([left, right]) + 0.01 * rng.random((16, *shape), np.float32)
    mixed = rng.random((16, *shape)).astype(np.float32)
    answers = np.full(16, 3)
    scores = [by_clusters(run, each, answers)[3] for each in (apart, mixed)]
    assert scores[0] > 0.8
    assert scores[0] > scores[1]
    assert by_clusters(run, apart[:5], answers[:5])[3] == 0
