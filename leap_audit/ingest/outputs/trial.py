"""Run a model on a few generated pictures, to measure the meaning of its outputs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from leap_audit.artifacts import Preprocessing
from leap_audit.graph.shapes import static_shape
from leap_audit.run.providers import Provider
from leap_audit.run.session import Array, Session

__all__ = ["NOISE", "TRIAL_PICTURES", "OutputTrial", "trial_pictures"]

TRIAL_PICTURES = 10
"""Pictures that a model is shown."""
NOISE = 3
"""The one of them that is noise over the whole range, as no network fails at."""
BLOCKS = (2, 4, 16)
"""Cells along a side, of noise that is coarser than a pixel."""


@dataclass(frozen=True)
class OutputTrial:
    """Runs the canonical graph of one picture on each of PICTURES pictures."""

    preprocessing: Preprocessing
    provider: Provider

    def run(
        self,
        model: ir.Model,
        values: Sequence[ir.Value],
        rows: int = 0,
        shown: slice = slice(None),
    ) -> list[Array]:
        """Return what each tensor holds, (pictures, ...), in the order of `values`.

        rows: of maps, tensors of four dimensions, about so many along the third; 0 takes all.
        shown: which of the pictures.

        The graph's outputs become these tensors, and what they do not need leaves the graph.
        """
        graph = model.graph
        entry = graph.inputs[0]
        kind = np.dtype(np.float32) if entry.dtype is None else entry.dtype.numpy()
        channels, size = len(self.preprocessing.mean), self.preprocessing.input_size
        pictures = _prepared(trial_pictures(channels, size)[shown], self.preprocessing)
        graph.outputs[:] = list(values)
        session = Session(model, self.provider, often=False)
        shape = static_shape(entry)
        names = [str(value.name) for value in values]
        inputs = (picture.reshape(shape).astype(kind) for picture in pictures)
        runs = [
            [_thinned(x, rows) for x in session.run({str(entry.name): picture}, names)]
            for picture in inputs
        ]
        return [np.stack(found) for found in zip(*runs, strict=True)]


def _thinned(x: Array, rows: int) -> Array:
    """A copy of some rows; the third dimension is one of places, whatever the layout."""
    if x.ndim != 4 or not rows:
        return x
    return np.array(x[:, :, :: -(-x.shape[2] // rows)])


def trial_pictures(channels: int, size: tuple[int, int]) -> Array:
    """Return (PICTURES, channels, height, width) in 0..1, the same at every call.

    Black, white and a colour; noise of each pixel, strong and weak; noise in cells of several
    sizes, where networks that blur still see something; a ramp and its mirror image.
    """
    rng = np.random.default_rng(0)
    height, width = size
    shape = (channels, height, width)
    ramp = np.broadcast_to(np.linspace(0, 1, width), shape)
    found = [
        np.zeros(shape),
        np.ones(shape),
        np.broadcast_to(rng.random((channels, 1, 1)), shape),
        rng.random(shape),
        0.5 + 0.1 * (rng.random(shape) - 0.5),
        *(_cells(rng.random((channels, n, n)), size) for n in BLOCKS),
        ramp,
        np.flip(ramp, -1) * rng.random((channels, 1, 1)),
    ]
    return np.stack(found).astype(np.float32)


def _prepared(pictures: Array, how: Preprocessing) -> Array:
    """The pictures as the model takes them."""
    low, high = how.range
    mean, std = (
        np.reshape(np.array(values, np.float32), (1, -1, 1, 1)) for values in (how.mean, how.std)
    )
    x = (pictures * np.float32(high - low) + np.float32(low) - mean) / std
    return np.asarray(x if how.layout == "NCHW" else x.transpose(0, 2, 3, 1))


def _cells(values: Array, size: tuple[int, int]) -> Array:
    """(channels, n, n) -> (channels, height, width): each number fills a cell."""
    rows, columns = (np.arange(side) * values.shape[1] // side for side in size)
    return np.asarray(values[:, rows][:, :, columns])
