"""Attributions from changed pictures: forward passes alone, so for any model."""

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, product
from typing import Annotated, Literal, TypeAlias

import numpy as np
from pydantic import Field, PositiveInt

from leap_audit.measure.attribution.baselines import Baseline, baseline
from leap_audit.measure.attribution.cams import PLACES, CamOptions
from leap_audit.measure.attribution.entry import (
    BaselineOptions,
    Item,
    MethodValues,
    attribution,
    enlarged,
)
from leap_audit.measure.attribution.match_score import changed_score
from leap_audit.measure.attribution.shared_maps import item_layer
from leap_audit.measure.methods import GRADIENT, Traits
from leap_audit.measure.smooth import enlargement
from leap_audit.run.session import Array

__all__ = ["RiseOptions", "masked_mean", "random_mask", "scores_of", "windows"]


def scores_of(item: Item, pictures: Iterable[Array]) -> Array:
    """Return the score of each picture, (n,), computed a batch at a time.

    Of a detection: how well any row matches it.
    """
    score, found = changed_score(item.score), list[Array]()
    stream = iter(pictures)
    while part := list(islice(stream, max(item.score.batch, 1))):
        found.append(score(np.stack(part)))
    return np.concatenate(found) if found else np.zeros(0)


Sides: TypeAlias = tuple[PositiveInt, PositiveInt, PositiveInt]
"""Channels, rows and columns."""


class OcclusionOptions(BaselineOptions):
    """Occlusion."""

    window: Annotated[int, Field(ge=1)] | Sides | None = None
    """Side of the window in pixels, which takes all channels; or how many (channels, rows, columns)
    it takes. Left out: the picture's short side, over `parts`."""
    parts: int = Field(default=7, ge=1)
    """Windows that fit side by side along the picture's short side, where `window` is left out."""
    stride: Annotated[int, Field(ge=1)] | Sides | None = None
    """Pixels between windows, or (channels, rows, columns). Left out: half a window."""


def windows(
    shape: tuple[int, ...], window: tuple[int, ...], stride: tuple[int, ...]
) -> Iterator[tuple[slice, ...]]:
    """Yield windows that cover an array of a shape; the last ones are cut off."""
    starts = [
        [i * step for i in range(math.ceil(max(size - side, 0) / step) + 1)]
        for size, side, step in zip(shape, window, stride, strict=True)
    ]
    for corner in product(*starts):
        yield tuple(slice(at, at + side) for at, side in zip(corner, window, strict=True))


