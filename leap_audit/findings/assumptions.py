"""What of the preprocessing was assumed: neither declared nor fixed by the model file."""

from leap_audit.artifacts import Preprocessing

__all__ = ["open_assumptions"]

DECIDING = ("range", "mean", "std", "resize", "channel_order")
"""Fields of the preprocessing that change every number and that a model seldom fixes."""


def open_assumptions(preprocessing: Preprocessing) -> list[str]:
    """Return the fields that nobody declared and that the model leaves open."""
    # One channel, or bands, leave nothing to declare about their order.
    coloured = preprocessing.channel_order in ("RGB", "BGR")
    return [
        name
        for name in DECIDING
        if name in preprocessing.assumed and (name != "channel_order" or coloured)
    ]
