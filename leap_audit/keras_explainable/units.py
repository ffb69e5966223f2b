"""Maps of units: one explanation by the registry for each input and each unit."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from leap_audit.errors import PictureRefused, UsageError
from leap_audit.keras_explainable.inspection import Exposed, require_axes, units_of
from leap_audit.measure.run import Run
from leap_audit.pipeline.explain import PictureExplanation
from leap_audit.pipeline.inputs import explain_inputs
from leap_audit.run.session import Array

__all__ = ["exposed_model", "float_inputs", "opened_for", "unit_maps"]


def exposed_model(model: Any) -> Exposed:
    """Return a model with what is explained of it; a plain one has it chosen."""
    return model if isinstance(model, Exposed) else Exposed(model)


def float_inputs(inputs: Any) -> Array:
    """Return inputs, (n, height, width, channels) float32.

    Raises UsageError: tensors of a graph that TensorFlow is tracing. PictureRefused: another shape.
    """
    try:
        values = np.asarray(inputs, np.float32)
    except NotImplementedError:
        raise UsageError(
            "inputs: a tensor without values, as within tf.function; call the method itself, "
            "ONNX Runtime compiles what it runs."
        ) from None
    if values.ndim != 4 or not values.size:
        raise PictureRefused(
            f"x: inputs of the shape {list(values.shape)}; give (n, height, width, channels)."
        )
    return values


def opened_for(model: Any, inputs: Array) -> tuple[Exposed, Run, Array]:
    """Return the model, ready for inputs of this size, and the inputs with channels first."""
    exposed = exposed_model(model)
    first = np.ascontiguousarray(np.moveaxis(inputs, -1, 1))
    channels, height, width = first.shape[1:]
    return exposed, exposed.run((channels, height, width)), first


def unit_maps(
    model: Any,
    inputs: Any,
    indices: Any,
    name: str,
    options: Mapping[str, Any],
    map_of: Callable[[PictureExplanation], Array],
    *,
    at: bool = True,
    axis: int = -1,
    batch_dims: int = -1,
    spatial_axis: tuple[int, ...] = (-3, -2),
) -> tuple[Array, Array]:
    """Return (scores, maps), (n, units) and (n, rows, columns, units), float32.

    name, options: of a method of the registry. map_of: the (rows, columns) of an explanation. at:
    whether the method looks at the exposed tensor.
    """
    require_axes(spatial_axis)
    exposed, run, first = opened_for(model, float_inputs(inputs))
    scores = run.logits(first)
    units = units_of(indices, len(first), scores.shape[1], axis, batch_dims)
    tensor = exposed.at(run) if at else None
    options = dict(options) if tensor is None else {**options, "at": tensor}
    repeated = np.repeat(first, units.shape[1], 0)  # one explanation for each input and unit
    targets = [int(unit) for unit in units.ravel()]
    found = [map_of(each) for each in explain_inputs(run, repeated, targets, name, options)]
    maps = np.stack(found).reshape(*units.shape, *found[0].shape)
    chosen = np.take_along_axis(scores, units, 1).astype(np.float32)
    return chosen, np.moveaxis(maps, 1, -1).astype(np.float32)
