"""One step of a batch of prototypes: leap-audit's ONNX graph beside PyTorch autograd.

    python benchmarks/prototype_step.py [NETWORK ...] [--batch 8] [--threads 2] [--pairs 10]

The same network (an architecture with random weights, 224 × 224), the same picture basis, random
views in changing light, objective and Adam on both sides. The two take turns, so that a machine
that slows down slows both; the figure is the median ratio of their times. NETWORK:
mobilenet_v2_folded, its normalisation in the convolutions as files have it, or a name of
torchvision. Needs the extra bench.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.networks import constructor
from leap_audit.config import DeclaredPreprocessing, PrototypeOptions
from leap_audit.gradient.training import adam_draws, adam_state
from leap_audit.ingest import load
from leap_audit.measure.prototype import settled
from leap_audit.measure.prototype.image import COLOUR_ROOT, _dct, _spectrum
from leap_audit.measure.prototype.objective import target_weights
from leap_audit.measure.prototype.step import step_draws, step_graph
from leap_audit.run import Loop, Session, choose_provider

SIZE = 224
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class Block(nn.Module):
    def __init__(self, inside: int, outside: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inside * expansion
        layers = [unit(inside, wide, 1)] if expansion > 1 else []
        layers += [unit(wide, wide, 3, stride, wide), nn.Conv2d(wide, outside, 1)]
        self.body = nn.Sequential(*layers)
        self.skip = stride == 1 and inside == outside

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x) if self.skip else self.body(x)


def unit(inside: int, outside: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Module:
    conv = nn.Conv2d(inside, outside, kernel, stride, kernel // 2, groups=groups)
    return nn.Sequential(conv, nn.ReLU6())


def mobilenet_v2() -> nn.Module:
    """MobileNetV2 with its normalisation folded into the convolutions, as deployed."""
    layers: list[nn.Module] = [unit(3, 32, 3, 2)]
    width = 32
    for expansion, outside, count, stride in STAGES:
        for i in range(count):
            layers.append(Block(width, outside, stride if i == 0 else 1, expansion))
            width = outside
    head = [unit(width, 1280, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 1000)]
    return nn.Sequential(*layers, *head).eval()


def torch_step(
    network: nn.Module, batch: int, options: PrototypeOptions
) -> Callable[[dict[str, np.ndarray]], None]:
    """The step as a user would write it in PyTorch."""
    z = (torch.randn(batch, 3, SIZE, SIZE) * 0.01).requires_grad_()
    adam = torch.optim.Adam([z], lr=options.lr)
    dct = torch.tensor(_dct(SIZE), dtype=torch.float32)
    spectrum = torch.tensor(_spectrum(SIZE, SIZE), dtype=torch.float32)
    root = torch.tensor(COLOUR_ROOT / np.linalg.norm(COLOUR_ROOT, axis=0).max()).float()
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    for parameter in network.parameters():
        parameter.requires_grad_(False)

    def step(drawn: dict[str, np.ndarray]) -> None:
        rows, columns, noise = (torch.from_numpy(drawn[k]) for k in ("rows", "columns", "noise"))
        adam.zero_grad()
        plain = dct.T @ (spectrum * z) @ dct
        picture = torch.sigmoid(torch.einsum("dc,nchw->ndhw", root, plain))
        picture = picture.repeat_interleave(options.views, dim=0)
        seen = rows @ picture @ columns.transpose(2, 3) + noise
        logits = network((seen - mean) / std).unflatten(0, (batch, -1)).mean(1)
        (-logits[torch.arange(batch), torch.arange(batch)].sum()).backward()
        adam.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("networks", nargs="*", default=["mobilenet_v2_folded"])
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for name in args.networks:
        torch.manual_seed(0)
        network = mobilenet_v2() if name == "mobilenet_v2_folded" else torchvision_network(name)
        compare(name, network, args)


def torchvision_network(name: str) -> nn.Module:
    """Return a network of torchvision with random weights."""
    network: nn.Module = constructor(f"torchvision.models:{name}")(weights=None)
    return network.eval()


def compare(name: str, network: nn.Module, args: argparse.Namespace) -> None:
    """Time steps on both sides, in turns, and print the milliseconds and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        dynamic = {"x": {0: torch.export.Dim("batch")}}
        example = (torch.zeros(2, 3, SIZE, SIZE),)
        torch.onnx.export(
            network, example, path, dynamic_shapes=(dynamic["x"],), dynamo=True, external_data=False
        )
        model = load(path, DeclaredPreprocessing(), choose_provider("cpu"))
    options = settled(PrototypeOptions(), model.picture_shape, batchable=model.batchable)
    session = Session(step_graph(model, args.batch, options, 1.0), model.provider, args.threads)
    first = np.zeros((args.batch, *model.picture_shape), np.float32)
    weights = target_weights([(i,) for i in range(args.batch)], model.classes)
    loop = Loop(session, adam_state("coefficients", first), {"weights": weights})
    ours = lambda drawn, k: loop.step({**drawn, **adam_draws(k)})  # noqa: E731
    theirs = torch_step(network, args.batch, options)
    keys = [(i, 0) for i in range(args.batch)]
    times: list[tuple[float, float]] = []
    for k in range(args.pairs + 2):
        drawn = step_draws(model, keys, options, 0, k)
        start = time.perf_counter()
        ours(drawn, k)
        middle = time.perf_counter()
        theirs(drawn)
        times.append((middle - start, time.perf_counter() - middle))
    kept = times[2:]  # the first steps allocate
    mine, other = (statistics.median(t[i] for t in kept) for i in (0, 1))
    ratio = statistics.median(a / b for a, b in kept)
    print(
        f"{name}: leap-audit {1e3 * mine:.0f} ms, PyTorch {1e3 * other:.0f} ms for {args.batch} "
        f"items; ratio, median of {len(kept)} pairs: {ratio:.2f}; one prototype of "
        f"{options.steps} steps {options.steps * mine / args.batch:.0f} s and "
        f"{options.steps * other / args.batch:.0f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
