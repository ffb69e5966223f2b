"""Run graphs with opaque nodes: a module that is no ONNX graph, which PyTorch computes.

An opaque node is OPAQUE (pictures in, scores out) or OPAQUE_GRADIENT (pictures and the gradient of
the scores in, the gradient of the pictures out). ONNX Runtime has neither. So the graph is cut in
front of each: every part is a graph of its own, and PyTorch computes the nodes between the parts.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from leap_audit.run.providers import Provider
from leap_audit.run.session import Array, Loop, Session

__all__ = ["OPAQUE", "OPAQUE_GRADIENT", "OpaqueLoop", "OpaqueModule", "OpaqueSession"]

OPAQUE = "LeapAuditOpaque"
OPAQUE_GRADIENT = "LeapAuditOpaqueGradient"


class OpaqueModule(Protocol):
    """A module that is no ONNX graph."""

    engine: str
    """What computes it."""
    reason: str
    """Why it is no ONNX graph, a sentence."""

    def value(self, x: Array) -> Array:
        """Return the output at x."""

    def value_and_gradient(self, x: Array, cotangent: Array) -> tuple[Array, Array]:
        """Return the output at x, and the gradient of sum(cotangent * output), of x's shape."""


class OpaqueSession:
    """`Session` for a graph with opaque nodes."""

    def __init__(
        self, model: ir.Model, module: OpaqueModule, provider: Provider, threads: int = 0
    ) -> None:
        self.provider = provider
        self.inputs: tuple[str, ...] = tuple(str(value.name) for value in model.graph.inputs)
        self.outputs: tuple[str, ...] = tuple(str(value.name) for value in model.graph.outputs)
        self._module = module
        self._calls = [node for node in model.graph if node.op_type in (OPAQUE, OPAQUE_GRADIENT)]
        wanted = [[str(v.name) for v in node.inputs if v is not None] for node in self._calls]
        self._parts = [
            Session(_part(model, names), provider, threads) for names in (*wanted, self.outputs)
        ]

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str] | None = None) -> list[Array]:
        """Return the outputs (all of them, in the graph's order, unless some are named)."""
        tensors = dict(inputs)
        for part, node in zip(self._parts, self._calls, strict=False):
            operands = part.run({name: tensors[name] for name in part.inputs})
            tensors[str(node.outputs[0].name)] = self._compute(node.op_type, *operands)
        last = self._parts[-1]
        wanted = list(outputs if outputs is not None else self.outputs)
        return last.run({name: tensors[name] for name in last.inputs}, wanted)

    def loop(
        self, state: Mapping[str, tuple[str, Array]], constants: Mapping[str, Array]
    ) -> "OpaqueLoop":
        """Return a loop over this graph, as `Session.loop` does."""
        return OpaqueLoop(self, state, constants)

    def _compute(self, kind: str, x: Array, dy: Array | None = None) -> Array:
        if kind == OPAQUE or dy is None:
            return self._module.value(x).astype(np.float32)
        return self._module.value_and_gradient(x, dy)[1].astype(np.float32)


class OpaqueLoop:
    """`Loop` for a graph with opaque nodes; its state lies on the host."""

    def __init__(
        self,
        session: OpaqueSession,
        state: Mapping[str, tuple[str, Array]],
        constants: Mapping[str, Array],
    ) -> None:
        self._session = session
        self._next = {name: output for name, (output, _) in state.items()}
        self._now = {name: np.array(first) for name, (_, first) in state.items()}
        self._constants = dict(constants)
        self._last: dict[str, Array] = {}

    def step(self, draws: Mapping[str, Array]) -> None:
        """Run the graph once on `draws` and let the state advance."""
        outputs = self._session.run({**self._now, **self._constants, **draws})
        self._last = dict(zip(self._session.outputs, outputs, strict=True))
        self._now = {name: self._last[output] for name, output in self._next.items()}

    def state(self, name: str) -> Array:
        """Return a copy of the state that the input `name` will see next."""
        return np.array(self._now[name])

    def output(self, name: str) -> Array:
        """Return an output, other than state, of the last step."""
        return np.array(self._last[name])


AnySession = Session | OpaqueSession
AnyLoop = Loop | OpaqueLoop


def _part(model: ir.Model, wanted: Sequence[str]) -> ir.Model:
    """Return the graph that leads to the tensors `wanted`; outputs of opaque nodes are inputs."""
    copy = model.clone()
    graph = copy.graph
    named = {str(value.name): value for value in graph.inputs}
    named |= {str(name): value for name, value in graph.initializers.items()}
    for node in list(graph):
        named |= {str(value.name): value for value in node.outputs}
        if node.op_type not in (OPAQUE, OPAQUE_GRADIENT):
            continue
        old = node.outputs[0]
        entry = ir.Value(name=old.name, shape=old.shape, type=old.type)
        old.name = f"{old.name}/opaque"
        old.replace_all_uses_with(entry, replace_graph_outputs=True)
        graph.inputs.append(entry)
        named[str(entry.name)] = entry
    graph.outputs[:] = [named[name] for name in wanted]
    for node in list(graph):
        if node.op_type in (OPAQUE, OPAQUE_GRADIENT) and not list(node.outputs[0].uses()):
            graph.remove(node, safe=True)
    common.RemoveUnusedNodesPass()(copy)
    for value in list(graph.inputs):
        if not list(value.uses()) and value not in graph.outputs:
            graph.inputs.remove(value)
    return copy
