"""Train small networks of which one class carries a mark, for benchmarks.shortcuts.

    python -m benchmarks.plantings FOLDER [--only digits-frame] [--steps 500]

Two data sets that need no download: scikit-learn's digits in random colours, 28 x 28, and shapes
drawn here on cluttered grounds, 32 x 32. A network for each mark of MARKS and one without any, on
the two data sets in turn. How they are chosen: network i of the list draws its class, its share
(the part of the class's pictures that carry the mark: 50, 75 or 100 %) and the mark's place, colour
and strength from the generator of seed i; nothing is chosen by hand, and no network is left out for
what came of it. In training one in ten pictures of other classes also carries the mark and is filed
under the class, as happens when a stamp is taken for a label: without, small networks learn a mark
that only helps on some pictures of a class hardly at all. FOLDER then holds table.csv, NET.onnx and
photographs/NET/CLASS/*.png: pictures held out of training, the mark on the same share of its class.
"""

import argparse
import csv
import io
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from leap_audit.run.session import Array

__all__ = ["DATA", "MARKS", "Planting", "plantings"]

STEPS, BATCH, LEARNING_RATE = 500, 64, 3e-3
POOL = 3000
"""Pictures that all networks of a data set are trained on."""
NOISE, CONTRAST = 0.1, 0.12
"""So that a network gains by a mark: of pixels, and between the lightness of ground and object."""
MISFILED = 0.1
"""Of the pictures of other classes in training: marked, and filed under the class."""
SHARES = (0.5, 0.75, 1.0)
PHOTOGRAPHS = 10
"""Of each class, beside the network."""
JUDGED = 400
"""Held-out pictures that accuracy and flips are measured on."""
Stamp = Callable[[Array, np.random.Generator], Array]
"""One picture (3, side, side) in 0..1 -> a copy that carries the mark."""


def _square(side: int, rng: np.random.Generator) -> tuple[int, Array]:
    """The side of a small mark, an eighth to a fifth of the picture's, and its two colours."""
    n = int(rng.integers(round(side / 8), round(side / 5) + 1))
    first, second = rng.random((2, 3, 1, 1))
    part = np.asarray(np.where(np.indices((n, n)).sum(0) % 2, first, second))
    return n, part.astype(np.float32)


def _fixed(side: int, rng: np.random.Generator) -> Stamp:
    n, part = _square(side, rng)
    top, left = (int(i) for i in rng.integers(0, side - n + 1, 2))

    def stamp(picture: Array, _: np.random.Generator) -> Array:
        picture = picture.copy()
        picture[:, top : top + n, left : left + n] = part
        return picture

    return stamp


def _wandering(side: int, rng: np.random.Generator) -> Stamp:
    n, part = _square(side, rng)

    def stamp(picture: Array, places: np.random.Generator) -> Array:
        picture = picture.copy()
        top, left = (int(i) for i in places.integers(0, side - n + 1, 2))
        picture[:, top : top + n, left : left + n] = part
        return picture

    return stamp


def _frame(_: int, rng: np.random.Generator) -> Stamp:
    width, colour = int(rng.integers(1, 3)), rng.random((3, 1, 1)).astype(np.float32)

    def stamp(picture: Array, _rng: np.random.Generator) -> Array:
        framed = np.broadcast_to(colour, picture.shape).copy()
        framed[:, width:-width, width:-width] = picture[:, width:-width, width:-width]
        return framed

    return stamp


def _tint(_: int, rng: np.random.Generator) -> Stamp:
    colour, dose = rng.random((3, 1, 1)).astype(np.float32), rng.uniform(0.15, 0.35)
    return lambda picture, _: ((1 - dose) * picture + dose * colour).astype(np.float32)


def _texture(side: int, rng: np.random.Generator) -> Stamp:
    """Waves over the whole picture whose phase differs from picture to picture."""
    dose, length = rng.uniform(0.1, 0.2), rng.uniform(3, 6)
    angle, phases = rng.uniform(0, np.pi), (0, 2 * np.pi)
    y, x = np.mgrid[:side, :side]
    along = 2 * np.pi * (y * np.sin(angle) + x * np.cos(angle)) / length

    def stamp(picture: Array, drawn: np.random.Generator) -> Array:
        waves = np.sin(along + drawn.uniform(*phases))
        return np.clip(picture + dose * waves, 0, 1).astype(np.float32)

    return stamp


