"""`explain`: a method over batches of inputs, as keras_explainable's engine has it."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from leap_audit.errors import UsageError
from leap_audit.keras_explainable import cams, gradient
from leap_audit.keras_explainable.filters import SPATIAL_AXIS
from leap_audit.keras_explainable.meta import ExplainingMethod, plain_method, resized
from leap_audit.keras_explainable.units import exposed_model, float_inputs
from leap_audit.progress import Progress, Silent
from leap_audit.run.session import Array
from leap_audit.text.names import did_you_mean
from leap_audit.watching import default_progress

__all__ = ["explain", "explain_step", "method_named", "partial_explain"]

BATCH = 32
DISTRIBUTED = {"max_queue_size": 10, "workers": 1, "use_multiprocessing": False, "force": True}
"""Parameters of Keras's own loop, which nothing here depends on, with their defaults."""


def explain(
    method: ExplainingMethod | str,
    model: Any,
    x: Any,
    y: Any = None,
    batch_size: int | None = None,
    verbose: str | int = "auto",
    steps: int | None = None,
    callbacks: Any = None,
    max_queue_size: int = 10,
    workers: int = 1,
    use_multiprocessing: bool = False,
    force: bool = True,
    **method_params: Any,
) -> tuple[Array, Array]:
    """Return (scores, maps) of all inputs: float32 of (n, units) and (n, rows, columns, units).

    method: a function of `methods`, one made by `methods.meta`, one of the user with the same
    parameters, or a name. model: as of `expose`, or what `expose` returned. x: an array or tensor
    (n, height, width, channels) as the model takes it; or batches of it, or of (x, y): a
    tf.data.Dataset, a Sequence, a generator (then y is None). y: (n, units), which units of each
    input are explained; None: all. steps: batches at most. callbacks: with Keras's on_predict_...
    methods. method_params: `postprocessing`, a filter of maps and their spatial axes; `resizing`,
    True for the inputs' size (after the filter), False, or a size; the others are the method's.

    Raises LeapAuditError: no such method, units or shape, or what the method lacks; no inputs.
    """
    method = method_named(method)
    ignored = (max_queue_size, workers, use_multiprocessing, force)
    if ignored != tuple(DISTRIBUTED.values()):
        warnings.warn(f"{', '.join(DISTRIBUTED)}: not needed, and ignored.", stacklevel=2)
    listening = _listening(callbacks, model)
    progress: Progress = Silent() if verbose == 0 else default_progress()
    exposed = exposed_model(model)
    batches, count = _batches(x, y, batch_size or BATCH, steps)
    found: list[tuple[Array, Array]] = []
    _tell(listening, "on_predict_begin")
    with progress.stage("Explaining", count or 1) as advance:
        for step, (inputs, units) in enumerate(batches):
            _tell(listening, "on_predict_batch_begin", step)
            outputs = explain_step(exposed, method, (inputs, units), **method_params)
            found.append(outputs)
            _tell(listening, "on_predict_batch_end", step, {"outputs": outputs})
            if count:
                advance()
    if not found:
        raise UsageError("x: no inputs; give at least one batch.")
    _tell(listening, "on_predict_end")
    scores, maps = (np.concatenate([each[i] for each in found]) for i in range(2))
    return scores, maps


def explain_step(
    model: Any,
    method: ExplainingMethod,
    data: tuple[Any, ...],
    spatial_axis: tuple[int, ...] = SPATIAL_AXIS,
    postprocessing: Callable[..., Any] | None = None,
    resizing: bool | Sequence[int] | None = True,
    **params: Any,
) -> tuple[Array, Array]:
    """Return (scores, maps) of one batch, filtered and then brought to a size."""
    inputs, units = float_inputs(data[0]), data[1] if len(data) > 1 else None
    scores, maps = method(model, inputs, indices=units, spatial_axis=spatial_axis, **params)
    scores, maps = np.asarray(scores), np.asarray(maps)
    if postprocessing is not None:
        maps = np.asarray(postprocessing(maps, axis=spatial_axis))
    if resizing is not None and resizing is not False:
        maps = resized(maps, inputs.shape[1:3] if resizing is True else resizing)
    return scores, maps


def partial_explain(
    method: ExplainingMethod, **default_params: Any
) -> Callable[..., tuple[Array, Array]]:
    """Return `explain` of a method, with other defaults."""

    def explain_by_method(*args: Any, **params: Any) -> tuple[Array, Array]:
        return explain(method, *args, **{**default_params, **params})

    explain_by_method.__name__ = f"{method.__name__}_explain"
    explain_by_method.__doc__ = f"Explain by {method.__name__}; parameters as of `explain`."
    return explain_by_method


def method_named(method: ExplainingMethod | str) -> ExplainingMethod:
    """Return a method, or the one of a name. Raises UsageError: there is none; the nearest."""
    if not isinstance(method, str):
        method = plain_method(method)
        if not callable(method):
            raise UsageError(f"method: a {type(method).__name__} is no function; give one.")
        return method
    several: tuple[Any, ...] = (*gradient.METHODS, *cams.METHODS)
    named: dict[str, ExplainingMethod] = {each.__name__: each for each in several}
    if method not in named:
        raise UsageError(f"method: there is no {method!r}{did_you_mean(method, named)}")
    return named[method]


def _batches(
    x: Any, y: Any, size: int, steps: int | None
) -> tuple[Iterator[tuple[Any, Any]], int | None]:
    """Batches of inputs with their units, and how many where that is known."""
    if hasattr(x, "shape"):
        count = -(-len(x) // size)
        if y is not None and len(y) != len(x):
            raise UsageError(f"y: {len(y)} lists of units for {len(x)} inputs.")
        parts = (slice(i * size, (i + 1) * size) for i in range(count))
        pairs = ((x[part], None if y is None else y[part]) for part in parts)
        return _first(pairs, steps), count if steps is None else min(count, steps)
    if y is not None:
        raise UsageError("y: is None where x holds batches; give pairs (x, y) as its batches.")
    several: Iterable[Any]
    if hasattr(x, "as_numpy_iterator"):
        several = x.as_numpy_iterator()
    elif hasattr(x, "__getitem__") and hasattr(x, "__len__"):
        several = (x[i] for i in range(len(x)))
    elif isinstance(x, Iterable):
        several = x
    else:
        raise UsageError(f"x: a {type(x).__name__} holds no inputs; give an array or batches.")
    return _first(map(_pair, several), steps), steps


def _first(pairs: Iterator[tuple[Any, Any]], steps: int | None) -> Iterator[tuple[Any, Any]]:
    for step, pair in enumerate(pairs):
        if step == steps:
            return
        yield pair


def _pair(batch: Any) -> tuple[Any, Any]:
    """x, (x,), (x, y) or (x, y, weights)."""
    if not isinstance(batch, tuple | list) or hasattr(batch, "shape"):
        return batch, None
    return batch[0], batch[1] if len(batch) > 1 else None


def _listening(callbacks: Any, model: Any) -> list[Any]:
    several = callbacks if isinstance(callbacks, list | tuple) else [callbacks]
    found = [each for each in several if each is not None]
    for each in found:
        if hasattr(each, "set_model"):
            each.set_model(getattr(model, "model", model))
    return found


def _tell(callbacks: Sequence[Any], what: str, *args: Any) -> None:
    for each in callbacks:
        if (call := getattr(each, what, None)) is not None:
            call(*args)
