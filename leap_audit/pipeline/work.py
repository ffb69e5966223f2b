"""What an audit has measured so far."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leap_audit.artifacts import EntanglementMatrix, Prototype, Readings, Sample

__all__ = ["Measurements"]


@dataclass
class Measurements:
    """What has been measured so far; an interrupted audit reports just this."""

    folder: Path
    classes: tuple[str, ...]
    prototypes: list[Prototype] = field(default_factory=list)
    matrix: EntanglementMatrix | None = None
    samples: list[Sample] = field(default_factory=list)
    readings: Readings | None = None
    rankings: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    """Mask of an isolation -> its ranking, which findings look at."""
    notes: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    methods: dict[str, Any] = field(default_factory=dict)
    batch: dict[str, int] = field(default_factory=dict)
    private: bool | None = None
    """Whether the paths of the photographs may name patients; None: nobody has looked yet."""
    seeds: int = 1
    """Prototypes of each target, of which one is shown."""
