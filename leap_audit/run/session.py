"""A graph made ready to run, once or as a loop whose state stays on the device."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from threading import RLock
from typing import Any, TypeAlias, TypeVar

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes import common

from leap_audit.errors import LeapAuditError, reason_of
from leap_audit.run.options import (
    LEVELS,
    first_level,
    may_be_the_optimiser,
    may_be_transposed,
    second_copies,
    session_options,
    warn_of,
)
from leap_audit.run.providers import Provider, runtime

__all__ = ["Array", "Loop", "Session", "foreign"]

Array: TypeAlias = NDArray[Any]
T = TypeVar("T")

LARGE = 4096
"""Numbers in an initializer above which ONNX Runtime reads it where it is."""


class Session:
    """A graph loaded on a provider. Nodes of it that no output needs are taken out.

    weights: the numbers of inputs that stand for large initializers, of a model given as protobuf.
    threads: CPU threads; 0 takes one per core. often: worth optimising; else the graph loads
    fast, keeps no second copy of its weights, and computes each node as it is written. lean: keep
    second copies of weights only where they are a small part of what a run needs.

    Where ONNX Runtime's optimiser makes a graph that does not load or does not run, the next lower
    level of optimisation is tried, down to none; `level` says which is in use.
    Warns LessOptimised: a lower level is used, and why.
    Raises LeapAuditError: ONNX Runtime cannot load the graph at any level.
    """

    def __init__(
        self,
        model: ir.Model | onnx.ModelProto,
        provider: Provider,
        threads: int = 0,
        *,
        often: bool = True,
        lean: bool = False,
        weights: Mapping[str, ir.TensorProtocol] | None = None,
    ) -> None:
        ort = runtime()
        if isinstance(model, onnx.ModelProto) and weights is None:
            model = ir.from_proto(model)
        copies: dict[str, bool] = {}
        if isinstance(model, ir.Model):
            common.RemoveUnusedNodesPass()(model)  # ONNX Runtime would run them
            copies = second_copies(model) if lean else {}
            graph, self._weights = _apart(model)
        else:
            graph, self._weights = _with_weights(model, weights or {})
        self.provider = provider
        self._lent = [ort.OrtValue.ortvalue_from_numpy(array) for array in self._weights.values()]
        self._session: Any
        self._lowering = RLock()
        self.level: str
        self._make = partial(self._loaded, graph, threads, often, copies)
        self._load(LEVELS.index(first_level(often=often, layout=copies.get("layout", True))))
        self.inputs: tuple[str, ...] = tuple(i.name for i in self._session.get_inputs())
        self.outputs: tuple[str, ...] = tuple(o.name for o in self._session.get_outputs())

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str] | None = None) -> list[Array]:
        """Return the outputs (all of them, in the graph's order, unless some are named)."""
        wanted = list(outputs if outputs is not None else self.outputs)
        return self.attempted(lambda: list(self._session.run(wanted, dict(inputs))))

    def attempted(self, run: Callable[[], T]) -> T:
        """Return what `run` returns, which uses this session; at a lower level where it fails.

        Raises what `run` raises at the level in use, where it fails at every lower one too.
        """
        level = self.level
        try:
            return run()
        except Exception as error:
            if not may_be_the_optimiser(error):
                raise
            with self._lowering:
                return self._lower(run, level, error)

    def _lower(self, run: Callable[[], T], failed: str, error: Exception) -> T:
        """Return what `run` returns at a lower level than the one at which it failed.

        Raises the error of that one, where it fails at every lower one too.
        """
        if self.level != failed:  # another thread has lowered it
            return run()
        before = self._session, self.level
        for index in range(LEVELS.index(failed) + 1, len(LEVELS)):
            try:
                self._session, self.level = self._make(LEVELS[index]), LEVELS[index]
                result = run()
            except Exception:
                continue
            warn_of(self.level, error)
            return result
        self._session, self.level = before
        raise error

    def _load(self, first: int) -> None:
        """Load the graph at the highest level, from the one of this index on, at which it loads."""
        failure: Exception | None = None
        for level in LEVELS[first:]:
            try:
                self._session, self.level = self._make(level), level
            except Exception as error:
                failure = failure or error
                if not may_be_the_optimiser(error):
                    break
                continue
            if failure is not None:
                warn_of(level, failure)
            return
        assert failure is not None
        raise LeapAuditError(
            f"ONNX Runtime cannot load the graph: {reason_of(failure)}."
        ) from failure

    def _loaded(
        self, graph: bytes, threads: int, often: bool, copies: dict[str, bool], level: str
    ) -> Any:
        """ONNX Runtime's session of the graph at a level."""
        options = session_options(threads, often=often, **copies, level=level)
        options.add_external_initializers(list(self._weights), self._lent)
        if self.provider.device == "cpu":
            moved = may_be_transposed(graph) if level != LEVELS[-1] else frozenset()
            for name, value in zip(self._weights, self._lent, strict=True):
                if name not in moved:
                    options.add_initializer(name, value)  # used in place, not copied
        return runtime().InferenceSession(graph, options, providers=self.provider.chain)

    def loop(
        self, state: Mapping[str, tuple[str, Array]], constants: Mapping[str, Array]
    ) -> "Loop":
        """Return a loop over the graph (see `Loop`)."""
        return Loop(self, state, constants)


class Loop:
    """A step that feeds its own outputs back to its inputs, without leaving the device.

    state: input name -> (output name that replaces it, its first value). Two buffers per state
    take turns. constants: inputs that never change. Every other input is a draw, given to every
    `step`.
    """

    def __init__(
        self,
        session: Session,
        state: Mapping[str, tuple[str, Array]],
        constants: Mapping[str, Array],
    ) -> None:
        self._session = session
        self._state = {name: output for name, (output, _) in state.items()}
        self._now = {name: self._on_device(first) for name, (_, first) in state.items()}
        self._next = {name: self._on_device(first) for name, (_, first) in state.items()}
        self._constants = {name: self._on_device(value) for name, value in constants.items()}
        self._bind()
        kept = set(self._state.values())
        self._read = [name for name in session.outputs if name not in kept]
        self._draws = set(session.inputs) - set(self._state) - set(self._constants)
        self._held: dict[str, Any] = {}

    def step(self, draws: Mapping[str, Array]) -> None:
        """Run the graph once on `draws` and let the state advance."""
        if set(draws) != self._draws:
            raise ValueError(f"a step draws {sorted(self._draws)}, not {sorted(draws)}")
        self._held = {name: self._on_device(value) for name, value in draws.items()}
        self._session.attempted(self._step)
        self._now, self._next = self._next, self._now

    def _bind(self) -> None:
        """Bind the constants to the session that is in use."""
        self._bound = self._session._session
        self._binding = self._bound.io_binding()
        for name, value in self._constants.items():
            self._binding.bind_ortvalue_input(name, value)

    def _step(self) -> None:
        if self._bound is not self._session._session:  # it has been loaded at a lower level
            self._bind()
        binding = self._binding
        for name, value in self._held.items():
            binding.bind_ortvalue_input(name, value)
        for name, output in self._state.items():
            binding.bind_ortvalue_input(name, self._now[name])
            binding.bind_ortvalue_output(output, self._next[name])
        for name in self._read:
            binding.bind_output(name, self._session.provider.device)
        self._bound.run_with_iobinding(binding)

    def state(self, name: str) -> Array:
        """Return a copy of the state that the input `name` will see next."""
        return np.array(self._now[name].numpy())

    def output(self, name: str) -> Array:
        """Return an output, other than state, of the last step."""
        bound = [*self._state.values(), *self._read]
        values = dict(zip(bound, self._binding.get_outputs(), strict=True))
        return np.array(values[name].numpy())

    def _on_device(self, value: Array) -> Any:
        # A copy, always: on the CPU an OrtValue is a view of the array it was made from.
        array = np.array(value, order="C")
        return runtime().OrtValue.ortvalue_from_numpy(array, self._session.provider.device, 0)


def _with_weights(
    model: onnx.ModelProto, weights: Mapping[str, ir.TensorProtocol]
) -> tuple[bytes, dict[str, Array]]:
    """Return what `_apart` does, of a graph whose weights are out of it already."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    for i in reversed([i for i, value in enumerate(graph.input) if value.name in weights]):
        del graph.input[i]
    arrays: dict[str, Array] = {}
    for name, tensor in weights.items():
        stored = graph.initializer.add(
            name=name, data_type=tensor.dtype.value, dims=list(tensor.shape.numpy())
        )
        array = tensor.numpy()
        if foreign(array):
            stored.raw_data = tensor.tobytes()
            continue
        arrays[name] = np.ascontiguousarray(array)
        stored.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", "weights"), ("offset", "0"), ("length", str(array.nbytes))):
            stored.external_data.add(key=key, value=value)
    return copy.SerializeToString(), arrays


def foreign(array: Array) -> bool:
    """Whether NumPy itself has no such numbers: bfloat16, 4 bits."""
    return array.dtype.isbuiltin == 2


def _apart(model: ir.Model) -> tuple[bytes, dict[str, Array]]:
    """Return a graph's bytes without its large weights, and those, to be lent without a copy."""
    large = {
        name: value.const_value
        for name, value in model.graph.initializers.items()
        if value.const_value is not None and value.const_value.size > LARGE
    }
    arrays: dict[str, Array] = {}
    try:
        for name, tensor in large.items():
            array = tensor.numpy()
            if foreign(array):
                continue
            arrays[name] = np.ascontiguousarray(array)
            model.graph.initializers[name].const_value = ir.ExternalTensor(
                "weights", 0, array.nbytes, tensor.dtype, shape=ir.Shape(array.shape), name=name
            )
        return ir.to_proto(model).SerializeToString(), arrays
    finally:
        for name, tensor in large.items():
            model.graph.initializers[name].const_value = tensor
