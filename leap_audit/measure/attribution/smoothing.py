"""Wrappers: any method of attribution, over noisy copies of a picture or over views of it.

`smooth:gradcam` is Grad-CAM averaged over noisy copies, `tta:gradcam` over mirrored and shifted
views. `smoothgrad` is the first, of the plain gradient.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
from pydantic import Field, create_model

from leap_audit.config import Options
from leap_audit.errors import ConfigRefused, UsageError
from leap_audit.ingest.outputs.answer import BOXES
from leap_audit.measure.attribution.entry import as_map
from leap_audit.measure.attribution.smoothgrad import SmoothOptions, moment, spread_of
from leap_audit.measure.detection_targets import DetectionTarget
from leap_audit.measure.draws import content_key, generator
from leap_audit.measure.methods import Explanation, Method, require
from leap_audit.measure.run import Run
from leap_audit.measure.subject import Subject
from leap_audit.measure.targets import TensorTarget
from leap_audit.run.session import Array

__all__ = ["WRAPPERS", "ViewOptions", "explainer"]


class ViewOptions(Options):
    """Views of a picture."""

    mirrored: bool = True
    """Whether mirrored views are among them."""
    shift: int = Field(default=8, ge=0, le=1000)
    """Pixels by which views are shifted to each side; 0: not at all. What a shift leaves open is
    filled with the picture's edge."""


def _smooth(
    explain: Callable[[list[Subject]], list[Explanation]],
    subject: Subject,
    options: SmoothOptions,
    rng: np.random.Generator,
) -> Explanation:
    picture = np.asarray(subject.picture, np.float32)
    spread = spread_of(picture, options)
    copies = [
        replace(subject, picture=picture + spread * rng.standard_normal(picture.shape, np.float32))
        for _ in range(options.copies)
    ]
    found = explain(copies)
    details = [each.detail for each in found if each.detail is not None]
    several = details if len(details) == len(found) else [each.values for each in found]
    taken = moment(np.mean(several, 0), np.mean(np.square(several), 0), options)
    detail = taken if details else None
    return Explanation(as_map(taken, picture.shape[1:]), {}, detail, found[0].at)


def _views(
    explain: Callable[[list[Subject]], list[Explanation]],
    subject: Subject,
    options: ViewOptions,
    rng: np.random.Generator,  # noqa: ARG001
) -> Explanation:
    target = subject.target
    boxes = isinstance(target, TensorTarget) and target.name == BOXES
    if boxes or isinstance(target, DetectionTarget):
        raise UsageError(
            "tta moves the picture, and the detection to another row with it; average over noisy "
            "copies instead, with smooth: before the method."
        )
    picture, s = np.asarray(subject.picture, np.float32), options.shift
    shifts = [(0, 0), *([(s, 0), (-s, 0), (0, s), (0, -s)] if s else [])]
    ways = [(shift, mirror) for mirror in {False, options.mirrored} for shift in shifts]
    found = explain([replace(subject, picture=_moved(picture, *way)) for way in ways])
    back = [
        _moved(each.values[None, :, ::-1] if mirror else each.values[None], (-dy, -dx), False)[0]
        for each, ((dy, dx), mirror) in zip(found, ways, strict=True)
    ]
    return Explanation(np.mean(back, 0), {}, None, found[0].at)


def _moved(picture: Array, shift: tuple[int, int], mirror: bool) -> Array:
    """Shifted down and right, the edge repeated; then mirrored."""
    rows, columns = (
        np.clip(np.arange(size) - by, 0, size - 1)
        for size, by in zip(picture.shape[1:], shift, strict=True)
    )
    moved = picture[:, rows][:, :, columns]
    return np.ascontiguousarray(moved[:, :, ::-1] if mirror else moved)


WRAPPERS: dict[str, tuple[type[Options], Callable[..., Explanation], str]] = {
    "smooth": (SmoothOptions, _smooth, "over noisy copies of the picture"),
    "tta": (ViewOptions, _views, "over mirrored and shifted views of the picture"),
}
"""Prefix -> (options, function, in words)."""


def explainer(name: str) -> Method:
    """Return the method called `name`, which may have wrappers before it, as smooth:gradcam.

    The options of a wrapped method are those of both; the wrapper's win where both have one.
    Raises ConfigRefused: there is no such method or wrapper.
    """
    prefix, _, rest = name.rpartition(":") if name.count(":") == 0 else name.partition(":")
    if not prefix:
        return require(rest, "attribution")
    if prefix not in WRAPPERS:
        raise ConfigRefused(
            f"methods: there is no wrapper {prefix!r}; there are {', '.join(WRAPPERS)}."
        )
    inner = explainer(rest)
    own, wrap, words = WRAPPERS[prefix]
    both = _joined(f"{prefix.title()}{inner.options.__name__}", own, inner.options)

    def explain(
        run: Run, subjects: Sequence[Subject], options: Any, *, seed: int
    ) -> Iterator[Explanation]:
        chosen = options.model_dump()
        ours = own(**{k: v for k, v in chosen.items() if k in own.model_fields})
        theirs = inner.options(
            **{k: v for k, v in chosen.items() if k in inner.options.model_fields}
        )
        for subject in subjects:
            key = (content_key(np.asarray(subject.picture, np.float32)), subject.class_)
            rng = generator(seed, f"wrapper {prefix}", *key)
            yield wrap(
                lambda several: list(inner.function(run, several, theirs, seed=seed)),
                subject,
                ours,
                rng,
            )

    traits = replace(inner.traits, complete="", peers={})
    return replace(
        inner,
        name=name,
        summary=f"{inner.summary.rstrip('.')}, {words}.",
        options=both,
        function=explain,
        traits=traits,
    )


def _joined(title: str, own: type[Options], inner: type[Options]) -> type[Options]:
    """The options of both; a method may have those of a wrapper already, as smoothgrad does."""
    if issubclass(inner, own):
        return inner
    return cast(type[Options], create_model(title, __base__=(own, inner)))
