"""Preprocessing as two functions on batches of NumPy arrays or PyTorch tensors.

They need no PyTorch: what they do, both kinds of array do. Each holds the `Preprocessing` that
it was made of, so that whoever knows the class can take the numbers instead of calling it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from leap_audit.artifacts import Interpolation, Preprocessing
from leap_audit.errors import PreprocessingRefused
from leap_audit.ingest.pictures.images import LETTERBOX, covering_size, fitting_size
from leap_audit.run.session import Array

__all__ = ["Encode", "Fit", "steps"]


def steps(preprocessing: Preprocessing) -> list["Fit | Encode"]:
    """Return what brings pictures to the model's size, and what brings those to its input."""
    return [Fit(preprocessing), Encode(preprocessing)]


@dataclass(frozen=True)
class Fit:
    """Pictures of any size at the model's size, as the model is evaluated on photographs.

    What `read_picture` does to a file, without its rounding to 8 bits.
    """

    preprocessing: Preprocessing

    def __call__(self, pictures: Any) -> Any:
        """Return a batch at the model's size, its channels where they were.

        pictures: (n, channels, height, width) or (n, height, width, channels) in 0..1, a NumPy
        array or a PyTorch tensor, which keep their type and device.

        Raises PreprocessingRefused: the batch has another shape, or whole numbers.
        """
        first = _channels_first(pictures, self.preprocessing)
        x = pictures if first else _first(pictures)
        height, width = self.preprocessing.input_size
        size = (int(x.shape[2]), int(x.shape[3]))
        if size != (height, width):
            how, kept = self.preprocessing.resize, self.preprocessing.crop
            kind, full = self.preprocessing.interpolation, (height, width)
            if how == "crop":
                full = covering_size(size, full, kept)
            elif how == "letterbox":
                full = fitting_size(size, full)
            rows = resampling(size[0], full[0], kind)
            columns = resampling(size[1], full[1], kind)
            top, left = (full[0] - height) // 2, (full[1] - width) // 2
            if how == "letterbox":  # whose places are counted from the canvas, as Pillow pastes
                rows = _placed(rows, (height - full[0]) // 2, height)
                columns = _placed(columns, (width - full[1]) // 2, width)
            else:
                rows, columns = rows[top : top + height], columns[left : left + width]
            x = (_like(x, rows) @ x @ _like(x, columns.T)).clip(0, 1)
            if how == "letterbox":
                inside = np.outer(rows.any(1), columns.any(1))
                x = x + _like(x, np.where(inside, 0, LETTERBOX / 255))
        return x if first else _last(x)


@dataclass(frozen=True)
class Encode:
    """Pictures of the model's size as the model takes them."""

    preprocessing: Preprocessing

    def __call__(self, pictures: Any) -> Any:
        """Return the model's input: scaled, the channels in its order and where it has them.

        pictures: as `Fit` takes them, of any size. Raises PreprocessingRefused as that does.
        """
        p = self.preprocessing
        x = pictures if _channels_first(pictures, p) else _first(pictures)
        if p.channel_order == "BGR":
            x = x[:, [2, 1, 0]]
        low, high = p.range
        mean, std = (np.reshape(values, (1, -1, 1, 1)) for values in (p.mean, p.std))
        x = (x * (high - low) + low - _like(x, mean)) / _like(x, std)
        return x if p.layout == "NCHW" else _last(x)


def resampling(old: int, new: int, kind: Interpolation = "bilinear") -> Array:
    """Return the (new, old) matrix that scales one side, its kernel widened where it shrinks.

    The weights of Pillow: a kernel about each new pixel's centre, stretched to a new pixel where
    that is wider than an old one, cut off at the edges and scaled to a sum of 1.
    """
    stretch = old / new
    centres = (np.arange(new)[:, None] + 0.5) * stretch
    if kind == "nearest":
        return np.asarray(np.arange(old) == np.floor(centres), np.float64)
    distance = np.abs(np.arange(old) + 0.5 - centres) / max(stretch, 1.0)
    weights = KERNELS[kind](distance)
    return np.asarray(weights / weights.sum(1, keepdims=True))


def _placed(rows: Array, start: int, length: int) -> Array:
    """A matrix of resampling whose results stand from `start` on among `length`."""
    return np.pad(rows, ((start, length - start - len(rows)), (0, 0)))


def _triangle(x: Array) -> Array:
    return np.maximum(0.0, 1.0 - x)


def _cubic(x: Array) -> Array:
    """Keys 1981, with Pillow's a = -0.5."""
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _lanczos(x: Array) -> Array:
    return np.where(x < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


KERNELS: dict[str, Callable[[Array], Array]] = {
    "bilinear": _triangle,
    "bicubic": _cubic,
    "lanczos": _lanczos,
}
"""Of the distance in pixels."""


def _channels_first(pictures: Any, preprocessing: Preprocessing) -> bool:
    """Whether the channels stand first; where both places could be, as the model has them."""
    channels = 1 if preprocessing.channel_order == "GRAY" else 3
    shape = tuple(pictures.shape)
    places = [place for place in (1, 3) if len(shape) == 4 and shape[place] == channels]
    if not places:
        raise PreprocessingRefused(
            f"the batch of pictures has the shape {shape}; the model takes pictures of {channels} "
            f"channel{'s' if channels > 1 else ''}, (n, {channels}, height, width) or "
            f"(n, height, width, {channels})."
        )
    if "float" not in str(pictures.dtype):
        raise PreprocessingRefused(
            f"the pictures are of type {pictures.dtype}; give floating-point numbers in 0..1."
        )
    return places == [1] or (len(places) == 2 and preprocessing.layout == "NCHW")


def _first(pictures: Any) -> Any:
    """(n, height, width, channels) -> (n, channels, height, width)."""
    return pictures.swapaxes(2, 3).swapaxes(1, 2)


def _last(pictures: Any) -> Any:
    """(n, channels, height, width) -> (n, height, width, channels)."""
    return pictures.swapaxes(1, 2).swapaxes(2, 3)


def _like(pictures: Any, numbers: Array) -> Any:
    """The numbers as an array of the pictures' kind, type and device."""
    if isinstance(pictures, np.ndarray):
        return numbers.astype(pictures.dtype)
    return pictures.new_tensor(numbers)
