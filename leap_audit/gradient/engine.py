"""One interface to differentiate, whichever engine does it."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx

from leap_audit.canonical.agreement import SCALES
from leap_audit.canonical.form import input_shape
from leap_audit.canonical.layers import agree
from leap_audit.errors import (
    CanonicalMismatch,
    EngineFallback,
    GradientUnavailable,
    ModelRefused,
    RuntimeMissing,
)
from leap_audit.gradient.build import OF, build_gradient
from leap_audit.gradient.rulesets import RuleSet
from leap_audit.graph.protos import is_float, real_inputs
from leap_audit.ingest.files.onnx import model_of
from leap_audit.run.fallback import TorchGradient, from_onnx
from leap_audit.run.providers import choose_provider
from leap_audit.run.session import Array, Session

__all__ = ["Differentiable", "OnnxGradient", "differentiable"]


class Differentiable(Protocol):
    """A network of one input and its gradient."""

    engine: str
    """What computes: 'onnxruntime CPUExecutionProvider', 'pytorch autograd (module)', ..."""
    reason: str
    """Why it is this engine, a sentence."""

    def value_and_gradient(self, x: Array, cotangent: Array) -> tuple[Array, Array]:
        """Return the first output at x, and the gradient of sum(cotangent * output).

        x, cotangent: of the input's and the output's shape, any number of items along axis 0.
        """


class OnnxGradient:
    """A model differentiated as an ONNX graph, on an execution provider.

    batch: items computed together; more are taken in turns. of, shapes, rules: as in
    `build_gradient`. provider, threads: as in `choose_provider` and `Session`.

    Raises what `build_gradient` raises, and ModelRefused: several inputs, or an output without a
    batch.
    """

    def __init__(
        self,
        model: str | Path | onnx.ModelProto,
        *,
        batch: int = 1,
        of: str | None = None,
        shapes: Mapping[str, Sequence[int]] | None = None,
        rules: str | RuleSet | None = None,
        provider: str = "auto",
        threads: int = 0,
    ) -> None:
        proto = model_of(model)
        self._x = _only_input(proto).name
        graph = build_gradient(proto, batch=batch, of=of, shapes=shapes, rules=rules)
        sizes = {v.name: _shape(v) for v in graph.graph.input}
        self._items, self._outputs = sizes[self._x], sizes["cotangent"]
        if self._items[:1] != self._outputs[:1]:
            raise ModelRefused(
                f"the output has shape {self._outputs}, the input {self._items}: they do not "
                "begin with the same batch."
            )
        self._types = {v.name: _dtype(v) for v in graph.graph.input}
        self._y = {prop.key: prop.value for prop in graph.metadata_props}[OF]
        self._session = Session(graph, choose_provider(provider), threads, lean=True)
        self.engine = f"onnxruntime {self._session.provider.name}"
        self.reason = "the gradient is an ONNX graph of standard operators."

    def value_and_gradient(self, x: Array, cotangent: Array) -> tuple[Array, Array]:
        """Return the output at x, and the gradient of sum(cotangent * output), of x's shape.

        Raises ValueError: shapes that are not the model's.
        """
        wanted = ((len(x), *self._items[1:]), (len(x), *self._outputs[1:]))
        if (np.shape(x), np.shape(cotangent)) != wanted:
            raise ValueError(f"x and cotangent have shapes {wanted[0]} and {wanted[1]} here")
        batch = self._items[0]
        parts = [
            self._run(x[i : i + batch], cotangent[i : i + batch]) for i in range(0, len(x), batch)
        ]
        y, dx = (np.concatenate(part)[: len(x)] for part in zip(*parts, strict=True))
        return y, dx

    def _run(self, x: Array, cotangent: Array) -> tuple[Array, Array]:
        """One batch; a smaller one is filled up with zeros."""
        feed = {
            self._x: _filled(x, self._items).astype(self._types[self._x]),
            "cotangent": _filled(cotangent, self._outputs).astype(self._types["cotangent"]),
        }
        y, dx = self._session.run(feed, [self._y, f"{self._x}_grad"])
        return y, dx


def differentiable(
    model: str | Path | onnx.ModelProto,
    *,
    module: Any = None,
    batch: int = 1,
    shapes: Mapping[str, Sequence[int]] | None = None,
    provider: str = "auto",
    threads: int = 0,
    convert: Callable[[onnx.ModelProto], Any] = from_onnx,
) -> Differentiable:
    """Return the model with its gradient, on the first engine that has one.

    ONNX Runtime, by `build_gradient`; otherwise PyTorch autograd, on `module`, the
    torch.nn.Module that the model was exported from, or on what `convert` (onnx2torch) makes of
    the graph. Either must give the numbers of the model itself on random inputs. Which engine it
    is, and why, is said in `engine` and `reason`. The other parameters are `OnnxGradient`'s.

    With f = differentiable("model.onnx", batch=16), an image x of shape (1, ...) and a one-hot
    cotangent dy of shape (1, classes), three explainers are a line or two each::

        # gradient times input
        attribution = x * f.value_and_gradient(x, dy)[1]

        # SmoothGrad, Smilkov et al. 2017
        noisy = x + rng.normal(0, 0.15 * np.ptp(x), (50, *x.shape[1:]))
        smooth = f.value_and_gradient(noisy, np.repeat(dy, 50, 0))[1].mean(0)

        # integrated gradients, Sundararajan et al. 2017
        way = baseline + (np.arange(50)[:, None, None, None] + 0.5) / 50 * (x - baseline)
        integrated = (x - baseline) * f.value_and_gradient(way, np.repeat(dy, 50, 0))[1].mean(0)

    Warns EngineFallback: it is not ONNX Runtime.
    Raises GradientUnavailable: no engine can; what was tried is said. ModelRefused: not a model
    of one input.
    """
    proto = model_of(model)
    try:
        return OnnxGradient(proto, batch=batch, shapes=shapes, provider=provider, threads=threads)
    except (GradientUnavailable, CanonicalMismatch) as error:
        unavailable = error
    size = (shapes or {}).get(_only_input(proto).name)
    shape = input_shape(_only_input(proto), batch, None if size is None else tuple(size))
    makers: dict[str, Callable[[], Any]] = {"onnx2torch": partial(convert, proto)}
    tried = ["module: none was given."]
    if module is not None:
        makers, tried = {"module": lambda: module, **makers}, []
    for name, make in makers.items():
        try:
            gradient = TorchGradient(
                make(),
                engine=f"pytorch autograd ({name})",
                reason=" ".join([str(unavailable), *(tried if module is not None else [])]),
            )
            _require_same(proto, gradient, shape)
        except (GradientUnavailable, RuntimeMissing) as error:
            tried.append(f"{name}: {error}")
            continue
        warnings.warn(f"{gradient.engine}: {gradient.reason}", EngineFallback, stacklevel=2)
        return gradient
    raise GradientUnavailable(
        f"{unavailable} PyTorch cannot differentiate it either. {' '.join(tried)}"
    ) from unavailable


def _require_same(proto: onnx.ModelProto, gradient: TorchGradient, shape: tuple[int, ...]) -> None:
    """Refuse a module that is not the model: other outputs, or none, on random inputs."""
    session = Session(proto, choose_provider("cpu"))
    y = next(v.name for v in proto.graph.output if is_float(v))
    rng = np.random.default_rng(0)
    for scale in SCALES:
        x = (rng.random(shape) * scale).astype(_dtype(_only_input(proto)))
        (want,) = session.run({_only_input(proto).name: x}, [y])
        try:
            have, _ = gradient.value_and_gradient(x, np.ones_like(want))
        except Exception as error:  # whatever a module raises
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise GradientUnavailable(f"it fails on the model's input: {reason}") from error
        if not agree(want, have):
            raise GradientUnavailable("it gives other numbers than the model.")


def _only_input(proto: onnx.ModelProto) -> onnx.ValueInfoProto:
    inputs = real_inputs(proto)
    if len(inputs) != 1:
        names = ", ".join(repr(value.name) for value in inputs)
        raise ModelRefused(f"the model takes {len(inputs)} inputs ({names}), not one.")
    return inputs[0]


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(d.dim_value for d in value.type.tensor_type.shape.dim)


def _dtype(value: onnx.ValueInfoProto) -> np.dtype[Any]:
    return onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)


def _filled(x: Array, shape: tuple[int, ...]) -> Array:
    return np.concatenate([x, np.zeros((shape[0] - len(x), *shape[1:]), x.dtype)])
