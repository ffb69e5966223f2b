"""Compare the audits of two versions of a model.

`compare` pairs what the audits hold; `write_comparison` writes comparison.json and the pages that
are views of it.
"""

from leap_audit.compare.compared import compare
from leap_audit.compare.judged import FAIL_ON, fails
from leap_audit.compare.page import render_comparison, write_comparison
from leap_audit.compare.record import Comparison
from leap_audit.compare.sides import Side

__all__ = [
    "FAIL_ON",
    "Comparison",
    "Side",
    "compare",
    "fails",
    "render_comparison",
    "write_comparison",
]
