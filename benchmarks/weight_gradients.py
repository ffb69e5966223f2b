"""Gradients by all weights of a network: leap-audit's ONNX graph beside PyTorch autograd.

    python -m benchmarks.weight_gradients --zoo FOLDER [--networks tv_resnet18 ...] [--batch 2]

FOLDER holds networks as `NAME.onnx.gz` with `NAME.json`, and `zoo.py`, which reads them; `spec` in
the JSON says which module of torchvision (`tv:`) or timm (`timm:`) each was exported from. The
module takes the weights of the file by name, in eval mode. Printed for each network: the parameters
compared, the relative difference of all of them as one vector, that of the worst parameter with its
name, the same for each item by itself, and the time of forward and backward over PyTorch's (median
of alternating runs, both with the same number of threads), summed and for each item; PyTorch takes
the items one by one as well.

A network of random weights has kinks next to its activations, where two engines in single precision
choose differently. So the difference is to PyTorch in float64, and PyTorch's own in float32 is
printed beside it.
"""

import argparse
import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from benchmarks.networks import constructor, torchvision_operators
from leap_audit.gradient import build_gradient
from leap_audit.run import Session, choose_provider

NETWORKS = [
    "tv_resnet18",
    "tv_mobilenet_v3_small",
    "tv_efficientnet_b0",
    "tv_shufflenet_v2_x1_0",
    "tv_convnext_tiny",
    "tv_swin_t",
    "timm_mixer_s32_224",
    "timm_repvgg_a0",
]
NOTHING = 1e-7
"""Share of the whole gradient's norm below which a parameter's own is rounding, such as that of a
bias before a normalisation: it is counted in the whole, not by itself."""
Gradients = dict[str, np.ndarray]


def module_of(spec: str) -> Any:
    """Return the module that a network was exported from, in eval mode."""
    package, _, name = spec.partition(":")
    if package == "tv":
        return constructor(f"torchvision.models:{name}")(weights=None).eval()
    torchvision_operators()  # timm imports torchvision
    import timm

    return timm.create_model(name, pretrained=False).eval()


def with_weights_of(network: Any, model: onnx.ModelProto) -> list[str]:
    """Give a module the weights of the file; return the names of its parameters there."""
    import torch

    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    state = network.state_dict()
    taken = {n: torch.from_numpy(stored[n].copy()) for n in state if n in stored}
    network.load_state_dict({**state, **taken})
    return [name for name, _ in network.named_parameters() if name in stored]


@dataclass(frozen=True)
class Paired:
    """A network of the zoo beside the module it was exported from, and what both are given."""

    model: onnx.ModelProto
    network: Any
    """The module, with the weights of the file."""
    names: list[str]
    """Its parameters that are in the file."""
    x: np.ndarray
    """(batch, 3, side, side)."""
    dy: np.ndarray
    """The cotangent, of the output's shape."""
    rng: np.random.Generator
    """For what else is drawn."""


def paired(zoo: ModuleType, name: str, batch: int, threads: int) -> Paired:
    """Return a network and its module with the same weights, and random pictures for both."""
    import torch

    torch.set_num_threads(threads)
    model = zoo.load(name)
    network = module_of(spec_of(zoo, name))
    names = with_weights_of(network, model)
    rng = np.random.default_rng(1)
    size = next(d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim[2:])
    x = rng.standard_normal((batch, 3, size, size), np.float32)
    with torch.no_grad():
        shape = tuple(network(torch.from_numpy(x)).shape)
    dy = rng.standard_normal(shape, np.float32)
    return Paired(model, network, names, x, dy, rng)


def of_torch(network: Any, names: Sequence[str], x: np.ndarray, dy: np.ndarray) -> Gradients:
    import torch

    kind = next(network.parameters()).dtype
    parameters = dict(network.named_parameters())
    y = network(torch.from_numpy(x).to(kind))
    found = torch.autograd.grad(y, [parameters[n] for n in names], torch.from_numpy(dy).to(kind))
    return {name: g.numpy() for name, g in zip(names, found, strict=True)}


