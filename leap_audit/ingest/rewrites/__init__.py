"""The rewritings, one file per family of operators. Importing this package fills the registry."""

from leap_audit.ingest.rewrite import rewrite
from leap_audit.ingest.rewrites import recurrent

__all__ = ["recurrent", "rewrite"]
