"""A training step of the bundled digits: leap-audit's ONNX graph beside PyTorch.

    python -m benchmarks.training_step [--batch 20 128] [--steps 50] [--threads 1]

Both take the same steps of Adam on the same batches of the bundled pictures, from the same
weights: the graph of `training_step` on stock ONNX Runtime, its state fed back by hand, and PyTorch
eager with torch.optim.Adam. Printed: the largest difference of the losses, and the median ratio of
the time of a step, of runs that take turns.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from PIL import Image

from leap_audit.gradient.fine_tuning import training_step

MODEL = Path(__file__).parents[1] / "sample_models" / "digits_shortcut.onnx"
NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
LAYERS = ("features.0", "features.3", "features.5", "features.8")
POOLED = ("features.0", "features.5", "features.8")
LR = 1e-3


def pytorch(weights: dict[str, np.ndarray]) -> Any:
    """Return a function of pictures and labels that takes a step and returns the loss before it."""
    import torch

    f = torch.nn.functional
    w = {name: torch.tensor(numbers, requires_grad=True) for name, numbers in weights.items()}
    optimiser = torch.optim.Adam(list(w.values()), lr=LR)

    def step(x: np.ndarray, labels: np.ndarray) -> float:
        h = torch.from_numpy(x)
        for layer in LAYERS:
            h = torch.relu(f.conv2d(h, w[f"{layer}.weight"], w[f"{layer}.bias"], padding=1))
            h = f.max_pool2d(h, 2) if layer in POOLED else h
        h = torch.relu(f.linear(h.flatten(1), w["hidden.weight"], w["hidden.bias"]))
        scores = f.linear(h, w["logits.weight"], w["logits.bias"])
        optimiser.zero_grad()
        loss = f.cross_entropy(scores, torch.from_numpy(labels))
        loss.backward()
        optimiser.step()
        return float(loss.detach())

    return step


def runtime(model: onnx.ModelProto, weights: list[str], batch: int, threads: int) -> Any:
    """Return the same of the graph."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    graph = training_step(model, weights, batch=batch, lr=LR)
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [v.name for v in session.get_outputs() if v.name == "loss" or v.name.endswith("_next")]
    state: dict[str, np.ndarray] = {}

    def step(x: np.ndarray, labels: np.ndarray) -> float:
        found = session.run(names, {"picture": x, "labels": labels, **state})
        after = dict(zip(names, found, strict=True))
        loss = float(after.pop("loss"))
        state.update((name.removesuffix("_next"), part) for name, part in after.items())
        return loss

    return step


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, nargs="+", default=[20, 128])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    model = onnx.load(MODEL)
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    weights = {n: w.copy() for n, w in stored.items() if n.endswith(("weight", "bias"))}
    files = sorted(MODEL.parent.glob("pictures/*/*/*.png"))
    pictures = np.stack([np.asarray(Image.open(f), np.float32)[None] / 255 for f in files])
    classes = np.array([NAMES.index(f.parent.name) for f in files])
    for batch in asked.batch:
        rng = np.random.default_rng(0)
        steps = runtime(model, list(weights), batch, asked.threads), pytorch(weights)
        losses: list[list[float]] = [[], []]
        ratios = []
        for _ in range(asked.steps):
            rows = rng.choice(len(pictures), batch)
            x, labels = pictures[rows], classes[rows]
            taken = []
            for step, curve in zip(steps, losses, strict=True):
                start = time.perf_counter()
                curve.append(step(x, labels))
                taken.append(time.perf_counter() - start)
            ratios.append(taken[0] / taken[1])
        apart = float(np.abs(np.subtract(*losses)).max())
        print(
            f"batch {batch}: losses {losses[1][0]:.3f} to {losses[1][-1]:.3f}, {apart:.1e} apart "
            f"at most; a step takes {statistics.median(ratios):.2f} of PyTorch's time",
            flush=True,
        )


if __name__ == "__main__":
    main()
