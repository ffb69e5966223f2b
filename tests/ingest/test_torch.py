"""torch.nn.Modules and functions on tensors, as ONNX: the numbers are PyTorch's own."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from torch import nn  # noqa: E402

from leap_audit.errors import ModelRefused, RuntimeMissing  # noqa: E402
from leap_audit.ingest.files.onnx import checked  # noqa: E402
from leap_audit.ingest.frameworks.torch import export_module, put_before  # noqa: E402
from leap_audit.run import Session, choose_provider  # noqa: E402

CPU = choose_provider("cpu")
SHAPE = (3, 12, 10)


def ran(model: onnx.ModelProto, pictures: np.ndarray) -> np.ndarray:
    return Session(model, CPU, 1).run({"picture": pictures})[0]


def pictures(batch: int = 5, shape: Sequence[int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(3).random((batch, *shape), np.float32)


def assert_same(model: onnx.ModelProto, run: Callable[[Any], Any], x: np.ndarray) -> None:
    """The model gives what `run` gives of a batch that was never traced, to 1e-4."""
    checked(model, "the export")
    with torch.no_grad():
        want = run(torch.from_numpy(x)).numpy()
    assert np.abs(ran(model, x) - want).max() <= 1e-4 * np.abs(want).max()


class Training(nn.Module):
    """Convolution and BatchNorm with statistics of their own, dropout, and a dict that comes out.

    A part of it is in eval mode while the whole is in training mode.
    """

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm = nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8)
        self.frozen = nn.BatchNorm2d(8).eval()
        self.dropout, self.last = nn.Dropout(0.5), nn.Linear(8, 5)
        self.norm.running_mean.uniform_(-1, 1)
        self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x: Any) -> dict[str, Any]:
        features = torch.relu(self.frozen(self.norm(self.conv(x)))).mean((2, 3))
        return {"logits": self.last(self.dropout(features)), "features": features}


class Scaled:
    """A function with state that is no module: a tensor and a number."""

    def __init__(self) -> None:
        self.mean, self.gain = torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1), 3.0

    def __call__(self, x: Any) -> Any:
        return (x - self.mean) * self.gain


@pytest.fixture
def trained() -> Training:
    module = Training()
    module.train()
    module.frozen.eval()
    return module


def evaluated(module: nn.Module, *functions: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def run(x: Any) -> Any:
        for function in functions:
            x = function(x)
        y = module.eval()(x)
        return y["logits"] if isinstance(y, dict) else y

    return run


def test_a_module_in_training_mode(trained: Training, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing is printed, and no trace of the machine is in the graph."""
    model = export_module(trained, SHAPE)
    assert capfd.readouterr() == ("", "")
    modes = {name: part.training for name, part in trained.named_modules()}
    assert {name for name, training in modes.items() if not training} == {"frozen"}
    assert_same(model, evaluated(trained), pictures())
    assert [v.name for v in model.graph.input] == ["picture"]
    assert [v.name for v in model.graph.output] == ["logits"]
    assert str(Path(torch.__file__).parent).encode() not in model.SerializeToString()
    assert b".py" not in model.SerializeToString()


def test_functions_are_traced_in_front(trained: Training) -> None:
    """A lambda that changes the layout, state in a plain object, and a module with weights."""
    mixed = nn.Conv2d(3, 3, 1)
    functions = [lambda x: x.permute(0, 3, 1, 2), Scaled(), mixed, mixed.forward]
    model = export_module(trained, (12, 10, 3), functions)
    assert_same(model, evaluated(trained, *functions), pictures(shape=(12, 10, 3)))


def test_a_transformer_block() -> None:
    class Patches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.patch = nn.Conv2d(3, 16, 4, stride=4)
            self.block = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, norm_first=True)
            self.last = nn.Linear(16, 7)

        def forward(self, x: Any) -> tuple[Any, None]:
            tokens = self.patch(x).flatten(2).transpose(1, 2)
            return self.last(self.block(tokens).mean(1)), None

    module = Patches()
    model = export_module(module, (3, 16, 16))
    x = pictures(shape=(3, 16, 16))
    assert_same(model, lambda x: evaluated(module)(x)[0], x)


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        (
            lambda x: x.reshape(7, 7),
            r"function 2 of 2 \(<lambda>\) fails on a batch of shape \(2, 3, 12, 10\)",
        ),
        (lambda x: x.numpy(), "gives a ndarray for a batch of shape"),
        (
            lambda x: x * 2 if x.max() > 2 else x,
            r"PyTorch cannot trace preprocessing function 2 of 2 \(<lambda>\): ",
        ),
        (lambda x: x + torch.rand_like(x), "gives other numbers than PyTorch itself"),
    ],
)
def test_a_function_that_cannot_be_exported_is_named(
    function: Callable[[Any], Any], complaint: str
) -> None:
    with pytest.raises(ModelRefused, match=complaint) as caught:
        export_module(nn.Flatten(), SHAPE, [torch.sigmoid, function])
    assert "\n" not in str(caught.value)


def test_a_module_that_cannot_be_exported_is_named() -> None:
    with pytest.raises(ModelRefused, match="the module Linear fails on a batch of shape"):
        export_module(nn.Linear(4, 5), SHAPE)
    with pytest.raises(ModelRefused, match=r"is a str, not a torch\.nn\.Module"):
        export_module("resnet18", SHAPE)


def test_without_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(RuntimeMissing, match="pip install"):
        export_module(nn.Flatten(), SHAPE)


def small(batch: int | str, opset: int) -> onnx.ModelProto:
    """A model whose names are the ones that an export has too."""
    weight = np.random.default_rng(0).standard_normal((3 * 6 * 5, 100), np.float32)
    nodes = [
        helper.make_node("Flatten", ["picture"], ["x"]),
        helper.make_node("MatMul", ["x", "weight"], ["logits"]),
    ]
    picture = helper.make_tensor_value_info("picture", TensorProto.FLOAT, (batch, 3, 6, 5))
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, (batch, 100))
    weights = [onnx.numpy_helper.from_array(weight, "weight")]
    graph = helper.make_graph(nodes, "small", [picture], [logits], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.mark.parametrize(("batch", "opset"), [("n", 17), (1, 9)])
def test_put_before_a_file(batch: int | str, opset: int) -> None:
    model = small(batch, opset)
    functions = [nn.AvgPool2d(2), Scaled()]
    both = put_before(model, functions, SHAPE)
    entry = both.graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_value for d in entry] == [1 if batch == 1 else 0, *SHAPE]

    def run(x: Any) -> Any:
        for function in functions:
            x = function(x)
        return torch.from_numpy(Session(model, CPU, 1).run({"picture": x.numpy()})[0])

    assert_same(both, run, pictures(1 if batch == 1 else 5))
    assert put_before(model, [], SHAPE) is model


def test_put_before_what_does_not_fit() -> None:
    with pytest.raises(ModelRefused, match="gives 3 × 12 × 10, but input 'picture' of the model"):
        put_before(small("n", 17), [torch.sigmoid], SHAPE)


def test_torchvision_transforms(torchvision: Any) -> None:
    """Resize with antialiasing, a centre crop and Normalize, as a classifier is evaluated."""
    transforms = torchvision.transforms
    functions = [
        transforms.Compose([transforms.Resize(9), transforms.CenterCrop((8, 8))]),
        transforms.Normalize([0.4, 0.5, 0.6], [0.2, 0.3, 0.4]),
    ]
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 4))
    model = export_module(module, (3, 31, 23), functions)
    assert_same(model, evaluated(module, *functions), pictures(shape=(3, 31, 23)))
