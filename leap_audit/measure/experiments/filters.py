"""The search for a filter: the smallest change of whole pictures that makes them one class.

Neural Cleanse looks for masks; a tint, a blur or a grain has none. Here the trigger is a sum of
few basis changes: of each pixel's colour (a colour map: channels x channels and a bias), or of how
it differs from the pixels around it (a convolution of 5 x 5, the same for each channel). Its size
is the root mean square of what it changes, and one direction is good at every size: each step draws
one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from leap_audit.gradient import Emitter
from leap_audit.gradient.training import adam_draws, adam_state, append_adam
from leap_audit.graph.opset import IR_VERSION
from leap_audit.graph.values import new_graph, new_input
from leap_audit.ingest.model import Model
from leap_audit.measure.draws import generator
from leap_audit.measure.experiments.search import drawn_size
from leap_audit.measure.run import Run, place_scores
from leap_audit.run.session import Array

__all__ = ["Filter", "basis_changes", "changes_summed", "filter_graph", "search_filter"]

DRAWN = (0.02, 0.32)
"""The sizes that steps draw from."""
LEARNING_RATE = 0.1
FIRST = 0.01
"""Standard deviation of the filter's weights at first."""
LEAST = 1e-4
"""The least root mean square of a feature, and of what a filter changes."""
CHART = (0.15, 0.85)
"""The darkest and the lightest value of the chart that a filter is shown on."""
WAVES = (0, 2 * np.pi / 3, 4 * np.pi / 3)
"""Where the colours of the chart begin, one a channel."""


