"""Methods made of methods: keras_explainable.methods.meta.

They wrap any function (model, inputs, indices=None, ...) -> (scores, maps), also one of the user.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np

from leap_audit.errors import LeapAuditError, UsageError
from leap_audit.keras_explainable.units import float_inputs
from leap_audit.measure.attribution.entry import enlarged
from leap_audit.measure.draws import content_key, generator
from leap_audit.run.session import Array

__all__ = ["ExplainingMethod", "resized", "smooth", "tta"]

ExplainingMethod: TypeAlias = Callable[..., tuple[Array, Array]]


def smooth(method: ExplainingMethod, repetitions: int = 20, noise: float = 0.1) -> ExplainingMethod:
    """Return the mean of a method over an input and `repetitions` - 1 noisy copies of it.

    noise: the standard deviation, in the inputs' own numbers. The noise belongs to each input: it
    is the same when the call is repeated, and whatever the input is explained together with.
    """
    if repetitions < 1 or noise < 0:
        raise UsageError("smooth: repetitions is 1 or more, noise 0 or more.")

    def apply(model: Any, inputs: Any, *args: Any, **params: Any) -> tuple[Array, Array]:
        clean = float_inputs(inputs)
        draws = [generator(0, "keras_explainable smooth", content_key(x)) for x in clean]
        scores, maps = _numbers(method(model, clean, *args, **params))
        for _ in range(repetitions - 1):
            drawn = [rng.standard_normal(clean.shape[1:], np.float32) for rng in draws]
            noisy = clean + np.float32(noise) * np.stack(drawn)
            more_scores, more_maps = _numbers(method(model, noisy, *args, **params))
            scores, maps = scores + more_scores, maps + more_maps
        return (scores / repetitions).astype(np.float32), (maps / repetitions).astype(np.float32)

    apply.__name__ = f"{_name(method)}_smooth"
    return apply


def tta(
    method: ExplainingMethod,
    scales: Sequence[float] = (0.5, 1.5, 2.0),
    hflip: bool = True,
    resize_method: str = "bilinear",
) -> ExplainingMethod:
    """Return the mean of a method over an input, its scales, and the mirror image of each.

    scales: factors of the height and width, beside the input as it is, of a model that takes
    inputs of any size. Maps are (n, height, width, units).
    """
    if resize_method not in ("bilinear", "nearest"):
        raise UsageError(f"tta: resize_method {resize_method!r}; give 'bilinear' or 'nearest'.")

    def apply(model: Any, inputs: Any, *args: Any, **params: Any) -> tuple[Array, Array]:
        clean = float_inputs(inputs)
        shape = clean.shape[1:3]
        found = []
        for scale in (None, *scales):
            size = shape if scale is None else tuple(int(scale * side) for side in shape)
            if min(size) < 1:
                raise UsageError(f"tta: nothing is left of {shape} at the scale {scale}.")
            for mirror in (False, True) if hflip else (False,):
                view = resized(clean[:, :, ::-1] if mirror else clean, size, resize_method)
                with _naming(size, shape):
                    scores, maps = _numbers(method(model, view, *args, **params))
                back = maps[:, :, ::-1] if mirror else maps
                found.append((scores, resized(back, shape, resize_method)))
        scores, maps = (np.mean([each[i] for each in found], 0) for i in range(2))
        return scores.astype(np.float32), maps.astype(np.float32)

    apply.__name__ = f"{_name(method)}_tta"
    return apply


@contextmanager
def _naming(size: tuple[int, ...], shape: tuple[int, ...]) -> Iterator[None]:
    """Say that it is a scale that the model refuses."""
    try:
        yield
    except LeapAuditError as error:
        if size == shape:
            raise
        raise UsageError(
            f"tta: the model cannot be run at the size {size} ({error}); give scales=[], or a "
            "model that takes inputs of any size."
        ) from error


def resized(maps: Array, size: Sequence[int], method: str = "bilinear") -> Array:
    """Return (n, rows, columns, channels) at another size, as tf.image.resize does it."""
    shape = (int(size[0]), int(size[1]))
    if maps.shape[1:3] == shape:
        return maps
    if method == "nearest":
        rows, columns = (
            np.minimum(((np.arange(n) + 0.5) * cells / n).astype(int), cells - 1)
            for n, cells in zip(shape, maps.shape[1:3], strict=True)
        )
        return maps[:, rows][:, :, columns]
    whole = enlarged(np.moveaxis(maps, -1, 1), shape)
    return np.moveaxis(whole, 1, -1).astype(np.float32)


def _numbers(found: tuple[Any, Any]) -> tuple[Array, Array]:
    scores, maps = found
    return np.asarray(scores, np.float64), np.asarray(maps, np.float64)


def _name(method: ExplainingMethod) -> str:
    return getattr(method, "__name__", type(method).__name__)
