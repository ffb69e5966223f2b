"""The maps that a model answers photographs with, as pictures."""

import numpy as np
from numpy.typing import NDArray

from leap_audit.ingest.outputs.answer import Summary

__all__ = ["map_classes_of", "map_levels", "map_path", "sample_stem"]

MAPPED = 8
"""Classes that a predicted map tells apart."""


def sample_stem(index: int) -> str:
    """Return the name, without folder and suffix, of a photograph's files."""
    return f"sample-{index:04d}"


def map_path(index: int) -> str:
    """Return the path of the map of a photograph."""
    return f"images/{sample_stem(index)}-map.png"


def map_classes_of(answer: Summary) -> tuple[int, ...]:
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
    for level, class_ in enumerate(map_classes_of(answer), 1):
        levels[answer.first == class_] = level
    return levels