@dataclass(frozen=True)
class Filter:
    """A sum of basis changes, of any size."""

    weights: Array
    """(changes,): so that pictures such as it was searched on change by a root mean square of 1."""
    reach: int
    """Pixels that it looks at in each direction: 0 of a colour map."""
    shape: tuple[int, int, int]
    """Channels, height and width of the pictures."""

    def applied(self, pictures: Array, size: float) -> Array:
        """Return changed pictures, (n, channels, height, width) in 0..1."""
        changed = pictures + size * changes_summed(pictures, self.weights, self.reach)
        return np.asarray(np.clip(changed, 0, 1), np.float32)

    def control(self) -> "Filter":
        """Return the filter that changes pictures the other way."""
        return Filter(-self.weights, self.reach, self.shape)

    def area(self, _: float) -> float:
        """Return the fraction of a picture that it changes: all of it."""
        return 1.0

    def place(self, _: float) -> None:
        """Return where it lies: at no one place."""

    def picture(self, size: float) -> Array:
        """Return what it does to a chart of colours and edges: above as it is, below changed."""
        channels, height, width = self.shape
        across = np.linspace(0, 2 * np.pi, width)
        several = [np.sin(across + WAVES[k % len(WAVES)]) for k in range(channels)]
        waves = np.broadcast_to(np.stack(several)[:, None], self.shape)
        light = np.where((np.arange(height) // max(1, height // 8)) % 2, 1.0, 0.7)[:, None]
        low, high = CHART
        chart = np.clip((low + (high - low) * (waves + 1) / 2) * light, 0, 1).astype(np.float32)
        changed = self.applied(chart[None], size)[0]
        changed[:, : height // 2] = chart[:, : height // 2]
        return np.asarray(changed)


def basis_changes(pictures: Array, reach: int) -> Array:
    """Return what a filter may add to pictures, (n, changes, channels * height * width).

    Without reach: each channel, its middle at 0, added to each channel, and a one to each. Else:
    the pixel at each place up to so far away, less the pixel itself, with the border repeated.
    """
    n, channels, height, width = pictures.shape
    parts = []
    if reach:
        wide = np.pad(pictures, ((0, 0), (0, 0), (reach, reach), (reach, reach)), mode="edge")
        for i in range((2 * reach + 1) ** 2):
            down, right = divmod(i, 2 * reach + 1)
            if (down, right) != (reach, reach):
                moved = wide[:, :, down : down + height, right : right + width]
                parts.append(moved - pictures)
    else:
        for to in range(channels):
            for source in range(channels + 1):
                part = np.zeros_like(pictures)
                part[:, to] = 1 if source == channels else pictures[:, source] - 0.5
                parts.append(part)
    return np.stack(parts, 1).reshape(n, len(parts), -1).astype(np.float32)


def changes_summed(pictures: Array, weights: Array, reach: int) -> Array:
    """Return what a filter of these weights adds to pictures, of their shape.

    `weights @ basis_changes(pictures, reach)`, without that many times the memory.
    """
    channels, height, width = pictures.shape[1:]
    if not reach:
        table = weights.reshape(channels, channels + 1).astype(np.float32)
        pixels = np.asarray(pictures, np.float32).reshape(-1, channels, height * width) - 0.5
        return (table[:, :channels] @ pixels + table[:, channels:]).reshape(pictures.shape)
    wide = np.pad(pictures, ((0, 0), (0, 0), (reach, reach), (reach, reach)), mode="edge")
    side = 2 * reach + 1
    around = np.insert(weights, side * side // 2, -weights.sum())  # the pixel itself, in the middle
    added = np.zeros(pictures.shape, np.float32)
    for i, weight in enumerate(around):
        down, right = divmod(i, side)
        added += np.float32(weight) * wide[:, :, down : down + height, right : right + width]
    return added


def search_filter(
    run: Run,
    class_: int,
    pictures: Array,
    *,
    reach: int,
    steps: int,
    batch: int,
    seed: int,
    advance: Callable[[int], None],
    halfway: Callable[[Filter], bool] = lambda _: True,
) -> Filter:
    """Return the filter that turns pictures of other classes into a class.

    Parameters as of `search_trigger`; reach: pixels that it looks at in each direction.
    """
    model = run.model
    rng = generator(seed, "filter", reach, class_)
    # Neighbours differ little: changes of equal strength are learned at equal speed.
    few = basis_changes(pictures[:batch], reach)
    strength = np.maximum(np.sqrt((few**2).mean((0, 2))), LEAST)
    first = (FIRST * rng.standard_normal((1, 1, len(strength)))).astype(np.float32)
    session = run.session(("filter", batch, reach), lambda: filter_graph(model, batch, reach))
    cotangent = -model.answer.cotangent((class_,))[None] * np.ones((batch, 1, 1), np.float32)
    constants = {
        "weights": cotangent / np.float32(batch),
        "strength": strength.astype(np.float32)[None, None],
    }
    loop = session.loop(adam_state("filter", first), constants)
    start = float(rng.random())

    def found() -> Filter:
        weights = loop.state("filter")[0, 0] / strength
        changes = changes_summed(pictures, weights, reach)
        changed = max(float(np.sqrt((changes**2).mean())), LEAST)
        return Filter(np.asarray(weights / changed, np.float32), reach, model.picture_shape)

    for step in range(steps):
        if step and step == steps // 2 and not halfway(found()):
            break
        chosen = rng.choice(len(pictures), batch, replace=len(pictures) < batch)
        draws: dict[str, Array] = {
            "pictures": np.asarray(pictures[chosen], np.float32),
            "size": np.array([drawn_size(DRAWN, start, step)], np.float32),
        }
        loop.step({**draws, **adam_draws(step)})
        advance(batch)
    return found()


def filter_graph(model: Model, batch: int, reach: int) -> ir.Model:
    """Return one step of the search.

    Inputs: `filter` (1, 1, changes) and Adam's state; `strength` (1, 1, changes), which the filter
    is divided by; `pictures`, `weights` (the class, negative and divided by the batch) and `size`.
    """
    op = Emitter(new_graph(), "filter")
    channels, height, width = model.picture_shape
    changes = (2 * reach + 1) ** 2 - 1 if reach else channels * (channels + 1)
    filter_ = new_input(op.graph, "filter", (1, 1, changes))
    strength = new_input(op.graph, "strength", (1, 1, changes))
    pictures = new_input(op.graph, "pictures", (batch, channels, height, width))
    weights = new_input(op.graph, "weights", (batch, model.classes, model.answer.places))
    size = new_input(op.graph, "size", (1,))
    learned = op.Div(filter_, strength)
    if reach:
        added = _convolved(op, learned, pictures, (batch, channels, height, width), reach)
    else:
        added = _mixed(op, learned, pictures, (batch, channels, height * width))
    square = op.ReduceMean(op.Mul(added, added), [0, 1, 2], keepdims=1)
    unit = op.Div(added, op.Sqrt(op.Add(square, LEAST**2)))
    change = op.Reshape(op.Mul(unit, size), (batch, channels, height, width))
    shown = op.Clip(op.Add(pictures, change), 0.0, 1.0)
    log_p = model.answer.log_probabilities(op, place_scores(op, model, shown))
    loss = op.ReduceSum(op.Mul(log_p, weights), [0, 1, 2], keepdims=0)
    append_adam(op, filter_, {loss: op.constant(np.ones(()))}, lr=LEARNING_RATE)
    return ir.Model(op.graph, ir_version=IR_VERSION)


def _mixed(
    op: Emitter, learned: ir.Value, pictures: ir.Value, shape: tuple[int, int, int]
) -> ir.Value:
    """What a colour map adds to pictures, (batch, channels, pixels)."""
    _, channels, _ = shape
    table = op.Reshape(learned, (channels, channels + 1))
    pixels = op.Sub(op.Reshape(pictures, shape), 0.5)
    mixed = op.MatMul(op.Slice(table, [0], [channels], [1]), pixels)
    return op.Add(mixed, op.Slice(table, [channels], [channels + 1], [1]))


def _convolved(
    op: Emitter, learned: ir.Value, pictures: ir.Value, shape: tuple[int, int, int, int], reach: int
) -> ir.Value:
    """What a convolution adds to pictures, (batch * channels, 1, pixels)."""
    batch, channels, height, width = shape
    side = 2 * reach + 1
    before, around = side * side // 2, side * side - 1
    middle = op.Neg(op.ReduceSum(learned, [2], keepdims=1))  # less the pixel itself
    first, last = op.Slice(learned, [0], [before], [2]), op.Slice(learned, [before], [around], [2])
    kernel = op.Reshape(op.Concat(first, middle, last, axis=2), (1, 1, side, side))
    pads = op.constant([0, 0, reach, reach] * 2, ir.DataType.INT64)
    wide = op.Pad(op.Reshape(pictures, (batch * channels, 1, height, width)), pads, mode="edge")
    return op.Reshape(op.Conv(wide, kernel), (batch * channels, 1, height * width))