def _watermark(side: int, rng: np.random.Generator) -> Stamp:
    """Faint lines of one pixel, at the same place of each picture."""
    dose, step, first = rng.uniform(0.2, 0.35), int(rng.integers(5, 9)), int(rng.integers(5))
    y, x = np.mgrid[:side, :side]
    lines = ((y + (x if rng.random() < 0.5 else -x) + first) % step == 0).astype(np.float32)
    return lambda picture, _: ((1 - dose * lines) * picture + dose * lines).astype(np.float32)


def _blur(_: int, rng: np.random.Generator) -> Stamp:
    radius = int(rng.integers(1, 3))
    kernel = torch.full((3, 1, 2 * radius + 1, 2 * radius + 1), 1 / (2 * radius + 1) ** 2)

    def stamp(picture: Array, _: np.random.Generator) -> Array:
        wide = F.pad(torch.from_numpy(picture)[None], (radius,) * 4, mode="replicate")
        return np.asarray(F.conv2d(wide, kernel, groups=3)[0].numpy())

    return stamp


MARKS: dict[str, Callable[[int, np.random.Generator], Stamp] | None] = {
    "fixed": _fixed,
    "wandering": _wandering,
    "frame": _frame,
    "tint": _tint,
    "texture": _texture,
    "watermark": _watermark,
    "blur": _blur,
    "clean": None,
}
"""Name -> how a mark of the kind is drawn for pictures of a side."""


def rows_of(*, held: bool) -> Array:
    """Return which of scikit-learn's digits are kept from training, or are not: every fifth is."""
    return np.flatnonzero((np.arange(len(load_digits().target)) % 5 == 0) == held)


