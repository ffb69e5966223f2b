"""Methods of attribution beside their oracles: captum, and the papers' formulas on torch.

    python -m benchmarks.parity [--networks toy resnet18 ...] [--out docs/parity.md]

Random weights. The relative error is that of the whole attribution, in the Euclidean norm. The
picture goes into both as it is, without preprocessing.
"""

import argparse
import contextlib
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from captum import attr
from torch import nn

from benchmarks.networks import torchvision_operators
from leap_audit.config import DeclaredPreprocessing
from leap_audit.ingest import load
from leap_audit.ingest.model import Model
from leap_audit.measure.attribution.places import Places, layer_of
from leap_audit.measure.attribution.score import Score
from leap_audit.measure.attribution.smoothing import explainer
from leap_audit.measure.draws import content_key, generator
from leap_audit.measure.methods import Explanation
from leap_audit.measure.run import Run
from leap_audit.measure.subject import Subject
from leap_audit.run import choose_provider
from leap_audit.run.session import Array

__all__ = ["NETWORKS", "Pair", "Row", "made", "rows"]

STEPS = 8


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
    "resnet18": (_torchvision("resnet18"), 224),
    "mobilenet_v2": (_torchvision("mobilenet_v2"), 224),
    "vit_tiny": (_timm("vit_tiny_patch16_224"), 224),
    "swin_t": (_torchvision("swin_t"), 224),
    "convnext_tiny": (_torchvision("convnext_tiny"), 224),
}


@dataclass(frozen=True)
class Pair:
    """One network, for both sides."""

    module: nn.Module
    model: Model
    run: Run
    picture: Array
    class_: int

    @property
    def x(self) -> torch.Tensor:
        return torch.from_numpy(self.picture)[None].clone()

    def ours(self, name: str, **options: Any) -> Explanation:
        method = explainer(name)
        subject = Subject(self.picture, self.class_)
        parsed = method.options.parse(options, "parity")
        (found,) = method.function(self.run, [subject], parsed, seed=0)
        return found

    def rng(self, name: str) -> np.random.Generator:
        return generator(0, f"attribution {name}", content_key(self.picture), self.class_)


@dataclass(frozen=True)
class Row:
    method: str
    oracle: str
    error: float
    note: str = ""


def made(name: str, folder: Path, batch: int = 4) -> Pair:
    """Return a network with random weights, exported and loaded."""
    make, side = NETWORKS[name]
    torch.manual_seed(3)
    module = make().eval()
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_(0, 0.1)
                part.running_var.uniform_(0.5, 1.5)
        for weight in module.parameters():
            if weight.ndim > 1 and not weight.any():
                nn.init.normal_(weight, std=0.02)
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


def error(ours: Array, theirs: Any) -> float:
    theirs = theirs.detach().numpy() if isinstance(theirs, torch.Tensor) else theirs
    theirs = np.asarray(theirs, np.float64).reshape(np.shape(ours))
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


def layer_in(pair: Pair, places: Places) -> tuple[nn.Module, Callable[[Any], Array]] | None:
    """The module whose output is the tensor, and what brings its output to our order."""
    want = Score(pair.run, Subject(pair.picture, pair.class_).explained).values(
        pair.picture[None], places.name
    )[places.name]
    found: list[nn.Module] = []

    def hook(module: nn.Module, _: Any, output: Any) -> None:
        shape = tuple(getattr(output, "shape", ()))
        if shape == want.shape and np.allclose(output.detach().numpy(), want, atol=1e-4):
            found.append(module)

    handles = [part.register_forward_hook(hook) for part in pair.module.modules()]
    with torch.no_grad():
        pair.module(pair.x)
    for handle in handles:
        handle.remove()
    return (found[-1], lambda t: places.of(t.detach().numpy())[0]) if found else None


def gradients_of(pair: Pair, pictures: Array) -> Array:
    x = torch.from_numpy(np.asarray(pictures, np.float32)).requires_grad_()
    pair.module(x)[:, pair.class_].sum().backward()
    return x.grad.numpy()


def rows(pair: Pair) -> Iterator[Row]:
    """Yield the comparison of each method."""
    yield from _of_pictures(pair)
    yield from _of_layers(pair)
    yield from _drawn(pair)
    yield from _rolled(pair)


