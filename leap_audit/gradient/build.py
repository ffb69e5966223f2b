"""Build the gradient of an ONNX model as an ONNX graph."""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from leap_audit.canonical.form import canonicalise
from leap_audit.errors import FlatGradient, GradientUnavailable, StraightThrough
from leap_audit.gradient.items import over_items
from leap_audit.gradient.names import (
    as_variables,
    find_weights,
    free_names,
    require_weights,
    show_tensors,
)
from leap_audit.gradient.path import (
    carrying,
    flat_nodes,
    list_nodes,
    path,
    require_rules,
    rounding_nodes,
)
from leap_audit.gradient.rulesets import (
    METADATA,
    OPTIONS_METADATA,
    Pass,
    RuleSet,
    choose_rules,
    require_effect,
    rule_set,
)
from leap_audit.gradient.table import RULES
from leap_audit.gradient.walk import backpropagate
from leap_audit.graph.emit import Emitter
from leap_audit.graph.operators import FLOATS, QUANTISED, SHAPE_ONLY
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.weights import into_proto
from leap_audit.ingest.files.onnx import model_of
from leap_audit.ingest.outputs.tensor_outputs import with_tensor_outputs
from leap_audit.run.providers import choose_provider

__all__ = ["OF", "RENAMED", "Prepared", "build_gradient", "differentiate", "prepare"]


@dataclass(frozen=True)
class Prepared:
    """A canonical graph, and what of it is differentiated with respect to what."""

    model: ir.Model
    output: ir.Value
    values: tuple[ir.Value, ...]


OF = "leap_audit.of"
"""The key under which a gradient graph's metadata names the output that it differentiates."""
RENAMED = "leap_audit.renamed"
"""The key under which it has, as JSON, new name -> old name of the tensors of the model whose names
the gradient graph needs itself."""


