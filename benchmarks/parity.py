"""Methods of attribution beside their oracles: captum, and the papers' formulas on torch.

    python -m benchmarks.parity [--networks toy resnet18 ...] [--csv FILE] [--page PAGE]

Random weights. The relative error is that of the whole attribution, in the Euclidean norm. The
picture goes into both as it is, without preprocessing. Both sides compute in single precision; each
is also compared with the oracle in double precision, which says whose the difference is. Networks
that are in the CSV are not measured again. --page: writes the table into that page, between its
marks.
"""

import argparse
import csv
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from captum import attr
from torch import nn

from benchmarks.pages import write_section
from benchmarks.pairs import NETWORKS, Pair, made
from leap_audit.measure.attribution.places import Places, layer_of
from leap_audit.measure.attribution.score import Score
from leap_audit.measure.attribution.smoothing import explainer
from leap_audit.measure.subject import Subject
from leap_audit.run.session import Array

__all__ = ["Compared", "Row", "cams_enlarged", "compared", "rows"]

STEPS = 8


@dataclass(frozen=True)
class Row:
    """What both sides say of one method on one network."""

    method: str
    oracle: str
    ours: Any
    theirs: Any

    @property
    def error(self) -> float:
        """Return the relative error of ours beside the oracle."""
        return error(self.ours, self.theirs)


@dataclass(frozen=True)
class Compared:
    """The relative errors of one method on one network."""

    method: str
    oracle: str
    between: float
    """Ours beside the oracle, both in single precision."""
    ours: float
    """Ours beside the oracle in double precision."""
    theirs: float
    """The oracle in single precision beside itself in double precision."""


def compared(pair: Pair) -> Iterator[Compared]:
    """Yield the errors of each method: the oracle runs in single and in double precision."""
    for row, exact in zip(rows(pair), rows(pair.precise()), strict=True):
        between, ours = row.error, exact.error
        yield Compared(row.method, row.oracle, between, ours, error(row.theirs, exact.theirs))


