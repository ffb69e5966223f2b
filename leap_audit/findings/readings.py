"""Whether the photographs of known classes speak against the preprocessing."""

from leap_audit.artifacts import OtherReading, Readings

__all__ = ["doubt"]

CHANCE = 0.01
SHARE = 0.15
LEAST = 3
"""Photographs that must speak for another preprocessing, and the share of all that they must be."""


def doubt(readings: Readings) -> OtherReading | None:
    """Return another preprocessing with which the model is clearly right more often, if any is."""
    gain = max(LEAST, SHARE * readings.photographs)
    better = [o for o in readings.others if o.p < CHANCE and o.right - readings.right >= gain]
    return max(better, key=lambda each: each.right, default=None)
