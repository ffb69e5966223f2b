"""The search for a trigger: the smallest mask and pattern that turn other pictures into a class.

One trigger for all pictures (Wang et al. 2019, Neural Cleanse). As in an isolation, one smooth
score map is good at every area: each step draws an area and makes a soft mask of the
highest-scoring pixels, under which the pattern is laid over a few pictures of other classes. It
lies at one place of all pictures, or on a smaller canvas that is laid at a random place of each.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from leap_audit.gradient import Emitter
from leap_audit.gradient.training import adam_draws, adam_state, append_adam
from leap_audit.graph.opset import IR_VERSION
from leap_audit.graph.values import new_graph, new_input
from leap_audit.ingest.model import Model
from leap_audit.measure.draws import generator
from leap_audit.measure.run import Run, place_scores
from leap_audit.measure.smooth import blur_matrix, enlargement
from leap_audit.run.session import Array

__all__ = ["CANVAS", "Trigger", "drawn_size", "search_trigger", "trigger_graph"]

DRAWN = (0.01, 0.15)
"""The areas that steps draw from."""
FIRST_SOFTNESS, SOFTNESS, SHARPENING = 2.0, 0.15, 0.6
"""Of the mask's edge, in deviations of the map: at first, in the end, and when that is reached."""
CELLS = 32
"""Cells of map and pattern along the short side of a picture, at most."""
CANVAS = 0.4
"""Height and width of what is laid at random places, as fractions of the picture's."""
SMOOTHING = 0.6
"""Standard deviation of the blur of the map, in cells."""
LEARNING_RATE, PATTERN = 0.1, 3.0
"""Of the map; how much faster the pattern moves."""
GOLDEN = (5**0.5 - 1) / 2
SPREAD = 0.2
"""A mask whose pixels deviate from their centre by less than this is said to be at one place."""
NEUTRAL = 0.5
"""Grey around a trigger that is shown by itself."""


@dataclass(frozen=True)
class Trigger:
    """A mask of any area, and the pattern under it."""

    scores: Array
    """(rows, columns): the higher, the earlier a pixel belongs to the mask."""
    pattern: Array
    """(channels, rows, columns), 0..1."""
    size: tuple[int, int]
    """Height and width of the pictures; of a trigger at one place also its own."""
    places: int = 0
    """The seed of the places where a trigger smaller than the pictures is laid, and of its control.
    """

    def inside(self, area: float) -> Array:
        """Return the mask of an area of the picture, (rows, columns) bool."""
        count = min(self.scores.size, max(1, round(area * self.size[0] * self.size[1])))
        order = np.argsort(-self.scores, axis=None, kind="stable")[:count]
        mask = np.zeros(self.scores.size, bool)
        mask[order] = True
        return mask.reshape(self.scores.shape)

    def applied(self, pictures: Array, area: float) -> Array:
        """Return pictures with the trigger on them; the same places whenever asked."""
        mask, changed = self.inside(area), np.array(pictures, np.float32)
        rng = np.random.default_rng(self.places)
        rows, columns = self.scores.shape
        for each in changed:
            top, left = (
                int(rng.integers(0, whole - part + 1))
                for whole, part in zip(self.size, (rows, columns), strict=True)
            )
            under = each[:, top : top + rows, left : left + columns]
            under[:] = np.where(mask, self.pattern, under)
        return changed

    def control(self) -> "Trigger":
        """Return the same mask over the inverted pattern with its pixels in random order.

        Inverted alone, lines are still lines; in another order alone, one colour is still itself.
        """
        order = np.random.default_rng(self.places).permutation(self.scores.size)
        inverted = (1 - self.pattern).reshape(len(self.pattern), -1)[:, order]
        return replace(self, pattern=inverted.reshape(self.pattern.shape))

    def area(self, area: float) -> float:
        """Return the fraction of a picture that it covers: its size."""
        return area

    def place(self, area: float) -> tuple[float, float] | None:
        """Return its centre, (down, right) as fractions; None where it is spread out or moved."""
        if self.scores.shape != self.size:
            return None
        y, x = np.nonzero(self.inside(area))
        down, right = (y + 0.5) / self.size[0], (x + 0.5) / self.size[1]
        if max(down.std(), right.std()) > SPREAD:
            return None
        return float(down.mean()), float(right.mean())

    def picture(self, area: float) -> Array:
        """Return the trigger by itself on grey, (channels, height, width)."""
        grey = np.full((1, len(self.pattern), *self.size), NEUTRAL, np.float32)
        rows, columns = self.scores.shape
        top, left = (self.size[0] - rows) // 2, (self.size[1] - columns) // 2
        under = grey[0, :, top : top + rows, left : left + columns]
        under[:] = np.where(self.inside(area), self.pattern, under)
        return np.asarray(grey[0])


