"""A graph made ready to run, once or as a loop whose state stays on the device."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes import common

from leap_audit.errors import LeapAuditError, reason_of
from leap_audit.run.providers import Provider, runtime

__all__ = ["Array", "Loop", "Session", "foreign", "second_copies", "session_options"]

Array: TypeAlias = NDArray[Any]

LARGE = 4096
"""Numbers in an initializer above which ONNX Runtime reads it where it is."""


def session_options(
    threads: int = 0, *, often: bool = True, packed: bool = True, layout: bool = True
) -> Any:
    """Return ONNX Runtime's options for a graph (see `Session`).

    Two of its optimisations keep a second copy of weights. packed: of matrices, as products read
    them fastest: a twentieth faster. layout: of the weights of convolutions, as they suit the
    processor: a sixth faster, and twice as fast where they are depthwise.
    """
    ort = runtime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.use_deterministic_compute = True
    # A plan of the memory is one block beside what the first run took, so it takes twice as much.
    options.enable_mem_pattern = False
    # A buffer that is planned for a later tensor is held until then: half as much again. And the
    # planning takes seconds where shapes are still computed.
    options.enable_mem_reuse = False
    level = ort.GraphOptimizationLevel
    if not often:
        options.graph_optimization_level = level.ORT_DISABLE_ALL
        options.enable_cpu_mem_arena = False  # what a node no longer needs goes back at once
    elif not layout:
        options.graph_optimization_level = level.ORT_ENABLE_EXTENDED
    if not packed or not often:
        options.add_session_config_entry("session.disable_prepacking", "1")
    return options


def second_copies(model: ir.Model) -> dict[str, bool]:
    """Return which second copies of weights are worth their memory, for `session_options`.

    Of convolutions, where they take less memory than the results; of matrices, which gain less, in
    a third as much. What has no static shape does not count.
    """
    matrices, products = _weights_and_results(model, ("MatMul", "Gemm"))
    kernels, maps = _weights_and_results(model, ("Conv", "ConvTranspose"))
    return {"packed": 3 * matrices <= products, "layout": kernels <= maps}


def _weights_and_results(model: ir.Model, operators: Sequence[str]) -> tuple[int, int]:
    """Return how many numbers the constant second inputs of these nodes have, and their results."""
    weights = results = 0
    for node in model.graph:
        if node.op_type not in operators:
            continue
        weight, result = node.inputs[1], node.outputs[0]
        if weight is not None and weight.const_value is not None:
            weights += weight.const_value.size
        if result.shape is not None and result.shape.is_static():
            results += math.prod(result.shape.numpy())
    return weights, results


class Session:
    """A graph loaded on a provider. Nodes of it that no output needs are taken out.

    weights: the numbers of inputs that stand for large initializers, of a model given as protobuf.
    threads: CPU threads; 0 takes one per core. often: worth optimising; else the graph loads
    fast, keeps no second copy of its weights, and computes each node as it is written. lean: keep
    second copies of weights only where they are a small part of what a run needs.
    Raises LeapAuditError: ONNX Runtime cannot load the graph.
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
        options = session_options(threads, often=often, **copies)
        self.provider = provider
        lent = [ort.OrtValue.ortvalue_from_numpy(array) for array in self._weights.values()]
        options.add_external_initializers(list(self._weights), lent)
        if provider.device == "cpu":
            for name, value in zip(self._weights, lent, strict=True):
                options.add_initializer(name, value)  # used in place, not copied
        try:
            self._session = ort.InferenceSession(graph, options, providers=provider.chain)
        except Exception as error:
            raise LeapAuditError(
                f"ONNX Runtime cannot load the graph: {reason_of(error)}."
            ) from error
        self.inputs: tuple[str, ...] = tuple(i.name for i in self._session.get_inputs())
        self.outputs: tuple[str, ...] = tuple(o.name for o in self._session.get_outputs())

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str] | None = None) -> list[Array]:
        """Return the outputs (all of them, in the graph's order, unless some are named)."""
        wanted = list(outputs if outputs is not None else self.outputs)
        return list(self._session.run(wanted, dict(inputs)))

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
        self._binding = session._session.io_binding()
        self._state = {name: output for name, (output, _) in state.items()}
        self._now = {name: self._on_device(first) for name, (_, first) in state.items()}
        self._next = {name: self._on_device(first) for name, (_, first) in state.items()}
        self._constants = {name: self._on_device(value) for name, value in constants.items()}
        for name, value in self._constants.items():
            self._binding.bind_ortvalue_input(name, value)
        kept = set(self._state.values())
        self._read = [name for name in session.outputs if name not in kept]
        self._draws = set(session.inputs) - set(self._state) - set(self._constants)
        self._held: list[Any] = []

    def step(self, draws: Mapping[str, Array]) -> None:
        """Run the graph once on `draws` and let the state advance."""
        if set(draws) != self._draws:
            raise ValueError(f"a step draws {sorted(self._draws)}, not {sorted(draws)}")
        binding = self._binding
        self._held = [self._on_device(value) for value in draws.values()]
        for name, value in zip(draws, self._held, strict=True):
            binding.bind_ortvalue_input(name, value)
        for name, output in self._state.items():
            binding.bind_ortvalue_input(name, self._now[name])
            binding.bind_ortvalue_output(output, self._next[name])
        for name in self._read:
            binding.bind_output(name, self._session.provider.device)
        self._session._session.run_with_iobinding(binding)
        self._now, self._next = self._next, self._now

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
