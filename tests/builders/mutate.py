"""Mutations: of bytes, and of what an ONNX file says."""

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from onnx import AttributeProto

__all__ = ["mutated_bytes", "mutated_model"]

Rng = np.random.Generator

SIZES = (0, 1, -1, 2, 7, 255, 65536, 2**31 - 1, 2**31, 2**40, 2**62, -(2**63))
NUMBERS = (0.0, -0.0, 1.0, -1.0, 1e38, 1e-45, float("nan"), float("inf"), float("-inf"))
NAMES = ("", "x", "y", "../../secret", "a\nb", "\u202eevil", "\x1b[2J", "0" * 5000)
OPERATORS = (
    *(
        "Add",
        "Concat",
        "Constant",
        "ConstantOfShape",
        "Conv",
        "Expand",
        "Flatten",
        "Gather",
        "Gemm",
    ),
    *("Identity", "If", "Loop", "LSTM", "MatMul", "MaxPool", "NonZero", "Pad", "Range", "Reshape"),
    *(
        "Resize",
        "Scan",
        "Slice",
        "Softmax",
        "Split",
        "Squeeze",
        "Tile",
        "TopK",
        "Transpose",
        "Evil",
    ),
)
DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft", "evil.example", "local")


def mutated_bytes(data: bytes, other: bytes, rng: Rng) -> bytes:
    """Return the bytes with one to three faults: flipped, cut off, spliced, repeated, taken out."""
    found = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        if not found:
            break
        at, length = int(rng.integers(len(found))), int(rng.integers(1, 64))
        match rng.integers(6):
            case 0:
                for place in rng.integers(len(found), size=rng.integers(1, 9)):
                    found[place] ^= 1 << int(rng.integers(8))
            case 1:
                del found[at:]
            case 2:
                found[at:] = other[int(rng.integers(len(other))) :]
            case 3:
                found[at:at] = found[at : at + length] * int(rng.integers(1, 9))
            case 4:
                del found[at : at + length]
            case _:
                found[at : at + 4] = rng.bytes(4)
    return bytes(found)


