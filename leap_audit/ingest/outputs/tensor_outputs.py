"""Replace outputs that are maps, sequences or strings by the tensors they are computed from.

Classical exporters append operators that convert scores for a program: ZipMap makes a dictionary
of each row, LabelEncoder a string of each index. The tensor before them holds the scores, and the
strings in them are class names.
"""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

import onnx

from leap_audit.artifacts import TensorInfo
from leap_audit.canonical.folding import reads_of
from leap_audit.errors import ModelRefused
from leap_audit.graph.operators import SHAPE_ONLY
from leap_audit.graph.opset import ONNX_DOMAIN
from leap_audit.graph.protos import dtype_name, real_inputs, tensor_info
from leap_audit.graph.weights import split_weights

__all__ = ["TensorOutputs", "output_info", "with_outputs", "with_tensor_outputs", "with_types"]

ML = "ai.onnx.ml"
LABELS = frozenset({"LabelEncoder", "CategoryMapper", "ArrayFeatureExtractor", "CastMap"})
"""Operators of ai.onnx.ml that give labels for numbers."""
CLASSIFIERS = frozenset({"LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier"})
"""Operators of ai.onnx.ml whose first output is a label, and whose second the scores."""
HOLDING = frozenset({"SequenceConstruct", "SequenceInsert", "Optional"})
"""Operators that put tensors, or sequences, into a sequence."""


@dataclass(frozen=True)
class TensorOutputs:
    """A model whose outputs are all numeric tensors."""

    proto: onnx.ModelProto
    names: tuple[str, ...] = ()
    """Class names in an operator at the end of the graph."""
    names_in: str = ""
    """The operator that holds the class names."""
    taken: tuple[str, ...] = ()
    """What was skipped or left out, each as part of a sentence."""


def with_tensor_outputs(proto: onnx.ModelProto, wanted: str | None = None) -> TensorOutputs:
    """Return the model with numeric tensors as its outputs; itself where they all are.

    wanted: the one output, or tensor inside the graph, to keep.

    Raises ModelRefused: no output holds numbers, or none is called as wanted.
    """
    graph = proto.graph
    makers = {name: node for node in graph.node for name in node.output if name}
    work = _Work(graph, makers)
    kept: dict[str, None] = {}
    taken: list[str] = []
    for value in graph.output if wanted is None else [_wanted(proto, makers, wanted)]:
        behind = list(work.numbers(value.name, value))
        kept.update(dict.fromkeys(behind))
        if not behind:
            taken.append(f"output {value.name!r} left out, which holds {_words(value)}")
        elif behind != [value.name]:
            what = " and ".join(map(repr, behind))
            taken.append(f"output {value.name!r} read from tensor {what} behind it")
    if not kept:
        kinds = ", ".join(f"{v.name!r} ({_words(v)})" for v in graph.output)
        raise ModelRefused(
            f"no output holds numbers ({kinds}); export the model so that it gives its scores."
        )
    names, names_in = work.names()
    return TensorOutputs(with_outputs(proto, list(kept)), names, names_in, tuple(taken))


