"""Which classes of a network have a planted shortcut? The experiments beside other ways.

    python -m benchmarks.shortcuts FOLDER [--classes NAMES] [--only net0*] [--of 2] [--threads 1]

FOLDER has table.csv (net, kind, class), NET.onnx and photographs/NET/CLASS/*.png, which carry the
mark where the class does; `python -m benchmarks.plantings FOLDER` makes one. Names of classes:
--classes, or FOLDER/DATA.txt of the table's column data. Each way gives a figure for each class;
printed are, as a table, the planted class's rank for each network (1: the most suspect, of ties the
last) and the AUROC over all classes of all networks, planted against not planted.

- with photographs: marks of photographs are pasted and covered, and triggers are searched.
- without photographs: the same on prototypes of two seeds alone.
- Neural Cleanse: how far the norm of the smallest mask lies below those of the network's other
  classes (benchmarks/neural_cleanse.py), on the photographs.
- place of isolations: the mean share of the core of isolations in their commonest corner.
- clusters of maps: gradient times input of the pictures that the model answers with the class,
  spectral clustering in two, and how far apart the clusters are (silhouette; after Lapuschkin et
  al. 2019, SpRAy).

No network is trained or downloaded here.
"""

import argparse
import csv
import warnings
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.isolations import BATCH
from benchmarks.neural_cleanse import anomalies, mask_norm
from benchmarks.photographs import classifier_of
from leap_audit.config import ExperimentOptions, IsolationOptions, PrototypeOptions
from leap_audit.findings.evidence import core
from leap_audit.findings.isolations import CORE_AREA, CORNER_SIDE
from leap_audit.ingest.model import Model
from leap_audit.measure.experiments.material import materials
from leap_audit.measure.experiments.settings import settled_experiments
from leap_audit.measure.experiments.study import settle, try_changes, try_class
from leap_audit.measure.isolation.ranking import rankings
from leap_audit.measure.plan import logit_spread
from leap_audit.measure.prototype import Request, make_prototypes
from leap_audit.measure.prototype import settled as settled_prototypes
from leap_audit.measure.run import PICTURE, Run
from leap_audit.measure.subject import Subject
from leap_audit.run.session import Array

SEED = 0
CELLS = 8
"""Side of the maps that are clustered."""
SEEDS = 2
"""Prototypes of each class."""
WAYS = (
    "with photographs",
    "without photographs",
    "Neural Cleanse",
    "place of isolations",
    "clusters of maps",
)
FEWEST = 6
"""Pictures of a class below which there are no clusters."""


def read_photographs(folder: Path, names: Sequence[str], side: int) -> tuple[Array, list[int]]:
    """Return (n, 3, side, side) in 0..1, and the class that each is filed under."""
    files = [(k, f) for k, name in enumerate(names) for f in sorted((folder / name).glob("*.png"))]
    pictures = []
    for _, file in files:
        with Image.open(file) as picture:
            pixels = np.asarray(picture.convert("RGB").resize((side, side)), np.float32) / 255
        pictures.append(pixels.transpose(2, 0, 1))
    return np.stack(pictures), [k for k, _ in files]


def by_experiments(
    run: Run,
    pictures: Sequence[Array],
    shows: Sequence[int],
    prototypes: Sequence[Array] = (),
    targets: Sequence[int] = (),
) -> Array:
    """Return each class's score, with photographs or, of prototypes, without."""
    options = settled_experiments(ExperimentOptions(), run.model.picture_shape)
    every = range(run.model.classes)
    given = materials(run, pictures, shows, prototypes, targets, hosts=options.hosts, seed=SEED)
    tried = [try_class(run, k, given, options, seed=SEED, advance=lambda _: None) for k in every]
    settled, _ = settle(tried, try_changes(run, given, every, options, SEED))
    return np.array([each.score for each in settled])


def drawn(run: Run) -> tuple[list[Array], list[int]]:
    """Return prototypes of every class from SEEDS seeds, and their classes."""
    model = run.model
    options = settled_prototypes(PrototypeOptions(), model.picture_shape, batchable=model.batchable)
    requests = [Request((k,), seed) for seed in range(SEEDS) for k in range(model.classes)]
    made = list(
        make_prototypes(
            run,
            requests,
            options,
            seed=SEED,
            batch=BATCH,
            spread=logit_spread(run, SEED),
            advance=lambda _: None,
        )
    )
    return [each.picture for each in made], [each.request.target[0] for each in made]


def by_neural_cleanse(run: Run, pictures: Array) -> Array:
    """Return for each class how far its mask's norm lies below that of the others."""
    rng = np.random.default_rng(SEED)
    norms = [mask_norm(run, k, pictures, rng) for k in range(run.model.classes)]
    return anomalies(np.array(norms))