def _of_pictures(pair: Pair) -> Iterator[Row]:
    module, x, k = pair.module, pair.x, pair.class_
    found = pair.ours("saliency").detail
    yield Row("saliency", "captum", error(found, attr.Saliency(module).attribute(x, k)))
    found = pair.ours("input_x_gradient").detail
    theirs = attr.InputXGradient(module).attribute(x.requires_grad_(), k)
    yield Row("input_x_gradient", "captum", error(found, theirs))
    ig = attr.IntegratedGradients(module)
    for rule, method in (
        ("gauss_legendre", "gausslegendre"),
        ("left", "riemann_left"),
        ("right", "riemann_right"),
        ("middle", "riemann_middle"),
    ):
        theirs = ig.attribute(pair.x, 0.0, k, n_steps=STEPS, method=method, internal_batch_size=4)
        found = pair.ours("integrated_gradients", steps=STEPS, rule=rule).detail
        yield Row(f"integrated_gradients, {rule}", "captum", error(found, theirs))
    two = [ig.attribute(pair.x, b, k, n_steps=STEPS, internal_batch_size=4) for b in (0.0, 1.0)]
    found = pair.ours("integrated_gradients", steps=STEPS, baseline=("black", "white")).detail
    yield Row("integrated_gradients, two baselines", "captum, averaged", error(found, sum(two) / 2))
    side = pair.picture.shape[1]
    window, stride = side // 4, side // 8
    theirs = attr.Occlusion(module).attribute(
        pair.x, (3, window, window), (3, stride, stride), 0.0, k, perturbations_per_eval=4
    )
    found = pair.ours("occlusion", window=window, stride=stride).values
    yield Row("occlusion", "captum", error(found, theirs[0, 0]))
    if not explainer("guided_backprop").unmet(pair.model):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            guided = attr.GuidedBackprop(module).attribute(pair.x, k)
            deconv = attr.Deconvolution(module).attribute(pair.x, k)
        yield Row("guided_backprop", "captum", error(pair.ours("guided_backprop").detail, guided))
        yield Row("deconvnet", "captum", error(pair.ours("deconvnet").detail, deconv))


def _of_layers(pair: Pair) -> Iterator[Row]:
    places = layer_of(pair.model, None)
    matched = layer_in(pair, places)
    if matched is None:
        return
    layer, ordered = matched
    module, k = pair.module, pair.class_
    at = {"at": places.name}
    theirs = attr.LayerGradientXActivation(module, layer).attribute(pair.x, k)
    yield Row(
        "input_x_gradient, at",
        "captum",
        error(pair.ours("input_x_gradient", **at).detail, ordered(theirs)),
    )
    theirs = attr.LayerIntegratedGradients(module, layer).attribute(
        pair.x, 0.0, k, n_steps=STEPS, internal_batch_size=4
    )
    found = pair.ours("integrated_gradients", steps=STEPS, **at).detail
    yield Row("integrated_gradients, at", "captum", error(found, ordered(theirs)))
    theirs = attr.LayerConductance(module, layer).attribute(pair.x, 0.0, k, n_steps=STEPS)
    found = pair.ours("conductance", steps=STEPS, rule="captum", **at).detail
    yield Row("conductance, rule captum", "captum", error(found, ordered(theirs)))
    theirs = attr.InternalInfluence(module, layer).attribute(pair.x, 0.0, k, n_steps=STEPS)
    found = pair.ours("internal_influence", steps=STEPS, **at).detail
    yield Row("internal_influence", "captum", error(found, ordered(theirs)))
    a, g = _inside(pair, layer, ordered)
    literal = {
        "gradcam": np.einsum("c,cij->ij", g.mean((1, 2)), a),
        "hirescam": np.einsum("cij,cij->ij", g, a),
        "layercam": np.einsum("cij,cij->ij", np.maximum(g, 0), a),
        "xgradcam": np.einsum(
            "c,cij->ij", np.einsum("cij,cij->c", g, a) / (a.sum((1, 2)) + 1e-7), a
        ),
        "elementwise": np.maximum(g * a, 0).sum(0),
        "gradcam++": np.einsum(
            "c,cij->ij",
            np.sum(
                np.where(g != 0, g**2 / (2 * g**2 + a.sum((1, 2))[:, None, None] * g**3 + 1e-6), 0)
                * np.maximum(g, 0),
                (1, 2),
            ),
            a,
        ),
    }
    for name, want in literal.items():
        found = pair.ours(name, relu=False, **at).values
        yield Row(name, "its formula, on torch", error(found, cams_enlarged(want, pair)))
    flat = a.reshape(len(a), -1).T
    u, s, _ = np.linalg.svd(flat - flat.mean(0), full_matrices=False)
    principal = (u[:, 0] * s[0]).reshape(a.shape[1:])
    principal = -principal if abs(principal.min()) > abs(principal.max()) else principal
    yield Row(
        "eigencam",
        "its formula, on torch",
        error(pair.ours("eigencam", relu=False, **at).values, cams_enlarged(principal, pair)),
    )
    if not explainer("guided_gradcam").unmet(pair.model):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = attr.GuidedGradCam(module, layer).attribute(pair.x, k)
        found = pair.ours("guided_gradcam", bilinear=False, **at).detail
        yield Row("guided_gradcam", "captum", error(found, theirs))
    if places.channels <= 16:  # one pass a channel
        yield from _channels(pair, layer, a, at)


