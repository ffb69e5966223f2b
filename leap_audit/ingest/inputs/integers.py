"""Replace an integer image input by a floating-point one, which a gradient needs.

Where a model takes uint8 pixels and converts them to float inside, its gradient is taken after
that conversion: the input is declared float, and so is everything before the conversion. That is
exact where the operators before it give the same numbers in floating point; one that does not,
such as a division of whole numbers, is refused by name.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from leap_audit.canonical.folding import inlined
from leap_audit.errors import ModelRefused
from leap_audit.graph.operators import CASTING, MOVING, QUANTISED
from leap_audit.graph.opset import ONNX_DOMAIN
from leap_audit.graph.protos import dtype_name, is_float, opset_of
from leap_audit.graph.weights import numbers_of
from leap_audit.ingest.inputs.pixels import ARITHMETIC, PIXELS, Span, Spans, within

__all__ = ["floating_input"]

CHOOSING = frozenset(
    {*MOVING, *("Clip", "Max", "MaxPool", "Min", "Pad", "ReduceMax", "ReduceMin", "Where")}
)
"""Operators whose results are among their inputs, or their constants."""
INTERPOLATING = frozenset({"Resize", "Upsample"})
COMPARING = frozenset({"Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual"})
MEASURING = frozenset({"Shape", "Size"})
ROUNDS_FROM = frozenset(kind.value for kind in QUANTISED)
"""Types that QuantizeLinear can round to."""


@dataclass(frozen=True)
class _Whole:
    """An integer tensor whose values are now held in float32."""

    kind: int
    """The type that it had."""
    span: Span | None
    """The smallest and the largest number that can stand in it; None: not known."""


def floating_input(
    proto: onnx.ModelProto, name: str
) -> tuple[onnx.ModelProto, Span | None, tuple[str, ...]]:
    """Return the model with a float32 input in place of an integer one.

    Also what black and white are in that input, None where it is floating point already; and the
    operators whose rounding is left out, such as a Resize of uint8. The result gives the original's
    numbers for pictures of whole numbers. Where operators on quantised numbers read the picture,
    it is rounded for them by a QuantizeLinear, through which gradients pass straight.

    Raises ModelRefused: the input holds no numbers, or an operator computes with its whole numbers
    in a way that floating point does not, named.
    """
    value = next(v for v in proto.graph.input if v.name == name)
    if is_float(value):
        return proto, None, ()
    kind = value.type.tensor_type.elem_type
    if kind not in PIXELS:
        raise ModelRefused(
            f"input {name!r} takes {dtype_name(kind)} instead of a picture's numbers; export the "
            "model behind what decodes or thresholds the picture."
        )
    made = onnx.ModelProto()
    made.CopyFrom(inlined(proto))
    writer = _Writer(made, name, kind)
    writer.write()
    return made, PIXELS[kind], tuple(writer.unrounded)


class _Writer:
    """Converts an integer tensor, and the operators that read it, to floating point."""

    def __init__(self, model: onnx.ModelProto, name: str, kind: int) -> None:
        self._graph = model.graph
        self._opset = opset_of(model)
        self._name = name
        self._kind = kind
        self.unrounded: list[str] = []
        self._constants = {t.name: t for t in model.graph.initializer}
        for node in model.graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self._constants[node.output[0]] = node.attribute[0].t
        self._nodes: list[onnx.NodeProto] = []
        self._whole: dict[str, _Whole] = {}
        self._as_float: dict[str, str] = {}
        self._rounded: dict[str, str] = {}

    def write(self) -> None:
        """Change the graph."""
        entry = next(v for v in self._graph.input if v.name == self._name)
        entry.type.tensor_type.elem_type = TensorProto.FLOAT
        self._whole[self._name] = _Whole(self._kind, PIXELS[self._kind])
        for node in list(self._graph.node):
            self._captured(node)
            if any(name in self._whole for name in node.input):
                self._follow(node)
            else:
                self._nodes.append(node)
        nodes = list(self._nodes)
        del self._graph.node[:]
        self._graph.node.extend(nodes)
        known = [v for v in self._graph.value_info if v.name not in self._whole]
        del self._graph.value_info[:]
        self._graph.value_info.extend(known)
        for output in self._graph.output:
            if output.name in self._whole:
                output.type.tensor_type.elem_type = TensorProto.FLOAT

    def _follow(self, node: onnx.NodeProto) -> None:
        """Write one node that reads integers."""
        op = node.op_type if node.domain in ONNX_DOMAIN else f"{node.domain}::{node.op_type}"
        place = next(i for i, name in enumerate(node.input) if name in self._whole)
        source = self._whole[node.input[place]]
        if op in MEASURING:
            self._nodes.append(node)
        elif op in CASTING:
            self._cast(node, source)
        elif op == "DequantizeLinear" and self._single(node.input[1]):
            self._dequantise(node)
        elif op in CHOOSING or op in INTERPOLATING or op in COMPARING:
            if op in INTERPOLATING and _attribute(node, "mode", b"nearest") != b"nearest":
                self.unrounded.append(f"{op} ({node.name or node.output[0]})")
            self._in_float(node, place, self._joined_span(node, source))
        elif (spans := ARITHMETIC.get(op)) is not None:
            self._calculate(node, op, spans)
        elif source.kind in ROUNDS_FROM and _is_quantised(node):
            self._round(node)
        else:
            raise self._refusal(node, op, source, "computes with them as whole numbers")

    def _cast(self, node: onnx.NodeProto, source: _Whole) -> None:
        """A conversion to float stays; one to other whole numbers goes where it changes nothing."""
        if node.op_type == "CastLike":
            if (like := self._constants.get(node.input[1])) is None:
                self._nodes.append(node)  # of a tensor in floating point, as one can only hope
                return
            to = like.data_type
        else:
            to = _attribute(node, "to", TensorProto.FLOAT)
        if to not in PIXELS:
            self._nodes.append(node)
            return
        span = source.span
        if span is None or not within(span, to):
            words = f"turns them into {dtype_name(to)}, which cannot hold them all"
            raise self._refusal(node, node.op_type, source, words)
        same = helper.make_node("Identity", [node.input[0]], list(node.output), name=node.name)
        self._nodes.append(same)
        self._whole[node.output[0]] = _Whole(to, span)

    def _dequantise(self, node: onnx.NodeProto) -> None:
        """x * scale, of the numbers less their zero point."""
        x = node.input[0]
        if len(node.input) > 2 and node.input[2]:
            centred = f"{node.output[0]}/centred"
            zero = self._floating(node.input[2])
            self._nodes.append(helper.make_node("Sub", [x, zero], [centred], name=centred))
            x = centred
        made = helper.make_node("Mul", [x, node.input[1]], list(node.output), name=node.name)
        self._nodes.append(made)

    def _in_float(self, node: onnx.NodeProto, place: int, span: Span | None) -> None:
        """Let a node compute in floating point: its other operands of that type follow."""
        schema = onnx.defs.get_schema(node.op_type, self._opset)
        kinds = [_formal(schema.inputs, i).type_str for i in range(len(node.input))]
        for i, name in enumerate(node.input):
            if kinds[i] == kinds[place] and name and name not in self._whole:
                node.input[i] = self._floating(name)
        self._nodes.append(node)
        for i, name in enumerate(node.output):
            if name and _formal(schema.outputs, i).type_str == kinds[place]:
                self._whole[name] = _Whole(self._kind_of(node), span)

    def _kind_of(self, node: onnx.NodeProto) -> int:
        return next(self._whole[name].kind for name in node.input if name in self._whole)

    def _calculate(self, node: onnx.NodeProto, op: str, spans: Spans) -> None:
        """Arithmetic is the same in floating point as long as nothing wraps around."""
        kind = self._kind_of(node)
        known = [self._span(name) for name in node.input]
        span = spans([each for each in known if each is not None]) if None not in known else None
        source = self._whole[next(name for name in node.input if name in self._whole)]
        if span is None or not within(span, kind):
            words = f"may give numbers that {dtype_name(kind)} cannot hold"
            raise self._refusal(node, op, source, words)
        place = next(i for i, name in enumerate(node.input) if name in self._whole)
        self._in_float(node, place, span)

    def _round(self, node: onnx.NodeProto) -> None:
        """Give an operator on quantised numbers the rounded picture."""
        for i, name in enumerate(node.input):
            if name in self._whole:
                node.input[i] = self._as_whole(name)
        self._nodes.append(node)

    def _as_whole(self, name: str) -> str:
        if name not in self._rounded:
            kind = self._whole[name].kind
            one, zero, made = (f"{name}/{part}" for part in ("step", "zero_point", "rounded"))
            whole = np.dtype(helper.tensor_dtype_to_np_dtype(kind))
            self._graph.initializer.append(numpy_helper.from_array(np.array(1, np.float32), one))
            self._graph.initializer.append(numpy_helper.from_array(np.zeros((), whole), zero))
            quantise = helper.make_node("QuantizeLinear", [name, one, zero], [made], name=made)
            self._nodes.append(quantise)
            self._rounded[name] = made
        return self._rounded[name]

    def _floating(self, name: str) -> str:
        """Another operand, in floating point."""
        if name not in self._as_float:
            made = f"{name}/as_float"
            cast = helper.make_node("Cast", [name], [made], to=TensorProto.FLOAT, name=made)
            self._nodes.append(cast)
            self._as_float[name] = made
        return self._as_float[name]

    def _joined_span(self, node: onnx.NodeProto, source: _Whole) -> Span | None:
        """What may stand in the result of a node that moves numbers and adds constants."""
        low, high = source.span or (np.inf, -np.inf)
        if source.span is None:
            return None
        for name in node.input:
            if name in self._whole:
                span = self._whole[name].span
            elif name in self._constants and (array := self._numbers(name)).dtype.kind in "iuf":
                # Also axes and sizes: a span that is too wide refuses, and never lets pass.
                known = array[np.isfinite(array)] if array.dtype.kind == "f" else array
                span = (float(known.min()), float(known.max())) if known.size else None
            else:
                continue
            if span is None:
                return None
            if node.op_type in ("Concat", "Where", "Pad", "Max", "Min"):
                low, high = min(low, span[0]), max(high, span[1])
        if node.op_type == "Pad":
            low, high = min(low, 0.0), max(high, 0.0)
        return low, high

    def _span(self, name: str) -> Span | None:
        if name in self._whole:
            return self._whole[name].span
        if name not in self._constants:
            return None
        array = self._numbers(name)
        return (float(array.min()), float(array.max())) if array.size else None

    def _numbers(self, name: str) -> NDArray[Any]:
        return numbers_of(self._constants[name])

    def _single(self, name: str) -> bool:
        tensor = self._constants.get(name)
        return tensor is not None and int(np.prod(tensor.dims, dtype=np.int64)) == 1

    def _captured(self, node: onnx.NodeProto) -> None:
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                for inner in graph.node:
                    if found := [name for name in inner.input if name in self._whole]:
                        source = self._whole[found[0]]
                        words = "reads them in a branch or loop"
                        raise self._refusal(node, node.op_type, source, words)
                    self._captured(inner)

    def _refusal(self, node: onnx.NodeProto, op: str, source: _Whole, words: str) -> ModelRefused:
        kind = dtype_name(source.kind)
        return ModelRefused(
            f"input {self._name!r} takes whole numbers, and {op} ({node.name or node.output[0]}) "
            f"{words} ({kind}) before they become floating point. That has no gradient. Export the "
            "model with a float input, or with the conversion to float first."
        )


def _is_quantised(node: onnx.NodeProto) -> bool:
    """Whether an operator computes with quantised numbers, which stand for others."""
    words = ("QLinear", "Integer", "Dequantize", "QGemm", "QuantizeBFP", "Qmoe")
    return any(word in node.op_type for word in words)


def _formal(formals: Any, index: int) -> Any:
    """The formal parameter of a place: the last of a schema may stand for several."""
    return formals[min(index, len(formals) - 1)]


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    found = [a for a in node.attribute if a.name == name]
    return helper.get_attribute_value(found[0]) if found else default
