"""Every operator of ONNX's domain has a gradient, or a reason to have none."""

from typing import Any

import onnx

from leap_audit.canonical.rewrite import REWRITINGS
from leap_audit.canonical.rewrites import CONTROL, UNPACKED
from leap_audit.canonical.upgrade import DEFINED, NEWER
from leap_audit.gradient import RULES
from leap_audit.gradient.path import CHOICES, FLAT, INDEPENDENT
from leap_audit.graph.opset import OPSET

FLOATS = {"tensor(float)", "seq(tensor(float))", "optional(tensor(float))"}
WITHOUT_FLOATS = {
    "BitCast": "the bits of a number are no function that has a gradient",
    "BlackmanWindow": "of a length",
    "Constant": "of nothing",
    "ConstantOfShape": "of a shape",
    "HammingWindow": "of a length",
    "HannWindow": "of a length",
    "RandomNormal": "of nothing",
    "RandomUniform": "of nothing",
    "Range": "its length, and so its shape, depends on its numbers",
    "TfIdfVectorizer": "of words",
    "Unique": "its shape depends on the numbers",
}
"""Operators that give floating-point numbers without a gradient, and why."""
OLDER = {"Scatter": "ScatterElements", "Upsample": "Resize"}
"""What the version converter writes in their place."""


def _newest() -> dict[str, onnx.defs.OpSchema]:
    found: dict[str, onnx.defs.OpSchema] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        known = found.get(schema.name)
        if not schema.domain and (known is None or schema.since_version > known.since_version):
            found[schema.name] = schema
    return found


def _floating(formals: list[onnx.defs.OpSchema.FormalParameter]) -> bool:
    return any(set(formal.types) & FLOATS for formal in formals)


def _covered(schema: onnx.defs.OpSchema) -> bool:
    name = schema.name
    if name in {*RULES, *REWRITINGS, *UNPACKED, *CONTROL, *FLAT, *INDEPENDENT, *CHOICES, *DEFINED}:
        return True
    if f"{NEWER}::{name}" in REWRITINGS:
        return True
    described: Any = schema  # its type leaves these two out
    defined = described.has_function or described.has_context_dependent_function
    return defined and not onnx.defs.has(name, OPSET)  # written by its definition


def test_every_operator_is_covered() -> None:
    missing = {
        name
        for name, schema in _newest().items()
        if _floating(list(schema.outputs)) and not _covered(schema)
    }
    assert missing - {"DequantizeLinear"} == {*WITHOUT_FLOATS, *OLDER}  # of whole numbers


def test_no_exception_is_covered() -> None:
    known = _newest()
    assert not [name for name in WITHOUT_FLOATS if _covered(known[name])]


def test_what_replaces_a_deprecated_operator_has_a_rule() -> None:
    assert all(_newest()[name].deprecated for name in OLDER)
    assert set(OLDER.values()) <= set(RULES)
