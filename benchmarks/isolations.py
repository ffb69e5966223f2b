"""Isolations beside Grad-CAM, SmoothGrad and RISE: which ranking of the pixels holds the class?

    python -m benchmarks.isolations [--rows 1 2 3] [--threads 1] --csv isolations.csv

On each photograph, for the most probable class, four rankings of the pixels are measured by
insertion and deletion under two fills. The differences are paired, with bootstrap intervals. Each
photograph is written to the CSV when it is finished; photographs that are in it are not
measured again.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.attribution import Network, grad_cam, rise, smooth_grad
from benchmarks.photographs import FOLDER, MODEL, Photograph, classifier_of, read_rows
from benchmarks.ranking import Probability, fills, insertion_deletion, paired_interval
from leap_audit.config import IsolationOptions
from leap_audit.ingest.model import Model
from leap_audit.measure.isolation.ranking import rankings
from leap_audit.measure.run import Run
from leap_audit.measure.subject import Subject, sharpness
from leap_audit.run.session import Array
from leap_audit.terminal import Terminal

OURS = "isolation"
ROWS = [row for first in (1, 3, 2, 4) for row in range(first, 60, 5)]
"""Of the list of photographs, which stands in the order of the classes: spread over it early on.
Those left out, every fifth, were looked at while isolations were developed."""
SEED = 0
BATCH = 4
SHARE = 0.95
Row = dict[str, object]


def subjects_of(classifier: Run, photographs: Sequence[Photograph]) -> list[Subject]:
    """Return each picture with its most probable class, as an audit isolates it."""
    scores = classifier.scores([p.picture for p in photographs])
    return [
        Subject(p.picture, int(each.mean(1).argmax()), sharpness(each, classifier.model.answer))
        for p, each in zip(photographs, scores, strict=True)
    ]


def probability_of(classifier: Run, class_: int) -> Probability:
    """Return the function: pictures -> the probability of the class on each."""
    answer = classifier.model.answer
    return lambda pictures: answer.probabilities(classifier.logits(pictures)[..., None])[
        :, class_, 0
    ]


def others(network: Network, probability: Probability, subject: Subject) -> dict[str, Array]:
    """Return method -> its scores of the pixels, (height, width)."""
    picture, class_ = subject.picture, subject.class_
    return {
        "Grad-CAM": grad_cam(network, picture, class_),
        "SmoothGrad": smooth_grad(network, picture, class_, SEED),
        "RISE": rise(probability, picture, class_, SEED),
    }


def judged(probability: Probability, picture: Array, maps: dict[str, Array]) -> Iterator[Row]:
    """Yield the insertion and deletion of each map under each fill."""
    for fill, erased in fills(picture).items():
        for method, scores in maps.items():
            insertion, deletion = insertion_deletion(probability, picture, scores, erased)
            yield {"fill": fill, "method": method, "insertion": insertion, "deletion": deletion}


def measure(model: Model, photographs: Sequence[Photograph], threads: int) -> Iterator[list[Row]]:
    """Yield the rows of each photograph, in their order."""
    classifier = Run(model, 1, threads)
    network = Network.of(model, threads=threads)
    subjects = subjects_of(classifier, photographs)
    maps = rankings(
        classifier,
        subjects,
        IsolationOptions(),
        seed=SEED,
        batch=BATCH,
        advance=lambda _: None,
    )
    for photograph, subject, scores in zip(photographs, subjects, maps, strict=True):
        probability = probability_of(classifier, subject.class_)
        several = {OURS: scores, **others(network, probability, subject)}
        common = {"file": photograph.file, "class": subject.class_}
        yield [{**common, **row} for row in judged(probability, subject.picture, several)]


def resumed(
    model: Model, photographs: Sequence[Photograph], path: Path, threads: int
) -> pd.DataFrame:
    """Measure what is not in the CSV yet, and return all rows of these photographs."""
    done = set(pd.read_csv(path)["file"]) if path.exists() else set()
    left = [p for p in photographs if p.file not in done]
    with Terminal().stage("Photographs", len(left)) as advance:
        for rows in measure(model, left, threads) if left else ():
            table = pd.DataFrame(rows)
            table.to_csv(path, mode="a", header=not path.exists(), index=False)
            advance()
    table = pd.read_csv(path)
    return table[table["file"].isin([p.file for p in photographs])]


def show(table: pd.DataFrame) -> None:
    """Print the mean of each method, and the paired differences between ours and each other."""
    table = table.assign(difference=table["insertion"] - table["deletion"])
    print("| fill | method | insertion | deletion | difference | ours minus it, 95 % interval |")
    print("|---|---|---|---|---|---|")
    for fill, part in table.groupby("fill"):
        wide = part.pivot(index="file", columns="method", values="difference")
        means = part.groupby("method")[["insertion", "deletion", "difference"]].mean()
        for method, row in means.sort_values("difference", ascending=False).iterrows():
            apart = (wide[OURS] - wide[method]).to_numpy()
            low, high = paired_interval(apart, np.random.default_rng(SEED), SHARE)
            said = "" if method == OURS else f"{apart.mean():+.3f} ({low:+.3f} to {high:+.3f})"
            figures = " | ".join(f"{value:.3f}" for value in row)
            print(f"| {fill} | {method} | {figures} | {said} |")
    print(f"{table['file'].nunique()} photographs")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="models/ and images/")
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--csv", type=Path, default=Path("isolations.csv"))
    args = parser.parse_args()
    model = classifier_of(args.folder / "models" / args.model)
    show(resumed(model, read_rows(args.folder, model, args.rows), args.csv, args.threads))


if __name__ == "__main__":
    main()
