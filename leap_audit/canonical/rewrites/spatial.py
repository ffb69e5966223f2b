"""Operators of pictures, signals and small matrices that others express."""

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leap_audit.canonical.rewrite import Writer, Written, rewriting
from leap_audit.graph.shapes import shape_of
from leap_audit.graph.values import constant_of

LARGEST_INVERSE = 16
"""Rows of a matrix up to which it is inverted by its cofactors."""


@rewriting("AffineGrid", shapes=True)
def affine_grid(op: Writer) -> Written:
    """The places of all pixels in -1..1, with a 1 beside each, times theta'"""
    theta, size = op.node.inputs
    given = constant_of(size)
    if given is None:
        return None
    sizes = [int(n) for n in given[2:]]
    if op.attribute("align_corners", 0):
        axes = [np.linspace(-1, 1, n) for n in sizes]
    else:
        axes = [(2 * np.arange(n) + 1) / n - 1 for n in sizes]
    places = np.stack([*np.meshgrid(*axes, indexing="ij")[::-1], np.ones(sizes)], axis=-1)
    flat = places.reshape(-1, len(sizes) + 1).astype(op.dtype.numpy())
    grid = op.MatMul(flat, op.Transpose(theta, perm=[0, 2, 1]))
    return op.Reshape(grid, [-1, *sizes, len(sizes)])


@rewriting("DeformConv", shapes=True)
def deform_conv(op: Writer) -> Written:
    """A 1 x 1 convolution over the pixels that GridSample reads where the offsets point"""
    x, weight, offset, bias, mask = (op.input(i) for i in range(5))
    picture, kernels, points = (shape_of(value) for value in (x, weight, offset))
    if picture is None or kernels is None or points is None:
        return None
    (n, channels, *spatial), (out, _, *kernel), (_, _, *places) = picture, kernels, points
    rank, taps = len(spatial), math.prod(kernel)
    if rank not in (2, 3):
        return None
    group, parts = op.attribute("group", 1), op.attribute("offset_group", 1)
    where = op.Add(op.Reshape(offset, [n * parts, taps, rank, *places]), _taps(op, kernel, places))
    size = np.array(spatial).reshape(1, 1, rank, *[1] * rank)  # pixel p is at (2 p + 1) / size - 1
    scale, shift = ((a / size).astype(op.dtype.numpy()) for a in (2.0, 1.0 - size))
    where = op.Gather(op.Add(op.Mul(where, scale), shift), list(range(rank))[::-1], axis=2)
    where = op.Transpose(where, perm=[0, 1, *range(3, 3 + rank), 2])
    where = op.Reshape(where, [n * parts, taps * places[0], *places[1:], rank])
    apart = op.Reshape(x, [n * parts, channels // parts, *spatial])
    read = op.GridSample(apart, where, mode="linear", padding_mode="zeros", align_corners=0)
    if mask is not None:
        read = op.Reshape(read, [n * parts, channels // parts, taps, *places])
        read = op.Mul(read, op.Reshape(mask, [n * parts, 1, taps, *places]))
    columns = op.Reshape(read, [n, channels * taps, *places])
    flat = op.Reshape(weight, [out, channels // group * taps, *[1] * rank])
    return op.Conv(columns, flat, bias, group=group)


def _taps(op: Writer, kernel: list[int], places: list[int]) -> NDArray[Any]:
    """Return where each tap of each place lies without an offset: (1, taps, rank, *places)."""
    rank = len(kernel)
    strides, dilations = (op.attribute(name) or [1] * rank for name in ("strides", "dilations"))
    begin = (op.attribute("pads") or [0] * 2 * rank)[:rank]
    starts = np.indices(places) * np.reshape(strides, [rank, *[1] * rank])
    taps = np.indices(kernel).reshape(rank, -1) * np.reshape(dilations, [rank, 1])
    first = taps - np.reshape(begin, [rank, 1])
    found: NDArray[Any] = first.T.reshape(1, -1, rank, *[1] * rank) + starts
    return found.astype(op.dtype.numpy())


@rewriting("STFT", shapes=True)
def stft(op: Writer) -> Written:
    """The DFT of each frame of the signal, times the window"""
    signal, step, window, length = (op.input(i) for i in range(4))
    shape, width = shape_of(signal), shape_of(window)
    steps, given = constant_of(step), constant_of(length)
    if shape is None or steps is None or (length is not None and given is None):
        return None
    size = int(given.ravel()[0]) if given is not None else width[0] if width else shape[1]
    starts = np.arange(0, shape[1] - size + 1, int(steps.ravel()[0]))
    frames = op.Gather(signal, starts[:, None] + np.arange(size), axis=1)
    if window is not None:
        frames = op.Mul(frames, op.Reshape(window, [size, 1]))
    return op.DFT(frames, None, np.array(2), onesided=op.attribute("onesided", 1))


@rewriting("com.microsoft::Inverse", shapes=True)
def inverse(op: Writer) -> Written:
    """The transposed cofactors, each the determinant of the rest of the matrix, over the whole's"""
    (x,) = op.node.inputs
    shape = shape_of(x)
    if shape is None or shape[-1] > LARGEST_INVERSE:
        return None
    n = shape[-1]
    if n == 1:
        return op.Reciprocal(x)
    rests = [
        [i * n + j for i in range(n) for j in range(n) if i != row and j != column]
        for column, row in itertools.product(range(n), range(n))
    ]
    parts = op.Gather(op.Reshape(x, [-1, n * n]), np.array(rests), axis=1)
    signs = (-1.0) ** np.add.outer(np.arange(n), np.arange(n))
    minors = op.Reshape(op.Det(op.Reshape(parts, [-1, n - 1, n - 1])), [*shape[:-2], n, n])
    determinant = op.Reshape(op.Det(x), [*shape[:-2], 1, 1])
    return op.Div(op.Mul(minors, signs.astype(op.dtype.numpy())), determinant)
