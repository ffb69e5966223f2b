"""Methods of attribution on photographs: which map holds the class, and at what price?

    python -m benchmarks.explainers [--model FILE] [--rows 1 2 3] [--methods a,b] --csv FILE
    python -m benchmarks.explainers --table --csv FILE [--page docs/faithfulness.md --section NAME]

On each photograph, for the most probable class, the map of every method is measured by insertion
and deletion under two fills. Differences are paired, with bootstrap intervals. Each line is written
to the CSV when it is finished; what is in it is not measured again.

Two controls stand beside the methods: random order, and the middle of the picture first.
"""

import argparse
import hashlib
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.isolations import ROWS
from benchmarks.lines import append, asked_photographs, read
from benchmarks.pages import write_section
from benchmarks.photographs import (
    FOLDER,
    MODEL,
    Photograph,
    classifier_of,
)
from leap_audit.measure.faithfulness.comparison import standings
from leap_audit.measure.faithfulness.ranking import FILLS, fill_of, insertion_deletion
from leap_audit.measure.run import Run
from leap_audit.pipeline.explain import chosen_methods, subject_of
from leap_audit.run.session import Array
from leap_audit.terminal import Terminal
from leap_audit.text.numbers import count

COLUMNS = ("model", "file", "class", "method", "seconds", "fill", "insertion", "deletion")
Line = dict[str, str]
CHEAPER: dict[str, dict[str, int]] = {
    "rise": {"masks": 300},
    "kernel_shap": {"samples": 300},
    "shapley_sampling": {"permutations": 4},
}
"""Options of methods that would take minutes a photograph; all others run as they are."""


def controls(picture: Array) -> dict[str, Array]:
    """Maps that know nothing of the model, (height, width): by name."""
    height, width = picture.shape[1:]
    down, across = np.meshgrid(*(np.linspace(-1, 1, n) for n in (height, width)), indexing="ij")
    seed = list(hashlib.sha256(picture.tobytes()).digest()[:8])
    return {
        "(middle first)": -np.hypot(down, across),
        "(random order)": np.random.default_rng(seed).random((height, width)),
    }


def measure(run: Run, photograph: Photograph, name: str, model: str) -> list[Line]:
    """Return the lines of one method or control on one photograph, one for each fill."""
    picture = np.asarray(photograph.picture, np.float32)
    subject = subject_of(run, picture, (), None)
    if name in (control := controls(picture)):
        values, seconds = control[name], 0.0
    else:
        ((method, options),) = chosen_methods(run.model, (name,), {name: CHEAPER.get(name, {})})
        started = time.perf_counter()
        (found,) = method.function(run, [subject], options, seed=0)
        values, seconds = found.values, time.perf_counter() - started

    def probability(pictures: Array) -> Array:
        every = map(run.model.answer.probabilities, run.at_once(1).scores(pictures))
        return np.array([each[subject.class_] @ subject.where for each in every])

    common = {"model": model, "file": photograph.file, "class": str(subject.class_)}
    common |= {"method": name, "seconds": f"{seconds:.3f}"}
    lines = []
    for fill in FILLS:
        erased = insertion_deletion(probability, picture, values, fill_of(picture, fill))
        lines.append(
            {
                **common,
                "fill": fill,
                "insertion": f"{erased.insertion:.5f}",
                "deletion": f"{erased.deletion:.5f}",
            }
        )
    return lines


def table(lines: Sequence[Line]) -> str:
    """The means and the paired differences, of the photographs that every method was run on."""
    out = []
    for model in dict.fromkeys(line["model"] for line in lines):
        own = [line for line in lines if line["model"] == model]
        ran: dict[str, set[str]] = defaultdict(set)
        for line in own:
            ran[line["file"]].add(line["method"])
        methods = set().union(*ran.values())
        files = [file for file, of in ran.items() if of == methods]
        gains: dict[str, dict[str, dict[str, float]]] = {f: defaultdict(dict) for f in FILLS}
        price: dict[str, list[float]] = defaultdict(list)
        for line in own:
            gain = float(line["insertion"]) - float(line["deletion"])
            gains[line["fill"]][line["method"]][line["file"]] = gain
            price[line["method"]].append(float(line["seconds"]))
        ranked = {
            fill: standings(
                {m: np.array([of[f] for f in files]) for m, of in gains[fill].items()},
                np.random.default_rng(0),
            )
            for fill in FILLS
        }
        out += [
            f"**{model}**, {count(len(files), 'photograph')}",
            "",
            f"| method | {' | '.join(f'{fill}: gain | behind the best' for fill in FILLS)} | s |",
            "|---|" + "---|---|" * len(FILLS) + "---|",
        ]
        for first in ranked[FILLS[0]]:
            cells = []
            for fill in FILLS:
                s = next(each for each in ranked[fill] if each.method == first.method)
                apart = f"{s.behind:.2f} ({s.low:.2f} to {s.high:.2f})" if s.behind else "the best"
                cells.append(f"{s.mean:.3f} | {apart}")
            seconds = np.median(price[first.method])
            out.append(f"| {first.method} | {' | '.join(cells)} | {seconds:.2f} |")
        out.append("")
    return "\n".join(out)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="models/ and images/")
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--methods", default="all")
    parser.add_argument("--images", type=Path, help="folder with a folder for each class")
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--table", action="store_true", help="print what the CSV holds, and stop")
    parser.add_argument("--page", type=Path, help="Markdown page to write that table into")
    parser.add_argument("--section", default="explainers", help="the marks in that page")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--csv", type=Path, default=Path("explainers.csv"))
    args = parser.parse_args()
    if args.page is not None:
        write_section(args.page, args.section, table(read(args.csv)))
        return
    if args.table:
        print(table(read(args.csv)))
        return
    model = classifier_of(args.folder / "models" / args.model)
    run = Run(model, args.batch, args.threads)
    names = [m.name for m, _ in chosen_methods(model, args.methods.split(","), {})]
    names += controls(np.zeros(model.picture_shape, np.float32))
    done = {(x["model"], x["file"], x["method"]) for x in read(args.csv)}
    photographs = asked_photographs(args, model)
    left = [(p, n) for p in photographs for n in names if (args.model, p.file, n) not in done]
    with Terminal().stage("Maps", len(left)) as advance:
        for photograph, name in left:
            lines = measure(run, photograph, name, args.model)
            append(args.csv, COLUMNS, lines)
            advance()
    print(table(read(args.csv)))


if __name__ == "__main__":
    main()