def error(ours: Any, theirs: Any) -> float:
    """Return ‖ours - theirs‖ / ‖theirs‖."""
    ours, theirs = (
        np.asarray(each.detach().numpy() if isinstance(each, torch.Tensor) else each, np.float64)
        for each in (ours, theirs)
    )
    theirs = theirs.reshape(ours.shape)
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
    x = pair.tensor(pictures).requires_grad_()
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
    yield Row("saliency", "captum", found, attr.Saliency(module).attribute(x, k))
    found = pair.ours("input_x_gradient").detail
    theirs = attr.InputXGradient(module).attribute(x.requires_grad_(), k)
    yield Row("input_x_gradient", "captum", found, theirs)
    ig = attr.IntegratedGradients(module)
    for rule, method in (
        ("gauss_legendre", "gausslegendre"),
        ("left", "riemann_left"),
        ("right", "riemann_right"),
        ("middle", "riemann_middle"),
    ):
        theirs = ig.attribute(pair.x, 0.0, k, n_steps=STEPS, method=method, internal_batch_size=4)
        found = pair.ours("integrated_gradients", steps=STEPS, rule=rule).detail
        yield Row(f"integrated_gradients, {rule}", "captum", found, theirs)
    two = [ig.attribute(pair.x, b, k, n_steps=STEPS, internal_batch_size=4) for b in (0.0, 1.0)]
    found = pair.ours("integrated_gradients", steps=STEPS, baseline=("black", "white")).detail
    yield Row("integrated_gradients, two baselines", "captum, averaged", found, sum(two) / 2)
    side = pair.picture.shape[1]
    window, stride = side // 4, side // 8
    theirs = attr.Occlusion(module).attribute(
        pair.x, (3, window, window), (3, stride, stride), 0.0, k, perturbations_per_eval=4
    )
    found = pair.ours("occlusion", window=window, stride=stride).values
    yield Row("occlusion", "captum", found, theirs[0, 0])
    if not explainer("guided_backprop").unmet(pair.model):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            guided = attr.GuidedBackprop(module).attribute(pair.x, k)
            deconv = attr.Deconvolution(module).attribute(pair.x, k)
        yield Row("guided_backprop", "captum", pair.ours("guided_backprop").detail, guided)
        yield Row("deconvnet", "captum", pair.ours("deconvnet").detail, deconv)


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
        pair.ours("input_x_gradient", **at).detail,
        ordered(theirs),
    )
    theirs = attr.LayerIntegratedGradients(module, layer).attribute(
        pair.x, 0.0, k, n_steps=STEPS, internal_batch_size=4
    )
    found = pair.ours("layer_ig", steps=STEPS, **at).detail
    yield Row("layer_ig", "captum", found, ordered(theirs))
    theirs = attr.LayerConductance(module, layer).attribute(pair.x, 0.0, k, n_steps=STEPS)
    found = pair.ours("conductance", steps=STEPS, rule="captum", **at).detail
    yield Row("conductance, rule captum", "captum", found, ordered(theirs))
    theirs = attr.InternalInfluence(module, layer).attribute(pair.x, 0.0, k, n_steps=STEPS)
    found = pair.ours("internal_influence", steps=STEPS, **at).detail
    yield Row("internal_influence", "captum", found, ordered(theirs))
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
        yield Row(name, "its formula, on torch", found, cams_enlarged(want, pair))
    flat = a.reshape(len(a), -1).T
    u, s, _ = np.linalg.svd(flat - flat.mean(0), full_matrices=False)
    principal = (u[:, 0] * s[0]).reshape(a.shape[1:])
    principal = -principal if abs(principal.min()) > abs(principal.max()) else principal
    yield Row(
        "eigencam",
        "its formula, on torch",
        pair.ours("eigencam", relu=False, **at).values,
        cams_enlarged(principal, pair),
    )
    if not explainer("guided_gradcam").unmet(pair.model):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = attr.GuidedGradCam(module, layer).attribute(pair.x, k)
        found = pair.ours("guided_gradcam", bilinear=False, **at).detail
        yield Row("guided_gradcam", "captum", found, theirs)
    want = _alone(pair, layer, places)
    found = pair.ours("reciprocam", **at).values
    yield Row("reciprocam", "its formula, on torch", found, cams_enlarged(want, pair))
    if places.channels <= 16:  # one pass a channel
        yield from _channels(pair, layer, a, at)


def _channels(pair: Pair, layer: nn.Module, a: Array, at: dict[str, str]) -> Iterator[Row]:
    module, k = pair.module, pair.class_
    whole, lost, behind = float(module(pair.x)[0, k].detach()), [], []
    for c in range(len(a)):

        def without(_: Any, __: Any, out: torch.Tensor, c: int = c) -> torch.Tensor:
            out = out.clone()
            (out[..., c] if out.ndim == 3 else out[:, c]).zero_()
            return out

        handle = layer.register_forward_hook(without)
        lost.append(whole - float(module(pair.x)[0, k].detach()))
        handle.remove()
        mask = cams_enlarged(a[c], pair)
        mask = (mask - mask.min()) / (mask.max() - mask.min() + 1e-8)
        shown = pair.tensor(mask * pair.picture)[None]
        behind.append(float(module(shown)[0, k].detach()))
    want = np.tensordot(np.array(lost) / abs(whole), a, 1)
    found = pair.ours("ablationcam", relu=False, **at).values
    yield Row("ablationcam", "its formula, on torch", found, cams_enlarged(want, pair))
    weights = np.exp(np.array(behind) - max(behind))
    want = np.tensordot(weights / weights.sum(), a, 1)
    found = pair.ours("scorecam", relu=False, **at).values
    yield Row("scorecam", "its formula, on torch", found, cams_enlarged(want, pair))


