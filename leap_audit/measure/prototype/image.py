"""The picture a prototype is made of, as ONNX nodes: coefficients in, pixels in 0..1 out.

The coefficients are those of a two-dimensional DCT whose high frequencies are scaled down as in
natural pictures (1/f), so that a step of the optimiser moves shapes before it moves noise; the
three channels are decorrelated as they are in natural pictures (Olah et al. 2017).
"""

import numpy as np
import onnx_ir as ir

from leap_audit.gradient import Emitter
from leap_audit.ingest.canonical import static_shape
from leap_audit.run.session import Array

__all__ = ["paint"]

COLOUR_ROOT = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
"""Root of the colour covariance of natural pictures (Olah et al. 2017)."""
DARKEST = 1e-3


def paint(op: Emitter, coefficients: ir.Value, background: float) -> ir.Value:
    """Append the nodes that turn (batch, channels, height, width) coefficients into pixels.

    background: the grey, 0..1, of the picture whose coefficients are all 0.
    """
    channels, height, width = static_shape(coefficients)[1:]
    scaled = op.Mul(coefficients, _spectrum(height, width))
    picture = op.MatMul(op.MatMul(_dct(height).T, scaled), _dct(width))
    if channels == 3:
        root = COLOUR_ROOT / np.linalg.norm(COLOUR_ROOT, axis=0).max()
        picture = op.Conv(picture, root.reshape(3, 3, 1, 1))
    grey = float(np.clip(background, DARKEST, 1 - DARKEST))
    start = np.log(grey / (1 - grey))
    return op.Sigmoid(op.Add(picture, start) if start else picture)


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
