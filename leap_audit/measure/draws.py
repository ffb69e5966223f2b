"""Random draws that belong to what they are for, never to the batch it happened to share."""

import zlib

import numpy as np

from leap_audit.run.session import Array

__all__ = ["content_key", "generator"]


def generator(seed: int, purpose: str, *key: int) -> np.random.Generator:
    """Return the generator of one draw: the same seed, purpose and key give the same numbers."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), *key])


def content_key(picture: Array) -> int:
    """Return a number that belongs to a picture's content (0..1), on 8-bit levels."""
    levels = np.round(np.asarray(picture) * 255).astype(np.uint8)
    return zlib.crc32(np.ascontiguousarray(levels).tobytes())