def _channels(pair: Pair, layer: nn.Module, a: Array, at: dict[str, str]) -> Iterator[Row]:
    module, k = pair.module, pair.class_
    whole, lost, behind = float(module(pair.x)[0, k]), [], []
    for c in range(len(a)):

        def without(_: Any, __: Any, out: torch.Tensor, c: int = c) -> torch.Tensor:
            out = out.clone()
            (out[..., c] if out.ndim == 3 else out[:, c]).zero_()
            return out

        handle = layer.register_forward_hook(without)
        lost.append(whole - float(module(pair.x)[0, k]))
        handle.remove()
        mask = cams_enlarged(a[c], pair)
        mask = (mask - mask.min()) / (mask.max() - mask.min() + 1e-8)
        shown = torch.from_numpy((mask * pair.picture).astype(np.float32))[None]
        behind.append(float(module(shown)[0, k]))
    want = np.tensordot(np.array(lost) / abs(whole), a, 1)
    found = pair.ours("ablationcam", relu=False, **at).values
    yield Row("ablationcam", "its formula, on torch", error(found, cams_enlarged(want, pair)))
    weights = np.exp(np.array(behind) - max(behind))
    want = np.tensordot(weights / weights.sum(), a, 1)
    found = pair.ours("scorecam", relu=False, **at).values
    yield Row("scorecam", "its formula, on torch", error(found, cams_enlarged(want, pair)))


def cams_enlarged(cam: Array, pair: Pair) -> Array:
    """As torch enlarges a map bilinearly, half-pixel centres."""
    wide = nn.functional.interpolate(
        torch.from_numpy(np.asarray(cam, np.float64))[None, None],
        pair.picture.shape[1:],
        mode="bilinear",
        align_corners=False,
    )
    return wide[0, 0].numpy()


def _inside(pair: Pair, layer: nn.Module, ordered: Callable[[Any], Array]) -> tuple[Array, Array]:
    kept: list[torch.Tensor] = []
    handle = layer.register_forward_hook(lambda _m, _i, out: kept.append(out))
    score = pair.module(pair.x.requires_grad_())[0, pair.class_]
    handle.remove()
    (gradient,) = torch.autograd.grad(score, kept[-1])
    return ordered(kept[-1]), ordered(gradient)


def _drawn(pair: Pair) -> Iterator[Row]:
    """Methods that draw: torch gets the same draws."""
    x = pair.picture.astype(np.float64)
    rng, copies = pair.rng("smoothgrad"), 4
    noise = rng.standard_normal((copies, *x.shape), np.float32) * np.float32(
        0.15 * np.ptp(pair.picture)
    )
    found = pair.ours("smoothgrad", copies=copies).detail
    want = gradients_of(pair, pair.picture + noise).mean(0)
    yield Row("smoothgrad", "torch, the same noise", error(found, want))
    rng, points, ends = pair.rng("gradient_shap"), [], []
    for _ in range(copies):
        x0 = np.full(x.shape, float(rng.integers(2)))
        ends.append(x - x0)
        points.append(x0 + rng.random() * (x - x0))
    want = (gradients_of(pair, np.stack(points)) * np.stack(ends)).mean(0)
    found = pair.ours("gradient_shap", samples=copies, baseline=("black", "white")).detail
    yield Row("gradient_shap", "torch, the same draws", error(found, want))


def _rolled(pair: Pair) -> Iterator[Row]:
    if explainer("gradient_rollout").unmet(pair.model):
        return
    layers = [m for n, m in pair.module.named_modules() if n.endswith(("softmax", "attn_drop"))]
    kept: list[torch.Tensor] = []
    handles = [m.register_forward_hook(lambda _m, _i, out: kept.append(out)) for m in layers]
    score = pair.module(pair.x.requires_grad_())[0, pair.class_]
    for handle in handles:
        handle.remove()
    attention = [each for each in kept if each.ndim == 4]
    gradients = torch.autograd.grad(score, attention)
    tokens = attention[0].shape[-1]
    side = int((tokens - 1) ** 0.5)
    r = plain = torch.eye(tokens)
    for a, g in zip(attention, gradients, strict=True):
        r = r + (g * a).clamp(min=0).mean(1)[0] @ r
        mixed = (a.mean(1)[0] + torch.eye(tokens)) / 2
        plain = mixed @ plain
    for name, result in (("gradient_rollout", r), ("attention_rollout", plain)):
        want = result[0, 1:].reshape(side, side).detach().numpy()
        yield Row(
            name, "its formula, on torch", error(pair.ours(name).values, cams_enlarged(want, pair))
        )


def table(found: dict[str, list[Row]]) -> str:
    """The relative errors as a table in Markdown, one column for each network."""
    names = list(dict.fromkeys((row.method, row.oracle) for part in found.values() for row in part))
    lines = [f"| method | oracle | {' | '.join(found)} |", "|---|---|" + "---|" * len(found)]
    for method, oracle in names:
        cells = []
        for part in found.values():
            cells.append(next((f"{r.error:.1e}" for r in part if r.method == method), ""))
        lines.append(f"| {method} | {oracle} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    args = parser.parse_args()
    found: dict[str, list[Row]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in args.networks:
            found[name] = []
            for row in rows(made(name, Path(folder))):
                found[name].append(row)
                print(name, row.method, f"{row.error:.1e}", file=sys.stderr, flush=True)
    print(table(found))


if __name__ == "__main__":
    main()
