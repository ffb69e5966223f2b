"""The rewritings, one file per family of operators. Importing this package fills the registry."""

from leap_audit.ingest.rewrite import rewrite
from leap_audit.ingest.rewrites import attention, fused, normal, quantised, recurrent, unshaped
from leap_audit.ingest.rewrites.sequences import UNPACKED, unpack

__all__ = [
    "UNPACKED",
    "attention",
    "fused",
    "normal",
    "quantised",
    "recurrent",
    "rewrite",
    "unpack",
    "unshaped",
]
