"""Several networks that know the same classes: each judges the prototypes of each other.

`python -m benchmarks.transfer --matrix imagenet --rows even --seeds 0 1 --keep prototypes`. Options
are chosen on odd rows of `images/imagenet.csv` and reported on even ones. Finished prototypes are
kept as PNGs, by the options that they were made with, and not made again.
"""

import argparse
import csv
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.judging import log_probabilities, ranks, resized
from benchmarks.photographs import FOLDER, read_rows, read_sorted
from benchmarks.ranking import paired_interval
from benchmarks.sheets import contact_sheet
from leap_audit.config import DeclaredPreprocessing, PrototypeOptions
from leap_audit.ingest import load
from leap_audit.ingest.model import Model
from leap_audit.ingest.pictures.images import read_picture, write_picture
from leap_audit.measure.plan import choose_batches, logit_spread
from leap_audit.measure.prototype import Request, make_prototypes, settled_for
from leap_audit.measure.run import Run
from leap_audit.run import choose_provider
from leap_audit.run.session import Array
from leap_audit.terminal import Terminal

__all__ = ["SUITES", "Judgement", "judge", "print_matrix", "prototypes_of", "summary"]

SHARE = 0.9
SIDES = {"odd": 1, "even": 0}
DIGITS = Path(__file__).resolve().parents[1] / "sample_models"
PIXELS_OF = {"range", "mean", "std", "channel_order"}
"""What `models/index.json` says of a network's preprocessing, by the names of our options."""


@dataclass(frozen=True)
class Network:
    """A network of a suite, and which of its outputs is which class of the suite."""

    name: str
    path: Path
    declared: DeclaredPreprocessing

    def load(self) -> Model:
        return load(self.path, self.declared, choose_provider("cpu"))


@dataclass(frozen=True)
class Judgement:
    """What one network says of pictures of known classes."""

    ranks: Array
    """(n,): how many classes it puts above the picture's own."""
    log_p: Array
    """(n,): the logarithm of its probability for that class."""

    def first(self, among: int = 1) -> Array:
        """Return (n,): 1 where the class is among so many first, else 0."""
        return np.asarray(self.ranks < among, np.float64)

    @staticmethod
    def over(several: "Sequence[Judgement]") -> "Judgement":
        """Return several judgements one after the other."""
        return Judgement(
            np.concatenate([each.ranks for each in several]),
            np.concatenate([each.log_p for each in several]),
        )


@dataclass(frozen=True)
class Suite:
    """Networks that tell the same classes apart, and photographs of these classes."""

    networks: Callable[[Path], list[Network]]
    classes: Callable[[Path, str], list[int]]
    """The folder of models and images, odd or even -> the classes that are tried."""
    photographs: Callable[[Path, Model, Sequence[int]], tuple[Array, list[int]]]
    """The folder, a network, classes -> the photographs of these as it takes them; their class."""


def judge(network: Model, pictures: Array, classes: Sequence[int], threads: int) -> Judgement:
    """Return what a network says of pictures, resized to it, of these classes of the suite."""
    logits = Run(network, 1, threads).logits(resized(pictures, network))
    own = [k + _background(network) for k in classes]
    log_p = log_probabilities(logits[:, _background(network) :], list(classes))
    return Judgement(ranks(logits, own), log_p)


def prototypes_of(
    model: Model,
    classes: Sequence[int],
    options: PrototypeOptions,
    seed: int,
    keep: Path,
    threads: int,
) -> Array:
    """Return a prototype of each class of the suite, on the 8-bit levels of its PNG."""
    chosen = settled_for(options, model, threads)
    digest = hashlib.sha256(chosen.model_dump_json().encode()).hexdigest()[:8]
    folder = keep / digest
    folder.mkdir(parents=True, exist_ok=True)
    paths = {k: folder / f"{k:04d}-{seed}.png" for k in classes}
    left = [k for k in classes if not paths[k].exists()]
    requests = {Request((k + _background(model),)): k for k in left}
    with Terminal().stage(f"Prototypes in {keep.name}", len(left) * chosen.steps) as advance:
        spread = logit_spread(Run(model, 1, threads), seed) if left else 0.0
        for drawn in make_prototypes(
            Run(model, 1, threads),
            list(requests),
            chosen,
            seed=seed,
            batch=choose_batches(model, chosen.views or 1).prototypes,
            spread=spread,
            advance=advance,
        ):
            write_picture(paths[requests[drawn.request]], drawn.picture)
    return np.stack([read_picture(paths[k], model.preprocessing) for k in classes])


def summary(judgement: Judgement, rng: np.random.Generator) -> str:
    """Return first / among five, mean log p and the 90 % interval of first, over the pictures."""
    first = judgement.first()
    low, high = paired_interval(first, rng, SHARE)
    return (
        f"{first.mean():.2f} / {judgement.first(5).mean():.2f}, {judgement.log_p.mean():.2f} "
        f"({low:.2f}–{high:.2f})"
    )


def print_matrix(
    made: dict[str, dict[str, Judgement]], photographs: dict[str, Judgement], *, classes: int
) -> None:
    """Print who recognises whose prototypes, and how far below photographs the pairs lie.

    made: source -> judge -> its judgement; photographs: judge -> its judgement of photographs.
    """
    names = list(photographs)
    rng = np.random.default_rng(0)
    print(f"{classes} classes. Put first / among five, mean log p (90 % interval of first).\n")
    print(f"| prototypes of | {' | '.join(f'judged by {name}' for name in names)} |")
    print(f"|{'---|' * (len(names) + 1)}")
    for source, judged in made.items():
        cells = [
            summary(judged[name], rng) + (" (itself)" if name == source else "") for name in names
        ]
        print(f"| {source} | {' | '.join(cells)} |")
    cells = [summary(photographs[name], rng) for name in names]
    print(f"| photographs | {' | '.join(cells)} |\n")
    apart = {
        (source, name): float(judged[name].first().mean() - photographs[name].first().mean())
        for source, judged in made.items()
        for name in names
        if name != source
    }
    if apart:
        worst = min(apart, key=lambda pair: apart[pair])
        print(
            f"First, less the judge's own figure on photographs, over {len(apart)} pairs: median "
            f"{np.median(list(apart.values())):+.2f}, least {apart[worst]:+.2f} "
            f"({worst[0]} judged by {worst[1]})."
        )