def build_gradient(
    model: str | Path | onnx.ModelProto,
    *,
    batch: int = 1,
    wrt: str | Sequence[str] | None = None,
    of: str | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    rules: str | RuleSet | None = None,
    per_item: bool = False,
) -> onnx.ModelProto:
    """Return a graph that computes the model's outputs and a gradient.

    batch: what a free batch dimension becomes; a batch fixed at 1 is freed where it can be.
    wrt: the inputs, weights, or tensors inside the graph, to differentiate with respect to; unless
    given, all floating-point inputs and those of 8 or 16 bits that `of` is computed from. of: the
    output, or tensor inside the graph, that is differentiated; unless given the first
    floating-point output, or the first of 8 or 16 bits. shapes: input name -> its shape without the
    batch, for inputs that leave more than the batch free. rules: a rule set, or the name of
    one of `rulesets.py` ("guided", "deconvnet"), `lrp.py` ("lrp", "attnlrp", with the defaults of
    their options) or `deeplift.py` ("deeplift"): its answer in place of the gradient. That of lrp
    and attnlrp is the relevance that adds up to sum(cotangent * of), but for what constants keep.
    That of deeplift are multipliers; the batch holds inputs, then as many baselines, and the
    cotangent is the same for both: multiplier times (input - baseline) adds up to the difference
    of sum(cotangent * of).

    Inputs of the graph: the model's own and `cotangent`, of the shape and type of `of`.
    Outputs: the model's own, whose meaning never changes (of one that is a map, a sequence or a
    text, the tensor behind it); the tensors inside the graph that were named; and `<name>_grad`
    for each of `wrt`: the gradient of sum(cotangent * of). Standard ONNX operators only, opset
    21. A tensor of the model that bears one of these names, as a gradient graph does, is renamed:
    `cotangent` becomes `cotangent_1`. At kinks the convention of docs/adding-an-operator.md holds
    (0 at relu(0), the first of tied maxima).

    Weights are initializers of the model, or tensors of its Constants, by their names in the file.
    Their gradient is summed over the batch; with `per_item` it has the batch as first axis, and
    each item is computed by itself, one after the other (a Scan). They stay initializers under
    these names, and nothing else in the graph is computed from them beforehand: with other numbers
    in them it is as right.

    Whole numbers that are quantised or a picture's count as numbers: cotangent and gradient of
    such tensors are float32, per step of the number. So the gradient with respect to a picture of
    uint8 is the one behind its conversion to floating point, in units of 0..255; one of 32 bits is
    differentiated where `wrt` names it. Rounding to quantised numbers counts as the identity, and
    its gradient is zero beyond what can be represented. Indices have no gradient.

    The graph's metadata names `of` under `leap_audit.of`, what was renamed under
    `leap_audit.renamed`, and a rule set under `leap_audit.rules`,
    its options under `leap_audit.rules.options`.

    Warns FlatGradient: operators on the way that are constant nearly everywhere, such as Round,
    pass no gradient; they are named. StraightThrough: operators on the way that round, named.
    Raises ModelRefused: not a model. GradientUnavailable: operators without a rule, all named; a
    name that is not in the graph; nothing to differentiate; a rule set without effect.
    CanonicalMismatch: the graph could not be brought to opset 21 without changing its outputs.
    UsageError: no rule set of that name.
    """
    replaced = rule_set(rules)
    passes = replaced.passes if replaced is not None else ()
    together = 1 if per_item else batch
    prepared = prepare(model, batch=together, wrt=wrt, of=of, shapes=shapes, passes=passes)
    graph, ends = prepared.model.graph, [prepared.output]
    nodes = path(graph, ends, prepared.values)
    chosen = choose_rules(replaced, nodes, prepared.values)
    # Before shapes, which a foreign operator leaves open.
    require_rules([node for node in nodes if node not in chosen], RULES)
    if flat := flat_nodes(graph, ends, prepared.values):
        warnings.warn(
            f"no gradient passes through: {list_nodes(flat)}; it leaves out what depends on them.",
            FlatGradient,
            stacklevel=2,
        )
    if rounding := rounding_nodes(graph, ends, prepared.values):
        warnings.warn(
            f"the gradient passes straight through rounding: {list_nodes(rounding)}; it is that of "
            "the dequantised model, and zero beyond what can be represented.",
            StraightThrough,
            stacklevel=2,
        )
    if replaced is not None:
        require_effect(replaced, graph, prepared.output, prepared.values)
        prepared.model.metadata_props[METADATA] = replaced.name
        if options := replaced.options.model_dump(mode="json"):
            prepared.model.metadata_props[OPTIONS_METADATA] = json.dumps(options, sort_keys=True)
    differentiate(prepared, replaced)
    weights = [str(value.name) for value in prepared.values if value.is_initializer()]
    found = into_proto(prepared.model)
    return over_items(found, batch, weights) if per_item else found


def prepare(
    model: str | Path | onnx.ModelProto,
    *,
    batch: int = 1,
    wrt: str | Sequence[str] | None = None,
    of: str | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    passes: Sequence[Pass] = (),
) -> Prepared:
    """Return what `build_gradient`, whose other parameters these are, differentiates.

    passes: run on the canonical graph; the tensors named in `wrt` and `of` are outputs of it then.
    """
    wanted = [wrt] if isinstance(wrt, str) else list(wrt or ())
    sizes = {name: tuple(shape) for name, shape in (shapes or {}).items()}
    shown = show_tensors(_of_tensors(model_of(model)), [*wanted, *([of] if of else [])])
    weights = find_weights(shown, wanted)
    canonical = canonicalise(
        shown, batch=batch, sizes=sizes, provider=choose_provider("cpu"), weights=weights
    )
    require_weights(shown, canonical.graph, weights)
    del shown
    for change in passes:
        change(canonical)
    graph = canonical.graph
    output = _output(graph, of)
    return Prepared(canonical, output, tuple(_values(graph, wanted, output)))


