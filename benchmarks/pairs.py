"""Networks on both sides of a comparison: torch modules with random weights, and their exports."""

import contextlib
import copy
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.networks import torchvision_operators
from leap_audit.config import DeclaredPreprocessing
from leap_audit.ingest import load
from leap_audit.ingest.model import Model
from leap_audit.measure.attribution.smoothing import explainer
from leap_audit.measure.draws import content_key, generator
from leap_audit.measure.methods import Explanation
from leap_audit.measure.run import Run
from leap_audit.measure.subject import Subject
from leap_audit.run import choose_provider
from leap_audit.run.session import Array

__all__ = ["NETWORKS", "Pair", "made"]


class Toy(nn.Module):
    """Convolutions, batch normalisation, a residual, pooling and a dense layer; every ReLU once."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.second = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
        self.last = nn.Sequential(nn.Conv2d(8, 12, 3, padding=1), nn.ReLU())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        x = self.last(x + self.second(x))
        return self.head(self.pool(x).flatten(1))


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.softmax = nn.Softmax(-1)
        self.heads = heads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, n, d = x.shape
        parts = self.qkv(self.norm1(x)).reshape(b, n, 3, self.heads, d // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind(0)
        weights = self.softmax(q @ k.transpose(-2, -1) * (d // self.heads) ** -0.5)
        x = x + self.proj((weights @ v).transpose(1, 2).reshape(b, n, d))
        return x + self.mlp(self.norm2(x))


class ToyViT(nn.Module):
    """A transformer of two blocks that reads a class token."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 16, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.position = nn.Parameter(torch.randn(1, 17, 16) * 0.5)
        self.blocks = nn.Sequential(Block(16, 2), Block(16, 2))
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        token = self.token.expand(x.shape[0], -1, -1)
        x = self.blocks(torch.cat([token, tokens], 1) + self.position)
        return self.head(self.norm(x)[:, 0])


def _torchvision(name: str) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        torchvision_operators()
        import torchvision

        made: nn.Module = getattr(torchvision.models, name)()
        return made

    return make


def _timm(name: str) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        torchvision_operators()
        import timm
        from timm.layers import set_fused_attn

        set_fused_attn(False)
        made: nn.Module = timm.create_model(name)
        return made

    return make


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "toy": (Toy, 32),
    "toy_vit": (ToyViT, 32),
    "resnet18": (_torchvision("resnet18"), 112),
    "mobilenet_v2": (_torchvision("mobilenet_v2"), 112),
    "vit_tiny": (_timm("vit_tiny_patch16_224"), 224),
    "swin_t": (_torchvision("swin_t"), 112),
    "convnext_tiny": (_torchvision("convnext_tiny"), 96),
}


@dataclass(frozen=True)
class Pair:
    """One network, for both sides."""

    module: nn.Module
    model: Model
    run: Run
    picture: Array
    class_: int
    dtype: type = np.float32
    """That the module computes in."""
    kept: dict[str, Explanation] = field(default_factory=dict)

    @property
    def x(self) -> torch.Tensor:
        return self.tensor(self.picture[None])

    def tensor(self, values: Array) -> torch.Tensor:
        """Return numbers as the module takes them."""
        return torch.from_numpy(np.array(values, self.dtype))

    def precise(self) -> "Pair":
        """Return the pair with the module in double precision; ours stays as it is."""
        return replace(self, module=copy.deepcopy(self.module).double(), dtype=np.float64)

    def ours(self, name: str, **options: Any) -> Explanation:
        key = f"{name} {sorted(options.items())}"
        if key not in self.kept:
            method = explainer(name)
            subject = Subject(self.picture, self.class_)
            parsed = method.options.parse(options, "parity")
            (self.kept[key],) = method.function(self.run, [subject], parsed, seed=0)
        return self.kept[key]

    def rng(self, name: str) -> np.random.Generator:
        return generator(0, f"attribution {name}", content_key(self.picture), self.class_)


def made(name: str, folder: Path, batch: int = 4, side: int = 0) -> Pair:
    """Return a network with random weights, exported and loaded.

    side: of the picture; 0: that of NETWORKS.
    """
    make, usual = NETWORKS[name]
    side = side or usual
    torch.manual_seed(3)
    module = make().eval()
    with torch.no_grad():
        for weight in module.parameters():
            if weight.ndim > 1 and not weight.any():
                nn.init.normal_(weight, std=0.02)
        _settle(module, side)
    path = folder / f"{name}.onnx"
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (torch.zeros(2, 3, side, side),),
            path,
            input_names=["x"],
            output_names=["y"],
            dynamic_shapes=({0: torch.export.Dim("n")},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    declared = DeclaredPreprocessing(range=(0, 1), mean=(0.0,), std=(1.0,))
    model = load(path, declared, choose_provider("cpu"))
    picture = np.random.default_rng(5).random((3, side, side), np.float32)
    run = Run(model, batch, 2)
    return Pair(module, model, run, picture, int(run.logits(picture[None])[0].argmax()))


def _settle(module: nn.Module, side: int) -> None:
    """Give batch normalisation statistics that keep the size of the signal.

    With arbitrary ones the signal of a deep network with random weights dies, and its scores differ
    by less than single precision resolves. With the mean of a random picture taken off, little but
    rounding is left of it.
    """

    def measure(part: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        assert isinstance(part, nn.BatchNorm2d)
        size = inputs[0].square().mean()
        part.running_mean.normal_(0, 0.1).mul_(size.sqrt())
        part.running_var.uniform_(0.5, 1.5).mul_(size)

    layers = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    handles = [part.register_forward_pre_hook(measure) for part in layers]
    module(torch.rand(1, 3, side, side))
    for handle in handles:
        handle.remove()
