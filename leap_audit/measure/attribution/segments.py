"""Attributions of segments: parts of the picture that are present or absent as a whole."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from pydantic import Field

from leap_audit.errors import RuntimeMissing
from leap_audit.measure.attribution.baselines import Baseline
from leap_audit.measure.attribution.entry import BaselineOptions, Item, MethodValues, attribution
from leap_audit.measure.attribution.paths import IntegratedGradientsOptions, integrated_gradients
from leap_audit.measure.attribution.perturbation import scores_of
from leap_audit.measure.methods import GRADIENT, Traits
from leap_audit.run.session import Array

__all__ = ["kernel_weights", "segments_of", "shapley_kernel", "xrai_map"]


class SegmentOptions(BaselineOptions):
    """Parts of the picture, by colour and place (SLIC, Achanta et al. 2012)."""

    baseline: tuple[Baseline, ...] = Field(default=("blur",), min_length=1)
    """What stands where a segment is absent: zero, black, white, grey, mean, blur."""
    segments: int = Field(default=40, ge=2, le=1000)
    """Segments of the picture, about."""


class KernelShapOptions(SegmentOptions):
    """Kernel SHAP."""

    samples: int = Field(default=1000, ge=4, le=1_000_000)
    """Sets of segments that are tried, each with its complement; all of them where there are no
    more."""


class ShapleyOptions(SegmentOptions):
    """Shapley values by sampling."""

    permutations: int = Field(default=20, ge=1, le=100_000)
    """Orders in which the segments enter, each forwards and backwards."""


def segments_of(picture: Array, count: int) -> Array:
    """Return the segment of each pixel, (height, width), from 0 on. Needs scikit-image.

    Raises RuntimeMissing: scikit-image is not installed.
    """
    slic = _skimage().slic
    levels = np.moveaxis(np.asarray(picture, np.float64), 0, -1)
    found = slic(levels, n_segments=count, compactness=10, start_label=0, channel_axis=-1)
    _, labels = np.unique(found, return_inverse=True)
    return np.asarray(labels.reshape(picture.shape[1:]))


def _skimage() -> Any:
    try:
        from skimage import segmentation
    except ImportError:
        raise RuntimeMissing(
            "segments need scikit-image, which is not installed: pip install 'leap-audit[explain]'"
        ) from None
    return segmentation


def kernel_weights(segments: int) -> Array:
    """Return how likely a set of each size 1..segments-1 is drawn, (segments - 1,).

    The Shapley kernel (Lundberg and Lee 2017), over all sets of the size.
    """
    sizes = np.arange(1, segments)
    weights = (segments - 1) / (sizes * (segments - sizes))
    return np.asarray(weights / weights.sum())


def shapley_kernel(sets: Array, gains: Array, weights: Array, total: float) -> Array:
    """Return each segment's share of `total`, (segments,), by weighted least squares.

    sets: (n, segments) bool. gains: (n,) what each set adds. The shares add up to `total`.
    """
    z = sets.astype(np.float64)
    last = z[:, -1:]
    design = z[:, :-1] - last  # the last share is the total less the others
    target = gains - last[:, 0] * total
    root = np.sqrt(weights)[:, None]
    found, *_ = np.linalg.lstsq(root * design, root[:, 0] * target, rcond=None)
    return np.append(found, total - found.sum())


def _coalitions(count: int, samples: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Sets of segments, (n, count) bool, with their weights in the regression."""
    if 2**count - 2 <= samples:
        every = (np.arange(1, 2**count - 1)[:, None] >> np.arange(count)) & 1
        sizes = every.sum(1)
        weights = np.array(
            [(count - 1) / (math.comb(count, s) * s * (count - s)) for s in sizes.tolist()]
        )
        return every.astype(bool), weights
    drawn = []
    for size in rng.choice(np.arange(1, count), samples // 2, p=kernel_weights(count)):
        members = np.zeros(count, bool)
        members[rng.permutation(count)[:size]] = True
        drawn += [members, ~members]
    return np.stack(drawn), np.ones(len(drawn))


@attribution(
    "kernel_shap",
    options=KernelShapOptions,
    needs=(),
    source="Lundberg and Lee 2017; Covert and Lee 2021",
    cost="1000 passes",
    traits=Traits(
        "weighted least squares of f(segments present) on which are present",
        complete="difference",
        advice="Shapley values of segments, for any model; the segments decide what can be seen.",
        peers={"captum": "KernelShap", "shap": "KernelExplainer"},
    ),
)
def kernel_shap(item: Item, options: KernelShapOptions, rng: np.random.Generator) -> MethodValues:
    """Shapley values of segments, by regression on which of them are present."""
    labels = segments_of(item.picture, options.segments)
    x0 = item.baselines(options)[0]
    count = int(labels.max()) + 1
    sets, weights = _coalitions(count, options.samples, rng)
    none, every = item.score(np.stack([x0, item.picture]))
    gains = scores_of(item, _shown(item.picture, x0, labels, sets)) - none
    return _spread(labels, shapley_kernel(sets, gains, weights, every - none), every - none)


@attribution(
    "shapley_sampling",
    options=ShapleyOptions,
    needs=(),
    source="Castro, Gómez and Tejada 2009",
    cost="1600 passes",
    traits=Traits(
        "mean over orders of what a segment adds when it enters",
        complete="difference",
        advice="Shapley values of segments, for any model; adds up exactly, at a higher price.",
        peers={"captum": "ShapleyValueSampling"},
    ),
)
def shapley_sampling(item: Item, options: ShapleyOptions, rng: np.random.Generator) -> MethodValues:
    """Shapley values of segments, by adding them in random orders."""
    labels = segments_of(item.picture, options.segments)
    x0 = item.baselines(options)[0]
    count = int(labels.max()) + 1
    none, every = item.score(np.stack([x0, item.picture]))
    values, total = np.zeros(count), every - none
    for _ in range(options.permutations):
        order = rng.permutation(count)
        for way in (order, order[::-1]):
            present = np.tril(np.ones((count, count), bool))[:-1][:, np.argsort(way)]
            scores = scores_of(item, _shown(item.picture, x0, labels, present))
            values[way] += np.diff(np.concatenate([[none], scores, [every]]))
    return _spread(labels, values / (2 * options.permutations), total)


def _shown(picture: Array, x0: Array, labels: Array, sets: Array) -> Iterator[Array]:
    for present in sets:
        yield np.where(present[labels], picture, x0)


def _spread(labels: Array, values: Array, total: float) -> MethodValues:
    """Each segment's value, spread evenly over its pixels."""
    sizes = np.bincount(labels.ravel(), minlength=len(values))
    return MethodValues((values / np.maximum(sizes, 1))[labels], float(total))


class XraiOptions(IntegratedGradientsOptions):
    """XRAI."""

    baseline: tuple[Baseline, ...] = Field(default=("black", "white"), min_length=1)
    """Baselines of the integrated gradients, averaged: zero, black, white, grey, mean, blur."""
    steps: int = Field(default=32, ge=2, le=100_000)
    """Points on the way from each baseline."""
    at: None = None
    """The path runs between pictures alone."""
    scales: tuple[int, ...] = Field(default=(50, 100, 150, 250, 500, 1200), min_length=1)
    """Scales of the segments (Felzenszwalb and Huttenlocher 2004): larger, fewer."""
    dilation: int = Field(default=5, ge=0, le=100)
    """Pixels by which segments are widened, so that edges belong to both sides."""
    least: int = Field(default=50, ge=1)
    """Pixels that a segment must add to be taken."""
    stretched: bool = False
    """Whether the picture is brought to its whole range before it is cut into segments, as in the
    code of the paper."""


@attribution(
    "xrai",
    options=XraiOptions,
    needs=(GRADIENT,),
    source="Kapishnikov et al. 2019",
    cost="200 passes",
    traits=Traits(
        "segments in the order of the mean integrated gradient that each adds",
        advice="Whole regions in place of single pixels; regions follow colours, not the model.",
        peers={"saliency": "XRAI", "foxai": "CV_XRAI_EXPLAINER"},
    ),
)
def xrai(item: Item, options: XraiOptions, rng: np.random.Generator) -> MethodValues:
    """Integrated gradients, gathered over overlapping segments of several sizes."""
    pixels = integrated_gradients(item, options, rng).values.sum(0)
    return MethodValues(xrai_map(pixels, _masks(item.picture, options), options.least))


def _masks(picture: Array, options: XraiOptions) -> Array:
    """(n, height, width) bool: segments at every scale, widened."""
    segmentation = _skimage()
    levels = np.moveaxis(picture, 0, -1).astype(np.float64)
    if options.stretched:
        levels = (levels - levels.min()) / (float(np.ptp(levels)) or 1.0)
    levels = levels * 2 - 1  # the range that the scales are meant for
    masks = []
    for scale in options.scales:
        labels = segmentation.felzenszwalb(
            levels, scale=scale, sigma=0.8, min_size=options.least, channel_axis=-1
        )
        masks += [labels == label for label in range(int(labels.max()) + 1)]
    if options.dilation:
        masks = [_widened(mask, options.dilation) for mask in masks]
    return np.stack(masks)


def _widened(mask: Array, radius: int) -> Array:
    """A mask and all pixels at most `radius` away from it."""
    wide = np.pad(mask, radius)
    found = mask.copy()
    height, width = mask.shape
    for dy in range(-radius, radius + 1):
        reach = math.isqrt(radius**2 - dy**2)
        rows = wide[radius + dy : radius + dy + height]
        sums = np.cumsum(np.pad(rows, ((0, 0), (1, 0))), 1)
        left, right = radius - reach, radius + reach + 1
        found |= sums[:, right : right + width] > sums[:, left : left + width]
    return found


def xrai_map(pixels: Array, masks: Array, least: int) -> Array:
    """Return the gain of the segment that each pixel came in with, (height, width).

    pixels: (height, width). masks: (n, height, width) bool. Greedily, the segment whose new pixels
    have the highest mean is added; those that would add fewer than `least` are dropped. What is
    left at the end gets its own mean.
    """
    flat, values = masks.reshape(len(masks), -1), pixels.ravel().astype(np.float64)
    counts = flat.sum(1).astype(np.float64)
    sums = flat @ values
    found, covered = np.zeros(values.shape), np.zeros(values.shape, bool)
    open_ = counts >= least
    while open_.any():
        gains = np.where(open_, sums / np.maximum(counts, 1), -np.inf)
        best = int(np.argmax(gains))
        new = flat[best] & ~covered
        found[new] = gains[best]
        covered |= new
        counts -= flat[:, new].sum(1)
        sums -= flat[:, new] @ values[new]
        open_ = open_ & (counts >= least)
        open_[best] = False
    if not covered.all():
        found[~covered] = values[~covered].mean()
    return found.reshape(pixels.shape)
