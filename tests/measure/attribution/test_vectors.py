"""Targets of vectors without classes: what is explained, its gradient, and what is refused."""

import numpy as np
import pytest

import leap_audit
from leap_audit.config import DeclaredPreprocessing
from leap_audit.errors import UsageError
from leap_audit.ingest import load
from leap_audit.measure.attribution.score import Score, resolved
from leap_audit.measure.run import Run
from leap_audit.measure.targets import (
    CosineTarget,
    DimensionTarget,
    DirectionTarget,
    EmbeddingTarget,
    SimilarityTarget,
)
from leap_audit.run import choose_provider
from leap_audit.run.session import Array
from tests.builders.encoders import smooth_encoder

RNG = np.random.default_rng(5)
PICTURES = RNG.random((3, 3, 8, 8)).astype(np.float32)
OTHER = RNG.random((3, 8, 8)).astype(np.float32)
VECTOR = RNG.normal(size=6)
EPSILON = 1e-3


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A smooth encoder: convolution, Softplus, mean over places, six numbers."""
    path = tmp_path_factory.mktemp("encoder") / "m.onnx"
    return Run(load(smooth_encoder(path), RAW, choose_provider("cpu"), task="embedding"), 2, 1)


RAW = DeclaredPreprocessing(mean=(0.0,), std=(1.0,), range=(0.0, 1.0))


def vectors(run: Run, pictures: Array) -> Array:
    return np.stack(list(run.scores(pictures)))[:, :, 0].astype(np.float64)


def cosines(found: Array, other: Array) -> Array:
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(other)
    return np.asarray(found @ other / lengths)


def test_what_each_target_scores(run: Run) -> None:
    found = vectors(run, PICTURES)
    own, other = found[0], vectors(run, OTHER[None])[0]
    wanted = {
        DimensionTarget(4): found[:, 4],
        DirectionTarget(VECTOR): found @ VECTOR,
        CosineTarget(VECTOR): cosines(found, VECTOR),
        EmbeddingTarget(): found @ own,
        EmbeddingTarget(normalised=True): found @ own / np.linalg.norm(own),
        SimilarityTarget(OTHER): cosines(found, other),
    }
    for target, scores in wanted.items():
        np.testing.assert_allclose(
            Score(run, target, 2, PICTURES[0])(PICTURES), scores, rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize(
    "target",
    [
        DimensionTarget(4),
        DirectionTarget(VECTOR),
        CosineTarget(VECTOR),
        EmbeddingTarget(),
        EmbeddingTarget(normalised=True),
        SimilarityTarget(OTHER),
    ],
    ids=lambda target: type(target).__name__,
)
def test_gradients_are_those_of_the_scores(run: Run, target: leap_audit.Embedding) -> None:
    """At each picture its own: along a direction, the difference quotient of the scores."""
    score = Score(run, target, 2, PICTURES[0])
    way = RNG.normal(size=PICTURES.shape).astype(np.float32)
    up, down = score(PICTURES + EPSILON * way), score(PICTURES - EPSILON * way)
    wanted = (up - down) / (2 * EPSILON)
    slopes = (score.gradient(PICTURES).astype(np.float64) * way).sum((1, 2, 3))
    assert np.abs(slopes).max() > 1e-4
    np.testing.assert_allclose(slopes, wanted, rtol=2e-2, atol=2e-2 * np.abs(wanted).max())


def test_a_cosine_inside_the_model(run: Run) -> None:
    """The gradient at a tensor inside, and that of the rest of the model as a function of it."""
    score = Score(run, SimilarityTarget(OTHER), 2)
    inner = score.inner(PICTURES, "b")["b"]
    assert np.abs(inner.gradient).max() > 0
    tail = score.tail(PICTURES[0], "b")
    np.testing.assert_allclose(tail(inner.values), score(PICTURES), rtol=1e-5)
    np.testing.assert_allclose(tail.gradient(inner.values), inner.gradient, rtol=1e-4, atol=1e-8)


def test_integrated_gradients_of_a_similarity_add_up(run: Run) -> None:
    found = leap_audit.explain(
        run, PICTURES[0], SimilarityTarget(OTHER), baseline="black", steps=100
    )
    assert found.completeness < 1e-3
    blank = Score(run, SimilarityTarget(OTHER))(np.zeros_like(PICTURES[:1]))
    assert found.values.sum() == pytest.approx(found.score - blank[0], rel=1e-3)


def test_a_vector_is_explained_where_there_are_no_classes(run: Run) -> None:
    """The score is the vector's squared length; its map is that of a fixed direction."""
    (own,) = vectors(run, PICTURES[:1])
    found = leap_audit.explain(run, PICTURES[0], method="saliency")
    fixed = leap_audit.explain(run, PICTURES[0], leap_audit.Direction(own), method="saliency")
    assert found.score == pytest.approx(own @ own, rel=1e-5)
    np.testing.assert_array_equal(found.map, fixed.map)


