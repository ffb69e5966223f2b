"""The rules, one file per family of operators. Importing this package fills the table."""

from leap_audit.gradient.rules import (
    activation,
    arithmetic,
    conv,
    conv_transpose,
    einsum,
    image,
    index,
    linear,
    norm,
    pool,
    reduce,
    repeat,
    resize,
    sampling,
    shape,
    trigonometric,
)

__all__ = [
    "activation",
    "arithmetic",
    "conv",
    "conv_transpose",
    "einsum",
    "image",
    "index",
    "linear",
    "norm",
    "pool",
    "reduce",
    "repeat",
    "resize",
    "sampling",
    "shape",
    "trigonometric",
]
