"""The gradient with respect to the input: leap-audit's ONNX graph beside PyTorch autograd.

    python -m benchmarks.gradient [--networks resnet18 swin_t] [--batch 1 8] [--threads 1 2]

Three engines take turns on the same weights, input and cotangent: the gradient graph of
`build_gradient`, asked for the gradient alone; the exported model itself; and PyTorch eager,
forward and backward to the input, its parameters without gradients. Both graphs run on stock ONNX
Runtime on the CPU, the first with the options that leap-audit loads it with. The two gradients are
compared first. Time is the median ratio of alternating pairs. Memory is the peak of a fresh process
for each engine above what it held before the model was loaded (Linux). Needs the extra `bench`.
"""

import argparse
import copy
import csv
import itertools
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime

from benchmarks.networks import NETWORKS, Case, constructor, export, module
from benchmarks.side_by_side import Run, alternate, measured_child, print_peak, ratio
from leap_audit.gradient import OnnxGradient, build_gradient
from leap_audit.progress import Advance
from leap_audit.run.options import second_copies, session_options
from leap_audit.terminal import Terminal

DIFFERENT = 1e-2
"""Relative difference of two gradients above which one of them is taken to be wrong."""
COLUMNS = {
    "network": "network",
    "batch": "batch",
    "threads": "threads",
    "difference": "difference",
    "gradient/torch": "time ours/PyTorch",
    "gradient/forward": "gradient/forward",
    "memory gradient/torch": "memory ours/PyTorch",
    "memory build/torch": "with building",
    "confirmed": "",
}
"""Column of the CSV -> its head in the printed table."""


def on_runtime(path: Path, case: Case, output: str, options: onnxruntime.SessionOptions) -> Run:
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    given = {"input": case.x, "cotangent": case.dy}
    given = {value.name: given[value.name] for value in session.get_inputs()}
    return lambda: session.run([output], given)[0]


def gradient_graph(case: Case) -> Run:
    """With the options that `OnnxGradient` loads it with."""
    options = session_options(case.threads, **case.copies)
    return on_runtime(case.gradient, case, "input_grad", options)


def forward_graph(case: Case) -> Run:
    """With nothing set but the number of threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = case.threads
    return on_runtime(case.model, case, "logits", options)


def build_and_run(case: Case) -> Run:
    """From the model's file to its gradient in one process, as the package does it."""
    gradient = OnnxGradient(case.model, batch=case.batch, provider="cpu", threads=case.threads)
    return lambda: gradient.value_and_gradient(case.x, case.dy)[1]


def pytorch(case: Case) -> Run:
    import torch

    torch.set_num_threads(case.threads)
    network = module(case.network)
    x, dy = torch.from_numpy(case.x), torch.from_numpy(case.dy)

    def run() -> np.ndarray:
        leaf = x.detach().requires_grad_()
        (dx,) = torch.autograd.grad(network(leaf), leaf, dy)
        return dx.numpy()

    return run


ENGINES: dict[str, Callable[[Case], Run]] = {
    "gradient": gradient_graph,
    "forward": forward_graph,
    "torch": pytorch,
    "build": build_and_run,
}
TIMED = ("gradient", "forward", "torch")


def child(engine: str, case: Case) -> None:
    """Print the memory of an engine whose libraries, input and cotangent are there already."""
    if engine == "torch":
        constructor(case.network.where)
    _ = case.x, case.dy
    print_peak(lambda: ENGINES[engine](case))


def memory(engine: str, case: Case) -> int:
    """Return the bytes that an engine needs in a process of its own."""
    return measured_child(["-m", "benchmarks.gradient", "--child", engine, case.to_json()])


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """‖found - expected‖ / ‖expected‖; ValueError where that says nothing."""
    size = float(np.linalg.norm(expected))
    apart = float(np.linalg.norm(found - expected))
    if not (0 < size < np.inf and apart < np.inf):
        raise ValueError(f"nothing to compare: norms {size} of a gradient and {apart} of the rest")
    return apart / size


def confirmed(
    value: Callable[[np.ndarray], float], x: np.ndarray, gradients: Mapping[str, np.ndarray]
) -> str:
    """Return which of two gradients the slope of `value` confirms where they differ most."""
    exact = {name: np.asarray(g, np.float64) for name, g in gradients.items()}
    a, b = exact.values()
    apart = float(np.linalg.norm(a - b))
    d = (a - b) / apart
    step = 1e-6 * float(np.linalg.norm(x))
    slope = (value(x + step * d) - value(x - step * d)) / (2 * step)
    errors = {name: abs(float((g * d).sum()) - slope) for name, g in exact.items()}
    best = min(errors, key=errors.__getitem__)
    return best if errors[best] < 0.1 * apart else "neither"


