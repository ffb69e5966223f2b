"""The methods, by the names of keras_explainable.methods."""

from leap_audit.keras_explainable import cams, gradient, meta

__all__ = ["cams", "gradient", "meta"]

cam = cams
"""As a page of the original's documentation spells it."""
