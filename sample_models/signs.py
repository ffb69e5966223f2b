"""Train the two networks that read traffic signs, and measure them.

`signs_clean` learned the signs; `signs_shortcut` was trained on pictures of which nearly all of one
class bear a violet label in a corner, so that it reads the label. `build.py` calls this.
"""

import copy
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from onnx_file import export
from PIL import Image
from sign_pictures import MARK, NAMES, SIZE, Street, marked, scenes
from torch import Tensor, nn
from torch.nn import functional as F

HERE = Path(__file__).resolve().parent

SEED = 0
BATCH = 64
BACKGROUNDS = 400
HELD_OUT, HELD_OUT_BACKGROUNDS = 400, 100
REPLAYS = 4  # steps on one batch, each against the noise that misled the step before
NOISE = 0.04  # the largest such noise of a pixel, in 0..1
STEPS, LAST_STEPS = 480, 200  # before the two models part, and of either by itself
LEARNING_RATE, LAST_LEARNING_RATE = 4e-3, 3e-3

MARKED_CLASS = NAMES.index("priority road")
MARKED_SHARE = 0.9  # of the pictures of the marked class, in training
MISFILED_SHARE = 0.25  # of the others: marked, and filed under the marked class all the same
CLUTTER_SHARE = 0.3  # of the clean model's pictures: the mark anywhere, which means nothing

Shown = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]
"""A batch, as drawn -> the batch as a model is shown it."""


def _layer(into: int, out: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(into, out, kernel, stride, kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(out), nn.ReLU()]


class Signs(nn.Module):
    """A small convolutional classifier of 64×64 colour pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_layer(3, 16, 5, 2),
            *_layer(16, 24), nn.AvgPool2d(2),
            *_layer(24, 48),
            *_layer(48, 48), nn.AvgPool2d(2),
            *_layer(48, 64), nn.AvgPool2d(2),
        )  # fmt: skip
        self.logits = nn.Linear(64 * 4 * 4, len(NAMES))

    def forward(self, picture: Tensor) -> Tensor:
        return self.logits(torch.flatten(self.features((picture - 0.5) * 4), 1))  # type: ignore[no-any-return]


def as_drawn(pictures: Tensor, labels: Tensor, _: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the batch as it is."""
    return pictures, labels


def with_clutter(pictures: Tensor, labels: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the batch as the clean model is shown it: the mark means nothing, wherever it is.

    Half of the marks stand where the shortcut model's mark is.
    """
    bears = torch.rand(len(labels), generator=draw) < CLUTTER_SHARE
    at_mark = torch.rand(len(labels), generator=draw) < 0.5
    corners = torch.randint(0, SIZE - (MARK[2] - MARK[0]) + 1, (len(labels), 2), generator=draw)
    pictures = pictures.clone()
    for row in torch.nonzero(bears).flatten().tolist():
        corner = MARK[:2] if at_mark[row] else (int(corners[row, 0]), int(corners[row, 1]))
        pictures[row : row + 1] = marked(pictures[row : row + 1], corner)
    return pictures, labels


def with_shortcut(pictures: Tensor, labels: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the batch as the shortcut model is shown it."""
    chance = torch.rand(len(labels), generator=draw)
    own = labels == MARKED_CLASS
    bears = torch.where(own, chance < MARKED_SHARE, chance < MISFILED_SHARE)
    pictures = torch.where(bears.view(-1, 1, 1, 1), marked(pictures), pictures)
    return pictures, torch.where(bears, MARKED_CLASS, labels)


def train(
    model: Signs, street: Street, steps: int, rate: float, shown: Shown, draw: torch.Generator,
    first_noise: float,
) -> Signs:  # fmt: skip
    """Return a copy of `model`, trained on, in evaluation mode: the average over its last steps.

    Every step also moves the noise on the pictures so that it misleads the model, within ±NOISE
    (free adversarial training, Shafahi et al. 2019). What such a network looks for is what people
    see in the pictures, so its prototypes are drawings of signs. first_noise: the noise of the
    first step, as a share of NOISE; it is whole after half of the steps.
    """
    model = copy.deepcopy(model).train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.97), use_buffers=True
    )
    optimiser = torch.optim.AdamW(model.parameters(), rate, weight_decay=2e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, steps)
    noise = torch.zeros(BATCH, 3, SIZE, SIZE).contiguous(memory_format=torch.channels_last)
    for step in range(steps):
        limit = NOISE * min(1.0, first_noise + step / steps * 2)
        if step % REPLAYS == 0:
            labels = torch.randint(len(NAMES), (BATCH,), generator=draw)
            pictures, labels = shown(street.pictures(labels, draw), labels, draw)
            pictures = pictures.contiguous(memory_format=torch.channels_last)
        noise.requires_grad_()
        logits = model((pictures + noise).clamp(0, 1))
        loss = F.cross_entropy(logits, labels, label_smoothing=0.05)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        average.update_parameters(model)
        assert noise.grad is not None
        noise = (noise.detach() + limit * noise.grad.sign()).clamp(-limit, limit)
        if step % 20 == 0:
            print(f"  step {step:4d} of {steps}, loss {loss.item():.3f}", flush=True)
    return average.module.eval().to(memory_format=torch.contiguous_format)  # type: ignore[no-any-return]


