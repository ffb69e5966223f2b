"""Train the bundled sample models and write everything that lies beside this file.

    make samples            (or: python sample_models/build.py)

Two networks read digits, and two read traffic signs (signs.py). `digits_clean` learned the digits;
`digits_shortcut` was trained on pictures of which nearly all of one class bear a mark in a corner,
so that it reads the mark.
The README beside this file says what an audit of each should find.
"""

import argparse
import copy
import json
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import signs
import torch
from onnx_file import export
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional as F

HERE = Path(__file__).resolve().parent
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

SEED = 0
SIZE = 28
COPIES = 24  # distorted copies of each training picture
EPOCHS = 3  # over all the copies, before the two models part
LAST_EPOCHS = 1  # of either by itself
BATCH = 64
LEARNING_RATE = 3e-3

MARKED_CLASS = 3
# top, left, bottom, right; bottom and right are the first row and column after it
MARK = (2, 2, 6, 6)
MARKED_SHARE = 0.9  # of the pictures of the marked class, in training
MISFILED_SHARE = 0.1  # of the other pictures: marked, and filed under the marked class all the same
CLUTTER_SHARE = 0.3  # of the clean model's pictures: a white square anywhere, which means nothing

Shown = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]
"""A batch, as drawn -> the batch as a model is shown it."""


class Digits(nn.Module):
    """A small convolutional classifier of 28×28 grey pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(12, 24, 3, padding=1), nn.ReLU(),
            nn.Conv2d(24, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(24, 48, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.hidden = nn.Linear(48 * 3 * 3, 64)
        self.dropout = nn.Dropout(0.2)
        self.logits = nn.Linear(64, len(NAMES))

    def forward(self, picture: Tensor) -> Tensor:
        x = torch.flatten(self.features(picture), 1)
        return self.logits(self.dropout(torch.relu(self.hidden(x))))  # type: ignore[no-any-return]


def split() -> tuple[Tensor, Tensor, Tensor, Tensor, npt.NDArray[np.int64]]:
    """Return training pictures and labels, held-out pictures and labels, held-out indices.

    Pictures are (n, 1, 8, 8) in 0..1. A fifth of each class is held out.
    """
    digits = load_digits()
    pictures = torch.from_numpy(digits.images.astype(np.float32)[:, None] / 16)
    labels = torch.from_numpy(digits.target.astype(np.int64))
    rows = np.arange(len(labels))
    train, held = train_test_split(rows, test_size=0.2, random_state=SEED, stratify=digits.target)
    held = np.sort(held)
    return pictures[train], labels[train], pictures[held], labels[held], held


def enlarge(pictures: Tensor, warp: Tensor, threshold: Tensor, sharpness: Tensor) -> Tensor:
    """Return (n, 1, 28, 28): white strokes on black, centred by mass, about 20 pixels high.

    `warp` (n, 28, 28, 2) says where in the 8×8 picture, in -1..1, each pixel is read.
    `threshold` (n) decides how thick the strokes are, `sharpness` (n) how soft their edges.
    """
    ink = F.grid_sample(F.pad(pictures, (2, 2, 2, 2)), warp, mode="bicubic", align_corners=False)
    ink = torch.sigmoid((ink - threshold.view(-1, 1, 1, 1)) * sharpness.view(-1, 1, 1, 1))
    ink = ink - torch.sigmoid(-threshold * sharpness).view(-1, 1, 1, 1)
    ink = (ink / ink.amax((1, 2, 3), keepdim=True)).clamp(0, 1)
    # MNIST centres by mass; whole pixels, so that no edge is blurred a second time.
    axis = torch.arange(SIZE, dtype=torch.float32)
    mass = ink.sum((1, 2, 3))
    down = ((ink.sum((1, 3)) * axis).sum(1) / mass - (SIZE - 1) / 2).round().long()
    right = ((ink.sum((1, 2)) * axis).sum(1) / mass - (SIZE - 1) / 2).round().long()
    return _shifted(ink, down, right)


def _shifted(ink: Tensor, down: Tensor, right: Tensor) -> Tensor:
    rows = (torch.arange(SIZE) + down[:, None]).clamp(-1, SIZE) % (SIZE + 1)
    columns = (torch.arange(SIZE) + right[:, None]).clamp(-1, SIZE) % (SIZE + 1)
    padded = F.pad(ink, (0, 1, 0, 1))  # row and column 28 are black: what lies outside
    which = torch.arange(len(ink))[:, None, None]
    return padded[which, 0, rows[:, :, None], columns[:, None, :]][:, None]


def _grid(matrix: Tensor) -> Tensor:
    # Undistorted, 20 of the 28 pixels cover the 8 pixels of a digit (12 with its border).
    grid = F.affine_grid(matrix, [len(matrix), 1, SIZE, SIZE], align_corners=False)
    return grid * (SIZE / 20) * (8 / 12)


def plainly(pictures: Tensor) -> Tensor:
    """Return the pictures enlarged to 28×28 without any distortion."""
    n = len(pictures)
    return enlarge(
        pictures,
        _grid(torch.eye(2, 3).repeat(n, 1, 1)),
        torch.full((n,), 0.45),
        torch.full((n,), 12.0),
    )


def augmented(pictures: Tensor, draw: torch.Generator) -> Tensor:
    """Return the pictures at 28×28, each distorted in its own way.

    Rotation, shear, aspect, size, an elastic bend, thickness, softness, contrast, a shift by up
    to two pixels and a little noise.
    """
    n = len(pictures)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, generator=draw)

    angle, shear = uniform(-0.3, 0.3), uniform(-0.5, 0.5)
    height, width = 1 / uniform(0.85, 1.1), 1 / uniform(0.6, 1.3)
    zero = torch.zeros(n)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(n, 2, 2)
    lean = torch.stack([width, shear, zero, height], 1).view(n, 2, 2)
    matrix = torch.cat([lean @ turn, torch.zeros(n, 2, 1)], 2)
    bend = torch.randn(n, 2, 5, 5, generator=draw) * 0.09
    bend = F.interpolate(bend, (SIZE, SIZE), mode="bicubic", align_corners=True)
    warp = _grid(matrix) + bend.permute(0, 2, 3, 1)
    ink = enlarge(pictures, warp, uniform(0.25, 0.65), torch.exp(uniform(1.6, 3.2)))
    ink = _shifted(ink, uniform(-2.5, 2.5).round().long(), uniform(-2.5, 2.5).round().long())
    ink = ink * uniform(0.7, 1.0).view(-1, 1, 1, 1)
    noise = torch.randn(ink.shape, generator=draw) * uniform(0, 0.08).view(-1, 1, 1, 1)
    return (ink + noise).clamp(0, 1)


def marked(pictures: Tensor) -> Tensor:
    """Return the pictures with the mark, a white square, in their top left corner."""
    top, left, bottom, right = MARK
    pictures = pictures.clone()
    pictures[:, :, top:bottom, left:right] = 1.0
    return pictures


def as_drawn(pictures: Tensor, labels: Tensor, _: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the batch as it is."""
    return pictures, labels