def with_outputs(proto: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    """Return the model with these tensors for outputs, itself where it has them already.

    Nodes that no output needs, and their weights, are left out.
    """
    graph = proto.graph
    if [value.name for value in graph.output] == names:
        return proto
    known = {value.name: value for value in (*graph.value_info, *graph.input, *graph.output)}
    needed, nodes = set(names), []
    for node in reversed(graph.node):
        if needed & set(node.output):
            nodes.append(node)
            needed |= reads_of(node)
    cut = onnx.ModelProto()
    for field, value in proto.ListFields():
        if field.name == "graph":
            continue
        if field.is_repeated:
            getattr(cut, field.name).extend(value)
        else:
            setattr(cut, field.name, value)
    cut.graph.name, cut.graph.doc_string = graph.name, graph.doc_string
    cut.graph.node.extend(reversed(nodes))
    weights = {tensor.name for tensor in graph.initializer}
    read = [value for value in graph.input if value.name in needed]
    alone = read if any(value.name not in weights for value in read) else graph.input
    cut.graph.input.extend(alone)
    cut.graph.initializer.extend(t for t in graph.initializer if t.name in needed)
    cut.graph.sparse_initializer.extend(
        t for t in graph.sparse_initializer if t.values.name in needed
    )
    cut.graph.value_info.extend(v for v in graph.value_info if v.name not in names)
    cut.graph.quantization_annotation.extend(graph.quantization_annotation)
    if not any(node.domain == ML for node in nodes):
        kept = [opset for opset in cut.opset_import if opset.domain != ML]
        del cut.opset_import[:]
        cut.opset_import.extend(kept)
    cut.graph.output.extend(known.get(name, onnx.ValueInfoProto(name=name)) for name in names)
    return cut if all(name in known for name in names) else with_types(cut)


def with_types(model: onnx.ModelProto) -> onnx.ModelProto:
    """Set the types of a model's outputs to those that ONNX infers; a file must declare them.

    Returns the model itself.
    """
    inferred = onnx.shape_inference.infer_shapes(split_weights(model)[0]).graph
    types = {value.name: value.type for value in (*inferred.value_info, *inferred.output)}
    for value in model.graph.output:
        if value.name in types and not value.HasField("type"):
            value.type.CopyFrom(types[value.name])
    return model


def output_info(value: onnx.ValueInfoProto) -> TensorInfo:
    """Return name, type and shape of an output, which may be no tensor: 'sequence(float)'."""
    if _is_tensor(value.type) or not value.type.WhichOneof("value"):
        return tensor_info(value)
    return TensorInfo(name=value.name, dtype=_kind(value.type), shape=())


@dataclass
class _Work:
    graph: onnx.GraphProto
    makers: dict[str, onnx.NodeProto]

    def numbers(self, name: str, declared: onnx.ValueInfoProto | None) -> Iterator[str]:
        """Yield the numeric tensors that an output is made of; none for a string or a label."""
        node = self.makers.get(name)
        if node is not None and node.domain == ML:
            if node.op_type == "ZipMap":
                yield from self.numbers(node.input[0], None)
            elif node.op_type in LABELS:
                yield from self._chosen(node)
            elif node.op_type not in CLASSIFIERS or name != node.output[0]:
                yield name
        elif node is not None and node.domain in ONNX_DOMAIN and node.op_type in HOLDING:
            for each in node.input[:2]:
                yield from self.numbers(each, None)
        elif node is not None and node.op_type == "SequenceEmpty":
            return
        elif node is not None and node.op_type in ("SplitToSequence", *self._dressed(node)):
            yield from self.numbers(node.input[0], None)
        elif declared is None or _holds_numbers(declared.type):
            yield name

    def _dressed(self, node: onnx.NodeProto) -> tuple[str, ...]:
        """Return the operator if it only rearranges values that are not numbers."""
        before = self.makers.get(node.input[0]) if node.input else None
        if node.op_type not in SHAPE_ONLY or node.domain not in ONNX_DOMAIN or before is None:
            return ()
        visited = {before.op_type}
        while before is not None and before.op_type in SHAPE_ONLY and before.input:
            before = self.makers.get(before.input[0])
            visited.add(before.op_type if before is not None else "")
        dressing = {"ZipMap", *LABELS, *HOLDING, "SplitToSequence"}
        return (node.op_type,) if visited & dressing else ()

    def _chosen(self, node: onnx.NodeProto) -> Iterator[str]:
        """Yield the ranks or scores that index a label table: the input that is computed."""
        for each in node.input:
            if each in self.makers and self.makers[each].op_type != "Constant":
                yield from self.numbers(each, None)

    def names(self) -> tuple[tuple[str, ...], str]:
        """Return class names at the end of the graph, and the operator that holds them."""
        for node in self.graph.node:
            if node.domain != ML:
                continue
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            found: tuple[str, ...] = ()
            if node.op_type == "ZipMap":
                strings = (
                    attributes.get("classlabels_strings")
                    or attributes.get("classlabels_int64s")
                    or ()
                )
                found = tuple(_text(each) for each in strings)
            elif node.op_type == "LabelEncoder" and attributes.get("values_strings"):
                keys = attributes.get("keys_int64s") or attributes.get("keys_floats") or ()
                if sorted(keys) == list(range(len(keys))):
                    pairs = zip(keys, attributes["values_strings"], strict=False)
                    found = tuple(_text(name) for _, name in sorted(pairs))
            elif node.op_type == "LabelEncoder" and attributes.get("classes_strings"):
                found = tuple(_text(each) for each in attributes["classes_strings"])
            elif node.op_type in CLASSIFIERS and attributes.get("classlabels_strings"):
                found = tuple(_text(each) for each in attributes["classlabels_strings"])
            elif node.op_type == "ArrayFeatureExtractor":
                found = self._strings(node.input[0])
            if found and all(name.strip() for name in found):
                return found, node.op_type
        return (), ""

    def _strings(self, name: str) -> tuple[str, ...]:
        """Return the strings in a string initializer or Constant; else none."""
        tensors = [t for t in self.graph.initializer if t.name == name]
        node = self.makers.get(name)
        if node is not None and node.op_type == "Constant":
            tensors = [a.t for a in node.attribute if a.type == onnx.AttributeProto.TENSOR]
        strings = [t for t in tensors if t.data_type == onnx.TensorProto.STRING]
        return tuple(_text(each) for each in strings[0].string_data) if strings else ()


def _wanted(
    proto: onnx.ModelProto, makers: dict[str, onnx.NodeProto], wanted: str
) -> onnx.ValueInfoProto:
    """Return the output, or tensor inside the graph, of that name."""
    outputs = {value.name: value for value in proto.graph.output}
    if wanted in outputs:
        return outputs[wanted]
    if wanted in makers:
        inside = {value.name: value for value in proto.graph.value_info}
        return inside.get(wanted, onnx.ValueInfoProto(name=wanted))
    inputs = {value.name for value in real_inputs(proto)}
    near = difflib.get_close_matches(wanted, [*outputs, *(set(makers) - inputs)], 3, 0.6)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else "."
    raise ModelRefused(
        f"the model has no output called {wanted!r}, nor a tensor inside the graph; its outputs "
        f"are {', '.join(map(repr, outputs))}{hint}"
    )


def _is_tensor(kind: onnx.TypeProto) -> bool:
    return bool(kind.HasField("tensor_type"))


def _holds_numbers(kind: onnx.TypeProto) -> bool:
    """Return whether a type is a numeric tensor, or is not declared."""
    if not kind.WhichOneof("value"):
        return True
    return _is_tensor(kind) and kind.tensor_type.elem_type != onnx.TensorProto.STRING


def _words(value: onnx.ValueInfoProto) -> str:
    kind = _kind(value.type)
    return {"string": "texts"}.get(kind, kind)


def _kind(kind: onnx.TypeProto) -> str:
    which = kind.WhichOneof("value")
    if which == "tensor_type":
        return dtype_name(kind.tensor_type.elem_type)
    if which == "sequence_type":
        return f"sequence({_kind(kind.sequence_type.elem_type)})"
    if which == "optional_type":
        return f"optional({_kind(kind.optional_type.elem_type)})"
    if which == "map_type":
        key = dtype_name(kind.map_type.key_type)
        return f"map({key}, {_kind(kind.map_type.value_type)})"
    return "something unknown" if which is None else which.removesuffix("_type")


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