def test_noisy_copies_have_the_vector_of_the_picture(run: Run) -> None:
    (own,) = vectors(run, PICTURES[:1])
    words = {"method": "smooth:saliency", "seed": 3}
    found = leap_audit.explain(run, PICTURES[0], leap_audit.Embedding(), **words)
    fixed = leap_audit.explain(run, PICTURES[0], leap_audit.Direction(own), **words)
    np.testing.assert_array_equal(found.map, fixed.map)


@pytest.mark.parametrize("method", sorted({*leap_audit.methods()} - {"isolation_ranking"}))
def test_every_method_explains_a_similarity(run: Run, method: str) -> None:
    if leap_audit.methods()[method].unmet(run.model):
        pytest.skip("the model lacks what it needs")
    found = leap_audit.explain(run, PICTURES[0], leap_audit.Similarity(OTHER), method)
    assert found.map.shape == (8, 8)
    assert np.isfinite(found.map).all()
    assert found.map.any()
    (own, other) = vectors(run, np.stack([PICTURES[0], OTHER]))
    assert found.score == pytest.approx(cosines(own[None], other)[0], rel=1e-5)


def test_what_explains_probabilities_explains_no_vector(run: Run) -> None:
    with pytest.raises(UsageError, match="the probability of a class alone"):
        leap_audit.explain(run, PICTURES[0], method="isolation_ranking")


def test_checks_follow_the_cosine(run: Run) -> None:
    found = leap_audit.explain(run, PICTURES[0], leap_audit.Similarity(OTHER), "saliency")
    figures = leap_audit.check(found, slow=False)
    pictures = np.stack([PICTURES[0], np.zeros_like(PICTURES[0])])
    from leap_audit.measure.attribution.smoothing import explainer
    from leap_audit.pipeline.explain import _checked

    checked = _checked(found, explainer("saliency"), None)
    wanted = Score(run, found.subject.explained)(pictures)
    np.testing.assert_allclose(checked.probability(pictures), wanted)
    assert all(np.isfinite(value) for value in figures.values())


def test_a_zero_vector_has_no_slope() -> None:
    target = CosineTarget(VECTOR)
    zero = np.zeros((6, 1))
    assert target.value(zero) == 0
    assert not target.slope(zero).any()


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (DimensionTarget(6), "no dimension 6; the vector has 6"),
        (DirectionTarget(VECTOR[:5]), r"shape \[5\]; the model's vectors have 6"),
        (CosineTarget(VECTOR[:5]), r"shape \[5\]; the model's vectors have 6"),
        (DirectionTarget(np.zeros(6)), "no direction"),
        (CosineTarget(np.full(6, np.nan)), "no direction"),
        (SimilarityTarget(OTHER[:, :4]), r"shape \[3, 4, 8\]; the model takes \[3, 8, 8\]"),
    ],
)
def test_what_is_no_target(run: Run, target: leap_audit.Embedding, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        leap_audit.explain(run, PICTURES[0], target)


def test_an_embedding_is_of_a_picture(run: Run) -> None:
    with pytest.raises(UsageError, match="none is named"):
        resolved(run, EmbeddingTarget())
    with pytest.raises(UsageError, match="zero or not finite"):
        EmbeddingTarget().of(np.zeros((6, 1)))
    with pytest.raises(UsageError, match="zero or not finite"):
        SimilarityTarget(OTHER).of(np.full((6, 1), np.nan))
