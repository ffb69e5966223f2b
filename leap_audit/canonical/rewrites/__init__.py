"""The rewritings, one file per family of operators. Importing this package fills the registry."""

from leap_audit.canonical.rewrite import rewrite
from leap_audit.canonical.rewrites import (
    attention,
    classical,
    fused,
    newer,
    normal,
    quantised,
    recurrent,
    spatial,
    unshaped,
)
from leap_audit.canonical.rewrites.control import CONTROL, unroll, why_left
from leap_audit.canonical.rewrites.sequences import UNPACKED, unpack

__all__ = [
    "CONTROL",
    "UNPACKED",
    "attention",
    "classical",
    "fused",
    "newer",
    "normal",
    "quantised",
    "recurrent",
    "rewrite",
    "spatial",
    "unpack",
    "unroll",
    "unshaped",
    "why_left",
]
