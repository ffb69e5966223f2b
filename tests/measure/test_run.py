"""A model, run: inner tensors and gradients against ONNX Runtime and difference quotients."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from leap_audit.errors import UsageError
from leap_audit.ingest.model import Model
from leap_audit.measure.run import PICTURE, Run
from leap_audit.run import Session
from leap_audit.run.session import Array
from tests.builders.classifiers import CPU, Node, read_model, write_model

SIDE, CLASSES = 6, 3
NODES: list[Node] = [
    ("Conv", ["x", "kernel"], "c", {"pads": [1, 1, 1, 1]}),
    ("Tanh", ["c"], "map"),
    ("GlobalAveragePool", ["map"], "pooled"),
    ("Flatten", ["pooled"], "flat"),
    ("MatMul", ["flat", "w"], "m"),
    ("Sigmoid", ["m"], "s"),
    ("Mul", ["m", "s"], "y"),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    weights = {"kernel": rng.normal(size=(4, 1, 3, 3)), "w": 2 * rng.normal(size=(4, CLASSES))}
    shape = ("n", 1, SIDE, SIDE)
    return write_model(
        tmp_path / "m.onnx", NODES, weights, shape=shape, outputs=[("y", ("n", CLASSES))]
    )


@pytest.fixture
def model(path: Path) -> Model:
    return read_model(path)


@pytest.fixture
def pictures() -> Array:
    return np.random.default_rng(1).random((5, 1, SIDE, SIDE), np.float32)


def exposed(path: Path, name: str) -> onnx.ModelProto:
    """Return the file's own graph with one of its inner tensors as its output."""
    proto = onnx.load(path)
    del proto.graph.output[:]
    proto.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    return proto


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_activations_are_those_of_the_graph_with_that_output(
    path: Path, model: Model, pictures: Array, batch: int
) -> None:
    found = Run(model, batch, 1).activations(pictures, ["map", "m", PICTURE])
    assert set(found) == {"map", "m", PICTURE}
    for name in ("map", "m"):
        (want,) = Session(exposed(path, name), CPU).run({"x": pictures})
        np.testing.assert_allclose(found[name], want, atol=1e-5)
    np.testing.assert_array_equal(found[PICTURE], pictures)


def after(path: Path, name: str) -> Session:
    """Return the rest of the file's graph: from one of its inner tensors to the scores."""
    proto = onnx.load(path)
    at = next(i for i, node in enumerate(proto.graph.node) if name in node.output)
    del proto.graph.node[: at + 1]
    del proto.graph.input[:]
    proto.graph.input.append(onnx.helper.make_tensor_value_info(name, 1, ["n", 4, SIDE, SIDE]))
    return Session(proto, CPU)


@pytest.mark.parametrize("wrt", [PICTURE, "map"])
@pytest.mark.parametrize("batch", [1, 4])
def test_gradients_are_difference_quotients(
    path: Path, model: Model, pictures: Array, wrt: str, batch: int
) -> None:
    run = Run(model, batch, 1)
    cotangents = np.random.default_rng(2).normal(size=(5, CLASSES, 1))
    slopes = run.gradient(pictures, cotangents, wrt=wrt)[wrt]
    here = run.activations(pictures, wrt)[wrt]
    assert slopes.shape == here.shape
    rest = after(path, "map")

    def score(values: Array) -> Array:
        if wrt == PICTURE:
            scores = run.logits(values)
        else:
            (scores,) = rest.run({"map": values.astype(np.float32)})
        return np.asarray((scores * cotangents[..., 0]).sum(1, dtype=np.float64))

    way = np.random.default_rng(3).normal(size=here.shape)
    step = 5e-3
    quotients = (score(here + step * way) - score(here - step * way)) / (2 * step)
    np.testing.assert_allclose((slopes * way).sum((1, 2, 3)), quotients, rtol=0.02, atol=5e-3)


def test_one_cotangent_serves_every_picture(model: Model, pictures: Array) -> None:
    run = Run(model, 2, 1)
    one = model.answer.cotangent((0, 2))
    assert one.ravel().tolist() == [0.5, 0, 0.5]
    each = np.broadcast_to(one, (5, *one.shape))
    both = (run.gradient(pictures, dy)[PICTURE] for dy in (one, each))
    np.testing.assert_array_equal(*both)


def test_several_tensors_are_differentiated_at_once(model: Model, pictures: Array) -> None:
    run, dy = Run(model, 2, 1), model.answer.cotangent((1,))
    both = run.gradient(pictures, dy, wrt=("map", PICTURE))
    for name in ("map", PICTURE):
        alone = run.gradient(pictures, dy, wrt=name)[name]
        np.testing.assert_allclose(both[name], alone, atol=1e-6)


def test_a_session_is_made_once_for_what_it_computes(
    model: Model, pictures: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    load = Run.load
    monkeypatch.setattr(Run, "load", lambda self, graph: made.append(1) or load(self, graph))
    run, dy = Run(model, 2, 1), model.answer.cotangent((1,))
    for _ in range(2):
        run.logits(pictures)
        list(run.at_once(2).scores(pictures))
        run.gradient(pictures, dy)
        run.activations(pictures, "map")
    assert len(made) == 3
    run.at_once(1).gradient(pictures, dy)
    assert len(made) == 4


def test_a_rule_set_without_effect_and_unknown_names_are_refused(
    model: Model, pictures: Array
) -> None:
    run = Run(model, 2, 1)
    with pytest.raises(UsageError, match=r"no tensor 'nowhere'"):
        run.activations(pictures, "nowhere")
    with pytest.raises(UsageError, match=r"no rule set is called 'guided_'"):
        run.gradient(pictures, model.answer.cotangent((0,)), rules="guided_")


def test_running_leaves_the_model_as_it_was(model: Model, pictures: Array) -> None:
    before = model.digest
    run = Run(model, 3, 1)
    run.logits(pictures)
    run.gradient(pictures, model.answer.cotangent((0,)))
    assert vars(type(model))["digest"].func(model) == before  # computed anew