def by_position(run: Run, pictures: Array, answers: Array, most: int) -> Array:
    """Return for each class the mean share of its isolations' cores in the commonest corner."""
    found = np.zeros(run.model.classes)
    for class_ in range(len(found)):
        mine = pictures[answers == class_][:most]
        subjects = [Subject(picture, class_) for picture in mine]
        if not subjects:
            continue
        maps = rankings(
            run, subjects, IsolationOptions(), seed=SEED, batch=BATCH, advance=lambda _: None
        )
        found[class_] = np.mean([corner_shares(scores) for scores in maps], axis=0).max()
    return found


def corner_shares(scores: Array) -> list[float]:
    """Return how much of the core of a map lies in each corner, 0..1. scores: (height, width)."""
    levels = np.argsort(np.argsort(scores, axis=None)).reshape(scores.shape)
    weights = core((255 * levels / levels.max()).astype(np.uint8), CORE_AREA)
    height, width = (max(1, round(side * CORNER_SIDE)) for side in weights.shape)
    return [
        float(weights[rows, columns].sum())
        for rows in (slice(height), slice(-height, None))
        for columns in (slice(width), slice(-width, None))
    ]


def by_clusters(run: Run, pictures: Array, answers: Array) -> Array:
    """Return for each class how far apart two clusters of its maps are (silhouette, -1..1)."""
    from sklearn.cluster import SpectralClustering
    from sklearn.metrics import silhouette_score

    found = np.zeros(run.model.classes)
    for class_ in range(len(found)):
        mine = pictures[answers == class_]
        if len(mine) < FEWEST:
            continue
        slopes = run.gradient(mine, run.model.answer.cotangent((class_,)))[PICTURE]
        maps = coarse(np.abs(slopes * mine).sum(1))
        maps /= np.linalg.norm(maps, axis=1, keepdims=True) + 1e-12
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a graph of neighbours that is not connected
            labels = SpectralClustering(
                2, affinity="nearest_neighbors", n_neighbors=min(5, len(mine)), random_state=SEED
            ).fit_predict(maps)
        if len(set(labels)) == 2:
            found[class_] = silhouette_score(maps, labels)
    return found


def coarse(maps: Array) -> Array:
    """Return means over CELLS x CELLS parts of each map, (n, CELLS²)."""
    rows = [part.mean(1) for part in np.array_split(maps, CELLS, axis=1)]
    cells = [part.mean(2) for part in np.array_split(np.stack(rows, 1), CELLS, axis=2)]
    return np.stack(cells, 2).reshape(len(maps), -1)


def measured(
    model: Model, pictures: Array, shows: Sequence[int], most: int, threads: int
) -> Iterator[tuple[str, Array]]:
    """Yield the name of each way, and its figure for each class."""
    run = Run(model, 16, threads)
    answers = run.logits(pictures).argmax(1)
    yield "with photographs", by_experiments(run, list(pictures), shows)
    yield "without photographs", by_experiments(run, [], [], *drawn(run))
    yield "Neural Cleanse", by_neural_cleanse(run, pictures)
    yield "place of isolations", by_position(run, pictures, answers, most)
    yield "clusters of maps", by_clusters(run, pictures, answers)


def row_of(cells: Sequence[object]) -> str:
    """Return a row of a Markdown table."""
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    from sklearn.metrics import roc_auc_score

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="table.csv, NET.onnx and photographs/")
    parser.add_argument("--classes", type=Path, help="names, one a line")
    parser.add_argument("--only", default="*", help="names of networks, with wildcards")
    parser.add_argument("--of", type=int, default=2, help="pictures of a class to isolate")
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    figures: dict[str, list[float]] = {way: [] for way in WAYS}
    planted: list[bool] = []
    with (args.folder / "table.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if fnmatch(row["net"], args.only)]
    print(row_of(["network", "share", "flip", *WAYS]))
    print(row_of(["---"] * (3 + len(WAYS))))
    for row in rows:
        model = classifier_of(args.folder / f"{row['net']}.onnx")
        listed = args.classes or args.folder / f"{row['data']}.txt"
        names = listed.read_text(encoding="utf-8").split()
        where = args.folder / "photographs" / row["net"]
        pictures, shows = read_photographs(where, names, model.picture_shape[1])
        marked = -1 if row["kind"] == "clean" else int(row["class"])
        planted += [k == marked for k in range(model.classes)]
        cells = [row["net"], row["share"], row["flip"]]
        for way, values in measured(model, pictures, shows, args.of, args.threads):
            figures[way].extend(map(float, values))
            rank = "–" if marked < 0 else int((values >= values[marked]).sum())
            cells.append(f"{rank} (highest {values.max():.2f})")
        print(row_of(cells), flush=True)
    known = 0 < sum(planted) < len(planted)
    areas = [f"{roc_auc_score(planted, figures[way]):.3f}" if known else "–" for way in WAYS]
    print(row_of(["AUROC", "", "", *areas]))


if __name__ == "__main__":
    main()