def print_suite(args: argparse.Namespace, options: PrototypeOptions) -> None:
    """Make, judge and print the suite that the arguments name."""
    suite = SUITES[args.matrix]
    networks = [
        each for each in suite.networks(args.folder) if not args.only or each.name in args.only
    ]
    models = {each.name: each.load() for each in networks}
    classes = suite.classes(args.folder, args.rows)
    photographs = {}
    for name, model in models.items():
        pictures, labels = suite.photographs(args.folder, model, classes)
        photographs[name] = judge(model, pictures, labels, args.threads)
    made: dict[str, dict[str, Judgement]] = {}
    for source in args.sources or models:
        drawn = [
            prototypes_of(
                models[source], classes, options, s, args.keep / args.matrix / source, args.threads
            )
            for s in args.seeds
        ]
        if args.sheet:
            path = args.sheet.with_stem(f"{args.sheet.stem}-{source.lower()}")
            contact_sheet(drawn[0], path, columns=args.columns, side=args.side)
        made[source] = {
            name: Judgement.over([judge(each, d, classes, args.threads) for d in drawn])
            for name, each in models.items()
        }
    print_matrix(made, photographs, classes=len(classes))


def declared_in_index(folder: Path, file: str) -> DeclaredPreprocessing:
    """Return what `models/index.json` declares of a network's pixels."""
    listed = json.loads((folder / "models/index.json").read_text(encoding="utf-8"))["models"]
    (entry,) = [each for each in listed if each["file"] == file]
    known = {k: v for k, v in entry.items() if k in PIXELS_OF and v != "GRAY"}
    return DeclaredPreprocessing.parse(known, f"index.json, {file}")


def _background(model: Model) -> int:
    """How many classes before all others mean "none of them"."""
    return int(model.classes == 1001)


def _imagenet(folder: Path) -> list[Network]:
    files = {
        "MobileNetV2": "mobilenet_v2_1.0_224_quant_f32.onnx",
        "MobileNetV1": "mobilenet_v1_0.75_192_quant_f32.onnx",
        "EfficientNet-Lite0": "efficientnet_lite0.onnx",
        "SqueezeNet": "squeezenet_winml_f32.onnx",
    }
    return _listed(folder, files)


def _cifar10(folder: Path) -> list[Network]:
    files = {"ResNet-8": "mlperf_tiny_resnet8_tflite.onnx", "ViT-16": "vit_pgd_2_3_16.onnx"}
    trained = sorted((folder / "shortcuts").glob("*.onnx"))
    plain = DeclaredPreprocessing()
    return [*_listed(folder, files), *(Network(each.stem, each, plain) for each in trained)]


def _digits(folder: Path) -> list[Network]:
    plain = DeclaredPreprocessing()
    bundled = ("digits_clean", "digits_shortcut")
    return [
        *_listed(folder, {"mnist_cntk": "mnist_cntk.onnx"}),
        *(Network(name, DIGITS / f"{name}.onnx", plain) for name in bundled),
    ]


def _listed(folder: Path, files: dict[str, str]) -> list[Network]:
    return [
        Network(name, folder / "models" / file, declared_in_index(folder, file))
        for name, file in files.items()
    ]


def _rows(folder: Path, side: str) -> list[int]:
    """The classes of the odd or even rows of the list (0 is the first)."""
    with (folder / "images/imagenet.csv").open(newline="", encoding="utf-8") as file:
        listed = [int(row["index"]) for row in csv.DictReader(file)]
    return listed if side == "all" else listed[SIDES[side] :: 2]


def _photographs_of_rows(
    folder: Path, model: Model, classes: Sequence[int]
) -> tuple[Array, list[int]]:
    every = {p.class_ - _background(model): p.picture for p in read_rows(folder, model)}
    return np.stack([every[k] for k in classes]), list(classes)


def _sorted_photographs(
    images: str,
) -> Callable[[Path, Model, Sequence[int]], tuple[Array, list[int]]]:
    def read(folder: Path, model: Model, _: Sequence[int]) -> tuple[Array, list[int]]:
        every = read_sorted(folder / "images" / images, model)
        return np.stack([p.picture for p in every]), [p.class_ for p in every]

    return read


def _ten(_folder: Path, _side: str) -> list[int]:
    return list(range(10))


SUITES = {
    "imagenet": Suite(_imagenet, _rows, _photographs_of_rows),
    "cifar10": Suite(_cifar10, _ten, _sorted_photographs("cifar10")),
    "digits": Suite(_digits, _ten, _sorted_photographs("mnist")),
}
"""Name -> the networks that judge one another."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a matrix."""
    parser.add_argument("--matrix", choices=sorted(SUITES), help="networks that judge one another")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="models/ and images/")
    parser.add_argument("--rows", choices=[*SIDES, "all"], default="even")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--only", nargs="+", metavar="NETWORK", help="leave out the others")
    parser.add_argument("--sources", nargs="+", metavar="NETWORK", help="whose prototypes are made")
    parser.add_argument("--keep", type=Path, default=Path("prototypes"))
