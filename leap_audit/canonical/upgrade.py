"""Any opset to the one that everything else is written for."""

import onnx
from onnx import inliner, version_converter

from leap_audit.errors import ModelRefused, reason_of
from leap_audit.graph.opset import ONNX_DOMAIN, OPSET
from leap_audit.graph.protos import opset_of
from leap_audit.graph.weights import numbers_of

__all__ = ["NEWER", "upgraded"]

DEFINED = frozenset({"NegativeLogLikelihoodLoss", "SequenceMap", "SoftmaxCrossEntropyLoss"})
"""Older operators that are written as ONNX defines them too."""
NEWER = "newer"
"""The domain of operators that OPSET does not have, nor ONNX a definition for by others."""
UNDEFINED = frozenset({"CumProd", "TensorScatter"})
"""These; rewritings take them from there."""


def upgraded(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model at OPSET, or itself where it is there already.

    Raises ModelRefused: the converter of onnx cannot.
    """
    version = opset_of(model)
    model = _in_older_operators(model, version)
    if version == OPSET:
        return model
    if version == 8 and any(node.op_type == "Scan" for node in model.graph.node):
        raise ModelRefused(
            "Scan of opset 8 has an axis for the batch that it lost in opset 9; export the model "
            "with opset 9 or above."
        )
    try:
        converted = version_converter.convert_version(model, OPSET)
    except Exception as error:  # the converter raises whatever its adapters raise
        raise ModelRefused(
            f"the model's opset {version} cannot be converted to {OPSET} ({reason_of(error)})."
        ) from None
    if version < 11:
        _resize_as_before_opset_11(converted)
    return converted


def _in_older_operators(model: onnx.ModelProto, version: int) -> onnx.ModelProto:
    """Write operators that OPSET does not have yet as ONNX defines them, in older ones.

    Those that ONNX does not define by others go into the domain NEWER, out of the converter's way.
    """
    seen: set[str] = set()
    while newer := _to_define(model.graph, version) - seen:
        seen |= newer
        typed = onnx.shape_inference.infer_shapes(model)
        _say_defaults(typed.graph, newer, version)
        for tensor in typed.graph.initializer:  # the definitions of some depend on the types
            typed.graph.value_info.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
        try:
            model = inliner.inline_selected_functions(
                typed, [("", name) for name in sorted(newer)], inline_schema_functions=True
            )
        except RuntimeError as error:
            raise ModelRefused(
                f"operators newer than opset {OPSET} cannot be written in older ones "
                f"({', '.join(sorted(newer))}; {reason_of(error)})."
            ) from None
    if _to_define(model.graph, version) & UNDEFINED:
        for node in model.graph.node:
            if node.domain in ONNX_DOMAIN and node.op_type in UNDEFINED:
                node.domain = NEWER
        model.opset_import.append(onnx.helper.make_opsetid(NEWER, 1))
    return model


def _say_defaults(graph: onnx.GraphProto, operators: set[str], version: int) -> None:
    """Give nodes the attributes that they leave out: the inliner leaves them out of definitions."""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _say_defaults(attribute.g, operators, version)
        if node.domain not in ONNX_DOMAIN or node.op_type not in operators:
            continue
        given = {attribute.name for attribute in node.attribute}
        for name, formal in onnx.defs.get_schema(node.op_type, version).attributes.items():
            if name not in given and formal.default_value.name:
                node.attribute.append(formal.default_value)


def _to_define(graph: onnx.GraphProto, version: int) -> set[str]:
    """Return the operators of a graph that are to be written as ONNX defines them."""
    found: set[str] = set()
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                found |= _to_define(attribute.g, version)
        known = node.domain in ONNX_DOMAIN and onnx.defs.has(node.op_type, version)
        if known and (node.op_type in DEFINED or not onnx.defs.has(node.op_type, OPSET)):
            found.add(node.op_type)
    return found


def _resize_as_before_opset_11(model: onnx.ModelProto) -> None:
    """Say of every Resize what Upsample and Resize meant up to opset 10, where nothing is said.

    The version converter leaves the attributes at today's defaults, which are other ones.
    """
    scales = {t.name: numbers_of(t) for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].type == onnx.AttributeProto.TENSOR:
            scales[node.output[0]] = numbers_of(node.attribute[0].t)
        if node.op_type != "Resize":
            continue
        given = {a.name for a in node.attribute}
        scale = scales.get(node.input[2]) if len(node.input) > 2 else None
        smaller = scale is not None and bool((scale < 1).any())
        for name, value in (
            ("coordinate_transformation_mode", "asymmetric"),
            ("nearest_mode", "ceil" if smaller else "floor"),
        ):
            if name not in given:
                node.attribute.append(onnx.helper.make_attribute(name, value))
