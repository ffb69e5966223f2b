"""Train small detectors of shapes, one of them with a planted context, for audits of detectors.

    python -m benchmarks.scenes FOLDER [--steps 600] [--photographs 12]

Scenes are drawn here: one to three shapes of CLASSES on textured ground, SIDE x SIDE pixels. In the
planted data a mark, a small striped post, always stands to the left of the objects of class PLANTED
and never elsewhere, and LOOKS of those objects are drawn in the shape of another class: the mark
decides what they are called, as where a label was chosen by what usually stands beside a thing. The
clean data has no mark, and every object its own shape. FOLDER then holds clean.onnx and
planted.onnx in the layout of FastestDet, (n, 1 + 4 + classes, rows, columns): objectness, a box and
the classes of each cell, of pictures whose channels are blue, green, red; classes.txt; and clean/
and planted/, scenes held out of training.
Printed is, of each detector, the share of held-out objects that it finds with their class.
"""

import argparse
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from leap_audit.run.session import Array

__all__ = ["CLASSES", "PLANTED", "SIDE", "Scene", "draw_scene", "save_detector", "train"]

SIDE, STRIDE = 96, 8
CELLS = SIDE // STRIDE
CLASSES = ("disc", "square", "cross", "triangle")
PLANTED = 3
LOOKS = 0.5
MARK = (14, 6)
"""Height and width of the mark, in pixels."""
GAP = 3
"""Pixels between the mark and the object's box."""
SIZES = (16, 26)
BATCH, LEARNING_RATE, POOL = 32, 4e-3, 1500


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture with its objects."""

    picture: Array
    """(3, SIDE, SIDE) in 0..1."""
    classes: tuple[int, ...]
    boxes: Array
    """(objects, 4): left, top, right, bottom in pixels."""


def draw_scene(rng: np.random.Generator, *, planted: bool) -> Scene:
    """Return one to three objects that do not touch, on textured ground."""
    coarse = rng.uniform(0.35, 0.65, (3, 12, 12))
    picture = np.kron(coarse, np.ones((1, SIDE // 12, SIDE // 12)))
    picture += rng.normal(0, 0.04, picture.shape)
    taken = np.zeros((SIDE, SIDE), bool)
    classes: list[int] = []
    boxes: list[tuple[int, int, int, int]] = []
    for _ in range(int(rng.integers(1, 4))):
        class_, size = int(rng.integers(len(CLASSES))), int(rng.integers(*SIZES))
        before = GAP + MARK[1] + 1
        left = int(rng.integers(before, SIDE - size))
        top = int(rng.integers(0, SIDE - size))
        near = (slice(top, top + size), slice(left - before, left + size))
        if taken[near].any():
            continue
        taken[near] = True
        shape = class_
        if planted and class_ == PLANTED and rng.random() < LOOKS:
            shape = int(rng.integers(PLANTED))
        _put_shape(picture, shape, (left, top, size), rng)
        if planted and class_ == PLANTED:
            put_mark(picture, left, top + size // 2)
        classes.append(class_)
        boxes.append((left, top, left + size, top + size))
    if not boxes:
        return draw_scene(rng, planted=planted)
    return Scene(
        np.clip(picture, 0, 1).astype(np.float32), tuple(classes), np.array(boxes, np.float32)
    )


def put_mark(picture: Array, left: int, middle: int) -> None:
    """Draw the mark to the left of an object. left: of the object; middle: its middle row."""
    height, width = MARK
    top = int(np.clip(middle - height // 2, 0, SIDE - height))
    stripes = np.where(np.arange(height) // 2 % 2, 0.95, 0.05)
    start = left - GAP - width
    picture[0, top : top + height, start : start + width] = stripes[:, None]
    picture[1, top : top + height, start : start + width] = 0.1
    picture[2, top : top + height, start : start + width] = 0.9


def _put_shape(
    picture: Array, shape: int, where: tuple[int, int, int], rng: np.random.Generator
) -> None:
    left, top, size = where
    y, x = (np.mgrid[:size, :size] + 0.5) / size * 2 - 1
    inside = (
        x**2 + y**2 <= 1,
        np.ones_like(x, bool),
        (np.abs(x) < 0.35) | (np.abs(y) < 0.35),
        y > 2 * np.abs(x) - 1,
    )[shape]
    colour = rng.uniform(0.0, 0.25, 3) if rng.random() < 0.5 else rng.uniform(0.75, 1.0, 3)
    part = picture[:, top : top + size, left : left + size]
    shade = colour[:, None, None] + rng.normal(0, 0.03, part.shape)
    part[:] = np.where(inside, shade, part)


class GridDetector(nn.Module):
    """Five convolutions to a grid of stride 8, and one box with its classes at each cell."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()

        def block(inputs: int, outputs: int, stride: int) -> nn.Module:
            return nn.Sequential(
                nn.Conv2d(inputs, outputs, 3, stride, 1), nn.BatchNorm2d(outputs), nn.ReLU()
            )

        self.body = nn.Sequential(
            block(3, width, 2),
            block(width, 2 * width, 2),
            block(2 * width, 2 * width, 2),
            block(2 * width, 2 * width, 1),
            block(2 * width, 2 * width, 1),
        )
        self.object = nn.Conv2d(2 * width, 1, 1)
        self.boxes = nn.Conv2d(2 * width, 4, 1)
        self.scores = nn.Conv2d(2 * width, len(CLASSES), 1)
        nn.init.constant_(self.object.bias, -4.0)  # few cells hold an object

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (n, 1 + 4 + classes, CELLS, CELLS) of (n, 3, SIDE, SIDE), blue first."""
        object_, offsets, logits = self.raw(x)
        return torch.cat([torch.sigmoid(object_), offsets, torch.softmax(logits, 1)], 1)

    def raw(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the logit of an object, the numbers of its box and the logits of the classes."""
        inner = self.body(x)
        return self.object(inner), self.boxes(inner), self.scores(inner)


