"""ONNX's own single-node cases, for every operator of the table: a new rule brings its tests."""

import importlib
import pkgutil
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import onnx
from onnx import version_converter
from onnx.backend.test.case import node as cases
from onnx.reference.ops import op_pool_common

from leap_audit.gradient.table import RULES, RuleSample
from leap_audit.graph.opset import OPSET

LARGEST = 3000
"""Numbers in a case's inputs and outputs, above which onnx.reference is too slow to ask."""
POOL = op_pool_common.pool
_TRAINING = "batch statistics: a deployed model has fixed ones, and the rule refuses others"
_INDICES = "onnx.reference gives wrong MaxPool indices at stride 1"
_CEILING = "ONNX's inference counts a window behind the picture, runtimes do not: refused"
_DOMAIN = "its random numbers in 0..1, moved off kinks, leave the function's domain"
_ERF = "Erf is float32 in onnx.reference"
_UNSHAPED = "ONNX infers no shape from output_shape: refused"
_REMAINDER = "remainders of infinity and by zero, and by fmod=0, which runtimes refuse"
_DEPTH = "a depth of shape (1,), from which ONNX infers no shape: the emitter refuses"
_GRID = "onnx.reference computes its coordinates in float32: 1.3e-6 apart"
_LENGTH = "onnx.reference aligns corners by the unrounded length, ONNX Runtime by the rounded one"
_REGIONS = "of its picture and its regions at once: the latter is refused with mode max"
EXCLUDED: dict[str, str] = {
    "test_acos": _DOMAIN,
    "test_asin": _DOMAIN,
    "test_atanh": _DOMAIN,
    "test_gelu_default_1": _ERF,
    "test_gelu_default_2": _ERF,
    "test_gridsample_bicubic": _GRID,
    "test_maxunpool_export_with_output_shape": _UNSHAPED,
    "test_mod_float_edge_cases_fmod_0_float16": _REMAINDER,
    "test_mod_float_edge_cases_fmod_0_float32": _REMAINDER,
    "test_mod_float_edge_cases_fmod_0_float64": _REMAINDER,
    "test_onehot_with_axis": _DEPTH,
    "test_onehot_with_negative_axis": _DEPTH,
    "test_averagepool_2d_ceil_last_window_starts_on_pad": _CEILING,
    "test_maxpool_2d_ceil_output_size_reduce_by_one": _CEILING,
    "test_batchnorm_epsilon_training_mode": _TRAINING,
    "test_batchnorm_example_training_mode": _TRAINING,
    "test_maxpool_1d_default": _INDICES,
    "test_roialign_mode_max": _REGIONS,
    "test_resize_downsample_scales_cubic_align_corners": _LENGTH,
    "test_resize_downsample_scales_linear_align_corners": _LENGTH,
}
"""Cases that the oracle cannot judge, each with its reason."""


@dataclass(frozen=True)
class Case:
    """A conformance case of an operator with a rule: a sample, or why there is none."""

    name: str
    op_type: str
    sample: RuleSample | None
    reason: str = ""


def collected() -> Iterator[Case]:
    """Yield each of ONNX's cases that is one node of an operator of the table."""
    _load()
    for case in sorted(cases._NodeTestCases, key=lambda c: str(c.name)):
        nodes = case.model.graph.node
        if len(nodes) != 1 or nodes[0].op_type not in judged() or nodes[0].domain:
            continue
        found = _sample(case)
        if isinstance(found, str):
            yield Case(str(case.name), nodes[0].op_type, None, found)
        else:
            yield Case(str(case.name), nodes[0].op_type, found)


def _sample(case: Any) -> RuleSample | str:
    """Return the case as a sample at opset 21, or why the oracle is not asked."""
    graph = case.model.graph
    inputs, outputs = case.data_sets[0]
    if any(np.size(x) == 0 for x in (*inputs[:1], *outputs)):
        return "empty tensors: nothing to differentiate"
    if sum(np.size(x) for x in (*inputs, *outputs)) > LARGEST:
        return f"more than {LARGEST} numbers, for which onnx.reference is too slow"
    node = _at_opset(case.model)
    if node is None:
        return f"other nodes at opset {OPSET}, which are judged by themselves"
    given = dict(zip((value.name for value in graph.input), inputs, strict=True))
    given |= {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    arrays = tuple(np.asarray(given[name]) if name in given else None for name in node.input)
    positions = {i for sample in RULES[node.op_type].samples for i in sample.wrt}
    if node.op_type in ("Max", "Min", "Sum", "Mean", "Concat"):
        positions |= set(range(len(arrays)))
    wrt = tuple(i for i in sorted(positions) if i < len(arrays) and _is_float(arrays[i]))
    if not wrt or not _is_float(arrays[0]):
        return "no floating-point numbers where they would be differentiated"
    if not {a.name for a in node.attribute} <= set(_schema(node.op_type).attributes):
        return f"attributes newer than opset {OPSET}"
    arrays = tuple(_off_kinks(x) if i in wrt else x for i, x in enumerate(arrays))
    attributes = {a.name: _decoded(onnx.helper.get_attribute_value(a)) for a in node.attribute}
    return RuleSample(arrays, attributes, wrt, len(node.output))


def judged() -> set[str]:
    """Return the operators whose forward onnx.reference computes in float64."""
    return {name for name, rule in RULES.items() if rule.samples}


def _load() -> None:
    """Import the modules that define cases of these operators (all of them take a minute)."""
    folder = Path(cases.__path__[0])
    with warnings.catch_warnings(), patch.object(op_pool_common, "pool", _small_pool):
        warnings.simplefilter("ignore")
        for module in pkgutil.iter_modules([str(folder)]):
            if module.ispkg:
                continue
            text = (folder / f"{module.name}.py").read_text(encoding="utf-8")
            if set(re.findall(r"^class (\w+)\(Base\)", text, re.MULTILINE)) & judged():
                importlib.import_module(f"{cases.__name__}.{module.name}")


def _small_pool(padded: Any, x_shape: Any, *rest: Any, **options: Any) -> Any:
    """What the cases compute their outputs with, spared where they are too large to be asked."""
    if np.size(padded) <= LARGEST:
        return POOL(padded, x_shape, *rest, **options)
    out_shape = options["out_shape"] if "out_shape" in options else rest[2]
    return np.zeros([*x_shape[:2], *out_shape], padded.dtype)


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
