"""The rules, one file per family of operators. Importing this package fills the table."""

from leap_audit.gradient.rules import (
    activation,
    arithmetic,
    conv,
    image,
    index,
    linear,
    norm,
    pool,
    reduce,
    resize,
    shape,
)

__all__ = [
    "activation",
    "arithmetic",
    "conv",
    "image",
    "index",
    "linear",
    "norm",
    "pool",
    "reduce",
    "resize",
    "shape",
]
