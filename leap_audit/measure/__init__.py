"""Prototypes, entanglement and isolations, each with the check that says how far to trust it."""
