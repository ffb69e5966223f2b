"""Which classes of a network have a planted shortcut? The experiments beside other ways.

    python -m benchmarks.shortcuts FOLDER --classes NAMES [--only net0*] [--of 4] [--threads 1]

FOLDER has table.csv (net, kind, class), NET.onnx and photographs/NET/CLASS/*.png, which carry the
mark where the class does. Each way gives a figure for each class; printed is the AUROC over all
classes of all networks, planted against not planted, and for each network the planted class's rank.

- experiments: marks of photographs are pasted and covered, and a trigger is searched.
- trigger size alone: how far the area of the smallest trigger lies below that of the network's
  other classes, in deviations (Wang et al. 2019, Neural Cleanse), as our search measures it.
- position of isolations alone: the mean share of the core of isolations in their commonest corner.
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
from sklearn.cluster import SpectralClustering
from sklearn.metrics import roc_auc_score, silhouette_score

from benchmarks.isolations import BATCH
from benchmarks.photographs import classifier_of
from leap_audit.config import ExperimentOptions, IsolationOptions
from leap_audit.findings.evidence import core
from leap_audit.findings.isolations import CORE_AREA, CORNER_SIDE
from leap_audit.ingest.model import Model
from leap_audit.measure.experiments.material import materials
from leap_audit.measure.experiments.settings import settled_experiments
from leap_audit.measure.experiments.sizes import outlying
from leap_audit.measure.experiments.study import settle, try_changes, try_class
from leap_audit.measure.isolation.ranking import rankings
from leap_audit.measure.run import PICTURE, Run
from leap_audit.measure.subject import Subject
from leap_audit.run.session import Array

SEED = 0
CELLS = 8
"""Side of the maps that are clustered."""
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


def by_experiments(run: Run, pictures: Array, shows: Sequence[int]) -> tuple[Array, Array]:
    """Return each class's score, and its deviation of trigger size alone."""
    options = settled_experiments(ExperimentOptions(), run.model.picture_shape)
    every = range(run.model.classes)
    given = materials(run, list(pictures), shows, [], [], hosts=options.hosts, seed=SEED)
    tried = [try_class(run, k, given, options, seed=SEED, advance=lambda _: None) for k in every]
    settled, _ = settle(tried, try_changes(run, given, every, options, SEED))
    depths = outlying([each.sought.half for each in tried if each.sought is not None])
    sizes = np.full(len(tried), np.nan)
    sizes[[each.sought is not None for each in tried]] = depths
    return np.array([each.score for each in settled]), np.nan_to_num(sizes, nan=0.0)


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
    scores, sizes = by_experiments(run, pictures, shows)
    yield "experiments", scores
    yield "trigger size alone", sizes
    yield "clusters of maps", by_clusters(run, pictures, answers)
    yield "position of isolations alone", by_position(run, pictures, answers, most)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="table.csv, NET.onnx and photographs/")
    parser.add_argument("--classes", type=Path, required=True, help="names, one a line")
    parser.add_argument("--only", default="*", help="names of networks, with wildcards")
    parser.add_argument("--of", type=int, default=4, help="pictures of a class to isolate")
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    names = args.classes.read_text(encoding="utf-8").split()
    figures: dict[str, list[float]] = {}
    planted: list[bool] = []
    with (args.folder / "table.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if fnmatch(row["net"], args.only)]
    for row in rows:
        model = classifier_of(args.folder / f"{row['net']}.onnx")
        where = args.folder / "photographs" / row["net"]
        pictures, shows = read_photographs(where, names, model.picture_shape[1])
        marked = -1 if row["kind"] == "clean" else int(row["class"])
        planted += [k == marked for k in range(model.classes)]
        said = []
        for way, values in measured(model, pictures, shows, args.of, args.threads):
            figures.setdefault(way, []).extend(map(float, values))
            rank = 0 if marked < 0 else 1 + int((values > values[marked]).sum())
            said.append(f"{way} {rank or '-'} ({values.max():.2f})")
        print(f"{row['net']}  {row['kind']:10}  rank (highest): {', '.join(said)}", flush=True)
    for way, values in figures.items():
        known = 0 < sum(planted) < len(planted)
        area = f"{roc_auc_score(planted, values):.3f}" if known else "not defined"
        print(f"{way:30} AUROC {area}")


if __name__ == "__main__":
    main()
