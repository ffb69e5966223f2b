"""Which methods make good second opinions in an audit?

    python -m benchmarks.opinions --csv FILE [--model FILE [--images FOLDER] [--rows 0 1 2]]
    python -m benchmarks.opinions --table --csv FILE [--page docs/faithfulness.md]

Of each candidate, with options that suit an audit, on each photograph's first answer: insertion
less deletion of its map as an audit compares it (what speaks for the class, blurred), how much of
its highest tenth is in that of the isolation, the same with the isolation of another photograph
(what agrees by chance and by the photographer's habits), whether it depends on the class and on
the weights, and its time as a share of the isolation's.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
from leap_audit.measure.faithfulness.agreement import top_overlap
from leap_audit.measure.faithfulness.dependence import randomised, rank_correlation
from leap_audit.measure.faithfulness.opinions import second_opinion
from leap_audit.measure.faithfulness.ranking import FILLS, fill_of, insertion_deletion
from leap_audit.measure.methods import load_methods
from leap_audit.measure.run import Run
from leap_audit.measure.subject import Subject
from leap_audit.pipeline.explain import subject_of
from leap_audit.run.session import Array
from leap_audit.terminal import Terminal

CANDIDATES: dict[str, tuple[str, dict[str, Any]]] = {
    "saliency": ("saliency", {}),
    "input_x_gradient": ("input_x_gradient", {}),
    "integrated_gradients, 16 steps": ("integrated_gradients", {"steps": 16}),
    "integrated_gradients, 16 steps, blur": (
        "integrated_gradients",
        {"steps": 16, "baseline": ("blur",)},
    ),
    "fullgrad": ("fullgrad", {}),
    "layercam": ("layercam", {}),
    "hirescam": ("hirescam", {}),
    "occlusion, 4 parts, blur": ("occlusion", {"parts": 4, "baseline": ("blur",)}),
    "occlusion, 4 parts": ("occlusion", {"parts": 4}),
}
"""Name -> (method, options)."""
COLUMNS = (
    *("model", "file", "method", "blur", "mean", "agreement", "rank", "chance"),
    *("other_class", "other_weights", "seconds"),
)


def measure(
    run: Run, shuffled: Run, photograph: Photograph, other: Array | None, model: str
) -> tuple[list[dict[str, str]], Array]:
    """Return the lines of one photograph, and its isolation's ranking. other: another's ranking."""
    subject = subject_of(run, np.asarray(photograph.picture, np.float32), (), None)
    isolation = load_methods()["isolation_ranking"]
    started = time.perf_counter()
    (found,) = isolation.function(run, [subject], isolation.options(), seed=0)
    whole, ranking = time.perf_counter() - started, found.values
    lines = [_line(run, subject, ranking, "isolation", 1.0)]
    for name, (method_name, values) in CANDIDATES.items():
        method = load_methods()[method_name]
        if method.unmet(run.model):
            continue
        options = method.options.parse(values, name)
        started = time.perf_counter()
        second_opinion(run, subject, method, options, 0)
        seconds = time.perf_counter() - started
        opined = second_opinion(run, subject, method, options, 0, shuffled)
        if opined is None:
            continue
        line = _line(run, subject, opined.evidence, name, seconds / whole)
        line["agreement"] = f"{top_overlap(opined.evidence, ranking):.4f}"
        line["rank"] = f"{rank_correlation(opined.evidence, ranking):.4f}"
        if other is not None:
            line["chance"] = f"{top_overlap(opined.evidence, other):.4f}"
        line["other_class"] = f"{opined.other_class:.4f}"
        line["other_weights"] = f"{opined.other_weights:.4f}"
        lines.append(line)
    return [{"model": model, "file": photograph.file, **line} for line in lines], ranking


def _line(run: Run, subject: Subject, values: Array, name: str, share: float) -> dict[str, str]:
    def probability(pictures: Array) -> Array:
        every = map(run.model.answer.probabilities, run.at_once(1).scores(pictures))
        return np.array([each[subject.class_] @ subject.where for each in every])

    line = {"method": name, "seconds": f"{share:.4f}"}
    for fill in FILLS:
        erased = insertion_deletion(
            probability, subject.picture, values, fill_of(subject.picture, fill)
        )
        line[fill] = f"{erased.insertion - erased.deletion:.4f}"
    return line


def table(lines: Sequence[dict[str, str]]) -> str:
    """The means, and of the agreement the least tenth, as a table in Markdown."""
    out = []
    for model in dict.fromkeys(line["model"] for line in lines):
        own = [line for line in lines if line["model"] == model]
        files = len({line["file"] for line in own})
        out += [
            f"**{model}**, {files} photographs",
            "",
            "| method | gain, blur and mean | agreement: mean, least tenth, by chance "
            "| other class | other weights | time of an isolation |",
            "|---|---|---|---|---|---|",
        ]
        of: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for line in own:
            for key in COLUMNS[3:]:
                if line[key]:
                    of[line["method"]][key].append(float(line[key]))
        for name, got in sorted(of.items(), key=lambda pair: -np.mean(pair[1]["blur"])):
            gains = f"{np.mean(got['blur']):.2f}, {np.mean(got['mean']):.2f}"
            if name == "isolation":
                out.append(f"| isolation | {gains} | | | | 1 |")
                continue
            least = np.quantile(got["agreement"], 0.1)
            agree = f"{np.mean(got['agreement']):.2f}, {least:.2f}, {np.mean(got['chance']):.2f}"
            depends = " | ".join(f"{np.mean(got[k]):.2f}" for k in COLUMNS[8:10])
            out.append(
                f"| {name} | {gains} | {agree} | {depends} | {np.median(got['seconds']):.2f} |"
            )
        out.append("")
    return "\n".join(out)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="models/ and images/")
    parser.add_argument("--model", type=Path, default=Path(MODEL))
    parser.add_argument("--name", help="what the table calls it; left out: the model's file")
    parser.add_argument("--images", type=Path, help="folder with a folder for each class")
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--csv", type=Path, default=Path("opinions.csv"))
    parser.add_argument("--table", action="store_true", help="print what the CSV holds, and stop")
    parser.add_argument("--page", type=Path, help="Markdown page to write that table into")
    args = parser.parse_args()
    if args.page is not None:
        write_section(args.page, "opinions", table(read(args.csv)))
        return
    if args.table:
        print(table(read(args.csv)))
        return
    path = args.model if args.model.exists() else args.folder / "models" / args.model
    model, name = classifier_of(path), args.name or path.name
    run = Run(model, 4, args.threads)
    shuffled = Run(randomised(model, 0), 4, args.threads)
    done = {(x["model"], x["file"]) for x in read(args.csv)}
    photographs = asked_photographs(args, model)
    left = [p for p in photographs if (name, p.file) not in done]
    other: Array | None = None
    with Terminal().stage("Photographs", len(left)) as advance:
        for photograph in left:
            lines, other = measure(run, shuffled, photograph, other, name)
            append(args.csv, COLUMNS, lines)
            advance()
    print(table(read(args.csv)))


if __name__ == "__main__":
    main()
