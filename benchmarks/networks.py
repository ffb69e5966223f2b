"""Networks that benchmarks run: from PyTorch's modules to files that ONNX Runtime reads."""

import contextlib
import importlib
import json
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["NETWORKS", "Case", "Network", "constructor", "export", "module"]


@dataclass(frozen=True)
class Network:
    """A torch.nn.Module: `where` is module:callable, `options` its arguments."""

    name: str
    where: str
    options: Mapping[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] = (3, 224, 224)
    classes: int = 1000


# DeiT-Ti (Touvron et al. 2021) is a ViT-B/16 of a quarter of the width; torchvision lacks the name.
DEIT = {"image_size": 224, "patch_size": 16, "num_layers": 12}
DEIT |= {"num_heads": 3, "hidden_dim": 192, "mlp_dim": 768}
TORCHVISION = "resnet18 resnet50 mobilenet_v2 efficientnet_b0 convnext_tiny vit_b_16 swin_t"
NETWORKS = {
    **{name: Network(name, f"torchvision.models:{name}") for name in TORCHVISION.split()},
    "deit_tiny": Network("deit_tiny", "torchvision.models:VisionTransformer", DEIT),
}


@dataclass(frozen=True)
class Case:
    """A network at a batch size and a number of threads; its graphs lie in `folder`.

    copies: of which of its weights a session of the gradient keeps second copies.
    """

    network: Network
    batch: int
    threads: int
    folder: str
    copies: Mapping[str, bool] = field(default_factory=dict)

    @property
    def model(self) -> Path:
        return Path(self.folder) / f"{self.network.name}.onnx"

    @property
    def gradient(self) -> Path:
        return Path(self.folder) / f"{self.network.name}.batch{self.batch}.grad.onnx"

    @property
    def x(self) -> np.ndarray:
        return normal(1, (self.batch, *self.network.shape))

    @property
    def dy(self) -> np.ndarray:
        return normal(2, (self.batch, self.network.classes))

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Case":
        fields = json.loads(text)
        network = fields.pop("network")
        network["shape"] = tuple(network["shape"])
        return cls(Network(**network), **fields)


@cache
def normal(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


@cache
def torchvision_operators() -> Any:
    """Return torchvision's operators, declared only, where its library does not load.

    Its import asks for them, and its library does not load beside the CPU build of torch.
    """
    import torch

    spec = find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise SystemExit("torchvision is not installed: pip install 'leap-audit[cpu,bench]'")
    try:
        return torch.ops.load_library(Path(spec.origin).parent / "_C.so")
    except OSError:
        declared = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return declared


@cache
def constructor(where: str) -> Callable[..., Any]:
    package, _, name = where.partition(":")
    if package.startswith("torchvision"):
        torchvision_operators()
    return getattr(importlib.import_module(package), name)


def module(network: Network) -> Any:
    """Return the network with random weights, the same every time, in eval mode.

    Weights that begin at zero are drawn too: from a head of zeros (ViT) no gradient comes.
    """
    import torch

    torch.manual_seed(0)
    made = constructor(network.where)(**network.options).eval().requires_grad_(False)
    for weight in made.parameters():
        if weight.ndim > 1 and not weight.any():
            torch.nn.init.normal_(weight, std=0.02)
    return made


def export(case: Case) -> None:
    """Write the network as PyTorch exports it, its batch free, unless it is there."""
    if case.model.exists():
        return
    import torch

    example = (torch.zeros(2, *case.network.shape),)  # of 1 item the exporter makes a fixed batch
    part = case.model.with_suffix(".part")
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module(case.network),
            example,
            part,
            input_names=["input"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    part.rename(case.model)
