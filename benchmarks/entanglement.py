"""Which reading of a prototype foretells what its class will be confused with?

    python -m benchmarks.entanglement imagenet [--rows 1 3 5] [--threads 1] --keep prototypes
    python -m benchmarks.entanglement digits [--threads 1] --keep prototypes

For each class a prototype is made with the default options, and every reading of it gives each
class a score. What was seen is the soft confusion: the logits on photographs of the class, each
class's logits standardised over all photographs. Readings are compared with it over all other
classes. Chance: prototypes permuted among the classes. Null: the same prototypes read by the same
network with shuffled weights. Finished prototypes are kept as PNGs and not made again.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.foretelling import foretold, permuted
from benchmarks.photographs import FOLDER, MODEL, classifier_of, read_rows
from benchmarks.ranking import paired_interval
from benchmarks.readings import READINGS, Prototypes
from leap_audit.config import PrototypeOptions
from leap_audit.ingest.model import Model
from leap_audit.ingest.pictures.images import read_picture, write_picture
from leap_audit.measure.faithfulness.dependence import randomised
from leap_audit.measure.plan import choose_batches, logit_spread
from leap_audit.measure.prototype import Request, make_prototypes, settled_for
from leap_audit.measure.run import Run
from leap_audit.run.session import Array
from leap_audit.terminal import Terminal

SEED = 0
ROWS = range(1, 48, 2)
DIGITS = Path(__file__).resolve().parents[1] / "sample_models/digits_clean.onnx"


@dataclass(frozen=True)
class Seen:
    """What a network says of photographs of some classes."""

    classes: Array
    """(n,)"""
    confusion: Array
    """(n, classes of the network): the soft confusion of photographs of each of the n."""
    left_out: tuple[int, ...] = ()
    """Classes that mean nothing."""


def soft_confusion(logits: Array, labels: Array, classes: Array) -> Array:
    """Return (len(classes), width): each class's mean logits, standardised over photographs.

    logits: (photographs, width); labels: what each shows.
    """
    standard = (logits - logits.mean(0)) / logits.std(0)
    return np.stack([standard[labels == k].mean(0) for k in classes])


def seen_imagenet(folder: Path, model: Model, rows: Sequence[int], threads: int) -> Seen:
    """Return the soft confusion of the photographs in these rows, standardised over all rows."""
    every = read_rows(folder, model)
    logits = Run(model, 1, threads).logits(np.stack([p.picture for p in every]))
    labels = np.array([p.class_ for p in every])
    classes = labels[list(rows)]
    background = () if model.classes == 1000 else (0,)
    return Seen(classes, soft_confusion(logits, labels, classes), background)


def seen_digits(model: Model, threads: int) -> Seen:
    """Return the soft confusion of the pictures that the sample models never saw."""
    from sample_models.build import plainly, split

    *_, pictures, labels, _ = split()
    logits = Run(model, 1, threads).logits(plainly(pictures).numpy())
    classes = np.arange(model.classes)
    return Seen(classes, soft_confusion(logits, labels.numpy(), classes))


def prototypes_of(
    model: Model, classes: Array, replicates: int, keep: Path, threads: int
) -> list[Array]:
    """Return the prototypes of each class, (replicates, channels, height, width), as their PNGs."""
    keep.mkdir(parents=True, exist_ok=True)
    options = settled_for(PrototypeOptions(), model, threads)
    requests = [Request((int(k),), r) for r in range(replicates) for k in classes]
    paths = {r: keep / f"{r.target[0]:04d}-{r.replicate}.png" for r in requests}
    left = [request for request in requests if not paths[request].exists()]
    with Terminal().stage(f"Prototypes in {keep.name}", len(left) * options.steps) as advance:
        spread = logit_spread(Run(model, 1, threads), SEED) if left else 0.0
        for drawn in make_prototypes(
            Run(model, 1, threads),
            left,
            options,
            seed=SEED,
            batch=choose_batches(model, options.views or 1).prototypes,
            spread=spread,
            advance=advance,
        ):
            write_picture(paths[drawn.request], drawn.picture)
    return [
        np.stack([read_picture(paths[Request((int(k),), r)], model.preprocessing) for k in classes])
        for r in range(replicates)
    ]


def readings_of(
    model: Model, made: Sequence[Array], classes: Array, threads: int
) -> dict[str, Array]:
    """Return reading -> (n, all classes), the mean over replicates of a prototype for each of n."""
    classifier = Run(model, 1, threads)
    looked = [Prototypes.of(classifier, pictures, classes) for pictures in made]
    return {
        name: np.mean([read(prototypes) for prototypes in looked], axis=0)
        for name, read in READINGS.items()
    }


def compare(readings: dict[str, Array], seen: Seen) -> dict[str, tuple[float, ...]]:
    """Return reading -> Spearman, that by chance, p; precision, that by chance, p."""
    found = {}
    for name, reading in readings.items():
        table = foretold(reading, seen.confusion, seen.classes, np.array(seen.left_out, int))
        found[name] = tuple(
            figure
            for each in (table.spearman, table.precision)
            for figure in permuted(each, np.random.default_rng(SEED))
        )
    return found


def beside_weights(readings: dict[str, Array], seen: Seen) -> dict[str, tuple[float, ...]]:
    """Return reading -> how far it lies above the weights alone, as mean, low and high.

    First in Spearman's correlation, then in precision; 95 % intervals, paired over the classes.
    """
    tables = {
        name: foretold(reading, seen.confusion, seen.classes, np.array(seen.left_out, int))
        for name, reading in readings.items()
    }
    alone = tables["weights alone"]
    found = {}
    for name, table in tables.items():
        apart = [
            np.diag(table.spearman) - np.diag(alone.spearman),
            np.diag(table.precision) - np.diag(alone.precision),
        ]
        found[name] = tuple(
            float(figure)
            for each in apart
            for figure in (each.mean(), *paired_interval(each, np.random.default_rng(SEED)))
        )
    return found


def show_beside(above: dict[str, tuple[float, ...]]) -> None:
    """Print how far each reading lies above the weights alone."""
    print("\n| reading, less the weights alone | Spearman | 95 % | precision@3 | 95 % |")
    print("|---|---|---|---|---|")
    for name, (rank, low, high, share, least, most) in above.items():
        if name != "weights alone":
            ranges = (f"{low:+.3f} to {high:+.3f}", f"{least:+.3f} to {most:+.3f}")
            print(f"| {name} | {rank:+.3f} | {ranges[0]} | {share:+.3f} | {ranges[1]} |")


def show(trained: dict[str, tuple[float, ...]], null: dict[str, tuple[float, ...]]) -> None:
    heads = ("reading", *("Spearman", "permuted", "p", "precision@3", "permuted", "p"))
    heads = (*heads, "shuffled weights: Spearman", "p", "precision@3")
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for name, figures in trained.items():
        nothing = [null[name][i] for i in (0, 2, 3)]
        print(f"| {name} | {' | '.join(f'{x:.3g}' for x in (*figures, *nothing))} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", choices=["imagenet", "digits"])
    parser.add_argument("--folder", type=Path, default=FOLDER, help="models/ and images/")
    parser.add_argument("--rows", type=int, nargs="+", default=list(ROWS))
    parser.add_argument("--replicates", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("prototypes"))
    args = parser.parse_args()
    if args.data == "digits":
        model = classifier_of(DIGITS)
        seen = seen_digits(model, args.threads)
    else:
        model = classifier_of(args.folder / "models" / MODEL)
        seen = seen_imagenet(args.folder, model, args.rows, args.threads)
    made = prototypes_of(model, seen.classes, args.replicates, args.keep / args.data, args.threads)
    readings = readings_of(model, made, seen.classes, args.threads)
    shuffled = readings_of(randomised(model, SEED), made, seen.classes, args.threads)
    show(compare(readings, seen), compare(shuffled, seen))
    show_beside(beside_weights(readings, seen))


if __name__ == "__main__":
    main()
