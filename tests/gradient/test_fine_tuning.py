"""Training steps as ONNX graphs, beside PyTorch's optimisers on the same network and batches."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from PIL import Image

from leap_audit.errors import ModelRefused, UsageError
from leap_audit.gradient.fine_tuning import training_step, with_trained
from tests.builders.networks import conv_net

BATCH, STEPS = 20, 50
DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
LAYERS = ["features.0", "features.3", "features.5", "features.8", "hidden", "logits"]
WEIGHTS = [f"{layer}.{kind}" for layer in LAYERS for kind in ("weight", "bias")]


def _pictures(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The bundled pictures as the model takes them, and their classes."""
    files = sorted(folder.glob("*/*/*.png"))
    grey = [np.asarray(Image.open(f).convert("L"), np.float32) / 255 for f in files]
    labels = np.array([DIGITS.index(f.parent.name) for f in files])
    return np.stack(grey)[:, None], labels


def _batches(folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    x, labels = _pictures(folder)
    rng = np.random.default_rng(0)
    rows = [rng.choice(len(x), BATCH, replace=False) for _ in range(STEPS)]
    return [(x[row], labels[row]) for row in rows]


def _trained(
    step: onnx.ModelProto, batches: list[tuple[np.ndarray, np.ndarray]]
) -> tuple[list[float], dict[str, np.ndarray]]:
    """The loss before each step, and the state after the last, on ONNX Runtime alone."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        step.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [value.name for value in session.get_outputs()]
    losses: list[float] = []
    state: dict[str, np.ndarray] = {}
    for x, labels in batches:
        found = dict(
            zip(names, session.run(None, {"picture": x, "labels": labels, **state}), strict=True)
        )
        losses.append(float(found["loss"]))
        state = {n.removesuffix("_next"): v for n, v in found.items() if n.endswith("_next")}
    return losses, state


def _torch_losses(
    model: onnx.ModelProto, batches: list[tuple[np.ndarray, np.ndarray]], make: Any
) -> tuple[list[float], dict[str, np.ndarray]]:
    torch = pytest.importorskip("torch")
    f = torch.nn.functional
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    w = {n: torch.tensor(stored[n], requires_grad=True) for n in WEIGHTS}

    def network(x: Any) -> Any:
        def conv(h: Any, layer: str) -> Any:
            return torch.relu(f.conv2d(h, w[f"{layer}.weight"], w[f"{layer}.bias"], padding=1))

        h = f.max_pool2d(conv(x, "features.0"), 2)
        h = f.max_pool2d(conv(conv(h, "features.3"), "features.5"), 2)
        h = f.max_pool2d(conv(h, "features.8"), 2).flatten(1)
        h = torch.relu(f.linear(h, w["hidden.weight"], w["hidden.bias"]))
        return f.linear(h, w["logits.weight"], w["logits.bias"])

    optimiser = make(torch)(list(w.values()))
    losses = []
    for x, labels in batches:
        optimiser.zero_grad()
        loss = f.cross_entropy(network(torch.tensor(x)), torch.tensor(labels))
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses, {name: v.detach().numpy() for name, v in w.items()}


@pytest.mark.parametrize(
    ("asked", "make"),
    [
        ({"optimiser": "adam", "lr": 1e-3}, lambda t: lambda w: t.optim.Adam(w, lr=1e-3)),
        ({"optimiser": "sgd", "lr": 0.01}, lambda t: lambda w: t.optim.SGD(w, lr=0.01)),
        (
            {"optimiser": "sgd", "lr": 0.01, "momentum": 0.9},
            lambda t: lambda w: t.optim.SGD(w, lr=0.01, momentum=0.9),
        ),
    ],
    ids=["adam", "sgd", "momentum"],
)
def test_fifty_steps_are_those_of_pytorch(
    asked: dict[str, Any], make: Any, sample_models: Path
) -> None:
    model = onnx.load(sample_models / "digits_shortcut.onnx")
    batches = _batches(sample_models / "pictures")
    losses, state = _trained(training_step(model, WEIGHTS, batch=BATCH, **asked), batches)
    expected, weights = _torch_losses(model, batches, make)
    assert expected[-1] < expected[0] / 4
    np.testing.assert_allclose(losses, expected, atol=1e-3)
    for name in WEIGHTS:
        np.testing.assert_allclose(state[name], weights[name], atol=1e-3)


def test_the_page_does_what_it_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(__file__).parents[2]
    monkeypatch.chdir(root)
    text = (root / "docs" / "fine-tuning.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(code, "fine-tuning.md", "exec"), {})
    loss, before, after = capsys.readouterr().out.splitlines()
    assert float(loss.split()[1]) < 0.1
    assert int(before.split()[1]) <= 11
    assert int(after.split()[1]) >= 16


def test_only_the_weights_that_are_named_change_and_the_loss_is_the_mean() -> None:
    step = training_step(conv_net(), ["fc", "b3"], batch=2, optimiser="sgd", lr=0.5)
    assert [v.name for v in step.graph.input] == ["image", "labels", "fc", "b3"]
    assert [v.name for v in step.graph.output] == ["loss", "fc_next", "b3_next", "scores"]
    session = onnxruntime.InferenceSession(step.SerializeToString())
    image = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
    labels = np.array([4, 1])
    loss, _, bias, scores = session.run(None, {"image": image, "labels": labels})
    shares = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    np.testing.assert_allclose(loss, -np.log(shares[[0, 1], labels]).mean(), rtol=1e-5)
    (b3,) = (numpy_helper.to_array(t) for t in conv_net().graph.initializer if t.name == "b3")
    slope = (shares - np.eye(5)[labels]).mean(0)
    np.testing.assert_allclose(bias, b3 - 0.5 * slope, atol=1e-6)


@pytest.mark.parametrize(
    ("weights", "asked", "error", "sentence"),
    [
        (["image"], {}, UsageError, "'image' is no weight"),
        (["fc"], {"lr": 0.0}, UsageError, "lr is above 0"),
        (["fc"], {"momentum": 0.9}, UsageError, "momentum .* for optimiser='sgd' alone"),
        (["fc"], {"of": "all"}, ModelRefused, r"'all' has shape \(\): no axis of classes"),
    ],
)
def test_what_cannot_be_trained_is_said(
    weights: list[str], asked: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    model = conv_net()
    model.graph.node.append(onnx.helper.make_node("ReduceSum", ["scores"], ["all"], keepdims=0))
    with pytest.raises(error, match=sentence):
        training_step(model, weights, **{"lr": 0.1, **asked})


def test_other_weights_are_not_taken_back() -> None:
    with pytest.raises(UsageError, match=r"no weight 'fc' of shape \(2, 2\)"):
        with_trained(conv_net(), {"fc": np.zeros((2, 2))})
    with pytest.raises(UsageError, match="no weight 'absent'"):
        with_trained(conv_net(), {"absent": np.zeros(2)})