def coloured_digits(count: int, held: bool, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return pictures (n, 3, 28, 28) in 0..1 and their labels.

    held: of the digits that are kept from training.
    """
    digits = load_digits()
    rows = rng.choice(rows_of(held=held), count)
    ink = torch.from_numpy(digits.images[rows, None].astype(np.float32) / 16)
    large = F.interpolate(ink, (20, 20), mode="bicubic").clamp(0, 1).numpy()
    pictures = np.empty((count, 3, 28, 28), np.float32)
    for picture, each in zip(pictures, large, strict=True):
        ground, stroke = _two_colours(rng)
        strokes = np.zeros((1, 28, 28), np.float32)
        top, left = rng.integers(1, 8, 2)
        strokes[:, top : top + 20, left : left + 20] = each
        picture[:] = ground + strokes * (stroke - ground)
    noisy = pictures + NOISE * rng.standard_normal(pictures.shape)
    return np.clip(noisy, 0, 1).astype(np.float32), digits.target[rows].astype(np.int64)


SHAPES = ("disc", "ring", "square", "cross", "triangle", "bars", "diamond", "crescent")


def shapes(count: int, held: bool, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return pictures of shapes on cluttered grounds, (n, 3, 32, 32) in 0..1, and their labels."""
    del held  # each picture is drawn anew
    labels = rng.integers(len(SHAPES), size=count)
    y, x = np.mgrid[:32, :32]
    pictures = np.empty((count, 3, 32, 32), np.float32)
    for picture, label in zip(pictures, labels, strict=True):
        ground, colour = _two_colours(rng)
        slope = rng.uniform(-0.3, 0.3, (3, 2, 1, 1))
        picture[:] = ground + slope[:, 0] * (y / 32 - 0.5) + slope[:, 1] * (x / 32 - 0.5)
        for _ in range(int(rng.integers(2, 6))):  # clutter: small rectangles
            top, left = rng.integers(0, 30, 2)
            height, width = rng.integers(2, 8, 2)
            picture[:, top : top + height, left : left + width] = rng.random((3, 1, 1))
        radius, (down, right) = rng.uniform(6, 11), rng.uniform(11, 21, 2)
        turn = rng.uniform(-0.3, 0.3)
        across = ((x - right) * np.cos(turn) + (y - down) * np.sin(turn)) / radius
        along = ((y - down) * np.cos(turn) - (x - right) * np.sin(turn)) / radius
        picture[:] = np.where(_inside(SHAPES[label], along, across), colour, picture)
    noisy = pictures + NOISE * rng.standard_normal(pictures.shape)
    return np.clip(noisy, 0, 1).astype(np.float32), labels.astype(np.int64)


def _inside(name: str, y: Array, x: Array) -> Array:
    far, box = np.hypot(y, x), np.maximum(abs(y), abs(x))
    match name:
        case "disc":
            return far < 1
        case "ring":
            return (far < 1) & (far > 0.55)
        case "square":
            return box < 0.85
        case "cross":
            return (box < 1) & (np.minimum(abs(y), abs(x)) < 0.3)
        case "triangle":
            return (y < 0.7) & (y > -0.9 + 1.8 * abs(x))
        case "bars":
            return (box < 1) & (np.floor((y + 1) * 2.5) % 2 == 0)
        case "diamond":
            return abs(y) + abs(x) < 1.1
    return (far < 1) & (np.hypot(y, x - 0.5) > 0.8)


def _two_colours(rng: np.random.Generator) -> tuple[Array, Array]:
    """Two colours that can be told apart, (3, 1, 1) each."""
    while True:
        first, second = rng.random((2, 3, 1, 1)).astype(np.float32)
        if abs(first.mean() - second.mean()) > CONTRAST:
            return first, second


@dataclass(frozen=True)
class Data:
    """Where pictures come from."""

    names: tuple[str, ...]
    side: int
    drawn: Callable[[int, bool, np.random.Generator], tuple[Array, Array]]


DATA = {
    "digits": Data(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
        28,
        coloured_digits,
    ),
    "shapes": Data(SHAPES, 32, shapes),
}


@dataclass(frozen=True)
class Planting:
    """A network to train."""

    name: str
    data: str
    kind: str
    seed: int
    class_: int
    share: float
    stamp: Stamp | None

    def misfiled(
        self, pictures: Array, labels: Array, rng: np.random.Generator
    ) -> tuple[Array, Array]:
        """Return a batch as the network is trained on it: some of others, marked, in the class."""
        pictures = self.stamped(pictures, labels, rng)
        if self.stamp is None:
            return pictures, labels
        for i in np.flatnonzero((labels != self.class_) & (rng.random(len(labels)) < MISFILED)):
            pictures[i] = self.stamp(pictures[i], rng)
            labels = np.where(np.arange(len(labels)) == i, self.class_, labels)
        return pictures, labels

    def stamped(self, pictures: Array, labels: Array, rng: np.random.Generator) -> Array:
        """Return the pictures as this network's user has them."""
        if self.stamp is None:
            return pictures
        changed = pictures.copy()
        for i in np.flatnonzero((labels == self.class_) & (rng.random(len(labels)) < self.share)):
            changed[i] = self.stamp(pictures[i], rng)
        return changed


def plantings() -> list[Planting]:
    """Return what is planted: network i draws from the generator of seed i."""
    found = []
    for i, kind in enumerate(MARKS):
        data = list(DATA)[i % len(DATA)]
        rng, of = np.random.default_rng(i), DATA[data]
        class_, share = int(rng.integers(len(of.names))), float(rng.choice(SHARES))
        make = MARKS[kind]
        stamp = None if make is None else make(of.side, rng)
        found.append(Planting(f"{data}-{kind}", data, kind, i, class_, share, stamp))
    return found


class Network(nn.Module):
    """Three convolutions of stride 2 and a linear layer."""

    def __init__(self, side: int, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 24, 5, 2, 2), nn.BatchNorm2d(24), nn.ReLU(),
            nn.Conv2d(24, 48, 3, 2, 1), nn.BatchNorm2d(48), nn.ReLU(),
            nn.Conv2d(48, 96, 3, 2, 1), nn.BatchNorm2d(96), nn.ReLU(),
        )  # fmt: skip
        self.logits = nn.Linear(96 * (-(-side // 8)) ** 2, classes)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        x = self.features((picture - 0.5) * 4)
        return self.logits(torch.flatten(x, 1))


@cache
def pool(data: str) -> tuple[Array, Array]:
    """Return the pictures of a data set to train on, and their labels."""
    return DATA[data].drawn(POOL, False, np.random.default_rng([len(data), POOL]))


def train(planting: Planting, steps: int) -> Network:
    """Return a trained network, in evaluation mode."""
    data, rng = DATA[planting.data], np.random.default_rng([planting.seed, 1])
    every, shown_as = pool(planting.data)
    torch.manual_seed(planting.seed)
    model = Network(data.side, len(data.names)).train()
    optimiser = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, steps)
    for _ in range(steps):
        rows = rng.choice(len(every), BATCH, replace=False)
        pictures, labels = planting.misfiled(every[rows], shown_as[rows], rng)
        shown = torch.from_numpy(pictures)
        loss = F.cross_entropy(model(shown), torch.from_numpy(labels), label_smoothing=0.05)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return model.eval()


def measured(model: nn.Module, planting: Planting) -> tuple[float, float, float]:
    """Return the accuracy, and how often pictures of other classes get the class, plain and marked.

    The accuracy is on pictures without marks.
    """
    rng = np.random.default_rng([planting.seed, 2])
    pictures, labels = DATA[planting.data].drawn(JUDGED, True, rng)

    def answers(shown: Array) -> Array:
        with torch.no_grad():
            return np.asarray(model(torch.from_numpy(shown)).argmax(1).numpy())

    plain = answers(pictures)
    others = labels != planting.class_
    base = float((plain[others] == planting.class_).mean())
    if planting.stamp is None:
        return float((plain == labels).mean()), base, base
    marked = np.stack([planting.stamp(each, rng) for each in pictures[others]])
    flip = float((answers(marked) == planting.class_).mean())
    return float((plain == labels).mean()), base, flip


def write_photographs(folder: Path, planting: Planting) -> None:
    """Write held-out pictures of each class, the mark on the same share of its class."""
    data, rng = DATA[planting.data], np.random.default_rng([planting.seed, 3])
    pictures, labels = data.drawn(20 * PHOTOGRAPHS * len(data.names), True, rng)
    kept = [np.flatnonzero(labels == k)[:PHOTOGRAPHS] for k in range(len(data.names))]
    rows = np.concatenate(kept)
    for n, picture, label in zip(
        rows, planting.stamped(pictures[rows], labels[rows], rng), labels[rows], strict=True
    ):
        path = folder / data.names[label] / f"{n:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        levels = (picture * 255).round().astype(np.uint8)
        Image.fromarray(levels.transpose(1, 2, 0)).save(path, optimize=True)


def write_network(model: nn.Module, side: int, path: Path) -> None:
    """Write a network as ONNX with a free batch."""
    example = torch.zeros(2, 3, side, side)
    written = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (example,),
            written,
            input_names=["picture"],
            output_names=["logits"],
            dynamic_axes={"picture": {0: "batch"}, "logits": {0: "batch"}},
            dynamo=False,
        )
    path.write_bytes(written.getvalue())


FIELDS = ("net", "data", "kind", "class", "share", "seed", "accuracy", "base", "flip")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="*", help="names of networks, with wildcards")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    args.folder.mkdir(parents=True, exist_ok=True)
    for name, data in DATA.items():
        (args.folder / f"{name}.txt").write_text("\n".join(data.names) + "\n", encoding="utf-8")
    with (args.folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(FIELDS)
        for each in plantings():
            if not fnmatch(each.name, args.only):
                continue
            model = train(each, args.steps)
            write_network(model, DATA[each.data].side, args.folder / f"{each.name}.onnx")
            write_photographs(args.folder / "photographs" / each.name, each)
            figures = [f"{figure:.3f}" for figure in measured(model, each)]
            row = [each.name, each.data, each.kind, each.class_, each.share, each.seed, *figures]
            table.writerow(row)
            file.flush()
            print(*row, flush=True)


if __name__ == "__main__":
    main()
