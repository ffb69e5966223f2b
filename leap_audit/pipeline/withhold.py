"""A report without the photographs themselves: their figures and masks alone."""

from typing import Any

from leap_audit.artifacts import Sample
from leap_audit.pipeline.work import Measurements

__all__ = ["WITHHELD", "withhold", "without_paths"]

NOTE = (
    "The photographs were kept out of this report: it has the answers to them, and where in them "
    "the classes were found, but not the pictures."
)


WITHHELD = "(withheld)"
"""What stands for the paths of photographs that may name patients."""


def without_paths(config: dict[str, Any]) -> dict[str, Any]:
    """Return recorded options without the paths of photographs and of their labels."""
    hidden = {key: WITHHELD for key in ("labels",) if config.get(key)}
    return {**config, **hidden, "samples": [WITHHELD] if config.get("samples") else []}


def withhold(seen: Measurements) -> None:
    """Take the photographs, and what shows parts of them, out of the record and its folder."""
    if not seen.samples:
        return
    shown = [name for sample in seen.samples for name in _shown(sample)]
    seen.samples[:] = [_without(sample) for sample in seen.samples]
    seen.prototypes[:] = [
        each.model_copy(
            update={"nearest": tuple(n.model_copy(update={"image": ""}) for n in each.nearest)}
        )
        for each in seen.prototypes
    ]
    for name in shown:
        (seen.folder / name).unlink()
    seen.notes.append(NOTE)


def _shown(sample: Sample) -> list[str]:
    several = [sample.image, sample.bands, *(each.image for each in sample.isolations)]
    return [name for name in several if name]


def _without(sample: Sample) -> Sample:
    isolations = tuple(each.model_copy(update={"image": ""}) for each in sample.isolations)
    return sample.model_copy(update={"image": "", "bands": None, "isolations": isolations})
