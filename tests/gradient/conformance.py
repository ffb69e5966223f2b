"""ONNX's own single-node cases, for every operator of the table: a new rule brings its tests."""

import importlib
import pkgutil
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import version_converter
from onnx.backend.test.case import node as cases

from leap_audit.gradient.table import RULES, RuleSample
from leap_audit.ingest.canonical import OPSET

LARGEST = 3000
"""Numbers in a case's inputs and outputs, above which onnx.reference is too slow to ask."""


def samples() -> Iterator[tuple[str, str, RuleSample]]:
    """Yield name, operator and sample of each case that has a floating-point gradient."""
    _load()
    for case in sorted(cases._NodeTestCases, key=lambda c: str(c.name)):
        graph = case.model.graph
        if len(graph.node) != 1 or graph.node[0].op_type not in _judged() or graph.node[0].domain:
            continue
        inputs, outputs = case.data_sets[0]
        if any(np.size(x) == 0 for x in (*inputs[:1], *outputs)):
            continue  # nothing to differentiate
        if sum(np.size(x) for x in (*inputs, *outputs)) > LARGEST:
            continue
        node = _at_opset(case.model)
        if node is None:
            continue
        given = dict(zip((value.name for value in graph.input), inputs, strict=True))
        given |= {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
        arrays = tuple(np.asarray(given[name]) if name in given else None for name in node.input)
        positions = {i for sample in RULES[node.op_type].samples for i in sample.wrt}
        if node.op_type in ("Max", "Min", "Sum", "Mean", "Concat"):
            positions |= set(range(len(arrays)))
        wrt = tuple(i for i in sorted(positions) if i < len(arrays) and _is_float(arrays[i]))
        if not wrt or not _is_float(arrays[0]):
            continue
        if not {a.name for a in node.attribute} <= set(_schema(node.op_type).attributes):
            continue  # newer than opset 21
        arrays = tuple(_off_kinks(x) if i in wrt else x for i, x in enumerate(arrays))
        attributes = {a.name: _decoded(onnx.helper.get_attribute_value(a)) for a in node.attribute}
        yield case.name, node.op_type, RuleSample(arrays, attributes, wrt, len(node.output))


def _judged() -> set[str]:
    """Operators whose forward onnx.reference computes in float64."""
    return {name for name, rule in RULES.items() if rule.samples}


def _load() -> None:
    """Import the modules that define cases of these operators (all of them take a minute)."""
    folder = Path(cases.__path__[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in pkgutil.iter_modules([str(folder)]):
            if module.ispkg:
                continue
            text = (folder / f"{module.name}.py").read_text(encoding="utf-8")
            if set(re.findall(r"^class (\w+)\(Base\)", text, re.MULTILINE)) & _judged():
                importlib.import_module(f"{cases.__name__}.{module.name}")


def _at_opset(model: onnx.ModelProto) -> onnx.NodeProto | None:
    """Return the node in the words of opset 21, or None where conversion adds other nodes."""
    node = model.graph.node[0]
    version = next(o.version for o in model.opset_import if not o.domain)
    now = _schema(node.op_type).since_version
    if onnx.defs.get_schema(node.op_type, version).since_version == now:
        return node
    try:
        converted = version_converter.convert_version(model, OPSET)
    except Exception:  # the converter raises whatever its adapters raise
        return node if version > OPSET else None
    return converted.graph.node[0] if len(converted.graph.node) == 1 else None


def _schema(op_type: str) -> onnx.defs.OpSchema:
    return onnx.defs.get_schema(op_type, OPSET)


def _decoded(value: object) -> object:
    return value.decode() if isinstance(value, bytes) else value


def _off_kinks(array: object) -> np.ndarray:
    """Move whole numbers, of which examples are made, off kinks and out of ties."""
    x = np.asarray(array, np.float64)
    return x + np.random.default_rng(x.size).uniform(0.01, 0.1, x.shape)


def _is_float(array: object) -> bool:
    return isinstance(array, np.ndarray) and bool(np.issubdtype(array.dtype, np.floating))
