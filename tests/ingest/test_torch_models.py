"""Networks of torchvision, timm and our own, as modules and as files: PyTorch's own numbers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from torch import nn  # noqa: E402

from leap_audit.config import DeclaredPreprocessing  # noqa: E402
from leap_audit.gradient import build_gradient  # noqa: E402
from leap_audit.ingest.loading import read_source  # noqa: E402
from leap_audit.run import Session, choose_provider  # noqa: E402

BATCH = 2


class Rows(nn.Module):
    """An LSTM over the rows of a picture."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.last = nn.LSTM(3 * 16, 24, batch_first=True), nn.Linear(24, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.permute(0, 2, 1, 3).flatten(2)
        return self.last(self.lstm(rows)[0][:, -1])


class Mixed(nn.Module):
    """Einsum, GroupNorm, a residual branch, tanh, a maximum, and several outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(4, 8)
        self.mix = nn.Parameter(torch.randn(8, 8) / 3)
        self.last = nn.Linear(8, 6)

    def forward(self, x: Any) -> Any:
        y = torch.tanh(self.norm(self.first(x)))
        y = y + torch.einsum("bchw,cd->bdhw", y, self.mix)
        features = y.amax(3).mean(2)
        return self.last(features), features


class Attending(nn.Module):
    """A convolution with BatchNorm, then an encoder layer with attention and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.norm = nn.Conv2d(3, 32, 4, stride=4), nn.BatchNorm2d(32)
        self.layer = nn.TransformerEncoderLayer(32, 4, 48, dropout=0.2, batch_first=True)
        self.last = nn.Linear(32, 7)
        self.norm.running_mean.uniform_(-1, 1)
        self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x: Any) -> Any:
        tokens = self.norm(self.patches(x)).flatten(2).transpose(1, 2)
        return self.last(self.layer(tokens).mean(1))


def of_torchvision(name: str, **options: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        from benchmarks.networks import torchvision_operators

        torchvision_operators()
        models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
        return models.get_model(name, weights=None, num_classes=10, **options)

    return build


def of_timm(name: str, **options: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        from benchmarks.networks import torchvision_operators

        torchvision_operators()
        timm = pytest.importorskip("timm", reason="timm is not installed")
        return timm.create_model(name, pretrained=False, num_classes=10, **options)

    return build


# Exporting takes seconds for every network and route, so each network goes by one.
NETWORKS: list[tuple[str, Callable[[], nn.Module], int, str]] = [
    ("rows", Rows, 16, "script"),
    ("mixed", Mixed, 20, "program"),
    ("attending", Attending, 16, "program in training"),
    ("resnet18", of_torchvision("resnet18"), 64, "trace"),
    ("squeezenet1_1", of_torchvision("squeezenet1_1"), 64, "module"),
    ("mobilenet_v3_small", of_torchvision("mobilenet_v3_small"), 64, "trace"),
    ("resnet", of_timm("test_resnet"), 64, "program"),
    ("byobnet", of_timm("test_byobnet"), 64, "module"),
    ("convnext", of_timm("test_convnext", drop_path_rate=0.1), 64, "trace"),
    ("vit", of_timm("test_vit", img_size=64, depth=2), 64, "module"),
    ("nfnet", of_timm("test_nfnet"), 64, "trace"),
    ("efficientnet", of_timm("test_efficientnet"), 64, "module"),
]


@pytest.fixture(params=NETWORKS, ids=lambda each: f"{each[0]}-{each[3].replace(' ', '_')}")
def network(request: pytest.FixtureRequest) -> tuple[nn.Module, int, str]:
    _, build, side, route = request.param
    torch.manual_seed(0)
    module = build()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):  # as after training, not as new
            part.running_mean.uniform_(-0.3, 0.3)
            part.running_var.uniform_(0.6, 1.6)
    module.train()
    return module, side, route


def source_of(module: nn.Module, side: int, route: str, folder: Path) -> Any:
    """The module itself, or the file that it is written into."""
    example = torch.rand(2, 3, side, side)
    path = folder / "network.bin"  # a file is told by what is in it
    if route == "module":
        return module
    if route.startswith("program"):
        module.train(route.endswith("training"))
        free = ({0: torch.export.Dim("batch")},)
        torch.export.save(torch.export.export(module, (example,), dynamic_shapes=free), path)
    elif route == "script":
        torch.jit.script(module.eval()).save(path)
    else:
        torch.jit.trace(module.eval(), example).save(path)
    return path


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # still what people have
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # of shapes, which are fixed here
def test_outputs_and_gradients_are_pytorchs(
    network: tuple[nn.Module, int, str], tmp_path: Path
) -> None:
    """Outputs to 1e-4 of their largest, gradients to 1e-3, on pictures that were never traced."""
    module, side, route = network
    size = None if route.startswith("program") else (side, side)  # a program says it itself
    source = read_source(
        source_of(module, side, route, tmp_path), DeclaredPreprocessing(input_size=size)
    )
    assert "PyTorch" in source.converted
    x = np.random.default_rng(1).random((BATCH, 3, side, side), np.float32)
    module.eval()
    leaf = torch.from_numpy(x).requires_grad_()
    y = module(leaf)
    y = y[0] if isinstance(y, tuple) else y
    cotangent = np.random.default_rng(2).standard_normal(tuple(y.shape)).astype(np.float32)
    (want,) = torch.autograd.grad(y, leaf, torch.from_numpy(cotangent))
    graph = build_gradient(source.proto, batch=BATCH)
    have, slope = Session(graph, choose_provider("cpu"), 1).run(
        {"picture": x, "cotangent": cotangent}, ["logits", "picture_grad"]
    )
    assert np.abs(have - y.detach().numpy()).max() <= 1e-4 * np.abs(y.detach().numpy()).max()
    assert np.abs(slope - want.numpy()).max() <= 1e-3 * np.abs(want.numpy()).max()
