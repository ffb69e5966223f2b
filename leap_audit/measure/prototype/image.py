"""The picture a prototype is made of, as ONNX nodes: coefficients in, pixels in 0..1 out.

The coefficients are those of a two-dimensional DCT whose high frequencies are scaled down as in
natural pictures (1/f), so that a step of the optimiser moves shapes before it moves noise; the
three channels are decorrelated as they are in natural pictures (Olah et al. 2017). A prototype
may have an alpha channel, made of coefficients in the same way, and be seen only through a
window at the middle of the picture.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from leap_audit.config import PrototypeOptions
from leap_audit.gradient import Emitter
from leap_audit.graph.shapes import static_shape
from leap_audit.run.session import Array

__all__ = ["COLOUR_ROOT", "Painted", "coefficient_channels", "ground", "ink", "over", "paint"]

COLOUR_ROOT = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
"""Root of the colour covariance of natural pictures (Olah et al. 2017)."""
DARKEST = 1e-3
WINDOW = 0.25
"""Standard deviation of the window, as a fraction of each side."""
MIDDLE = 0.7
"""Share of each side, in the middle, that no hold on the border reaches."""


@dataclass(frozen=True)
class Painted:
    """The pixels that coefficients stand for."""

    colour: ir.Value
    """(batch, channels, height, width), 0..1."""
    alpha: ir.Value | None
    """(batch, 1, height, width), 0 transparent to 1; None: opaque."""


def coefficient_channels(channels: int, options: PrototypeOptions) -> int:
    """Return how many channels of coefficients a picture of `channels` is made of."""
    if options.alpha_only:
        return 1
    return channels + options.alpha


def ink(options: PrototypeOptions) -> float:
    """Return the grey that shapes without colour are drawn in: what the background is not."""
    return 1.0 if (options.background or 0.0) < 0.5 else 0.0


def ground(options: PrototypeOptions) -> float:
    """Return the grey of a plain ground: black, or white where the background is light."""
    return 1.0 - ink(options)


def paint(op: Emitter, coefficients: ir.Value, channels: int, options: PrototypeOptions) -> Painted:
    """Append the nodes that turn coefficients into pixels.

    coefficients: (batch, `coefficient_channels`, height, width). Where all are 0 the colour is
    the background's grey and alpha, if there is one, 0.5.
    """
    batch, given, height, width = static_shape(coefficients)
    scaled = op.Mul(coefficients, _spectrum(height, width))
    planes = op.MatMul(op.MatMul(_dct(height).T, scaled), _dct(width))
    alpha: ir.Value | None = None
    if given > channels or options.alpha_only:
        alpha = op.Sigmoid(op.Slice(planes, [given - 1], [given], [1]))
    if options.alpha_mask:
        shape = np.repeat(_window(height, width), batch, axis=0)
        alpha = op.constant(shape) if alpha is None else op.Mul(alpha, shape)
    if options.alpha_only:
        drawn = op.constant(np.full((batch, channels, height, width), ink(options), np.float32))
        return Painted(drawn, alpha)
    if given > channels:
        planes = op.Slice(planes, [0], [channels], [1])
    if channels == 3:
        root = COLOUR_ROOT / np.linalg.norm(COLOUR_ROOT, axis=0).max()
        planes = op.Conv(planes, root.reshape(3, 3, 1, 1))
    grey = float(np.clip(options.background or 0.0, DARKEST, 1 - DARKEST))
    start = np.log(grey / (1 - grey))
    if start:
        planes = op.Add(planes, start)
    if options.hold:
        pull = options.hold * (2 * ground(options) - 1)
        planes = op.Add(planes, op.constant(pull * _outer(height, width)))
    return Painted(op.Sigmoid(planes), alpha)


def over(op: Emitter, painted: Painted, behind: ir.Value | float) -> ir.Value:
    """Append the picture laid over what is `behind` it: one grey, or (batch, channels, 1, 1)."""
    if painted.alpha is None:
        return painted.colour
    return op.Add(op.Mul(painted.alpha, op.Sub(painted.colour, behind)), behind)


def _dct(n: int) -> Array:
    """The orthonormal DCT-II matrix: frequencies × pixels."""
    k, x = np.mgrid[:n, :n]
    matrix = np.sqrt(2 / n) * np.cos(np.pi * (2 * x + 1) * k / (2 * n))
    matrix[0] /= np.sqrt(2)
    return np.asarray(matrix)


def _spectrum(height: int, width: int) -> Array:
    """1 / (2 max(f, 1/2n)), f the frequency of a coefficient in cycles per pixel."""
    ky, kx = np.mgrid[:height, :width]
    f = np.hypot(ky / (2 * height), kx / (2 * width))
    return np.asarray(1 / (2 * np.maximum(f, 1 / (2 * max(height, width)))))


def _outer(height: int, width: int) -> Array:
    """0 in the middle, rising to 1 at the border, (1, 1, height, width)."""
    y, x = (np.abs(np.arange(n) - (n - 1) / 2) / (n / 2) for n in (height, width))
    far = np.maximum(y[:, None], x[None])
    rising = np.clip((far - MIDDLE) / (1 - MIDDLE), 0, 1)
    return np.asarray(rising[None, None], np.float32)


def _window(height: int, width: int) -> Array:
    """A soft disc in the middle, (1, 1, height, width), 1 at the centre."""
    y, x = ((np.arange(n) + 0.5) / n - 0.5 for n in (height, width))
    squared = (y[:, None] / WINDOW) ** 2 + (x[None] / WINDOW) ** 2
    return np.asarray(np.exp(-0.5 * squared)[None, None], np.float32)
