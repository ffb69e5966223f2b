"""ONNX in, gradient ONNX out."""

import difflib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from leap_audit.errors import FlatGradient, GradientUnavailable
from leap_audit.gradient.emit import Emitter
from leap_audit.gradient.overlays import METADATA, overlay, require_effect
from leap_audit.gradient.table import Rule
from leap_audit.gradient.walk import backpropagate, flat_nodes, named
from leap_audit.ingest.canonical import canonicalise, static_shape, to_proto
from leap_audit.ingest.head import FLOATS
from leap_audit.ingest.onnx import model_of, real_inputs
from leap_audit.run.providers import choose_provider

__all__ = ["Prepared", "build_gradient", "differentiate", "prepare"]


@dataclass(frozen=True)
class Prepared:
    """A canonical graph, and what of it is differentiated with respect to what."""

    model: ir.Model
    output: ir.Value
    values: tuple[ir.Value, ...]


def build_gradient(
    model: str | Path | onnx.ModelProto,
    *,
    batch: int = 1,
    wrt: str | Sequence[str] | None = None,
    of: str | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    rules: str | None = None,
) -> onnx.ModelProto:
    """Return a graph that computes the model's outputs and a gradient.

    batch: what a free batch dimension becomes; a batch fixed at 1 is freed where it can be.
    wrt: the inputs, or tensors inside the graph, to differentiate with respect to; all
    floating-point inputs unless given. of: the output, or tensor inside the graph, that is
    differentiated; the first floating-point output unless given. shapes: input name -> its shape
    without the batch, for inputs that leave more than the batch free. rules: a rule set of
    `overlays.py`, "guided" or "deconvnet": its answer in place of the gradient.

    Inputs of the graph: the model's own and `cotangent`, of the shape and type of `of`.
    Outputs: the model's own, whose meaning never changes; the tensors inside the graph that were
    named; and `<name>_grad` for each of `wrt`: the gradient of sum(cotangent * of). Standard ONNX
    operators only, opset 21. At kinks the convention of docs/adding-an-operator.md holds (0 at
    relu(0), the first of tied maxima).

    A graph made with a rule set names it in its metadata, under `leap_audit.rules`.

    Warns FlatGradient: operators on the way that are constant nearly everywhere, such as Round,
    pass no gradient; they are named.
    Raises ModelRefused: not a model. GradientUnavailable: operators without a rule, all named; a
    name that is not in the graph; nothing to differentiate; a rule set without effect.
    CanonicalMismatch: the graph could not be brought to opset 21 without changing its outputs.
    UsageError: no rule set of that name.
    """
    changed = overlay(rules)
    prepared = prepare(model, batch=batch, wrt=wrt, of=of, shapes=shapes)
    if flat := flat_nodes(prepared.model.graph, [prepared.output], prepared.values):
        warnings.warn(
            f"no gradient passes through: {named(flat)}; it leaves out what depends on them.",
            FlatGradient,
            stacklevel=2,
        )
    if rules is not None:
        require_effect(rules, prepared.model.graph, prepared.output, prepared.values)
        prepared.model.metadata_props[METADATA] = rules
    differentiate(prepared, changed)
    return to_proto(prepared.model)


def prepare(
    model: str | Path | onnx.ModelProto,
    *,
    batch: int = 1,
    wrt: str | Sequence[str] | None = None,
    of: str | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> Prepared:
    """Return what `build_gradient`, whose parameters these are, differentiates."""
    wanted = [wrt] if isinstance(wrt, str) else list(wrt or ())
    proto = _showing(model_of(model), [*wanted, *([of] if of else [])])
    sizes = {name: tuple(shape) for name, shape in (shapes or {}).items()}
    canonical = canonicalise(proto, batch=batch, sizes=sizes, provider=choose_provider("cpu"))
    graph = canonical.graph
    return Prepared(canonical, _output(graph, of), tuple(_values(graph, wanted)))


def differentiate(prepared: Prepared, rules: Mapping[str, Rule] | None = None) -> None:
    """Append the input `cotangent` and the outputs `<name>_grad` to a prepared graph."""
    graph, output, values = prepared.model.graph, prepared.output, prepared.values
    _clear_names(graph, {"cotangent", *(f"{value.name}_grad" for value in values)})
    cotangent = ir.Value(name="cotangent", shape=ir.Shape(static_shape(output)), type=output.type)
    graph.inputs.append(cotangent)
    op = Emitter(graph, "gradient")
    gradients = backpropagate(op, {output: cotangent}, values, rules=rules)
    for value, found in zip(values, gradients, strict=True):
        dx = found
        if dx.producer() is None or dx in graph.outputs:  # the cotangent itself, or x1 + x2
            dx = op.Identity(dx)
        dx.name = f"{value.name}_grad"
        graph.outputs.append(dx)
    common.RemoveUnusedNodesPass()(prepared.model)


def _showing(proto: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """Return the model with the tensors of these names among its outputs, where they are inside.

    So they survive whatever is folded, under their own names.
    """
    given = {value.name for value in (*real_inputs(proto), *proto.graph.output)}
    inside = [name for node in proto.graph.node for name in node.output if name]
    unknown = [name for name in names if name not in given and name not in set(inside)]
    if unknown:
        near = difflib.get_close_matches(unknown[0], [*given, *inside], 3, 0.4)
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else "."
        raise GradientUnavailable(f"the graph has no tensor called {unknown[0]!r}{hint}")
    extra = [name for name in dict.fromkeys(names) if name not in given]
    if not extra:
        return proto
    shown = onnx.ModelProto()
    shown.CopyFrom(proto)
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in extra)
    return shown


def _output(graph: ir.Graph, of: str | None) -> ir.Value:
    """The tensor that is differentiated."""
    if of is None:
        found = next((value for value in graph.outputs if value.dtype in FLOATS), None)
        if found is None:
            raise GradientUnavailable("none of the model's outputs is floating point.")
        return found
    (found,) = [v for v in (*graph.outputs, *graph.inputs) if v.name == of][:1]
    if found.dtype not in FLOATS:
        raise GradientUnavailable(f"{of!r} holds whole numbers, which have no gradient.")
    return found


def _values(graph: ir.Graph, names: Sequence[str]) -> list[ir.Value]:
    """The tensors to differentiate with respect to."""
    if not names:
        found = [value for value in graph.inputs if value.dtype in FLOATS]
        if not found:
            raise GradientUnavailable("none of the model's inputs is floating point.")
        return found
    known = {value.name: value for value in (*graph.outputs, *graph.inputs)}
    found = [known[name] for name in dict.fromkeys(names)]
    whole = [str(value.name) for value in found if value.dtype not in FLOATS]
    if whole:
        raise GradientUnavailable(f"{whole[0]!r} holds whole numbers: there is no gradient.")
    return found


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
