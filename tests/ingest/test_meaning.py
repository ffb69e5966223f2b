"""What the output means is measured: the probabilities reported are the model's own."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from leap_audit.config import DeclaredPreprocessing
from leap_audit.gradient import Emitter, backpropagate
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import new_graph, new_input
from leap_audit.ingest import load
from leap_audit.ingest.model import Model
from leap_audit.ingest.outputs.answer import Softmax
from leap_audit.measure.run import Run, place_scores
from leap_audit.run import Session
from leap_audit.run.session import Array
from tests.builders.classifiers import CPU, RAW, Node, read_model, write_model
from tests.builders.ends import ENDS, End, own_answer, pictures, write_end


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Model]]:
    """Return what gives the network of an end at its own scale, read once for several tests."""

    @cache
    def made(name: str) -> tuple[Path, Model]:
        path = write_end(tmp_path_factory.mktemp("end") / "m.onnx", ENDS[name])
        return path, read_model(path)

    return made


def reported(model: Model) -> Array:
    """Return (pictures, classes): the probabilities as an audit has them."""
    classifier = Run(model, 3, 1)
    return np.stack([model.answer.probabilities(s)[:, 0] for s in classifier.scores(pictures())])


def wanted(end: End, answer: Array) -> Array:
    """Return the same of the model's own answer."""
    if end.of == "logit":
        if answer.shape[1] == 1:
            answer = np.concatenate([-answer / 2, answer / 2], 1)
        return Softmax(answer.shape[1]).probabilities(answer.T).T
    p = np.exp(answer) if end.of == "log" else answer / end.total
    return np.concatenate([1 - p, p], 1) if end.of == "second" else p


@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize("name", ENDS)
def test_probabilities_are_the_models_own(
    tmp_path: Path, plain: Callable[[str], tuple[Path, Model]], name: str, scale: float
) -> None:
    """Also of a network that is entirely sure of everything it is shown."""
    if scale > 1 and name in ("exp and sum without the maximum", "the sum as a product"):
        pytest.skip("such a network itself gives no numbers then")
    end = ENDS[name]
    if scale == 1:
        path, model = plain(name)
    else:
        path = write_end(tmp_path / "m.onnx", end, scale=scale)
        model = read_model(path)
    own = own_answer(path, pictures())
    answer = wanted(end, own.reshape(len(own), -1))
    np.testing.assert_allclose(reported(model), answer, atol=end.exact)


@pytest.mark.parametrize("name", ENDS)
def test_what_was_measured_is_said(plain: Callable[[str], tuple[Path, Model]], name: str) -> None:
    end = ENDS[name]
    _, model = plain(name)
    identity = model.identity
    assert identity.task == end.task, identity.meaning
    assert end.says in identity.meaning
    assert identity.meaning.startswith("On 10 pictures its numbers lie in ")
    assert not identity.constant
    assert identity.output == "y"
    if end.read:
        tensor = f"tensor '{end.read}'"
        assert end.read == "y" or tensor in identity.meaning
        assert model.reading is not None
        assert model.reading.change == "none"


COMPUTED = [name for name, end in ENDS.items() if not end.read and end.of != "logit"]
"""Ends whose probabilities are the model's own numbers: of their logarithm a gradient is taken."""


@pytest.mark.parametrize("name", COMPUTED)
def test_the_gradient_of_log_p_is_its_slope(tmp_path: Path, name: str) -> None:
    model = read_model(write_end(tmp_path / "m.onnx", ENDS[name], scale=0.2))
    op = Emitter(new_graph(), "t")
    picture = new_input(op.graph, "picture", (1, 1, 8, 8))
    scores = place_scores(op, model, picture)
    weights = np.random.default_rng(2).standard_normal(static_shape(scores)).astype(np.float32)
    (slope,) = backpropagate(op, {scores: op.constant(weights)}, [picture])
    op.graph.outputs.extend([scores, slope])
    session = Session(ir.Model(op.graph, ir_version=10), CPU, 1)

    def at(x: Array) -> tuple[float, Array]:
        found, gradient = session.run({"picture": x.astype(np.float32)})
        return float((found.astype(np.float64) * weights).sum()), gradient

    here = pictures(1)
    _, gradient = at(here)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0
    way = gradient / np.linalg.norm(gradient)
    step = 2e-2
    quotient = (at(here + step * way)[0] - at(here - step * way)[0]) / (2 * step)
    assert quotient == pytest.approx(float((gradient * way).sum()), rel=0.03)


@pytest.mark.parametrize("name", COMPUTED)
def test_the_gradient_is_finite_where_p_is_0_or_1(tmp_path: Path, name: str) -> None:
    model = read_model(write_end(tmp_path / "m.onnx", ENDS[name], scale=300.0))
    op = Emitter(new_graph(), "t")
    picture = new_input(op.graph, "picture", (1, 1, 8, 8))
    scores = place_scores(op, model, picture)
    (slope,) = backpropagate(op, {scores: op.constant(np.ones(static_shape(scores)))}, [picture])
    op.graph.outputs.extend([scores, slope])
    session = Session(ir.Model(op.graph, ir_version=10), CPU, 1)
    for shown in pictures():
        for found in session.run({"picture": shown[None]}):
            assert np.isfinite(found).all()


def test_what_is_said_keeps_the_models_own_probabilities(tmp_path: Path) -> None:
    """`--task` says whether classes exclude one another, not what the numbers are."""
    for name, task in (("sigmoids", "classification"), ("softmax", "multi-label")):
        path = write_end(tmp_path / "m.onnx", ENDS[name])
        model = load(path, DeclaredPreprocessing.model_validate(RAW), CPU, task=task)
        assert model.identity.independent == (task == "multi-label")
        scores = Run(model, 3, 1).scores(pictures())
        found = np.stack([model.answer.probabilities(s)[:, 0] for s in scores])
        np.testing.assert_allclose(found, own_answer(path, pictures()), atol=1e-5)


def test_a_map_of_probabilities_shows_where_its_classes_are(tmp_path: Path) -> None:
    """(n, 6, 5, 4), whose last axis adds up to 1, from an input with channels first."""
    nodes: list[Node] = [
        ("Conv", ["x", "k"], "c", {"pads": [1, 1, 1, 1]}),
        ("Transpose", ["c"], "t", {"perm": [0, 2, 3, 1]}),
        ("Exp", ["t"], "e"),
        ("ReduceSum", ["e", "axis"], "s", {"keepdims": 1}),
        ("Div", ["e", "s"], "y"),
    ]
    weights = {"k": np.random.default_rng(0).standard_normal((4, 1, 3, 3)), "axis": np.array([3])}
    path = write_model(
        tmp_path / "m.onnx", nodes, weights, shape=("n", 1, 6, 5), outputs=[("y", ("n", 6, 5, 4))]
    )
    model = read_model(path)
    assert (model.identity.task, model.classes, model.identity.places) == (
        "segmentation",
        4,
        (6, 5),
    )
    shown = np.random.default_rng(1).random((2, 1, 6, 5)).astype(np.float32)
    found = [model.answer.probabilities(s) for s in Run(model, 2, 1).scores(shown)]
    wanted = np.moveaxis(own_answer(path, shown), 3, 1).reshape(2, 4, 30)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
