"""How long methods of attribution take beside Captum on the same weights, and their memory.

    python -m benchmarks.explainer_speed [--networks resnet18 vit_tiny] [--pairs 3] [--page PAGE]

One picture, batches of 8 where several are computed, the same threads on both sides, in turns; the
ratio is the median over the rounds. Both load and compile first. Memory: what a fresh process adds
for integrated gradients with few steps and with many.
"""

import argparse
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from captum import attr

from benchmarks.pages import write_section
from benchmarks.pairs import NETWORKS, Pair, made
from benchmarks.parity import layer_in
from benchmarks.side_by_side import alternate, measured_child, print_peak, ratio
from leap_audit.measure.attribution.places import layer_of
from leap_audit.measure.attribution.smoothing import explainer
from leap_audit.measure.subject import Subject
from leap_audit.run.session import Array

SIDE, BATCH, STEPS, COPIES = 224, 8, 50, 16
FEW, MANY = 8, 128
Way = Callable[[], Array]


def ours(pair: Pair, name: str, **options: object) -> Way:
    """Return what runs a method on the picture, and keeps nothing."""
    method = explainer(name)
    parsed = method.options.parse(dict(options), "speed")

    def run() -> Array:
        subject = Subject(pair.picture, pair.class_)
        (found,) = method.function(pair.run, [subject], parsed, seed=0)
        return np.asarray(found.values)

    return run


def theirs(explain: Callable[[], torch.Tensor]) -> Way:
    return lambda: explain().detach().numpy()


def ways(pair: Pair) -> dict[str, tuple[Way, Way]]:
    """Return name -> (ours, Captum's)."""
    module, k, x = pair.module, pair.class_, pair.x
    side = pair.picture.shape[1]
    window, stride = side // 7, side // 14
    places = layer_of(pair.model, None)
    matched = layer_in(pair, places)
    ig, tunnel = attr.IntegratedGradients(module), attr.NoiseTunnel(attr.Saliency(module))
    shap, occlusion = attr.GradientShap(module), attr.Occlusion(module)
    both = torch.cat([torch.zeros_like(x), torch.ones_like(x)])
    found: dict[str, tuple[Way, Way]] = {
        f"integrated gradients, {STEPS} steps": (
            ours(pair, "integrated_gradients", steps=STEPS),
            theirs(lambda: ig.attribute(x, 0.0, k, n_steps=STEPS, internal_batch_size=BATCH)),
        ),
        f"SmoothGrad, {COPIES} copies": (
            ours(pair, "smoothgrad", copies=COPIES),
            theirs(
                lambda: tunnel.attribute(
                    x,
                    nt_samples=COPIES,
                    nt_samples_batch_size=BATCH,
                    stdevs=0.15,
                    target=k,
                    abs=False,
                )
            ),
        ),
        f"GradientSHAP, {STEPS} samples": (
            ours(pair, "gradient_shap", samples=STEPS, baseline=("black", "white")),
            theirs(lambda: _shap(shap, x, both, k)),
        ),
        "occlusion, 13 × 13 windows": (
            ours(pair, "occlusion", window=window, stride=stride),
            theirs(
                lambda: occlusion.attribute(
                    x,
                    (3, window, window),
                    (3, stride, stride),
                    0.0,
                    k,
                    perturbations_per_eval=BATCH,
                )
            ),
        ),
    }
    if matched is not None:
        cam = attr.LayerGradCam(module, matched[0])
        if places.extra == 0 and places.order == (0, 1, 2, 3):
            found["Grad-CAM"] = (
                ours(pair, "gradcam"),
                theirs(
                    lambda: attr.LayerAttribution.interpolate(cam.attribute(x, k), (side, side))
                ),
            )
        else:  # Captum averages tokens as if they were channels: its gradient alone is compared
            layer = attr.LayerGradientXActivation(module, matched[0])
            found["Grad-CAM, of tokens"] = (
                ours(pair, "gradcam"),
                theirs(lambda: layer.attribute(x, k)),
            )
    return found


def _shap(shap: attr.GradientShap, x: torch.Tensor, both: torch.Tensor, k: int) -> torch.Tensor:
    """In parts: Captum takes all samples at once, 50 pictures in one batch."""
    total = torch.zeros_like(x)
    left = STEPS
    while left:
        count = min(BATCH, left)
        total += count * shap.attribute(x, both, n_samples=count, target=k).detach()
        left -= count
    return total / STEPS


def fused(pair: Pair) -> None:
    """Let the attention of timm run fused, as it does where nothing is exported."""
    for part in pair.module.modules():
        if hasattr(part, "fused_attn"):
            part.fused_attn = True


def measured(name: str, folder: Path, pairs: int) -> list[str]:
    """Return the rows of one network."""
    pair = made(name, folder, BATCH, SIDE)
    fused(pair)
    torch.set_num_threads(2)
    rows = []
    for what, (one, other) in ways(pair).items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            seconds = alternate({"ours": one, "captum": other}, pairs, warm_up=1)
        figures = " | ".join(f"{np.median(seconds[who]):.2f}" for who in ("ours", "captum"))
        rows.append(f"| {name} | {what} | {ratio(seconds, 'ours', 'captum'):.2f} | {figures} |")
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def peak(name: str, steps: int) -> int:
    """Return the bytes that integrated gradients add to a fresh process."""
    arguments = ["-W", "ignore", "-m", "benchmarks.explainer_speed", "--peak", name, str(steps)]
    return measured_child(arguments)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=["resnet18", "vit_tiny"])
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--page", type=Path, help="Markdown page to write the tables into")
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.peak:
            pair = made(args.peak[0], Path(folder), BATCH, SIDE)
            steps = int(args.peak[1])
            print_peak(lambda: ours(pair, "integrated_gradients", steps=steps))
            return
        lines = [
            "| network | method | time ours/Captum's | seconds, ours | seconds, Captum's |",
            "|---|---|---|---|---|",
        ]
        for name in args.networks:
            lines += measured(name, Path(folder), args.pairs)
    lines += ["", f"| network | memory of {FEW} steps | of {MANY} steps |", "|---|---|---|"]
    for name in args.networks:
        few, many = (peak(name, steps) / 2**20 for steps in (FEW, MANY))
        lines.append(f"| {name} | {few:.0f} MiB | {many:.0f} MiB |")
        print(lines[-1], file=sys.stderr, flush=True)
    if args.page is None:
        print("\n".join(lines))
    else:
        write_section(args.page, "speed", "\n".join(lines))


if __name__ == "__main__":
    main()
