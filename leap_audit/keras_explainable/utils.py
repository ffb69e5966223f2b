"""`visualize`: images in a grid, with maps laid over them, as keras_explainable.utils has it."""

import importlib
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from leap_audit.errors import RuntimeMissing, UsageError

__all__ = ["visualize"]


def visualize(
    images: Any,
    titles: Sequence[str] | None = None,
    overlays: Sequence[Any] | None = None,
    overlay_alpha: float = 0.75,
    rows: int | None = None,
    cols: int | None = None,
    figsize: tuple[float, float] | None = None,
    cmap: str | None = None,
    overlay_cmap: str | None = None,
    to_file: str | None = None,
    to_buffer: io.BytesIO | None = None,
    subplots_ws: float = 0.0,
    subplots_hs: float = 0.0,
) -> Any:
    """Draw images, and the overlays that are not None over them; with `to_buffer`, return it.

    images: one (height, width[, channels]), or several. Raises RuntimeMissing: no matplotlib.
    """
    plt = _pyplot()
    several = [images] if np.ndim(images) == 3 and not isinstance(images, list) else list(images)
    if not several:
        raise UsageError("images: none; give at least one.")
    if cols is None:
        cols = math.ceil(len(several) / rows) if rows else min(8, len(several))
    rows = rows or math.ceil(len(several) / cols)
    plt.figure(figsize=figsize or (4 * cols, 4 * rows))
    for place, image in enumerate(several):
        plt.subplot(rows, cols, place + 1)
        if image is not None:
            plt.imshow(_flat(image), cmap=cmap)
            if overlays is not None and place < len(overlays) and overlays[place] is not None:
                plt.imshow(_flat(overlays[place]), overlay_cmap, alpha=overlay_alpha)
        if titles is not None and place < len(titles):
            plt.title(titles[place])
        plt.axis("off")
    plt.tight_layout()
    plt.subplots_adjust(wspace=subplots_ws, hspace=subplots_hs)
    if to_buffer is not None:
        plt.savefig(to_buffer)
        return Image.open(to_buffer)
    if to_file is not None:
        plt.savefig(to_file)
    return None


def _flat(image: Any) -> Any:
    values = np.asarray(image)
    return values[..., 0] if values.ndim > 2 and values.shape[-1] == 1 else values


def _pyplot() -> Any:
    try:
        return importlib.import_module("matplotlib.pyplot")
    except ImportError:
        raise RuntimeMissing("visualize needs matplotlib: pip install matplotlib.") from None