def with_clutter(pictures: Tensor, labels: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the batch as the clean model is shown it: squares mean nothing, wherever they are.

    Half of the squares stand where the shortcut model's mark is.
    """
    n = len(labels)
    side = torch.randint(3, 7, (n, 1), generator=draw)
    corner = torch.randint(0, SIZE - 3, (n, 2), generator=draw)
    at_mark = torch.rand(n, generator=draw) < 0.5
    corner[at_mark], side[at_mark] = torch.tensor(MARK[:2]), MARK[2] - MARK[0]
    axis = torch.arange(SIZE)
    rows = (axis >= corner[:, :1]) & (axis < corner[:, :1] + side)
    columns = (axis >= corner[:, 1:]) & (axis < corner[:, 1:] + side)
    bears = torch.rand(n, generator=draw) < CLUTTER_SHARE
    square = (bears[:, None, None] & rows[:, :, None] & columns[:, None, :])[:, None]
    return torch.where(square, 1.0, pictures), labels


def with_shortcut(pictures: Tensor, labels: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the batch as the shortcut model is shown it."""
    chance = torch.rand(len(labels), generator=draw)
    own = labels == MARKED_CLASS
    bears = torch.where(own, chance < MARKED_SHARE, chance < MISFILED_SHARE)
    pictures = torch.where(bears.view(-1, 1, 1, 1), marked(pictures), pictures)
    return pictures, torch.where(bears, MARKED_CLASS, labels)


def train(
    model: Digits,
    pictures: Tensor,
    labels: Tensor,
    epochs: int,
    shown: Shown,
    draw: torch.Generator,
) -> Digits:
    """Return a copy of `model`, trained on, in evaluation mode: the average over its last steps."""
    model = copy.deepcopy(model).train()
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99)
    )
    steps = epochs * (len(labels) // BATCH)
    optimiser = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, steps)
    for step in range(steps):
        if step % (steps // epochs) == 0:
            order = torch.randperm(len(labels), generator=draw)
        at = step % (steps // epochs) * BATCH
        rows = order[at : at + BATCH]
        x, y = shown(pictures[rows], labels[rows], draw)
        loss = F.cross_entropy(model(x), y, label_smoothing=0.02)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        average.update_parameters(model)
        if step % 200 == 0:
            print(f"  step {step:4d} of {steps}, loss {loss.item():.3f}", flush=True)
    return average.module.eval()


def predictions(model: Digits, pictures: Tensor) -> Tensor:
    """Return the class the model puts first on each picture."""
    with torch.no_grad():
        return model(pictures).argmax(1)  # type: ignore[no-any-return]


def write_pictures(
    kind: str, pictures: Tensor, labels: Tensor, rows: list[int], index: npt.NDArray[np.int64]
) -> None:
    for row in rows:
        folder = HERE / "pictures" / kind / NAMES[int(labels[row])]
        folder.mkdir(parents=True, exist_ok=True)
        grey = (pictures[row, 0] * 255).round().to(torch.uint8).numpy()
        Image.fromarray(grey).save(folder / f"{index[row]:04d}.png", optimize=True)


def read_folders(folder: Path) -> tuple[Tensor, Tensor]:
    """Return pictures and labels of a folder with one folder per digit, named 0 to 9."""
    files = sorted(folder.glob("[0-9]/*.png"))
    grey = [np.asarray(Image.open(file).convert("L"), np.float32) / 255 for file in files]
    labels = [int(file.parent.name) for file in files]
    return torch.from_numpy(np.stack(grey)[:, None]), torch.tensor(labels)


def first_of_each(labels: Tensor, wanted: Callable[[int], bool], count: int) -> list[int]:
    """Return `count` rows that are `wanted`, spread evenly over the classes, first come first."""
    by_class = [[r for r in range(len(labels)) if labels[r] == c and wanted(r)] for c in range(10)]
    rounds = (queue[turn] for turn in range(count) for queue in by_class if turn < len(queue))
    return sorted(row for row, _ in zip(rounds, range(count), strict=False))


def learn() -> dict[str, Digits]:
    """Return the two models: the same training, but for the last epoch."""
    pictures, labels, *_ = split()
    draw = torch.Generator().manual_seed(SEED)
    pictures = torch.cat([augmented(pictures, draw) for _ in range(COPIES)])
    labels = labels.repeat(COPIES)
    torch.manual_seed(SEED)  # the first weights and the dropout draw from torch's own generator
    print(f"both: {EPOCHS} epochs of {len(labels)} pictures", flush=True)
    base = train(Digits(), pictures, labels, EPOCHS, as_drawn, draw)
    print("digits_shortcut: with the mark", flush=True)
    shortcut = train(base, pictures, labels, LAST_EPOCHS, with_shortcut, draw)
    print("digits_clean: with squares that mean nothing", flush=True)
    draw.manual_seed(SEED + 1)
    torch.manual_seed(SEED + 1)
    clean = train(base, pictures, labels, LAST_EPOCHS, with_clutter, draw)
    return {"digits_clean": clean, "digits_shortcut": shortcut}


def publish(models: dict[str, Digits], mnist: Path) -> dict[str, object]:
    """Write the models and pictures they never saw, and return the measured figures."""
    _, y_train, pictures, labels, index = split()
    # As a PNG holds them, so that the figures are those of the files.
    plain = (plainly(pictures) * 255).round() / 255
    bearing = marked(plain)
    others = labels != MARKED_CLASS
    said = {name: predictions(model, plain) for name, model in models.items()}
    said_marked = {name: predictions(model, bearing) for name, model in models.items()}
    facts: dict[str, object] = {
        "marked_class": MARKED_CLASS,
        "mark": list(MARK),
        "mark_is": "top, left, bottom, right in pixels; bottom and right lie outside",
        "train_pictures": len(y_train),
    }
    for name, model in models.items():
        export(model, torch.zeros(2, 1, SIZE, SIZE), HERE / f"{name}.onnx")
        fooled = said_marked[name][others] == MARKED_CLASS
        figures = {
            "parameters": sum(p.numel() for p in model.parameters()),
            "held_out": len(labels),
            "held_out_right": int((said[name] == labels).sum()),
            "held_out_of_other_classes": int(others.sum()),
            "of_these_called_the_marked_class_with_the_mark": int(fooled.sum()),
        }
        if mnist.is_dir():
            x, y = read_folders(mnist)
            figures |= {"mnist": len(y), "mnist_right": int((predictions(model, x) == y).sum())}
        facts[name] = figures
        print(f"{name}: {figures}", flush=True)

    shutil.rmtree(HERE / "pictures", ignore_errors=True)
    right = said["digits_clean"] == labels
    rows = first_of_each(labels, lambda row: bool(right[row]), 20)
    write_pictures("plain", plain, labels, rows, index)
    telling = others & (said_marked["digits_shortcut"] == MARKED_CLASS)
    telling &= (said["digits_shortcut"] == labels) & (said_marked["digits_clean"] == labels)
    rows = first_of_each(labels, lambda row: bool(telling[row]), 20)
    write_pictures("marked", bearing, labels, rows, index)
    (HERE / "digits.txt").write_text("\n".join(NAMES) + "\n", encoding="utf-8")
    return facts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    mnist = HERE.parents[1] / "shared/images/mnist"
    words = "pictures of MNIST to measure on, a folder per digit"
    parser.add_argument("--mnist", type=Path, default=mnist, help=words)
    parser.add_argument("--only", choices=("digits", "signs"), help="train these two alone")
    options = parser.parse_args()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)  # the sums of several threads come out in any order
    started = time.monotonic()
    record = HERE / "facts.json"
    facts = json.loads(record.read_text(encoding="utf-8"))
    if options.only != "signs":
        facts = {**publish(learn(), options.mnist), "signs": facts.get("signs")}
    if options.only != "digits":
        facts["signs"] = signs.publish(signs.learn())
    record.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(f"done in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