def differentiate(prepared: Prepared, rules: RuleSet | None = None) -> None:
    """Append the input `cotangent` and the outputs `<name>_grad` to a prepared graph.

    Its metadata says what is differentiated, and what was renamed.
    """
    graph, output, values = prepared.model.graph, prepared.output, prepared.values
    renamed = free_names(graph, ["cotangent"])
    renamed |= free_names(graph, [f"{value.name}_grad" for value in values])
    props = prepared.model.metadata_props
    props[OF] = str(output.name)
    if renamed:
        props[RENAMED] = json.dumps(renamed, sort_keys=True)
    else:
        props.pop(RENAMED, None)
    kind = output.type if output.dtype in FLOATS else ir.TensorType(ir.DataType.FLOAT)
    cotangent = ir.Value(name="cotangent", shape=ir.Shape(static_shape(output)), type=kind)
    graph.inputs.append(cotangent)
    op = Emitter(graph, "gradient")
    with as_variables(values):
        gradients = backpropagate(op, {output: cotangent}, values, rules=rules)
    for value, gradient in zip(values, gradients, strict=True):
        dx = gradient
        if dx.producer() is None or dx in graph.outputs:  # the cotangent itself, or x1 + x2
            dx = op.Identity(dx)
        dx.name = f"{value.name}_grad"
        graph.outputs.append(dx)
    common.RemoveUnusedNodesPass()(prepared.model)


def _of_tensors(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with the tensors behind its maps, sequences and texts for outputs."""
    plain = all(_is_tensor(value) for value in proto.graph.output)
    return proto if plain else with_tensor_outputs(proto).proto


def _is_tensor(value: onnx.ValueInfoProto) -> bool:
    kind = value.type.WhichOneof("value")
    if kind == "tensor_type":
        return bool(value.type.tensor_type.elem_type != onnx.TensorProto.STRING)
    return kind is None


def _output(graph: ir.Graph, of: str | None) -> ir.Value:
    """The tensor that is differentiated."""
    if of is None:
        for kinds in (FLOATS, QUANTISED):
            outputs = [value for value in graph.outputs if value.dtype in kinds]
            if outputs:
                return outputs[0]
        scores = [x for value in graph.outputs if (x := _chosen_from(value)) is not None]
        hint = f", such as {str(scores[0].name)!r}" if scores else ""
        raise GradientUnavailable(
            "none of the model's outputs is floating point or quantised; name the tensor inside "
            f"the graph that is to be differentiated (of, --of){hint}."
        )
    (output,) = [v for v in (*graph.outputs, *graph.inputs) if v.name == of][:1]
    if output.dtype not in (*FLOATS, *QUANTISED):
        raise GradientUnavailable(f"{of!r} holds whole numbers, which have no gradient.")
    return output


def _chosen_from(value: ir.Value) -> ir.Value | None:
    """The scores of which an output gives the best or the order."""
    node = value.producer()
    while node is not None and node.op_type in SHAPE_ONLY:
        value = next(x for x in node.inputs if x is not None)
        node = value.producer()
    return node.inputs[0] if node is not None and node.op_type in ("ArgMax", "TopK") else None


def _values(graph: ir.Graph, names: Sequence[str], output: ir.Value) -> list[ir.Value]:
    """The tensors to differentiate with respect to."""
    if not names:
        whole = [value for value in graph.inputs if value.dtype in QUANTISED]
        kept = carrying(graph, [output], whole)
        chosen = [value for value in graph.inputs if value.dtype in FLOATS or value in kept]
        if not chosen:
            raise GradientUnavailable(
                "none of the model's inputs is floating point, quantised or a picture of 8 or 16 "
                "bits; name what to differentiate with respect to (wrt, --wrt)."
            )
        return chosen
    by_name = {v.name: v for v in (*graph.initializers.values(), *graph.outputs, *graph.inputs)}
    chosen = [by_name[name] for name in dict.fromkeys(names)]
    whole = [value for value in chosen if value.dtype not in FLOATS]
    kept = carrying(graph, [output], whole)
    if refused := [value for value in whole if value not in kept]:
        raise GradientUnavailable(
            f"{refused[0].name!r} holds whole numbers that nothing computes with as numbers: there "
            "is no gradient."
        )
    return chosen
