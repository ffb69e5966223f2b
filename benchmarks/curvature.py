"""The Hessian of whole networks times a vector: leap-audit's ONNX graph beside torch.func.

    python -m benchmarks.curvature --zoo FOLDER [--networks tv_efficientnet_b0 ...]

FOLDER is the one of `weight_gradients`. The Hessian is that of sum(cotangent * output) by all
parameters at once, the vector a random direction in which each parameter moves in proportion to
its own size. The graph of `hessian_product`, and torch.func in float32, are compared with
torch.func.jvp of torch.func.grad in float64. Printed: the parameters, the relative difference of
all of them as one vector, and that of the worst parameter with its name. PyTorch has no forward
mode through Hardsigmoid, so MobileNetV3 cannot be compared.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks.weight_gradients import apart, paired, read_zoo
from leap_audit.gradient.curvature import hessian_product
from leap_audit.run import Session, choose_provider

NETWORKS = ["tv_efficientnet_b0", "timm_mixer_s32_224"]
Arrays = dict[str, np.ndarray]


def of_torch(network: Any, x: np.ndarray, dy: np.ndarray, vectors: Mapping[str, Any]) -> Arrays:
    """Return H v in the precision of the network, forward over reverse."""
    import torch

    kind = next(network.parameters()).dtype
    state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    fixed = {name: tensor.detach() for name, tensor in state.items()}
    given, weigh = torch.from_numpy(x).to(kind), torch.from_numpy(dy).to(kind)

    def value(parameters: Any) -> Any:
        y = torch.func.functional_call(network, {**fixed, **parameters}, (given,))
        return (y * weigh).sum()

    start = {name: fixed[name] for name in vectors}
    moved = {name: torch.from_numpy(v).to(kind) for name, v in vectors.items()}
    _, products = torch.func.jvp(torch.func.grad(value), (start,), (moved,))
    return {name: product.detach().numpy() for name, product in products.items()}


def measure(zoo: ModuleType, name: str, batch: int, threads: int) -> str:
    given = paired(zoo, name, batch, threads)
    model, network, names, x, dy = given.model, given.network, given.names, given.x, given.dy
    parameters = dict(network.named_parameters())
    vectors = {}
    for each in names:
        weight = parameters[each].detach().numpy()
        direction = given.rng.standard_normal(weight.shape, np.float32)
        vectors[each] = direction * np.float32(np.sqrt(np.mean(weight**2)))
    graph = hessian_product(model, batch=batch, wrt=names)
    session = Session(graph, choose_provider("cpu"), threads)
    feed = {model.graph.input[0].name: x, "cotangent": dy}
    feed |= {f"{each}_vector": v for each, v in vectors.items()}
    outputs = [f"{each}_product" for each in names]
    found = dict(zip(names, session.run(feed, outputs), strict=True))
    single = of_torch(network, x, dy, vectors)
    want = of_torch(network.double(), x, dy, vectors)
    whole, worst, where = apart(found, want)
    theirs_whole, theirs_worst, _ = apart(single, want)
    count = sum(v.size for v in vectors.values())
    return (
        f"{name:24} {len(names):4} {count / 1e6:6.2f}M  {whole:.1e} {worst:.1e} {where:40.40} "
        f"torch32 {theirs_whole:.1e} {theirs_worst:.1e}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--zoo", type=Path, required=True)
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    zoo = read_zoo(asked.zoo)
    print("network, parameters, difference of all, of the worst; PyTorch in float32")
    for name in asked.networks:
        print(measure(zoo, name, asked.batch, asked.threads), flush=True)


if __name__ == "__main__":
    main()
