"""What leap-audit can differentiate, operator by operator, read from the registries.

`operator_states` says it of every operator that ONNX defines and of those of other domains that
a rewriting knows; `model_operators` says it of the operators of one model.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

import onnx
import onnx_ir as ir
from onnx.defs import OpSchema

from leap_audit.canonical.rewrite import REWRITINGS
from leap_audit.canonical.rewrites import CONTROL, UNPACKED
from leap_audit.canonical.upgrade import DEFINED, NEWER
from leap_audit.errors import GradientUnavailable
from leap_audit.gradient.build import differentiate, prepare
from leap_audit.gradient.path import CHOICES, FLAT, INDEPENDENT, path, without_rule
from leap_audit.gradient.table import RULES
from leap_audit.graph.opset import ONNX_DOMAIN, OPSET
from leap_audit.graph.protos import separate_runtime_operators
from leap_audit.ingest.files.onnx import model_of

__all__ = [
    "ModelOperators",
    "OperatorState",
    "OperatorUse",
    "State",
    "model_operators",
    "operator_states",
]

_FLOATING = re.compile(r"float|double")


class State(StrEnum):
    """What becomes of an operator in a gradient."""

    RULE = "rule"
    WRITTEN = "written in others"
    FLAT = "flat: gradient zero"
    NONE = "no gradient by nature"
    ASIDE = "not on the way"
    """Only of a model: a missing operator that is folded, or leads from no input to the output."""
    MISSING = "missing"


@dataclass(frozen=True)
class OperatorState:
    """An operator, as `name` or `domain::name`, and what becomes of it."""

    name: str
    state: State
    note: str
    """How it is differentiated, or why it is not."""


@dataclass(frozen=True)
class OperatorUse:
    """An operator of one model, and its nodes by name."""

    name: str
    state: State
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class ModelOperators:
    """The operators of a model, and why there is no gradient of it, None where there is one."""

    uses: tuple[OperatorUse, ...]
    refusal: str | None


def operator_states() -> list[OperatorState]:
    """Return the state of every known operator: ONNX's own in alphabetical order, then others."""
    foreign = sorted(n for n in REWRITINGS if "::" in n and not n.startswith(f"{NEWER}::"))
    return [_state(name) for name in (*sorted(_newest()), *foreign)]


def model_operators(
    model: str | Path | onnx.ModelProto,
    *,
    batch: int = 1,
    wrt: str | Sequence[str] | None = None,
    of: str | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> ModelOperators:
    """Return what becomes of each operator of a model; the parameters are `build_gradient`'s.

    The nodes are the model's own, those in functions and subgraphs included. A missing operator
    that the canonical form brings in, or leaves as it is, counts its nodes there.

    Raises ModelRefused, CanonicalMismatch, GradientUnavailable: as `build_gradient`, but not for
    operators without a rule.
    """
    proto = model_of(model)
    prepared = prepare(proto, batch=batch, wrt=wrt, of=of, shapes=shapes)
    nodes = path(prepared.model.graph, [prepared.output], prepared.values)
    missing = _by_operator(without_rule(nodes, RULES))
    own = ir.from_proto(separate_runtime_operators(proto))
    functions = {(function.domain, function.name) for function in own.functions.values()}
    nodes = [*own.graph.all_nodes()]
    for function in own.functions.values():
        nodes.extend(function.all_nodes())
    operators = _by_operator(n for n in nodes if (n.domain, n.op_type) not in functions)
    uses = [
        OperatorUse(name, _state_in_model(name, missing), tuple(missing.get(name, names)))
        for name, names in sorted({**missing, **operators}.items())
    ]
    try:
        differentiate(prepared)
    except GradientUnavailable as error:
        return ModelOperators(tuple(uses), str(error))
    return ModelOperators(tuple(uses), None)


def _state_in_model(name: str, missing: Mapping[str, list[str]]) -> State:
    if name in missing:
        return State.MISSING
    state = _state(name).state
    return State.ASIDE if state is State.MISSING else state


def _by_operator(nodes: Iterable[ir.Node]) -> dict[str, list[str]]:
    """Return operator -> the names of its nodes; a node without a name is called by its output."""
    operators: dict[str, list[str]] = {}
    for node in nodes:
        own = node.domain in ONNX_DOMAIN
        name = node.op_type if own else f"{node.domain}::{node.op_type}"
        label = node.name or next((str(y.name) for y in node.outputs), "")
        operators.setdefault(name, []).append(label)
    return operators


def _state(name: str) -> OperatorState:
    if name in FLAT or (name in CHOICES and name not in RULES):
        return OperatorState(name, State.FLAT, "constant nearly everywhere; a warning names it")
    if name in RULES:
        return OperatorState(name, State.RULE, _about(RULES[name].function))
    if name in REWRITINGS:
        return OperatorState(name, State.WRITTEN, _about(REWRITINGS[name].function))
    if f"{NEWER}::{name}" in REWRITINGS:
        about = _about(REWRITINGS[f"{NEWER}::{name}"].function)
        return OperatorState(name, State.WRITTEN, about)
    if name in UNPACKED:
        return OperatorState(name, State.WRITTEN, "where its positions are constants")
    if name in CONTROL:
        where = "condition is a constant" if name == "If" else "length is known"
        return OperatorState(name, State.WRITTEN, f"where its {where}")
    if name in DEFINED:
        return OperatorState(name, State.WRITTEN, "as ONNX defines it")
    schema = _newest().get(name)
    if schema is None:
        return OperatorState(name, State.MISSING, "not an operator of ONNX")
    return OperatorState(name, *_by_schema(schema))


def _by_schema(schema: OpSchema) -> tuple[State, str]:
    """Return what follows from ONNX's definition of an operator that no registry knows."""
    if schema.deprecated and schema.since_version <= OPSET:
        return State.WRITTEN, f"deprecated in opset {schema.since_version}: as its successor"
    if not _may_float(schema.outputs):
        return State.NONE, "gives no floating-point numbers"
    # A subgraph may read any tensor, whatever the inputs are.
    if not _may_float(schema.inputs) and not _has_subgraph(schema):
        return State.NONE, "reads no floating-point numbers"
    if schema.name in INDEPENDENT:
        return State.NONE, "reads the shape of its input alone"
    if _first_versions()[schema.name] <= OPSET:
        return State.MISSING, ""
    # The stubs of onnx leave these two out.
    if schema.has_function or schema.has_context_dependent_function:  # type: ignore[attr-defined]
        return State.WRITTEN, f"newer than opset {OPSET}: as ONNX defines it"
    return State.MISSING, f"newer than opset {OPSET}, and not defined by older operators"


def _may_float(formals: Iterable[OpSchema.FormalParameter]) -> bool:
    return any(_FLOATING.search(kind) for formal in formals for kind in formal.types)


def _has_subgraph(schema: OpSchema) -> bool:
    return any(a.type == OpSchema.AttrType.GRAPH for a in schema.attributes.values())


def _about(function: object) -> str:
    """Return the first paragraph of a docstring, which is the formula."""
    return " ".join((function.__doc__ or "").strip().split("\n\n")[0].split())


def _own_schemas() -> list[OpSchema]:
    """Every version of each of ONNX's own operators, oldest first."""
    schemas = (s for s in onnx.defs.get_all_schemas_with_history() if not s.domain)
    return sorted(schemas, key=lambda schema: schema.since_version)


@cache
def _newest() -> dict[str, OpSchema]:
    return {schema.name: schema for schema in _own_schemas()}


@cache
def _first_versions() -> dict[str, int]:
    return {schema.name: schema.since_version for schema in reversed(_own_schemas())}
