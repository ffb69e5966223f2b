"""Relevance by `lrp` and `attnlrp`: what is conserved, and beside zennit and a literal AttnLRP.

    python -m benchmarks.rule_sets conservation --zoo FOLDER --csv conservation.csv
    python -m benchmarks.rule_sets table --csv conservation.csv
    python -m benchmarks.rule_sets zennit --csv zennit.csv
    python -m benchmarks.rule_sets attention --csv attention.csv

zennit is not a requirement of this package: install it beside it. FOLDER holds zoo.py, which
has `names()`, `load(name)` and `reference(name)`. `--networks` takes some of them alone. Rows are
written as they come, so that a run that is cut keeps them. Weights are random, since the rules are
compared and not the networks.
"""

import argparse
import contextlib
import copy
import csv
import itertools
import re
import sys
import types
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks.networks import torchvision_operators
from leap_audit.errors import GradientUnavailable
from leap_audit.gradient.lrp import COMPOSITES, LrpRuleOptions
from tests.builders.relevance import relevance

__all__ = ["conservation_table", "distance"]

TINY = 1e-12
"""In the place of the stabilisers that AttnLRP in the form of gradients does not have."""
BOX = (-3.0, 3.0)
"""The range of the random pictures that z^B assumes."""


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return |a - b| / |b|."""
    wide = np.asarray(b, np.float64)
    return float(np.linalg.norm(np.asarray(a, np.float64) - wide) / np.linalg.norm(wide))


def conservation(folder: Path, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield, for each network and rule set, its sums and their gap, or what it refuses."""
    sys.path.insert(0, str(folder))
    import zoo

    composites = {"lrp": ("epsilon", "epsilon_plus"), "attnlrp": ("epsilon",)}
    for name in names or zoo.names():
        proto, picture = zoo.load(name), zoo.reference(name).input
        for rules, chosen in composites.items():
            for composite in chosen:
                row = {"network": name, "rules": rules, "composite": composite}
                options = LrpRuleOptions.model_validate({"composite": composite})
                try:
                    attention = rules == "attnlrp"
                    r, kept, score = relevance(proto, picture, None, options, attention=attention)
                except GradientUnavailable as error:
                    yield row | {"refused": str(error)}
                    break
                total = float(r.sum(dtype=np.float64))
                gap = abs(total + kept - score) / abs(score)
                yield row | {"score": score, "relevance": total, "kept": kept, "gap": gap}


def conservation_table(rows: Iterable[Mapping[str, str]]) -> list[str]:
    """Return the rows of `conservation` as lines of a table, one for each network.

    A cell has the gap, or the operators that the rule set refuses.
    """
    columns = (("lrp", "epsilon"), ("lrp", "epsilon_plus"), ("attnlrp", "epsilon"))
    networks: dict[str, dict[tuple[str, str], str]] = {}
    for row in rows:
        cells = networks.setdefault(re.sub("^(timm|tv)_", "", row["network"]), {})
        operators = re.findall(r"(\w+) \(\d+ node", row["refused"])
        refused = ", ".join(operators) or row["refused"]
        if row["gap"]:
            cells[row["rules"], row["composite"]] = f"{float(row['gap']):.1e}"
        else:  # of the whole rule set, which the first composite found out
            cells |= {column: refused for column in columns if column[0] == row["rules"]}
    heads = ["network", *(f"`{rules}`, `{composite}`" for rules, composite in columns)]
    lines = [heads, ["---"] * len(heads)]
    for name, cells in sorted(networks.items()):
        lines.append([name, *(cells.get(column, "") for column in columns)])
    return [f"| {' | '.join(line)} |" for line in lines]


