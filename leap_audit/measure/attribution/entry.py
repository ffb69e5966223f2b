"""How a method of attribution is entered: one function of a score and a picture."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from pydantic import Field

from leap_audit.config import Options
from leap_audit.measure.attribution.baselines import Baseline, baselines
from leap_audit.measure.attribution.score import Score
from leap_audit.measure.draws import content_key, generator
from leap_audit.measure.methods import (
    GRADIENT,
    Explanation,
    Need,
    NoOptions,
    Traits,
    method,
)
from leap_audit.measure.run import Run
from leap_audit.measure.smooth import enlargement
from leap_audit.measure.subject import Subject
from leap_audit.run.session import Array

__all__ = [
    "BaselineOptions",
    "Item",
    "LayerOptions",
    "MethodValues",
    "as_map",
    "attribution",
    "enlarged",
]


class LayerOptions(Options):
    """Where inside the model a method looks."""

    at: str | None = None
    """Tensor inside the model, by its name in the canonical graph. Left out: chosen, and named."""


class BaselineOptions(Options):
    """What a method compares the picture with."""

    baseline: tuple[Baseline, ...] = Field(default=("zero",), min_length=1)
    """Pictures without content: zero (what the preprocessing makes zeros of), black, white, grey,
    mean (the picture's colour), blur. The maps for several are averaged."""


@dataclass(frozen=True)
class Item:
    """One picture that is explained."""

    score: Score
    subject: Subject

    @property
    def picture(self) -> Array:
        """Return (channels, height, width) in 0..1, float32."""
        return np.asarray(self.subject.picture, np.float32)

    def baselines(self, options: BaselineOptions) -> Array:
        """Return (m, channels, height, width)."""
        return baselines(self.score.run.model, self.subject, options.baseline)


@dataclass(frozen=True)
class MethodValues:
    """What a method computes for one picture."""

    values: Array
    """(channels, rows, columns) of the picture or of a tensor inside, or (rows, columns)."""
    total: float | None = None
    """What the values add up to, of a method that promises it."""
    at: str = ""
    figures: tuple[tuple[str, float], ...] = ()
    summed: float | None = None
    """Their sum, where it is not the sum of `values`."""


Compute: TypeAlias = Callable[[Item, Any, np.random.Generator], MethodValues]


def attribution(
    name: str,
    *,
    source: str,
    cost: str,
    options: type[Options] = NoOptions,
    needs: tuple[Need, ...] = (GRADIENT,),
    traits: Traits,
) -> Callable[[Compute], Compute]:
    """Return a decorator that enters a function of (item, options, rng) as a method.

    The first line of the function's docstring is its summary. What the arguments mean: `method`.
    """

    def enter(compute: Compute) -> Compute:
        def explain(
            run: Run, subjects: Sequence[Subject], options: Any, *, seed: int
        ) -> Iterator[Explanation]:
            for subject in subjects:
                yield _explained(run, subject, options, seed, name, compute)

        explain.__doc__ = compute.__doc__
        method(
            name,
            kind="attribution",
            options=options,
            needs=needs,
            source=source,
            cost=cost,
            check="the checks of faithfulness, such as insertion and deletion",
            traits=traits,
        )(explain)
        return compute

    return enter


def _explained(
    run: Run, subject: Subject, options: Any, seed: int, name: str, compute: Compute
) -> Explanation:
    item = Item(Score(run, subject.explained, run.batch, subject.picture), subject)
    key = (content_key(item.picture), subject.class_)
    found = compute(item, options, generator(seed, f"attribution {name}", *key))
    figures = dict(found.figures)
    if found.total is not None:
        total = found.summed if found.summed is not None else found.values.sum(dtype=np.float64)
        figures["completeness_gap"] = float(
            abs(total - found.total) / max(abs(found.total), np.finfo(np.float32).tiny)
        )
    shape = item.picture.shape[1:]
    detail = None if found.values.shape == shape else found.values
    return Explanation(as_map(found.values, shape), figures, detail, found.at)


def as_map(values: Array, shape: tuple[int, ...]) -> Array:
    """Return one number a pixel, (height, width): the sum over channels, its sign kept.

    Of a map with fewer places: enlarged bilinearly.
    """
    summed = values.sum(0, dtype=np.float64) if values.ndim == 3 else values.astype(np.float64)
    return enlarged(summed, shape)


def enlarged(maps: Array, shape: tuple[int, ...]) -> Array:
    """Return (..., rows, columns) at another size, (..., height, width), bilinearly.

    Cell centres stay where they are; beyond the outermost centres the values go on unchanged.
    """
    if maps.shape[-2:] == tuple(shape):
        return maps
    rows, columns = (
        enlargement(cells, size).astype(np.float64)
        for cells, size in zip(maps.shape[-2:], shape, strict=True)
    )
    return np.asarray(rows @ maps @ columns.T)
