"""Do isolations depend on what the network learned? (Adebayo et al. 2018)

    python -m benchmarks.sanity [--rows 1 11 21] [--threads 1]

The rankings of the trained network beside those of the same network with the weights of every
layer shuffled, for the same pictures, classes and draws: Spearman's rank correlation of the
pixels' scores. A method that shows edges, or the centre, whatever the network has learned, gives
similar maps. Beside it the trained network under another seed, which is the most to be expected.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.foretelling import spearman
from benchmarks.isolations import BATCH, SEED, subjects_of
from benchmarks.photographs import FOLDER, MODEL, classifier_of, read_rows
from leap_audit.config import IsolationOptions
from leap_audit.ingest.model import Model
from leap_audit.measure.faithfulness.dependence import randomised
from leap_audit.measure.isolation.ranking import rankings
from leap_audit.measure.run import Run
from leap_audit.measure.subject import Subject
from leap_audit.progress import Advance
from leap_audit.run.session import Array
from leap_audit.terminal import Terminal

ROWS = (1, 9, 17, 26, 36, 48)


def maps_of(
    model: Model,
    subjects: Sequence[Subject],
    seed: int,
    threads: int,
    advance: Advance,
) -> Array:
    """Return the score map of each subject, (n, pixels)."""
    found = rankings(
        Run(model, 1, threads),
        subjects,
        IsolationOptions(),
        seed=seed,
        batch=BATCH,
        advance=advance,
    )
    return np.stack([scores.ravel() for scores in found])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="models/ and images/")
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    model = classifier_of(args.folder / "models" / args.model)
    other = randomised(model, SEED)
    photographs = read_rows(args.folder, model, args.rows)
    subjects = subjects_of(Run(model, 1, args.threads), photographs)
    pictures = np.stack([subject.picture for subject in subjects])
    answers = Run(other, 1, args.threads).logits(pictures)
    print(
        "logits of the shuffled network: deviation over classes "
        f"{answers.std(1).mean():.3g}, over pictures {answers.std(0).mean():.3g}"
    )
    steps = 3 * len(subjects) * IsolationOptions().steps
    with Terminal().stage("Isolations", steps) as advance:
        trained, again, shuffled = (
            maps_of(network, subjects, seed, args.threads, advance)
            for network, seed in ((model, SEED), (model, SEED + 1), (other, SEED))
        )
    same, none = (np.diag(spearman(trained, maps)) for maps in (again, shuffled))
    print("| photograph | another seed | shuffled weights |\n|---|---|---|")
    for photograph, a, b in zip(photographs, same, none, strict=True):
        print(f"| {photograph.file} | {a:.2f} | {b:.2f} |")
    print(f"| mean | {same.mean():.2f} | {none.mean():.2f} |")


if __name__ == "__main__":
    main()