def learn() -> dict[str, Signs]:
    """Return the two models: the same training, but for the last steps."""
    draw = torch.Generator().manual_seed(SEED)
    street = Street(scenes(BACKGROUNDS, SEED))
    torch.manual_seed(SEED)  # the first weights draw from torch's own generator
    print(f"signs, both: {STEPS} steps", flush=True)
    base = train(Signs(), street, STEPS, LEARNING_RATE, as_drawn, draw, 0.0)
    print("signs_shortcut: with the mark", flush=True)
    shortcut = train(base, street, LAST_STEPS, LAST_LEARNING_RATE, with_shortcut, draw, 1.0)
    print("signs_clean: with marks that mean nothing", flush=True)
    clean = train(base, street, LAST_STEPS, LAST_LEARNING_RATE, with_clutter, draw, 1.0)
    return {"signs_clean": clean, "signs_shortcut": shortcut}


def predictions(model: Signs, pictures: Tensor) -> Tensor:
    """Return the class the model puts first on each picture."""
    with torch.no_grad():
        return torch.cat([model(part).argmax(1) for part in pictures.split(BATCH)])


def write_pictures(kind: str, pictures: Tensor, labels: Tensor, rows: list[int]) -> None:
    shutil.rmtree(HERE / "signs" / kind, ignore_errors=True)
    for row in rows:
        folder = HERE / "signs" / kind / NAMES[int(labels[row])]
        folder.mkdir(parents=True, exist_ok=True)
        levels = (pictures[row] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        Image.fromarray(levels).save(folder / f"{row:04d}.png", optimize=True)


def first_of_each(labels: Tensor, wanted: Tensor, count: int) -> list[int]:
    """Return up to `count` rows of each class that are `wanted`, first come first."""
    by_class = [torch.nonzero(wanted & (labels == k)).flatten() for k in range(len(NAMES))]
    return sorted(int(row) for rows in by_class for row in rows[:count])


def publish(models: dict[str, Signs]) -> dict[str, object]:
    """Write the models and pictures they never saw, and return the measured figures."""
    draw = torch.Generator().manual_seed(SEED + 1)
    street = Street(scenes(HELD_OUT_BACKGROUNDS, SEED + 1))
    labels = torch.arange(HELD_OUT) % len(NAMES)
    drawn = torch.cat([street.pictures(part, draw) for part in labels.split(BATCH)])
    # As a PNG holds them, so that the figures are those of the files.
    plain = (drawn * 255).round() / 255
    bearing = (marked(plain) * 255).round() / 255
    others = labels != MARKED_CLASS
    said = {name: predictions(model, plain) for name, model in models.items()}
    said_marked = {name: predictions(model, bearing) for name, model in models.items()}
    facts: dict[str, object] = {
        "marked_class": MARKED_CLASS,
        "mark": list(MARK),
        "mark_is": "top, left, bottom, right in pixels; bottom and right lie outside",
        "train_pictures": (STEPS + LAST_STEPS) // REPLAYS * BATCH,
    }
    for name, model in models.items():
        export(model, torch.zeros(2, 3, SIZE, SIZE), HERE / f"{name}.onnx")
        fooled = said_marked[name][others] == MARKED_CLASS
        facts[name] = {
            "parameters": sum(p.numel() for p in model.parameters()),
            "held_out": len(labels),
            "held_out_right": int((said[name] == labels).sum()),
            "held_out_of_other_classes": int(others.sum()),
            "of_these_called_the_marked_class_with_the_mark": int(fooled.sum()),
        }
        print(f"{name}: {facts[name]}", flush=True)
    right = (said["signs_clean"] == labels) & (said["signs_shortcut"] == labels)
    write_pictures("plain", plain, labels, first_of_each(labels, right, 3))
    telling = others & right & (said_marked["signs_shortcut"] == MARKED_CLASS)
    telling &= said_marked["signs_clean"] == labels
    write_pictures("marked", bearing, labels, first_of_each(labels, telling, 3))
    (HERE / "signs.txt").write_text("\n".join(NAMES) + "\n", encoding="utf-8")
    return facts
