"""TracIn and influence by all weights: against the closed form, and against training again."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from leap_audit.errors import ModelRefused, UsageError
from leap_audit.measure.examples import whole_network
from leap_audit.measure.examples.gathered import Gathered
from leap_audit.measure.examples.last_layer import influences, mean_curvature, tracin
from leap_audit.measure.examples.whole_network import WholeCheckpoint, WholeNetwork

WIDTH, HIDDEN, CLASSES, RIDGE = 4, 3, 3, 0.05
Weights = dict[str, np.ndarray]


def _network(weights: Weights) -> onnx.ModelProto:
    """One linear layer, or two with a tanh between."""
    nodes = [helper.make_node("Gemm", ["x", "w1", "b1"], ["h"], transB=1)]
    if "w2" in weights:
        nodes += [
            helper.make_node("Tanh", ["h"], ["t"]),
            helper.make_node("Gemm", ["t", "w2", "b2"], ["scores"], transB=1),
        ]
    else:
        nodes[0].output[0] = "scores"
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", WIDTH])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", CLASSES])],
        [numpy_helper.from_array(w.astype(np.float32), name) for name, w in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def _data(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, count)
    centres = 1.5 * np.eye(WIDTH)[:CLASSES]
    x = centres[labels] + rng.standard_normal((count, WIDTH))
    return x.astype(np.float32), labels


def test_of_one_linear_layer_they_are_the_closed_form() -> None:
    rng = np.random.default_rng(0)
    weights = {"w1": rng.standard_normal((CLASSES, WIDTH)), "b1": rng.standard_normal(CLASSES)}
    training, pictures = _data(1, 22), _data(2, 3)
    whole = WholeNetwork(_network(weights), ["w1", "b1"], batch=8, threads=1)  # 22 = 8 + 8 + 6
    assert whole.parameters == CLASSES * (WIDTH + 1)
    gathered = [
        Gathered.of(x, x @ weights["w1"].T + weights["b1"], labels)
        for x, labels in (training, pictures)
    ]
    np.testing.assert_allclose(
        whole.tracin(training, pictures), tracin(*gathered), rtol=1e-4, atol=1e-5
    )
    found, left = whole.influences(training, pictures, RIDGE, tolerance=1e-6)
    want, _ = influences(*gathered, RIDGE)
    assert left < 1e-5
    np.testing.assert_allclose(found, want, rtol=1e-3, atol=1e-5)
    _, unsolved = whole.influences(training, pictures, RIDGE, steps=1)
    assert unsolved > 1e-2


def _fitted(torch: object, start: Weights, x: np.ndarray, labels: np.ndarray, n: int) -> Weights:
    """The minimum of sum(loss) / n + RIDGE / 2 |weights|², from `start`."""
    w = {k: torch.tensor(v, requires_grad=True) for k, v in start.items()}  # type: ignore[attr-defined]
    pictures, shown = torch.tensor(x).double(), torch.tensor(labels)  # type: ignore[attr-defined]
    optimiser = torch.optim.LBFGS(  # type: ignore[attr-defined]
        list(w.values()), max_iter=60, tolerance_grad=1e-9, line_search_fn="strong_wolfe"
    )

    def loss() -> object:
        optimiser.zero_grad()
        h = torch.tanh(pictures @ w["w1"].T + w["b1"])  # type: ignore[attr-defined]
        scores = h @ w["w2"].T + w["b2"]
        fit = torch.nn.functional.cross_entropy(scores, shown, reduction="sum") / n  # type: ignore[attr-defined]
        value = fit + RIDGE / 2 * sum((v**2).sum() for v in w.values())
        value.backward()
        return value

    optimiser.step(loss)
    return {k: v.detach().numpy() for k, v in w.items()}


def _loss(weights: Weights, x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    h = np.tanh(x @ weights["w1"].T + weights["b1"])
    scores = h @ weights["w2"].T + weights["b2"]
    picked = scores[np.arange(len(x)), labels]
    return np.asarray(np.log(np.exp(scores).sum(1)) - picked)


def test_of_two_layers_it_foretells_training_without_a_picture() -> None:
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    rng = np.random.default_rng(3)
    shapes = {
        "w1": (HIDDEN, WIDTH), "b1": (HIDDEN,), "w2": (CLASSES, HIDDEN), "b2": (CLASSES,)
    }  # fmt: skip
    start = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    x, labels = _data(4, 30)
    pictures = _data(5, 4)
    fitted = _fitted(torch, start, x, labels, len(x))
    whole = WholeNetwork(_network(fitted), list(shapes), batch=6, threads=1)
    foretold, left = whole.influences((x, labels), pictures, RIDGE)
    assert left < 1e-3
    before = _loss(fitted, *pictures)
    rises = []
    left_out = range(0, len(x), 3)
    for i in left_out:
        others = np.arange(len(x)) != i
        again = _fitted(torch, fitted, x[others], labels[others], len(x))
        rises.append(_loss(again, *pictures) - before)
    for have, want in zip(foretold[:, left_out], np.array(rises).T, strict=True):
        assert np.corrcoef(have, want)[0, 1] > 0.9


def test_the_mean_curvature_is_that_of_the_closed_form() -> None:
    """Of one linear layer the Gauss-Newton matrix is the Hessian; the estimate has a draw each."""
    rng = np.random.default_rng(0)
    weights = {"w1": rng.standard_normal((CLASSES, WIDTH)), "b1": rng.standard_normal(CLASSES)}
    x, labels = _data(1, 1500)
    whole = WholeNetwork(_network(weights), ["w1", "b1"], batch=50, threads=1)
    gathered = Gathered.of(x, x @ weights["w1"].T + weights["b1"], labels)
    found = whole.mean_curvature(x, np.random.default_rng(1))
    assert found == pytest.approx(mean_curvature(gathered), rel=0.1)


def test_gradients_of_many_pictures_are_taken_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    weights = {"w1": rng.standard_normal((CLASSES, WIDTH)), "b1": rng.standard_normal(CLASSES)}
    training, pictures = _data(1, 6), _data(2, 5)
    whole = WholeNetwork(_network(weights), ["w1", "b1"], batch=2, threads=1)
    at_once, (foretold, _) = (
        whole.tracin(training, pictures),
        whole.influences(training, pictures, RIDGE),
    )
    monkeypatch.setattr(whole_network, "LARGEST", 2 * whole.parameters)
    counted: list[int] = []
    blocks = whole.tracin(training, pictures, advance=counted.append)
    np.testing.assert_allclose(blocks, at_once, rtol=1e-5)
    assert sum(counted) == WholeCheckpoint(whole, training, pictures).readings()
    np.testing.assert_allclose(whole.influences(training, pictures, RIDGE)[0], foretold, rtol=1e-5)


def test_what_it_cannot_judge_is_refused() -> None:
    rng = np.random.default_rng(0)
    weights = {"w1": rng.standard_normal((CLASSES, WIDTH)), "b1": rng.standard_normal(CLASSES)}
    whole = WholeNetwork(_network(weights), ["w1"], threads=1)
    x, labels = _data(1, 3)
    with pytest.raises(UsageError, match="3 pictures have 2 labels"):
        list(whole.gradients(x, labels[:2]))
    with pytest.raises(UsageError, match="damping"):
        whole.influences((x, labels), (x, labels), 0.0)
    two = _network(weights)
    two.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 2]))
    with pytest.raises(ModelRefused, match="takes 2 inputs"):
        WholeNetwork(two, ["w1"])