@attribution(
    "occlusion",
    options=OcclusionOptions,
    needs=(),
    source="Zeiler and Fergus 2014",
    cost="about 170 passes",
    traits=Traits(
        "mean over the windows that cover a pixel of f(x) - f(x, the window at the baseline)",
        advice="What one window's absence does; misses what stands twice in the picture.",
        peers={"captum": "Occlusion", "foxai": "CV_OCCLUSION_EXPLAINER"},
    ),
)
def occlusion(item: Item, options: OcclusionOptions, rng: np.random.Generator) -> MethodValues:  # noqa: ARG001
    """Loss of score when a window slides over the picture."""
    x = item.picture
    window = _sides(options.window or math.ceil(min(x.shape[1:]) / options.parts), x)
    half = max(1, window[0] // 2), max(1, window[1] // 2), max(1, window[2] // 2)
    stride = _sides(options.stride or half, x)
    places = list(windows(x.shape, window, stride))
    whole = float(changed_score(item.score)(x[None])[0])
    total, count = np.zeros(x.shape), np.zeros(x.shape)
    starts = item.baselines(options)

    def hidden() -> Iterator[Array]:
        for x0 in starts:
            for place in places:
                picture = x.copy()
                picture[place] = x0[place]
                yield picture

    for place, score in zip(places * len(starts), scores_of(item, hidden()), strict=True):
        total[place] += whole - score
        count[place] += 1
    found = total / np.maximum(count, 1)
    return MethodValues(found[0] if window[0] >= len(x) else found)


def _sides(given: int | Sides, picture: Array) -> tuple[int, int, int]:
    """The (channels, rows, columns) of a window or a stride, at most those of the picture."""
    sides = given if isinstance(given, tuple) else (len(picture), given, given)
    found = [min(side, size) for side, size in zip(sides, picture.shape, strict=True)]
    return found[0], found[1], found[2]


class RiseOptions(BaselineOptions):
    """RISE."""

    baseline: tuple[Baseline, ...] = Field(default=("mean",), min_length=1)
    """What is shown where a mask hides the picture: zero, black, white, grey, mean, blur."""
    masks: int = Field(default=1000, ge=1, le=1_000_000)
    """Random masks."""
    cells: int = Field(default=7, ge=1, le=64)
    """Cells of a mask along a side."""
    kept: float = Field(default=0.5, gt=0, lt=1)
    """Share of the cells that are kept."""
    score: Literal["probability", "score"] = "probability"
    """What masks are weighed by; a target that is no class has a score alone."""


def random_mask(
    rng: np.random.Generator, height: int, width: int, cells: int, kept: float
) -> Array:
    """Return a mask in 0..1, (height, width): a coarse random grid, enlarged and shifted."""
    grid = rng.random((cells + 1, cells + 1)) < kept
    cell = (-(-height // cells), -(-width // cells))  # rounded up
    rows, columns = (enlargement(cells + 1, (cells + 1) * side) for side in cell)
    top, left = (int(rng.integers(0, side)) for side in cell)
    whole = rows @ grid.astype(np.float32) @ columns.T
    return np.asarray(whole[top : top + height, left : left + width])


@attribution(
    "rise",
    options=RiseOptions,
    needs=(),
    source="Petsiuk, Das and Saenko 2018",
    cost="1000 passes",
    traits=Traits(
        "sum_i p(x behind mask_i) mask_i / (n · share kept)",
        advice="For any model; coarse, and noisy with few masks.",
        peers={"xplique": "Rise"},
    ),
)
def rise(item: Item, options: RiseOptions, rng: np.random.Generator) -> MethodValues:
    """Mean of random masks, each weighed by the class's probability behind it."""
    if options.score == "probability" and item.subject.target is None:
        return masked_mean(item, options, rng, lambda shown: _probabilities(item, shown))
    return masked_mean(item, options, rng, changed_score(item.score))


def masked_mean(
    item: Item, options: RiseOptions, rng: np.random.Generator, weigh: Callable[[Array], Array]
) -> MethodValues:
    """Return the mean of random masks, each times what `weigh` gives the picture behind it."""
    x, shape = item.picture, item.picture.shape[1:]
    (x0, *_) = item.baselines(options)
    total, done = np.zeros(shape), 0
    while done < options.masks:
        count = min(max(item.score.batch, 1), options.masks - done)
        masks = np.stack(
            [
                random_mask(rng, shape[0], shape[1], options.cells, options.kept)
                for _ in range(count)
            ]
        )
        total += np.tensordot(weigh(x0 + masks[:, None] * (x - x0)), masks, 1)
        done += count
    return MethodValues(total / (options.masks * options.kept))


def _probabilities(item: Item, pictures: Array) -> Array:
    run, subject = item.score.run.at_once(item.score.batch), item.subject
    each = map(run.model.answer.probabilities, run.scores(np.asarray(pictures, np.float32)))
    return np.array([found[subject.class_] @ subject.where for found in each])


class ScoreCamOptions(CamOptions):
    """Score-CAM."""

    weights: Literal["softmax", "raw"] = "softmax"
    """softmax: of the scores behind all masks, as in the paper; raw: those scores."""
    weighed: Literal["channels", "masks"] = "channels"
    """What is weighed and added up: the channels, as in the paper, or the masks made of them,
    enlarged, as keras-explainable does; these are normalised before they are enlarged."""


@attribution(
    "scorecam",
    options=ScoreCamOptions,
    needs=(PLACES,),
    source="Wang et al. 2020",
    cost="one pass a channel",
    traits=Traits(
        "ReLU(sum_c w_c A_c), w = softmax of f(x behind the enlarged, normalised A_c)",
        advice="No gradient, and one pass a channel; gradcam asks the same for 3 passes.",
        peers={"pytorch-grad-cam": "ScoreCAM", "keras-explainable": "scorecam"},
    ),
)
def scorecam(item: Item, options: ScoreCamOptions, rng: np.random.Generator) -> MethodValues:  # noqa: ARG001
    """Channels weighed by the score of the picture behind each of them."""
    model, x = item.score.run.model, item.picture
    places = item_layer(item, options.at)
    values = places.of(item.score.values(x[None], places.name)[places.name])[0]
    x0 = baseline(model, x, "zero")

    def mask_of(channel: Array) -> Array:
        whole = channel.astype(np.float64)
        if options.weighed == "masks":
            return enlarged(_to_one(whole), x.shape[1:])
        return _to_one(enlarged(whole, x.shape[1:]))

    weights = scores_of(item, ((x0 + mask_of(v) * (x - x0)).astype(np.float32) for v in values))
    if options.weights == "softmax":
        weights = np.exp(weights - weights.max())
        weights /= weights.sum()
    if options.weighed == "masks":
        found = np.zeros(x.shape[1:])
        for weight, channel in zip(weights, values, strict=True):
            found += weight * mask_of(channel)
    else:
        found = np.tensordot(weights, values, 1)
    return MethodValues(np.maximum(found, 0) if options.relu else found, at=places.text)


def _to_one(values: Array) -> Array:
    """Values brought to 0..1; all 0 where they are the same."""
    above = values - values.min()
    top = above.max()
    return np.asarray(above / top if top > 0 else above)


@attribution(
    "ablationcam",
    options=CamOptions,
    needs=(GRADIENT, PLACES),
    source="Desai and Ramaswamy 2020",
    cost="one pass a channel of the layers after it",
    traits=Traits(
        "ReLU(sum_c w_c A_c), w_c = (f - f without A_c) / |f|",
        advice="Like gradcam, by taking each channel out instead of its gradient.",
        peers={"pytorch-grad-cam": "AblationCAM"},
    ),
)
def ablationcam(item: Item, options: CamOptions, rng: np.random.Generator) -> MethodValues:  # noqa: ARG001
    """Channels weighed by the share of the score that is lost without them."""
    places = item_layer(item, options.at)
    inside = item.score.values(item.picture[None], places.name)[places.name][0]
    values = places.of(inside[None])[0]
    axis = places.order[1] - 1
    tail = item.score.tail(item.picture, places.name)
    whole = float(tail(inside[None])[0])
    lost: list[float] = []
    size = max(item.score.batch, 1)
    for start in range(0, places.channels, size):
        several = np.repeat(inside[None], min(size, places.channels - start), 0)
        for i, each in enumerate(several):
            np.moveaxis(each, axis, 0)[start + i] = 0
        lost += list(whole - tail(several))
    found = np.tensordot(np.array(lost) / (abs(whole) + 1e-12), values, 1)
    found = np.maximum(found, 0) if options.relu else found
    return MethodValues(found, at=tail.said(places.text))