def mutated_model(model: onnx.ModelProto, rng: Rng) -> bytes:
    """Return the bytes of a copy of a model that says one to three other things."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for _ in range(rng.integers(1, 4)):
        CHANGES[rng.integers(len(CHANGES))](changed, rng)
    return changed.SerializeToString()


def _one(items: Sequence[object], rng: Rng) -> object:
    return items[int(rng.integers(len(items)))]


def _graphs(model: onnx.ModelProto) -> list[onnx.GraphProto]:
    inner = [a.g for n in model.graph.node for a in n.attribute if a.HasField("g")]
    return [model.graph, *inner]


def _node(model: onnx.ModelProto, rng: Rng) -> onnx.NodeProto:
    bodies = [g.node for g in _graphs(model)] + [f.node for f in model.functions]
    nodes = [node for body in bodies for node in body]
    return _one(nodes, rng) if nodes else model.graph.node.add()  # type: ignore[return-value]


def _name(model: onnx.ModelProto, rng: Rng) -> str:
    known = [n for node in model.graph.node for n in (*node.input, *node.output)]
    names = [*known, *(t.name for t in model.graph.initializer)] if rng.random() < 0.8 else []
    return str(_one(names or NAMES, rng))


def _sizes_of_a_tensor(model: onnx.ModelProto, rng: Rng) -> None:
    if tensors := model.graph.initializer:
        dims = _one(tensors, rng).dims  # type: ignore[attr-defined]
        if dims and rng.random() < 0.7:
            dims[int(rng.integers(len(dims)))] = _one(SIZES, rng)
        else:
            dims.append(_one(SIZES, rng))


def _type_of_a_tensor(model: onnx.ModelProto, rng: Rng) -> None:
    if tensors := model.graph.initializer:
        _one(tensors, rng).data_type = int(rng.integers(-1, 32))  # type: ignore[attr-defined]


def _numbers_of_a_tensor(model: onnx.ModelProto, rng: Rng) -> None:
    small = [t for t in model.graph.initializer if len(t.raw_data) < 256]
    if small:
        tensor = _one(small, rng)
        data = bytearray(tensor.raw_data)  # type: ignore[attr-defined]
        for place in rng.integers(len(data), size=4) if data else ():
            data[place] = int(rng.integers(256))
        tensor.raw_data = bytes(data)  # type: ignore[attr-defined]


def _no_tensor(model: onnx.ModelProto, rng: Rng) -> None:
    if tensors := model.graph.initializer:
        del tensors[int(rng.integers(len(tensors)))]


def _tensor_elsewhere(model: onnx.ModelProto, rng: Rng) -> None:
    if tensors := model.graph.initializer:
        tensor = _one(tensors, rng)
        tensor.data_location = onnx.TensorProto.EXTERNAL  # type: ignore[attr-defined]
        places = ("../secret", "/etc/passwd", "m.onnx", ".", "", "missing")
        for key, values in (("location", places), ("offset", SIZES), ("length", SIZES)):
            tensor.external_data.add(key=key, value=str(_one(values, rng)))  # type: ignore[attr-defined]


def _attribute(model: onnx.ModelProto, rng: Rng) -> None:
    node = _node(model, rng)
    if not node.attribute:
        return
    attribute: AttributeProto = _one(node.attribute, rng)
    match rng.integers(6):
        case 0:
            attribute.i = int(_one(SIZES, rng))
        case 1:
            attribute.f = float(_one(NUMBERS, rng))
        case 2:
            attribute.ints.append(int(_one(SIZES, rng)))
        case 3 if attribute.ints:
            attribute.ints[int(rng.integers(len(attribute.ints)))] = _one(SIZES, rng)
        case 4:
            attribute.s = str(_one(NAMES, rng)).encode()
        case _:
            attribute.type = int(rng.integers(0, 15))


def _attribute_name(model: onnx.ModelProto, rng: Rng) -> None:
    node = _node(model, rng)
    if node.attribute:
        names = ("axis", "axes", "value", "to", "perm", "body", "pads", "strides", "group", "")
        _one(node.attribute, rng).name = str(_one(names, rng))  # type: ignore[attr-defined]


def _no_attribute(model: onnx.ModelProto, rng: Rng) -> None:
    node = _node(model, rng)
    if node.attribute:
        del node.attribute[int(rng.integers(len(node.attribute)))]


def _operator(model: onnx.ModelProto, rng: Rng) -> None:
    _node(model, rng).op_type = str(_one(OPERATORS, rng))


def _domain(model: onnx.ModelProto, rng: Rng) -> None:
    _node(model, rng).domain = str(_one(DOMAINS, rng))


def _input_of_a_node(model: onnx.ModelProto, rng: Rng) -> None:
    node = _node(model, rng)
    if node.input and rng.random() < 0.7:
        node.input[int(rng.integers(len(node.input)))] = _name(model, rng)
    elif node.input and rng.random() < 0.5:
        del node.input[int(rng.integers(len(node.input)))]
    else:
        node.input.append(_name(model, rng))


def _output_of_a_node(model: onnx.ModelProto, rng: Rng) -> None:
    node = _node(model, rng)
    if node.output and rng.random() < 0.7:
        node.output[int(rng.integers(len(node.output)))] = _name(model, rng)
    else:
        node.output.append(_name(model, rng))


def _node_twice(model: onnx.ModelProto, rng: Rng) -> None:
    copy = onnx.NodeProto()
    copy.CopyFrom(_node(model, rng))
    for _ in range(int(rng.integers(1, 9))):
        model.graph.node.add().CopyFrom(copy)


def _no_node(model: onnx.ModelProto, rng: Rng) -> None:
    if nodes := model.graph.node:
        del nodes[int(rng.integers(len(nodes)))]


def _nodes_swapped(model: onnx.ModelProto, rng: Rng) -> None:
    nodes = list(model.graph.node)
    rng.shuffle(nodes)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _opset(model: onnx.ModelProto, rng: Rng) -> None:
    versions = (0, -1, 1, 5, 7, 9, 12, 13, 17, 21, 23, 26, 99, 2**31, 2**62)
    if model.opset_import:
        model.opset_import[0].version = _one(versions, rng)
    model.ir_version = int(rng.integers(0, 16))


def _entry(model: onnx.ModelProto, rng: Rng) -> None:
    values = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    if not values:
        return
    value = _one(values, rng)
    tensor = value.type.tensor_type  # type: ignore[attr-defined]
    match rng.integers(5):
        case 0:
            tensor.elem_type = int(rng.integers(0, 28))
        case 1 if tensor.shape.dim:
            _one(tensor.shape.dim, rng).dim_value = _one(SIZES, rng)  # type: ignore[attr-defined]
        case 2 if tensor.shape.dim:
            _one(tensor.shape.dim, rng).dim_param = str(_one(NAMES, rng))  # type: ignore[attr-defined]
        case 3:
            tensor.shape.dim.add().dim_value = _one(SIZES, rng)
        case _:
            value.name = _name(model, rng)  # type: ignore[attr-defined]


def _function(model: onnx.ModelProto, rng: Rng) -> None:
    if model.functions:
        function = _one(model.functions, rng)
        names = [f.name for f in model.functions]
        function.name = str(_one(names, rng))  # type: ignore[attr-defined]
        function.node.add(op_type=str(_one(names, rng)), domain="local", output=["z"])  # type: ignore[attr-defined]


CHANGES: tuple[Callable[[onnx.ModelProto, Rng], None], ...] = (
    *(_sizes_of_a_tensor, _type_of_a_tensor, _numbers_of_a_tensor, _no_tensor, _tensor_elsewhere),
    *(_attribute, _attribute, _attribute_name, _no_attribute, _operator, _domain),
    *(_input_of_a_node, _output_of_a_node, _node_twice, _no_node, _nodes_swapped),
    *(_opset, _entry, _entry, _function),
)