def _alone(pair: Pair, layer: nn.Module, places: Places) -> Array:
    """The score of each place and its neighbours alone, less that of none."""
    kernel = ((1, 2, 1), (2, 4, 2), (1, 2, 1))
    scores = {}
    cells = [(i, j) for i in range(places.rows) for j in range(places.columns)]
    for cell in [*cells, None]:

        def only(_: Any, __: Any, out: torch.Tensor, at: Any = cell) -> torch.Tensor:
            kept = torch.zeros_like(out)
            several = out.ndim == 3
            kept[:, : places.extra if several else 0] = out[:, : places.extra if several else 0]
            for i, j in cells if at else ():
                down, across = i - at[0], j - at[1]
                if max(abs(down), abs(across)) > 1:
                    continue
                share = kernel[down + 1][across + 1] / 16
                if several:
                    token = places.extra + i * places.columns + j
                    kept[:, token] = out[:, token] * share
                elif places.order == (0, 1, 2, 3):
                    kept[:, :, i, j] = out[:, :, i, j] * share
                else:
                    kept[:, i, j] = out[:, i, j] * share
            return kept

        handle = layer.register_forward_hook(only)
        with torch.no_grad():
            scores[cell] = float(pair.module(pair.x)[0, pair.class_])
        handle.remove()
    found = np.array([scores[cell] - scores[None] for cell in cells])
    return found.reshape(places.rows, places.columns)


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
    yield Row("smoothgrad", "torch, the same noise", found, want)
    rng, points, ends = pair.rng("gradient_shap"), [], []
    for _ in range(copies):
        x0 = np.full(x.shape, float(rng.integers(2)))
        ends.append(x - x0)
        points.append(x0 + rng.random() * (x - x0))
    want = (gradients_of(pair, np.stack(points)) * np.stack(ends)).mean(0)
    found = pair.ours("gradient_shap", samples=copies, baseline=("black", "white")).detail
    yield Row("gradient_shap", "torch, the same draws", found, want)


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
    r = plain = torch.eye(tokens, dtype=attention[0].dtype)
    for a, g in zip(attention, gradients, strict=True):
        r = r + (g * a).clamp(min=0).mean(1)[0] @ r
        mixed = (a.mean(1)[0] + torch.eye(tokens, dtype=a.dtype)) / 2
        plain = mixed @ plain
    for name, result in (("gradient_rollout", r), ("attention_rollout", plain)):
        want = result[0, 1:].reshape(side, side).detach().numpy()
        yield Row(name, "its formula, on torch", pair.ours(name).values, cams_enlarged(want, pair))


def table(found: dict[str, list[Compared]]) -> str:
    """The relative errors as a table in Markdown, one column for each network."""
    found = {name: found[name] for name in NETWORKS if name in found}
    names = list(dict.fromkeys((row.method, row.oracle) for part in found.values() for row in part))
    lines = [f"| method | oracle | {' | '.join(found)} |", "|---|---|" + "---|" * len(found)]
    for method, oracle in names:
        cells = []
        for part in found.values():
            row = next((r for r in part if r.method == method), None)
            cells.append("" if row is None else f"{row.ours:.1e} / {row.theirs:.1e}")
        lines.append(f"| {method} | {oracle} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--csv", type=Path, default=Path("parity.csv"))
    parser.add_argument("--page", type=Path, help="Markdown page to write the table into")
    args = parser.parse_args()
    found = read(args.csv)
    with tempfile.TemporaryDirectory() as folder:
        for name in args.networks:
            if name not in found:
                found[name] = list(compared(made(name, Path(folder))))
                write(args.csv, found)
    if args.page is None:
        print(table(found))
    else:
        write_section(args.page, "parity", table(found))


def read(path: Path) -> dict[str, list[Compared]]:
    """Return what a CSV holds: network -> the errors of each method."""
    found: dict[str, list[Compared]] = {}
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            for line in csv.DictReader(file):
                figures = (float(line[name]) for name in ("between", "ours", "theirs"))
                row = Compared(line["method"], line["oracle"], *figures)
                found.setdefault(line["network"], []).append(row)
    return found


def write(path: Path, found: dict[str, list[Compared]]) -> None:
    """Write all errors, one line a network and method."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["network", *(each.name for each in fields(Compared))])
        writer.writeheader()
        for network, every in found.items():
            writer.writerows({"network": network, **asdict(row)} for row in every)


if __name__ == "__main__":
    main()
