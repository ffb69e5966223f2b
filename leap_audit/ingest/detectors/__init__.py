"""Detectors: the formats of their outputs, and what is read of each (docs/detectors.md)."""
