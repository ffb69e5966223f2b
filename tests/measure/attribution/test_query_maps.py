"""Where maps of a detection lie in YOLOS and DETR: at the tokens that its query looks at."""

from pathlib import Path

import numpy as np
import onnx
import pytest

import leap_audit
from leap_audit.config import DeclaredPreprocessing
from leap_audit.ingest import load
from leap_audit.measure.attribution.places import attentions
from leap_audit.measure.attribution.shared_maps import shared_maps
from leap_audit.measure.detection_targets import DetectionTarget
from leap_audit.measure.run import Run
from tests.builders.classifiers import CPU
from tests.builders.detectors import SIDE
from tests.builders.query_detectors import (
    CHANNELS,
    LOOKED_AT,
    PLACES,
    QUERIES,
    detr_of_attention,
    yolos,
)

PICTURE = np.random.default_rng(1).random((3, SIDE, SIDE), np.float32)
PLAIN = DeclaredPreprocessing(range=(0, 1), mean=(0,), std=(1,), channel_order="RGB")
COUNT = PLACES[0] * PLACES[1]


def run_of(path: Path, proto: onnx.ModelProto) -> Run:
    onnx.save(proto, path)
    return Run(load(path, PLAIN, CPU, names=5), 1, 1)


def test_heads_and_queries_are_no_maps_of_the_picture(tmp_path: Path) -> None:
    """Of DETR: the encoder's answer, which every layer of the decoder looks at."""
    run = run_of(tmp_path / "m.onnx", detr_of_attention())
    *_, last = shared_maps(run.model)
    assert (last.name, last.rows, last.columns, last.channels) == (LOOKED_AT, *PLACES, CHANNELS)
    assert all((each.rows, each.columns) == PLACES for each in shared_maps(run.model))
    found = leap_audit.explain(run, PICTURE, DetectionTarget(3), "elementwise")
    assert found.values.shape == PLACES
    assert LOOKED_AT in found.at


def test_places_stand_between_the_class_token_and_those_of_detections(tmp_path: Path) -> None:
    """Of YOLOS: what the last attention looks at, behind which places say nothing any more."""
    run = run_of(tmp_path / "m.onnx", yolos())
    (only,) = shared_maps(run.model)
    assert (only.name, only.extra, only.behind) == (LOOKED_AT, 1, QUERIES)
    assert f"4 × 4 behind 1 extra tokens, before {QUERIES} of detections" in only.text
    values = np.arange((1 + COUNT + QUERIES) * CHANNELS).reshape(1, -1, CHANNELS)
    places = only.of(values)
    np.testing.assert_array_equal(places[0, 0].ravel(), values[0, 1 : 1 + COUNT, 0])
    kept = only.masks(np.zeros((1, *PLACES)))
    assert kept.shape == (1, 1 + COUNT + QUERIES, 1)
    assert kept.ravel().tolist() == [1.0] + [0.0] * COUNT + [1.0] * QUERIES
    for method in ("elementwise", "gradcam", "layercam", "reciprocam"):
        found = leap_audit.explain(run, PICTURE, DetectionTarget(3), method)
        assert found.values.shape == PLACES
        assert np.abs(found.map).max() > 0


def test_rollouts_follow_the_token_of_the_detection(tmp_path: Path) -> None:
    run = run_of(tmp_path / "m.onnx", yolos())
    layers = attentions(run.model)
    assert len(layers) == 2
    found = run.activations(PICTURE[None], [str(value.name) for value in layers])
    tokens = 1 + COUNT + QUERIES
    rolled = np.eye(tokens)
    for value in layers:
        mixed = found[str(value.name)].reshape(2, tokens, tokens).mean(0) + np.eye(tokens)
        rolled = mixed / mixed.sum(1, keepdims=True) @ rolled
    for row in (0, 5):
        each = leap_audit.explain(run, PICTURE, DetectionTarget(row), "attention_rollout")
        wanted = rolled[1 + COUNT + row, 1 : 1 + COUNT].reshape(PLACES)
        np.testing.assert_allclose(each.values, wanted, rtol=1e-4)
        other = leap_audit.explain(run, PICTURE, DetectionTarget(row), "gradient_rollout")
        assert other.values.max() > 0


@pytest.mark.parametrize(
    ("queries", "why"), [(QUERIES, "different numbers of tokens, [9, 16]"), (7, "are no tokens")]
)
def test_rollouts_need_detections_among_the_tokens(tmp_path: Path, queries: int, why: str) -> None:
    run = run_of(tmp_path / "m.onnx", detr_of_attention(queries=queries))
    for name in ("attention_rollout", "gradient_rollout"):
        assert why in leap_audit.methods()[name].unmet(run.model)
