"""Gradients, with the parameters and shapes of keras_explainable.methods.gradient.

Each returns (scores, maps): float32 of (n, units) and (n, height, width, units or 1).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from leap_audit.keras_explainable.filters import SPATIAL_AXIS, absolute_normalize
from leap_audit.keras_explainable.inspection import KERNEL_AXIS, require_axes, units_of
from leap_audit.keras_explainable.units import float_inputs, opened_for, unit_maps
from leap_audit.measure.attribution.entry import Item, enlarged
from leap_audit.measure.attribution.full_grad import full_gradient
from leap_audit.measure.attribution.score import Score
from leap_audit.pipeline.explain import PictureExplanation, subject_of
from leap_audit.run.session import Array

__all__ = ["METHODS", "full_gradients", "gradients"]


def gradients(
    model: Any,
    inputs: Any,
    indices: Any = None,
    indices_axis: int = KERNEL_AXIS,
    indices_batch_dims: int = -1,
    spatial_axis: tuple[int, ...] = SPATIAL_AXIS,
    gradient_filter: Callable[[Any], Any] = np.abs,
) -> tuple[Array, Array]:
    """Return mean_c ψ(df_u/dx_c), ψ: `gradient_filter` of (height, width, channels)."""

    def filtered(explanation: PictureExplanation) -> Array:
        last = np.moveaxis(explanation.values.reshape(-1, *explanation.map.shape), 0, -1)
        return np.asarray(np.asarray(gradient_filter(last)).mean(-1))

    return unit_maps(
        *(model, inputs, indices, "saliency", {"absolute": False}, filtered),
        at=False,
        axis=indices_axis,
        batch_dims=indices_batch_dims,
        spatial_axis=spatial_axis,
    )


def full_gradients(
    model: Any,
    inputs: Any,
    indices: Any = None,
    indices_axis: int = KERNEL_AXIS,
    indices_batch_dims: int = -1,
    spatial_axis: tuple[int, ...] = SPATIAL_AXIS,
    psi: Callable[..., Any] = absolute_normalize,
    biases: Sequence[Any] | None = None,  # noqa: ARG001 - the graph's own biases are found
) -> tuple[Array, Array]:
    """Return FullGrad: mean_c ψ(x · df/dx) + Σ over biases mean_c ψ(b · G).

    f: the sum of the units. psi: of (n, rows, columns, channels) and their spatial axes. The parts
    are enlarged to the inputs' size; maps are (n, height, width, 1).
    """
    require_axes(spatial_axis)
    _, run, first = opened_for(model, float_inputs(inputs))
    scores = run.logits(first)
    units = units_of(indices, len(first), scores.shape[1], indices_axis, indices_batch_dims)
    names = tuple(map(str, range(run.model.classes)))
    maps = []
    for x, chosen in zip(first, units, strict=True):
        several = []
        for unit in chosen:
            subject = subject_of(run, x, names, int(unit))
            score = Score(run, subject.explained, run.batch, subject.picture)
            found = full_gradient(Item(score, subject))
            several.append(found.parts)
        summed = [np.sum(parts, 0) for parts in zip(*several, strict=True)]
        maps.append(sum(_mean(part, psi, spatial_axis, x.shape[1:]) for part in summed))
    return (
        np.take_along_axis(scores, units, 1).astype(np.float32),
        np.stack(maps)[..., None].astype(np.float32),
    )


def _mean(
    part: Array, psi: Callable[..., Any], axes: tuple[int, ...], shape: tuple[int, ...]
) -> Array:
    """What one part adds to the map: (height, width)."""
    filtered = np.asarray(psi(np.moveaxis(part, 0, -1)[None], axes))[0]
    return enlarged(filtered.mean(-1), shape)


METHODS = [gradients, full_gradients]