def zennit(names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the distance to zennit's composites in double precision, ours and its own in single.

    Networks of torchvision with random weights and statistics; the sums of a ResNet are zennit's
    `Sum`. Normalisation is folded by PyTorch: that of zennit's canonizer keeps its ε, so that each
    layer is divided by the root of 1 + ε.
    """
    import torch

    torchvision_operators()
    # Its module for torchvision names a layer that torchvision no longer has.
    sys.modules.setdefault("zennit.torchvision", types.ModuleType("zennit.torchvision"))
    from zennit import composites as theirs
    from zennit.attribution import Gradient
    from zennit.composites import LayerMapComposite, layer_map_base
    from zennit.rules import Epsilon
    from zennit.types import Linear

    ends = [torch.full((1, 3, 1, 1), end) for end in BOX]
    made = {
        "epsilon": lambda low, high: LayerMapComposite(  # noqa: ARG005
            [*layer_map_base(), (Linear, Epsilon())]
        ),
        "epsilon_plus": lambda low, high: theirs.EpsilonPlus(),  # noqa: ARG005
        "epsilon_gamma_box": lambda low, high: theirs.EpsilonGammaBox(low=low, high=high),
        "epsilon_plus_flat": lambda low, high: theirs.EpsilonPlusFlat(),  # noqa: ARG005
        "epsilon_alpha2_beta1": lambda low, high: theirs.EpsilonAlpha2Beta1(),  # noqa: ARG005
        "epsilon_alpha2_beta1_flat": lambda low, high: theirs.EpsilonAlpha2Beta1Flat(),  # noqa: ARG005
    }
    assert set(made) == set(COMPOSITES) - {"foxai"}
    side = 64
    for name in names or ("vgg11_bn", "resnet18", "mobilenet_v2"):
        network = as_modules(drawn(name))
        x = torch.randn((1, 3, side, side), generator=torch.Generator().manual_seed(5)).clamp(*BOX)
        proto = exported(network, x)
        for composite, make in made.items():
            box = {"low": BOX[:1], "high": BOX[1:]} if composite.endswith("box") else {}
            options = LrpRuleOptions.model_validate({"composite": composite, **box})
            ours, _, score = relevance(proto, x.numpy(), 7, options)
            found = []
            for kind in (torch.float64, torch.float32):
                module = folded(copy.deepcopy(network).double()).to(kind)
                low, high = (end.to(kind).expand(1, 3, side, side) for end in ends)
                with Gradient(model=module, composite=make(low, high)) as attributor:
                    eye = torch.nn.functional.one_hot(torch.tensor([7]), 1000).to(kind)
                    _, r = attributor(x.to(kind), lambda y, eye=eye: eye * y)
                found.append(r.detach().numpy())
            yield {
                "network": name,
                "composite": composite,
                "score": score,
                "ours to zennit64": distance(ours, found[0]),
                "zennit32 to zennit64": distance(found[1], found[0]),
                "ours to zennit32": distance(ours, found[1]),
            }


def drawn(name: str) -> Any:
    """Return a network of torchvision with random weights, and statistics that are not 0 and 1."""
    import torch
    from torchvision import models

    torch.manual_seed(0)
    network = models.get_model(name, weights=None)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, 0, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.2)
    return network.eval()


def folded(network: Any) -> Any:
    """Return the network with each normalisation in the convolution that stands before it."""
    import torch

    layers = [
        (parent, name, child)
        for parent in network.modules()
        for name, child in parent.named_children()
        if not list(child.children())
    ]
    for (before, first, convolution), (after, second, norm) in itertools.pairwise(layers):
        if isinstance(norm, torch.nn.BatchNorm2d):
            fused = torch.nn.utils.fusion.fuse_conv_bn_eval(convolution, norm)
            setattr(before, first, fused)
            setattr(after, second, torch.nn.Identity())
    return network


def as_modules(network: Any) -> Any:
    """Return the network with its additions and its mean over places as modules.

    zennit has rules for modules alone: what is a function call keeps its gradient.
    """
    import torch
    from torchvision.models.mobilenetv2 import InvertedResidual, MobileNetV2
    from torchvision.models.resnet import BasicBlock
    from zennit.layer import Sum

    def basic(self: Any, x: Any) -> Any:
        way = x if self.downsample is None else self.downsample(x)
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.last(self.sum(torch.stack([way, y], dim=-1)))

    def inverted(self: Any, x: Any) -> Any:
        y = self.conv(x)
        return self.sum(torch.stack([x, y], dim=-1)) if self.use_res_connect else y

    def pooled(self: Any, x: Any) -> Any:
        return self.classifier(self.pool(self.features(x)).flatten(1))

    for module in list(network.modules()):
        if isinstance(module, MobileNetV2):
            module.pool = torch.nn.AdaptiveAvgPool2d(1)
            module.forward = types.MethodType(pooled, module)
        if isinstance(module, BasicBlock | InvertedResidual):
            module.sum = Sum()
            module.last = torch.nn.ReLU()  # a module that is used twice has one hook
            forward = basic if isinstance(module, BasicBlock) else inverted
            module.forward = types.MethodType(forward, module)
    return network


def exported(network: Any, x: Any) -> onnx.ModelProto:
    from leap_audit.ingest.frameworks.torch import export_module

    return export_module(network, tuple(x.shape[1:]))


def attention(names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the distance of `attnlrp` to AttnLRP written out for PyTorch's autograd.

    In that form a rule changes the gradient g, and relevance is x · g at the end: activations
    send back g · y / x, products of two data g / 2 to each, normalisation holds its deviation.
    """
    import torch

    torchvision_operators()
    import timm
    from torchvision import models

    networks = {
        "vit_tiny": lambda: timm.create_model("vit_tiny_patch16_224", pretrained=False),
        "deit_tiny_distilled": lambda: timm.create_model(
            "deit_tiny_distilled_patch16_224", pretrained=False
        ),
        "swin_t": lambda: models.get_model("swin_t", weights=None),
    }
    options = LrpRuleOptions(composite="epsilon", epsilon=TINY, stabiliser=TINY)
    for name in names or networks:
        torch.manual_seed(0)
        network = networks[name]().eval()
        for module in network.modules():
            if hasattr(module, "fused_attn"):
                module.fused_attn = False
            if isinstance(module, torch.nn.LayerNorm):
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.normal_(module.bias, 0, 0.1)
        x = torch.randn((1, 3, 224, 224), generator=torch.Generator().manual_seed(5))
        ours, kept, score = relevance(exported(network, x), x.numpy(), 7, options, attention=True)
        found = [literal(network, x, kind) for kind in (torch.float64, torch.float32)]
        total = float(ours.sum(dtype=np.float64))
        yield {
            "network": name,
            "score": score,
            "relevance": total,
            "gap": abs(total + kept - score) / abs(score),
            "ours to reference64": distance(ours, found[0]),
            "reference32 to reference64": distance(found[1], found[0]),
        }


def literal(network: Any, x: Any, kind: Any) -> np.ndarray:
    """Return AttnLRP of output 7 by autograd, with the functions that have rules replaced."""
    import torch
    from torch.overrides import TorchFunctionMode

    functional = torch.nn.functional

    class Halved(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:  # noqa: ARG004
            return x.clone()

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:  # noqa: ARG004
            return g / 2

    class Gelu(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            y = torch.erf(x / 2**0.5).add(1).mul(x / 2)
            ctx.save_for_backward(y / x)
            return y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * ctx.saved_tensors[0]

    class Rules(TorchFunctionMode):
        def __torch_function__(
            self, function: Any, kinds: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            given = kwargs or {}
            if function is functional.gelu:
                return Gelu.apply(args[0])
            if function is functional.layer_norm:
                a, *rest = args
                named = dict(zip(("shape", "weight", "bias", "eps"), rest, strict=False)) | given
                centred = a - a.mean(-1, keepdim=True)
                deviation = (centred.square().mean(-1, keepdim=True) + named["eps"]).sqrt()
                return centred / deviation.detach() * named["weight"] + named["bias"]
            products = (torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__)
            if function in products and all(a.requires_grad for a in args[:2]):
                return Halved.apply(function(*args, **given))
            return function(*args, **given)

    module = copy.deepcopy(network).to(kind).requires_grad_(requires_grad=False)
    wide = x.to(kind).clone().requires_grad_()
    with Rules():
        score = module(wide)[0, 7]
    (g,) = torch.autograd.grad(score, wide)
    return np.asarray((wide * g).detach())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("conservation", "table", "zennit", "attention"))
    parser.add_argument("--zoo", type=Path, default=Path("shared/zoo"))
    parser.add_argument("--networks", nargs="+", default=[])
    parser.add_argument("--csv", type=Path, required=True)
    wanted = parser.parse_args()
    if wanted.what == "table":
        with wanted.csv.open(newline="", encoding="utf-8") as file:
            print(*conservation_table(csv.DictReader(file)), sep="\n")
        return
    warnings.simplefilter("ignore")
    rows = {"zennit": zennit, "attention": attention}
    if wanted.what == "conservation":
        rows["conservation"] = partial(conservation, wanted.zoo)
    with contextlib.closing(wanted.csv.open("w", newline="")) as file:
        writer: csv.DictWriter[str] | None = None
        for row in rows[wanted.what](wanted.networks):
            if writer is None:
                extra = ["score", "relevance", "kept", "gap", "refused"]
                more = extra if wanted.what == "conservation" else []
                writer = csv.DictWriter(file, list(dict.fromkeys([*row, *more])))
                writer.writeheader()
            writer.writerow(row)
            file.flush()
            print(*row.values(), flush=True)


if __name__ == "__main__":
    main()
