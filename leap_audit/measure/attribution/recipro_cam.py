"""Recipro-CAM: what each place of a feature map says of the score alone."""

from collections.abc import Iterator

import numpy as np

from leap_audit.measure.attribution.cams import PLACES
from leap_audit.measure.attribution.entry import Item, LayerOptions, MethodValues, attribution
from leap_audit.measure.attribution.shared_maps import item_layer
from leap_audit.measure.methods import Traits
from leap_audit.run.session import Array

__all__ = ["ReciproCamOptions", "cell_masks"]

KERNEL = np.outer((1, 2, 1), (1, 2, 1)).astype(np.float32) / 16
"""The paper's Gaussian of 3 × 3 places; beyond the map's edge it is cut off."""


class ReciproCamOptions(LayerOptions):
    """Recipro-CAM."""

    spread: bool = True
    """Whether a place's neighbours are kept as well, weighed by a Gaussian of 3 × 3 places, as in
    the paper; or the place alone."""


def cell_masks(rows: int, columns: int, spread: bool) -> Iterator[Array]:
    """Yield the mask of each place, (rows, columns) in 0..1, row by row."""
    for i in range(rows):
        for j in range(columns):
            mask = np.zeros((rows + 2, columns + 2), np.float32)
            if spread:
                mask[i : i + 3, j : j + 3] = KERNEL
            else:
                mask[i + 1, j + 1] = 1
            yield mask[1:-1, 1:-1]


@attribution(
    "reciprocam",
    options=ReciproCamOptions,
    needs=(PLACES,),
    source="Byun and Lee 2022",
    cost="one pass a place of the layers after it",
    traits=Traits(
        "f(A at one place, its neighbours weighed by a Gaussian, 0 elsewhere) - f(A = 0)",
        advice="No gradient, so also for files that round; what takes several places together to "
        "be seen is missed.",
        peers={"openvino-xai": "ReciproCAM"},
    ),
)
def reciprocam(item: Item, options: ReciproCamOptions, rng: np.random.Generator) -> MethodValues:  # noqa: ARG001
    """Recipro-CAM: the score that each place of a feature map gives by itself.

    The paper takes the class's probability and brings the map to 0..1; here it is the score that
    is explained, less that of an empty map, so that a place which says nothing gets 0.
    """
    places = item_layer(item, options.at)
    inside = item.score.values(item.picture[None], places.name)[places.name]
    tail = item.score.tail(item.picture, places.name)
    masks = list(cell_masks(places.rows, places.columns, options.spread))
    masks.append(np.zeros_like(masks[0]))
    size = max(item.score.batch, 1)
    parts = (np.stack(masks[i : i + size]) for i in range(0, len(masks), size))
    scores = np.concatenate([tail(inside * places.masks(part)) for part in parts])
    found = (scores[:-1] - scores[-1]).reshape(places.rows, places.columns)
    return MethodValues(found, at=tail.said(places.text))