def judge(case: Case, gradients: Mapping[str, np.ndarray]) -> str:
    """Return which gradient the difference quotients of the network in float64 confirm."""
    import torch

    network = copy.deepcopy(module(case.network)).double()

    def value(x: np.ndarray) -> float:
        with torch.no_grad():
            return float((network(torch.from_numpy(x)).numpy() * case.dy).sum())

    return confirmed(value, case.x.astype(np.float64), gradients)


def time_engines(case: Case, pairs: int, advance: Advance) -> dict[str, Any]:
    """Compare the gradients, then time the engines in turns."""
    runs = {name: ENGINES[name](case) for name in TIMED}
    gradients = {"leap-audit": runs["gradient"](), "PyTorch": runs["torch"]()}
    apart = difference(*gradients.values())
    seconds = alternate(runs, pairs, advance)
    return {
        "difference": f"{apart:.1e}",
        "confirmed": f"confirmed: {judge(case, gradients)}" if apart > DIFFERENT else "",
        **{f"{name}_ms": f"{1e3 * float(np.median(seconds[name])):.1f}" for name in TIMED},
        "gradient/torch": f"{ratio(seconds, 'gradient', 'torch'):.2f}",
        "gradient/forward": f"{ratio(seconds, 'gradient', 'forward'):.2f}",
    }


def weigh_engines(case: Case, advance: Advance) -> dict[str, Any]:
    """Measure the memory of the engines, each in a process of its own."""
    peak: dict[str, int] = {}
    for name in ENGINES:
        peak[name] = memory(name, case)
        advance()
    return {
        **{f"{name}_mib": peak[name] >> 20 for name in ENGINES},
        "memory gradient/torch": f"{peak['gradient'] / peak['torch']:.2f}",
        "memory build/torch": f"{peak['build'] / peak['torch']:.2f}",
    }


def measure(cases: Sequence[Case], pairs: int, terminal: Terminal) -> Iterator[dict[str, Any]]:
    """Yield a row for each case. Memory is measured once for all numbers of threads."""
    weighed = {(case.network.name, case.batch): case for case in reversed(cases)}
    units = len(cases) * pairs + len(weighed) * (len(ENGINES) + 1)
    with terminal.stage("gradients", units) as advance:
        for case in cases:
            first = weighed[case.network.name, case.batch] is case
            if first:
                export(case)
                graph = build_gradient(case.model, batch=case.batch)
                onnx.save(graph, case.gradient)
                copies = second_copies(ir.from_proto(graph))
                advance()
            case = replace(case, copies=copies)
            row: dict[str, Any] = {
                "network": case.network.name,
                "batch": case.batch,
                "threads": case.threads,
                "pairs": pairs,
                **time_engines(case, pairs, advance),
                **(weigh_engines(case, advance) if first else {}),
            }
            terminal.note(", ".join(f"{key} {row[key]}" for key in COLUMNS if row.get(key)))
            yield row


def show(rows: Sequence[Mapping[str, object]]) -> None:
    """Print the ratios as a table."""
    lines = [list(COLUMNS.values()), ["---"] * len(COLUMNS)]
    lines += [[str(row.get(key, "")) for key in COLUMNS] for row in rows]
    for line in lines:
        print(f"| {' | '.join(line)} |")


def write(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        heads = dict.fromkeys(key for row in rows for key in row)
        writer = csv.DictWriter(file, list(heads), restval="")
        writer.writeheader()
        writer.writerows(rows)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    several = {"nargs": "+", "metavar": "N", "type": int}
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--batch", default=[1, 8], **several)
    parser.add_argument("--threads", default=[1, 2], **several)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--csv", type=Path, help="write the times and the memory too")
    parser.add_argument(
        "--models", type=Path, help="keep the exported networks here, use them again"
    )
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    args = options()
    if args.child:
        child(args.child[0], Case.from_json(args.child[1]))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.models or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        choices = itertools.product(args.networks, args.batch, args.threads)
        cases = [Case(NETWORKS[n], batch, threads, str(folder)) for n, batch, threads in choices]
        rows: list[dict[str, Any]] = []
        for row in measure(cases, args.pairs, Terminal()):
            rows.append(row)
            if args.csv:  # after each row, so that an interrupted run leaves what it has
                write(args.csv, rows)
    show(rows)


if __name__ == "__main__":
    main()