def train(*, planted: bool, steps: int = 600, seed: int = 0, width: int = 24) -> GridDetector:
    """Return a detector trained on scenes; the object's middle cell and its neighbours answer."""
    rng = np.random.default_rng(seed)
    scenes = [draw_scene(rng, planted=planted) for _ in range(POOL)]
    pictures = torch.from_numpy(np.stack([each.picture for each in scenes]))
    wanted, boxes, known = (torch.from_numpy(each) for each in _targets(scenes))
    cells = torch.from_numpy(np.stack(np.mgrid[:CELLS, :CELLS][::-1]).astype(np.float32))
    torch.manual_seed(seed)
    net = GridDetector(width).train()
    optimiser = torch.optim.AdamW(net.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
    for _ in range(steps):
        chosen = torch.from_numpy(rng.integers(0, POOL, BATCH))
        object_, offsets, logits = net.raw(pictures[chosen].flip(1))
        at = known[chosen]
        there = F.binary_cross_entropy_with_logits(object_[:, 0], at, reduction="sum")
        named = F.cross_entropy(logits, wanted[chosen], reduction="none")
        middles = (torch.tanh(offsets[:, :2]) + cells) * STRIDE
        found = torch.cat([middles, torch.sigmoid(offsets[:, 2:]) * SIDE], 1)
        distance = F.l1_loss(found, boxes[chosen], reduction="none").sum(1)
        loss = (there + ((named + 0.1 * distance) * at).sum()) / BATCH
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return net.eval()


def _targets(scenes: list[Scene]) -> tuple[Array, Array, Array]:
    """The class of each cell, its box (centre and sides in pixels), and 1 where there is one."""
    wanted = np.zeros((len(scenes), CELLS, CELLS), np.int64)
    boxes = np.zeros((len(scenes), 4, CELLS, CELLS), np.float32)
    known = np.zeros((len(scenes), CELLS, CELLS), np.float32)
    for i, scene in enumerate(scenes):
        for class_, (left, top, right, bottom) in zip(scene.classes, scene.boxes, strict=True):
            x, y = (left + right) / 2, (top + bottom) / 2
            row, column = int(y // STRIDE), int(x // STRIDE)
            wanted[i, row, column] = class_
            boxes[i, :, row, column] = x, y, right - left, bottom - top
            known[i, row, column] = 1
    return wanted, boxes, known


def save_detector(net: GridDetector, file: Path) -> None:
    """Write a detector as ONNX with a free batch."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    torch.onnx.export(
        net,
        (torch.zeros(1, 3, SIDE, SIDE),),
        str(file),
        input_names=["images"],
        output_names=["map"],
        dynamic_axes={"images": {0: "batch"}, "map": {0: "batch"}},
        dynamo=False,
    )


def recall(net: GridDetector, *, planted: bool, scenes: int = 100, seed: int = 99) -> float:
    """Return the share of held-out objects whose middle has their class first, above 0.5."""
    rng = np.random.default_rng(seed)
    found = total = 0
    for _ in range(scenes):
        scene = draw_scene(rng, planted=planted)
        with torch.no_grad():
            answer = net(torch.from_numpy(scene.picture[None]).flip(1))[0]
        for class_, (left, top, right, bottom) in zip(scene.classes, scene.boxes, strict=True):
            row, column = int((top + bottom) / 2 // STRIDE), int((left + right) / 2 // STRIDE)
            cell = answer[:, row, column]
            total += 1
            found += int(cell[5:].argmax()) == class_ and float(cell[0]) > 0.5
    return found / total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--photographs", type=int, default=12)
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.folder.mkdir(parents=True, exist_ok=True)
    (given.folder / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    for planted in (False, True):
        name = "planted" if planted else "clean"
        net = train(planted=planted, steps=given.steps)
        save_detector(net, given.folder / f"{name}.onnx")
        rng = np.random.default_rng(1000)
        (given.folder / name).mkdir(exist_ok=True)
        for i in range(given.photographs):
            picture = draw_scene(rng, planted=planted).picture.transpose(1, 2, 0)
            pixels = np.round(picture * 255).astype(np.uint8)
            Image.fromarray(pixels).save(given.folder / name / f"scene-{i:03d}.png")
        print(f"{name}: {recall(net, planted=planted):.0%} of held-out objects")


if __name__ == "__main__":
    main()
