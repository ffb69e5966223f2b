"""What a network says of pictures that were made for another."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from leap_audit.ingest.model import Model
from leap_audit.ingest.pictures.bands import in_colour

__all__ = ["log_probabilities", "ranks", "resized"]


def ranks(logits: NDArray[Any], targets: list[int]) -> NDArray[Any]:
    """Return, for each row of (n, classes), how many classes stand above its target."""
    own = logits[np.arange(len(logits)), targets]
    return np.asarray((logits > own[:, None]).sum(1))


def resized(pictures: NDArray[Any], judge: Model) -> NDArray[Any]:
    """Return pictures, (n, channels, height, width) in 0..1, at another network's size."""
    channels, height, width = judge.picture_shape
    out = []
    for picture in pictures:
        image = Image.fromarray(
            np.rint(in_colour(picture).transpose(1, 2, 0) * 255).astype(np.uint8)
        )
        fitted = image.convert("L" if channels == 1 else "RGB").resize((width, height), 3)
        out.append(np.atleast_3d(np.asarray(fitted, np.float32) / 255).transpose(2, 0, 1))
    return np.stack(out)


def log_probabilities(logits: NDArray[Any], targets: list[int]) -> NDArray[Any]:
    """Return, for each row of (n, classes), the logarithm of its softmax at its target."""
    above = np.asarray(logits, np.float64) - logits.max(1, keepdims=True)
    own = above[np.arange(len(above)), targets]
    return np.asarray(own - np.log(np.exp(above).sum(1)))
