"""The predicted map of a segmentation: the class at each place, as a picture."""

import numpy as np
from numpy.typing import NDArray

from leap_audit.ingest.outputs.answer import Summary

__all__ = ["map_classes", "map_levels", "map_path"]

MAPPED = 8
"""Classes that a predicted map tells apart."""


def map_path(stem: str) -> str:
    """Return the path, in the folder of an audit, of the predicted map of a photograph."""
    return f"images/{stem}-map.png"


def map_classes(answer: Summary) -> tuple[int, ...]:
    """Return the classes that are most of a map, the largest first."""
    if answer.first is None:
        return ()
    classes, places = np.unique(answer.first, return_counts=True)
    order = np.argsort(-places, kind="stable")[:MAPPED]
    return tuple(int(k) for k in classes[order])


def map_levels(answer: Summary) -> NDArray[np.uint8]:
    """Return the map as grey levels, see `Sample.map`."""
    assert answer.first is not None
    levels = np.zeros(answer.first.shape, np.uint8)
    for level, class_ in enumerate(map_classes(answer), 1):
        levels[answer.first == class_] = level
    return levels
