"""Photographs: found, decoded, and preprocessed as the model expects."""