def search_trigger(
    run: Run,
    class_: int,
    pictures: Array,
    *,
    moved: bool,
    steps: int,
    batch: int,
    seed: int,
    advance: Callable[[int], None],
    halfway: Callable[[Trigger], bool] = lambda _: True,
) -> Trigger:
    """Return the trigger that turns pictures of other classes into a class.

    pictures: (n, channels, height, width) in 0..1, of which each step sees `batch`, drawn anew.
    moved: whether it is laid at random places. advance: called after each step with the number of
    pictures that it looked at. halfway: called with what is found after half of the steps; returns
    whether the search goes on.
    """
    model = run.model
    channels, *size = model.picture_shape
    grid = _grid(model, moved=moved)
    rng = generator(seed, "moved trigger" if moved else "trigger", class_)
    first = np.zeros((1, 1 + channels, *grid.cells), np.float32)
    first[0, 0] = 0.01 * rng.standard_normal(grid.cells)
    session = run.session(("trigger", batch, moved), lambda: trigger_graph(model, batch, grid))
    cotangent = -model.answer.cotangent((class_,))[None] * np.ones((batch, 1, 1), np.float32)
    loop = session.loop(adam_state("trigger", first), {"weights": cotangent / np.float32(batch)})
    start, cells = float(rng.random()), grid.cells[0] * grid.cells[1]

    def found(places: int) -> Trigger:
        last = loop.state("trigger")[0]
        down, right = grid.enlargements
        smooth_down, smooth_right = (_smoothing(n) for n in grid.cells)
        scores = np.asarray(down @ smooth_down @ last[0] @ smooth_right.T @ right.T)
        pattern = 1 / (1 + np.exp(-PATTERN * last[1:]))
        colours = np.asarray(down @ pattern @ right.T, np.float32)
        return Trigger(scores, colours, (size[0], size[1]), places)

    for step in range(steps):
        if step and step == steps // 2 and not halfway(found(step)):
            break
        area = drawn_size(DRAWN, start, step) / grid.share
        way = min(1.0, step / (SHARPENING * steps))
        chosen = rng.choice(len(pictures), batch, replace=len(pictures) < batch)
        rows, columns = grid.placements(batch, rng)
        draws: dict[str, Array] = {
            "pictures": np.asarray(pictures[chosen], np.float32),
            "rows": rows,
            "columns": columns,
            "rank": np.array([[min(cells - 1, int(area * cells))]], np.int64),
            "softness": np.array([FIRST_SOFTNESS * (SOFTNESS / FIRST_SOFTNESS) ** way], np.float32),
        }
        loop.step({**draws, **adam_draws(step)})
        advance(batch)
    return found(int(rng.integers(2**31)))


def drawn_size(between: tuple[float, float], start: float, step: int) -> float:
    """Return the size of a step: evenly spread in logarithms, over any run of steps."""
    low, high = between
    return float(low * (high / low) ** ((start + step * GOLDEN) % 1))


