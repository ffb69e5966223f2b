"""Focus: do attributions lie on the right pictures of a mosaic (Arias-Duart et al. 2022)?"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from leap_audit.errors import UsageError
from leap_audit.foxai.arrays import numbers_of
from leap_audit.ingest.source import framework_of
from leap_audit.measure.faithfulness.localisation import focus as focus_of
from leap_audit.run.fallback import pytorch
from leap_audit.run.session import Array

__all__ = ["MosaicData", "create_mosaic_picture", "create_mosaics_from_images", "focus"]

Labelled = Sequence[Any]
"""An image (..., height, width) and its label, a tensor or an array of one integer."""


@dataclass(frozen=True, eq=False)
class MosaicData:
    """Four images as one, with their labels."""

    mosaic_image: Any
    """(..., 2 · height, 2 · width)."""
    mosaic_labels: Any
    """(2, 2), the labels where the images are."""


def create_mosaic_picture(
    images_with_labels: Sequence[Labelled], shuffle: bool = True, seed: int = 0
) -> MosaicData:
    """Return four images as a mosaic, tensors where they are.

    Not shuffled: the first upper left, the second below it, then those to the right. The list is
    left as it is. Raises UsageError: not four images of one shape.
    """
    rng = np.random.default_rng(seed)
    return _mosaic(list(images_with_labels), rng if shuffle else None)


def _mosaic(pairs: list[Labelled], rng: np.random.Generator | None) -> MosaicData:
    images = [numbers_of(image) for image, _ in pairs]
    if len(pairs) != 4 or len({image.shape for image in images}) != 1:
        shapes = ", ".join(str(list(image.shape)) for image in images)
        raise UsageError(f"images_with_labels: a mosaic is of four images of one shape: {shapes}.")
    labels = [int(numbers_of(label).ravel()[0]) for _, label in pairs]
    order = [0, 1, 2, 3] if rng is None else rng.permutation(4).tolist()
    left, right = (np.concatenate([images[i] for i in order[k : k + 2]], -2) for k in (0, 2))
    table = np.array([labels[i] for i in order]).reshape(2, 2).T
    return MosaicData(
        _like(np.concatenate([left, right], -1), pairs[0][0]), _like(table, pairs[0][0])
    )


def create_mosaics_from_images(
    images_with_labels: Sequence[Labelled], mosaics_num: int, target_class: int, seed: int = 0
) -> list[MosaicData]:
    """Return mosaics of two images of a class, and two of two other classes.

    Raises UsageError: fewer than two images of the class, or than two other classes.
    """
    by_label: dict[int, list[Labelled]] = defaultdict(list)
    for pair in images_with_labels:
        by_label[int(numbers_of(pair[1]).ravel()[0])].append(pair)
    own, others = by_label.pop(target_class, []), sorted(by_label)
    if len(own) < 2 or len(others) < 2:
        raise UsageError(
            f"images_with_labels: {len(own)} images of the class {target_class}, and {len(others)} "
            "other classes; a mosaic takes two of each."
        )
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(mosaics_num):
        pairs = [own[i] for i in rng.choice(len(own), 2, replace=False)]
        for i in rng.choice(len(others), 2, replace=False):
            several = by_label[others[i]]
            pairs.append(several[int(rng.integers(len(several)))])
        found.append(_mosaic(pairs, rng))
    return found


def focus(attributions: Any, mosaic_labels: Any, target_class: int) -> float:
    """Return the share of the positive attributions on the images of the class, 0..1.

    attributions: of the mosaic, (channels, rows, columns) or (rows, columns). Chance is 0.5; 0 too
    where nothing is positive.
    """
    values = np.maximum(numbers_of(attributions), 0)
    values = values.sum(0) if values.ndim == 3 else values
    on = (numbers_of(mosaic_labels) == target_class).ravel().tolist()
    if values.ndim != 2 or len(on) != 4:
        raise UsageError(
            "focus: attributions are (channels, rows, columns), labels (2, 2): those of one mosaic."
        )
    return focus_of(values, on)


def _like(found: Array, like: Any) -> Any:
    values = np.ascontiguousarray(found)
    if framework_of(like) != "torch":
        return values
    return pytorch().from_numpy(values).to(like.device)