def apart(
    found: Mapping[str, np.ndarray], want: Mapping[str, np.ndarray]
) -> tuple[float, float, str]:
    """Return ‖found - want‖ / ‖want‖ of all together, and the worst parameter's with its name."""
    sizes = {name: float(np.linalg.norm(g)) for name, g in want.items()}
    errors = {name: float(np.linalg.norm(found[name] - g)) for name, g in want.items()}
    whole = float(np.linalg.norm(list(sizes.values())))
    counted = {n: errors[n] / sizes[n] for n in sizes if sizes[n] > NOTHING * whole}
    worst = max(counted, key=counted.__getitem__)
    return float(np.linalg.norm(list(errors.values()))) / whole, counted[worst], worst


def seconds(*runs: Callable[[], Any], times: int) -> list[float]:
    """Return the median time of each of several runs, which take turns."""
    taken: list[list[float]] = [[] for _ in runs]
    for turn in range(times + 1):
        for run, times_of_it in zip(runs, taken, strict=True):
            start = time.perf_counter()
            run()
            if turn:  # the first warms up
                times_of_it.append(time.perf_counter() - start)
    return [statistics.median(each) for each in taken]


def measure(zoo: ModuleType, name: str, batch: int, threads: int, times: int) -> str:
    given = paired(zoo, name, batch, threads)
    model, network, names, x, dy = given.model, given.network, given.names, given.x, given.dy
    cpu = choose_provider("cpu")
    start = time.perf_counter()
    session = Session(build_gradient(model, batch=batch, wrt=names), cpu, threads)
    built = time.perf_counter() - start
    each = Session(build_gradient(model, batch=batch, wrt=names, per_item=True), cpu, threads)
    feed = {model.graph.input[0].name: x, "cotangent": dy}
    outputs = [f"{n}_grad" for n in names]
    together = dict(zip(names, session.run(feed, outputs), strict=True))
    by_item = dict(zip(names, each.run(feed, outputs), strict=True))
    single = of_torch(network, names, x, dy)
    double = network.double()
    want = of_torch(double, names, x, dy)
    rows = [of_torch(double, names, x[i : i + 1], dy[i : i + 1]) for i in range(batch)]
    items = {n: np.stack([row[n] for row in rows]) for n in names}
    network = network.float()

    def one_by_one() -> None:
        for i in range(batch):
            of_torch(network, names, x[i : i + 1], dy[i : i + 1])

    ours, theirs, ours_each, theirs_each = seconds(
        lambda: session.run(feed, outputs),
        lambda: of_torch(network, names, x, dy),
        lambda: each.run(feed, outputs),
        one_by_one,
        times=times,
    )
    whole, worst, where = apart(together, want)
    whole_each, worst_each, _ = apart(by_item, items)
    theirs_whole, theirs_worst, _ = apart(single, want)
    count = sum(g.size for g in want.values())
    return (
        f"{name:24} {len(names):4} {count / 1e6:6.2f}M  {whole:.1e} {worst:.1e} {where:40.40} "
        f"{whole_each:.1e} {worst_each:.1e}  torch32 {theirs_whole:.1e} {theirs_worst:.1e}  "
        f"time {ours / theirs:.2f} items {ours_each / theirs_each:.2f} build {built:.0f} s"
    )


def spec_of(zoo: ModuleType, name: str) -> str:
    text = (Path(str(zoo.__file__)).parent / f"{name}.json").read_text(encoding="utf-8")
    return str(json.loads(text)["spec"])


def read_zoo(folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("zoo", folder / "zoo.py")
    if spec is None or spec.loader is None:
        raise SystemExit(f"{folder}: holds no zoo.py")
    zoo = importlib.util.module_from_spec(spec)
    sys.modules["zoo"] = zoo  # its dataclasses look it up
    spec.loader.exec_module(zoo)
    return zoo


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zoo", type=Path, required=True)
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--times", type=int, default=5)
    asked = parser.parse_args()
    zoo = read_zoo(asked.zoo)
    print("network, parameters, difference of all, of the worst; for each item; PyTorch in float32")
    for name in asked.networks:
        print(measure(zoo, name, asked.batch, asked.threads, asked.times), flush=True)


if __name__ == "__main__":
    main()
