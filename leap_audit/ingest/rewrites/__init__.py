"""The rewritings, one file per family of operators. Importing this package fills the registry."""

from leap_audit.ingest.rewrite import rewrite
from leap_audit.ingest.rewrites import attention, fused, normal, recurrent, unshaped
from leap_audit.ingest.rewrites.sequences import UNPACKED, unpack

__all__ = [
    "UNPACKED",
    "attention",
    "fused",
    "normal",
    "recurrent",
    "rewrite",
    "unpack",
    "unshaped",
]
