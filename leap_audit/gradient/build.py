"""ONNX in, gradient ONNX out."""

from pathlib import Path

import onnx
import onnx_ir as ir

from leap_audit.errors import GradientUnavailable
from leap_audit.gradient.emit import Emitter
from leap_audit.gradient.walk import backpropagate
from leap_audit.ingest.canonical import canonicalise, static_shape, to_proto
from leap_audit.ingest.head import FLOATS
from leap_audit.ingest.onnx import checked, read_onnx
from leap_audit.run.providers import choose_provider

__all__ = ["build_gradient"]


def build_gradient(model: str | Path | onnx.ModelProto, *, batch: int = 1) -> onnx.ModelProto:
    """Return a graph that computes the model's outputs and the gradient of its inputs.

    batch: what a free batch dimension becomes; a batch fixed at 1 is freed where it can be.

    Inputs of the graph: the model's own and `cotangent`, of the first output's shape and type.
    Outputs: the model's own and `<input>_grad` for each floating-point input: the gradient of
    sum(cotangent * first output). Standard ONNX operators only, opset 21. At kinks the
    convention of docs/adding-an-operator.md holds (0 at relu(0), the first of tied maxima).

    Raises ModelRefused: not a model. GradientUnavailable: operators without a rule, all named.
    CanonicalMismatch: the graph could not be brought to opset 21 without changing its outputs.
    """
    proto = (
        checked(model, "the model")
        if isinstance(model, onnx.ModelProto)
        else read_onnx(Path(model))
    )
    canonical = canonicalise(proto, batch=batch, provider=choose_provider("cpu"))
    graph = canonical.graph
    output = graph.outputs[0]
    inputs = [value for value in graph.inputs if value.dtype in FLOATS]
    if output.dtype not in FLOATS or not inputs:
        raise GradientUnavailable("the model's first output or its inputs are not floating point.")
    wanted = {"cotangent", *(f"{value.name}_grad" for value in inputs)}
    _clear_names(graph, wanted)
    cotangent = ir.Value(name="cotangent", shape=ir.Shape(static_shape(output)), type=output.type)
    graph.inputs.append(cotangent)
    op = Emitter(graph, "gradient")
    gradients = backpropagate(op, {output: cotangent}, inputs)
    for value, found in zip(inputs, gradients, strict=True):
        dx = found
        if dx.producer() is None or dx in graph.outputs:  # the cotangent itself, or x1 + x2
            dx = op.Identity(dx)
        dx.name = f"{value.name}_grad"
        graph.outputs.append(dx)
    return to_proto(canonical)


def _clear_names(graph: ir.Graph, wanted: set[str]) -> None:
    """Rename inner tensors that bear a name of the new graph's signature."""
    outside = {str(value.name) for value in (*graph.inputs, *graph.outputs)}
    if clash := sorted(outside & wanted):
        raise GradientUnavailable(
            f"the model has an input or output called {clash[0]!r}, a name that the gradient "
            "graph needs; rename it."
        )
    inner = [y for node in graph for y in node.outputs] + list(graph.initializers.values())
    for value in inner:
        if value.name in wanted:
            value.name = f"{value.name}_of_the_model"
