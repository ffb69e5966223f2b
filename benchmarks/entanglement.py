"""Which reading of a prototype foretells what its class will be confused with?

    python -m benchmarks.entanglement imagenet [--rows 1 3 5] [--network NAME] --keep prototypes
    python -m benchmarks.entanglement digits [--threads 1] --keep prototypes
    python -m benchmarks.entanglement cifar10 [--threads 1] --keep prototypes

For each class a prototype is made with the default options, and every reading of it gives each
class a score. What was seen is the soft confusion: the logits on photographs of the class, each
class's logits standardised over all photographs. Readings are compared with it over all other
classes. Chance: prototypes permuted among the classes. Null: the same prototypes read by the same
network with shuffled weights. Of the ten networks of CIFAR-10 only the readings beside the weights
alone are printed, over all of their classes. Finished prototypes are kept as PNGs and not made
again.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.foretelling import Foretold, foretold, permuted
from benchmarks.photographs import FOLDER, classifier_of, read_rows, read_sorted
from benchmarks.ranking import paired_interval
from benchmarks.readings import ALONE, READINGS, Prototypes
from benchmarks.transfer_matrix import SUITES
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


@dataclass(frozen=True)
class Beside:
    """One figure of a reading, beside that of the weights alone."""

    mean: float
    above: float
    interval: tuple[float, float]
    """Of `above`, 95 %."""


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


def seen_sorted(folder: Path, model: Model, threads: int) -> Seen:
    """Return the soft confusion of the photographs of a folder with a folder for each class."""
    every = read_sorted(folder, model)
    logits = Run(model, 1, threads).logits(np.stack([p.picture for p in every]))
    classes = np.arange(model.classes)
    return Seen(classes, soft_confusion(logits, np.array([p.class_ for p in every]), classes))


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


def compare(tables: dict[str, Foretold]) -> dict[str, tuple[float, ...]]:
    """Return reading -> Spearman, that by chance, p; precision, that by chance, p."""
    return {
        name: tuple(
            figure
            for each in (table.spearman, table.precision)
            for figure in permuted(each, np.random.default_rng(SEED))
        )
        for name, table in tables.items()
    }


def tables_of(readings: dict[str, Array], seen: Seen) -> dict[str, Foretold]:
    """Return reading -> how well each row of it foretells each row of what was seen."""
    left_out = np.array(seen.left_out, int)
    return {
        name: foretold(reading, seen.confusion, seen.classes, left_out)
        for name, reading in readings.items()
    }


def beside_weights(networks: Sequence[dict[str, Foretold]]) -> dict[str, list[Beside]]:
    """Return reading -> Spearman's correlation, then precision, beside the weights alone.

    networks: the tables of each. Over all classes of all networks; intervals are paired over them.
    """
    found: dict[str, list[Beside]] = {}
    for name in networks[0]:
        own, alone = (
            [
                np.concatenate([np.diag(getattr(tables[each], figure)) for tables in networks])
                for figure in ("spearman", "precision")
            ]
            for each in (name, ALONE)
        )
        found[name] = [
            Beside(
                float(a.mean()),
                float((a - b).mean()),
                paired_interval(a - b, np.random.default_rng(SEED)),
            )
            for a, b in zip(own, alone, strict=True)
        ]
    return found


def show_beside(beside: dict[str, list[Beside]]) -> None:
    """Print each reading beside the weights alone."""
    print(
        "\n| reading | Spearman | less the weights alone | precision@3 | less the weights alone |"
    )
    print("|---|---|---|---|---|")
    for name, both in beside.items():
        cells = [
            cell
            for each in both
            for cell in (
                f"{each.mean:.3f}",
                f"{each.above:+.3f} ({each.interval[0]:+.3f} to {each.interval[1]:+.3f})",
            )
        ]
        print(f"| {name} | {' | '.join(cells)} |")


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
    parser.add_argument("data", choices=["imagenet", "digits", "cifar10"])
    parser.add_argument("--folder", type=Path, default=FOLDER, help="models/ and images/")
    parser.add_argument("--rows", type=int, nargs="+", default=list(ROWS))
    parser.add_argument("--network", default="MobileNetV2", help="of the suite imagenet")
    parser.add_argument("--replicates", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("prototypes"))
    args = parser.parse_args()
    seen: dict[str, tuple[Model, Seen]] = {}
    if args.data == "digits":
        model = classifier_of(DIGITS)
        seen["digits"] = model, seen_digits(model, args.threads)
    elif args.data == "imagenet":
        listed = {each.name: each for each in SUITES["imagenet"].networks(args.folder)}
        if args.network not in listed:
            parser.error(f"--network: {args.network!r} is none of {', '.join(listed)}")
        model = listed[args.network].load()
        seen[f"imagenet/{args.network}"] = (
            model,
            seen_imagenet(args.folder, model, args.rows, args.threads),
        )
    else:
        for network in SUITES["cifar10"].networks(args.folder):
            model = network.load()
            photographs = args.folder / "images/cifar10"
            seen[f"cifar10/{network.name}"] = model, seen_sorted(photographs, model, args.threads)
    tables = []
    for name, (model, confused) in seen.items():
        classes = confused.classes
        made = prototypes_of(model, classes, args.replicates, args.keep / name, args.threads)
        tables.append(tables_of(readings_of(model, made, classes, args.threads), confused))
        if len(seen) == 1:
            shuffled = readings_of(randomised(model, SEED), made, classes, args.threads)
            show(compare(tables[0]), compare(tables_of(shuffled, confused)))
    show_beside(beside_weights(tables))


if __name__ == "__main__":
    main()