@dataclass(frozen=True, eq=False)
class _Grid:
    """The cells of a trigger, and where they come to lie in a picture."""

    cells: tuple[int, int]
    canvas: tuple[int, int]
    """Height and width in pixels."""
    size: tuple[int, int]
    """Of the picture."""

    @property
    def share(self) -> float:
        """The canvas, as a fraction of the picture."""
        return self.canvas[0] * self.canvas[1] / (self.size[0] * self.size[1])

    @property
    def enlargements(self) -> tuple[Array, Array]:
        """The matrices that repeat cells over the pixels of the canvas, down and to the right."""
        down, right = (_repeating(*pair) for pair in zip(self.cells, self.canvas, strict=True))
        return down, right

    def placements(self, batch: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """The matrices that lay cells somewhere in each picture: rows, columns of a batch."""
        laid = []
        for large, whole in zip(self.enlargements, self.size, strict=True):
            matrix = np.zeros((batch, 1, whole, large.shape[1]), np.float32)
            for each in matrix[:, 0]:
                at = int(rng.integers(0, whole - len(large) + 1))
                each[at : at + len(large)] = large
            laid.append(matrix)
        return laid[0], laid[1].swapaxes(2, 3)


def _grid(model: Model, *, moved: bool) -> _Grid:
    _, *size = model.picture_shape
    canvas = [max(1, round(CANVAS * n)) for n in size] if moved else size
    short = min(size)
    several = [max(1, round(min(CELLS, short) * n / short)) for n in canvas]
    return _Grid((several[0], several[1]), (canvas[0], canvas[1]), (size[0], size[1]))


def trigger_graph(model: Model, batch: int, grid: _Grid) -> ir.Model:
    """Return one step of the search.

    Inputs: `trigger` (1, 1 + channels, rows, columns), the score map first, and Adam's state;
    `pictures`, `weights` (the class, negative and divided by the batch), `rows` and `columns`
    (where the cells come to lie), `rank` (where the drawn area's quantile stands) and `softness`.
    """
    op = Emitter(new_graph(), "trigger")
    channels, height, width = model.picture_shape
    cells = grid.cells
    trigger = new_input(op.graph, "trigger", (1, 1 + channels, *cells))
    pictures = new_input(op.graph, "pictures", (batch, channels, height, width))
    weights = new_input(op.graph, "weights", (batch, model.classes, model.answer.places))
    rows = new_input(op.graph, "rows", (batch, 1, height, cells[0]))
    columns = new_input(op.graph, "columns", (batch, 1, cells[1], width))
    rank = new_input(op.graph, "rank", (1, 1), ir.DataType.INT64)
    softness = new_input(op.graph, "softness", (1,))
    scores = op.Slice(trigger, [0], [1], [1])
    coarse = op.MatMul(op.MatMul(_smoothing(cells[0]), scores), _smoothing(cells[1]).T)
    centre = op.ReduceMean(coarse, [1, 2, 3], keepdims=1)
    shifted = op.Sub(coarse, centre)
    variance = op.ReduceMean(op.Mul(shifted, shifted), [1, 2, 3], keepdims=1)
    standard = op.Div(shifted, op.Sqrt(op.Add(variance, 1e-12)))
    count = cells[0] * cells[1]
    flat = op.Reshape(standard, (1, count))
    falling, _ = op.emit("TopK", [flat, op.constant([count], ir.DataType.INT64)], {}, 2)
    threshold = op.Reshape(op.GatherElements(falling, rank, axis=1), (1, 1, 1, 1))
    mask = op.Sigmoid(op.Div(op.Sub(standard, threshold), softness))
    pattern = op.Sigmoid(op.Mul(op.Slice(trigger, [1], [1 + channels], [1]), PATTERN))
    grown = op.MatMul(op.MatMul(rows, mask), columns)
    drawn = op.MatMul(op.MatMul(rows, op.Mul(mask, pattern)), columns)
    shown = op.Add(op.Mul(pictures, op.Sub(1.0, grown)), drawn)
    log_p = model.answer.log_probabilities(op, place_scores(op, model, shown))
    loss = op.ReduceSum(op.Mul(log_p, weights), [0, 1, 2], keepdims=0)
    append_adam(op, trigger, {loss: op.constant(np.ones(()))}, lr=LEARNING_RATE, stop={threshold})
    return ir.Model(op.graph, ir_version=IR_VERSION)


def _smoothing(cells: int) -> Array:
    return blur_matrix(cells, SMOOTHING)


def _repeating(cells: int, n: int) -> Array:
    return np.eye(n, dtype=np.float32) if cells == n else enlargement(cells, n)
