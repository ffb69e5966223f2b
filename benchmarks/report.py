"""What the report takes: its sizes, and the time and peak memory of rendering it.

    python -m benchmarks.report [--classes 10 200]

A synthetic audit with pictures of 224 px and three isolations a prototype is rendered by a fresh
process for each number of classes. Beside the seconds stands what a fixed computation took in the
same process, before and after: a machine that is busy slows both.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.side_by_side import ROOT, resident_peak
from leap_audit.artifacts import (
    Audit,
    Entanglement,
    EntanglementMatrix,
    Isolation,
    Prototype,
)
from leap_audit.report import print_report, render_html
from tests.builders.audits import changed, make_audit

SIDE = 224
ISOLATIONS = 3
ENTANGLEMENTS = 20
BUDGETS = {10: "under 5 MB and 10 s", 200: "under 60 s and 600 MB"}


@dataclass(frozen=True)
class Cost:
    """What one report took: megabytes of the files, seconds, megabytes of memory at the peak."""

    classes: int
    html_mb: float
    pdf_mb: float
    html_seconds: float
    pdf_seconds: float
    peak_mb: float
    fixed_seconds: float


def synthetic(folder: Path, classes: int) -> Audit:
    """Return an audit with one prototype of each class, and write its pictures into `folder`."""
    names = tuple(f"class {index}" for index in range(classes))
    (folder / "images").mkdir()
    prototypes = tuple(_prototype(folder, index, names) for index in range(classes))
    audit = make_audit(folder, classes=names, prototypes=0, samples=0)
    coverage = audit.coverage.model_copy(update={"classes_audited": classes})
    cosines = np.random.default_rng(0).uniform(-0.2, 0.5, (classes, classes)).round(4)
    matrix = EntanglementMatrix(classes=tuple(range(classes)), cosines=cosines.tolist())
    return changed(audit, prototypes=prototypes, coverage=coverage, matrix=matrix)


def _prototype(folder: Path, index: int, names: tuple[str, ...]) -> Prototype:
    rng = np.random.default_rng(index)
    image = _picture(folder, f"{index}", rng, 3)
    others = [index, *rng.choice(len(names), min(ENTANGLEMENTS, len(names)) - 1)]
    return Prototype(
        target=(index,),
        name=names[index],
        replicate=0,
        image=image,
        logit=12.25,
        prob=0.97,
        rank=1,
        steps=192,
        converged=True,
        curve=tuple(float(value) for value in np.linspace(0, 12.25, 60)),
        entanglements=tuple(
            Entanglement(
                class_=int(other), name=names[other], entanglement=0.6, logit=1.0, prob=0.1
            )
            for other in others
        ),
        isolations=tuple(_isolation(folder, index, n, rng, names) for n in range(ISOLATIONS)),
    )


def _isolation(
    folder: Path, index: int, n: int, rng: np.random.Generator, names: tuple[str, ...]
) -> Isolation:
    shown = (index + n) % len(names)
    return Isolation(
        class_=shown,
        name=names[shown],
        image=_picture(folder, f"{index}-{n}", rng, 3),
        mask=_picture(folder, f"{index}-{n}-mask", rng, 1),
        area=0.12,
        prob=0.97,
        prob_keep=0.91,
        prob_delete=0.03,
        enough=True,
    )


def _picture(folder: Path, name: str, rng: np.random.Generator, channels: int) -> str:
    """Write smooth noise, which takes about as many bytes as a prototype, and return its name."""
    coarse = rng.integers(0, 255, (28, 28, channels), dtype=np.uint8)
    picture = Image.fromarray(coarse.squeeze()).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    file = f"images/{name}.png"
    picture.save(folder / file)
    return file


def measure(classes: int) -> Cost:
    """Return what the report of an audit with so many classes takes in this process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        synthetic(folder, classes).write(folder)
        audit = Audit.read(folder)
        before = fixed_computation()
        start = time.perf_counter()
        html = render_html(audit, folder)
        middle = time.perf_counter()
        pdf = print_report(audit, folder)
        end = time.perf_counter()
        after = fixed_computation()
    return Cost(
        classes,
        len(html.encode()) / 1e6,
        len(pdf) / 1e6,
        middle - start,
        end - middle,
        resident_peak() / 1e6,
        (before + after) / 2,
    )


def fixed_computation() -> float:
    """Return the seconds that adding up ten million squares takes; under one when idle."""
    start = time.perf_counter()
    sum(number * number for number in range(10_000_000))
    return time.perf_counter() - start


def in_fresh_process(classes: int) -> Cost:
    """Return what `measure` finds in a process that has done nothing else."""
    command = [sys.executable, "-m", "benchmarks.report", "--measure", str(classes)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, cwd=ROOT)
    return Cost(**json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--classes", type=int, nargs="+", default=sorted(BUDGETS))
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure is not None:
        print(json.dumps(asdict(measure(args.measure))))
        return
    print("| classes | HTML MB | PDF MB | HTML s | PDF s | peak MB | fixed s | budget |")
    print("|---|---|---|---|---|---|---|---|")
    for classes in args.classes:
        cost = in_fresh_process(classes)
        print(
            f"| {classes} | {cost.html_mb:.1f} | {cost.pdf_mb:.1f} | {cost.html_seconds:.1f} "
            f"| {cost.pdf_seconds:.1f} | {cost.peak_mb:.0f} | {cost.fixed_seconds:.1f} "
            f"| {BUDGETS.get(classes, 'none')} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
