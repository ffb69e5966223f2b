"""A graph that rounds, held against its original layer by layer.

Where two ways of adding up differ in their last digit, a number may be rounded to its neighbour,
and what is computed from it then differs by a step of its own; behind some ten layers two right
graphs may differ by as much as the quantised model differs from the one it was made of. So every
layer is computed from what the *original* gave to it: what goes wrong in one layer cannot hide in
what the layers before it have added. And a number that the original rounded to is right only if the
number before rounding lies within half a step of it: no share of wrong numbers is tolerated.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from leap_audit.canonical.unsigned import SHIFT
from leap_audit.errors import LeapAuditError
from leap_audit.graph.operators import ROUNDING
from leap_audit.graph.values import new_constant
from leap_audit.run.providers import Provider
from leap_audit.run.session import Array, Session

__all__ = ["TOLERANCE", "Layers", "agree"]

TOLERANCE = 1e-3
"""Largest difference from the original's output, relative to the output's largest number."""
TIE = 0.01
"""Steps by which a number may lie beyond the half up to which the original's rounding is right."""


@dataclass(frozen=True)
class Layers:
    """The original with its rounded tensors as outputs, and the canonical graph cut there."""

    original: onnx.ModelProto
    canonical: ir.Model
    before: dict[str, tuple[str, str, str]]
    """Of each such tensor: what is rounded, and the scale and zero point that it is rounded by."""
    names: tuple[str, ...]
    """Of the tensors that both have."""

    @classmethod
    def shared(cls, original: onnx.ModelProto, canonical: ir.Model) -> "Layers | None":
        """Return the layers between tensors that both graphs round; None: they share no such."""
        there = {name for node in original.graph.node for name in node.output if name}
        names = tuple(
            str(node.outputs[0].name)
            for node in canonical.graph
            if node.op_type in ROUNDING and node.outputs[0].name in there
        )
        if not names:
            return None
        shown = onnx.ModelProto()
        shown.CopyFrom(original)
        outputs = {value.name for value in original.graph.output}
        shown.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names if n not in outputs)
        return cls(shown, *_cut(canonical, set(names)), names)

    def differing(
        self,
        trials: Sequence[Mapping[str, Array]],
        run_original: Callable[[Mapping[str, Array]], list[Array]],
        provider: Provider,
    ) -> str | None:
        """Return the first output or rounded tensor that differs by more than rounding explains.

        None: all agree. run_original: gives the outputs of `original`.
        """
        names = [value.name for value in self.original.graph.output]
        kinds = {str(v.name): v.dtype for v in self.canonical.graph.inputs}
        try:
            session = Session(self.canonical, provider, often=False)
        except LeapAuditError:
            return names[0]
        for inputs in trials:
            wanted = dict(zip(names, run_original(inputs), strict=True))
            for name in self.names:
                if wanted[name].dtype == np.int8 and kinds[_given(name)] == ir.DataType.UINT8:
                    wanted[name] = (wanted[name].astype(np.int16) + SHIFT).astype(np.uint8)
            feed = {**inputs, **{_given(name): wanted[name] for name in self.names}}
            feed = {name: array for name, array in feed.items() if name in session.inputs}
            for name, have in zip(names, session.run(feed, names), strict=True):
                want = wanted[name]
                if name not in self.names:
                    same = agree(want, have)
                elif want.shape != have.shape or want.dtype != have.dtype:
                    same = False
                else:
                    same = np.array_equal(want, have) or self._at_ties(name, want, session, feed)
                if not same:
                    return name
        return None

    def _at_ties(self, name: str, want: Array, session: Session, feed: Mapping[str, Array]) -> bool:
        """Whether the original's numbers are roundings of what the canonical graph rounds."""
        x, scale, zero_point = (
            np.asarray(feed[n] if n in feed else session.run(feed, [n])[0])
            for n in self.before[name]
        )
        node = next(n for n in self.canonical.graph if n.outputs[0].name == name)
        number = x.astype(np.float64) / _laid_out(node, scale.astype(np.float64), x.shape)
        number += _laid_out(node, zero_point.astype(np.float64), x.shape)
        ends = np.iinfo(want.dtype)
        beyond = np.abs(np.clip(number, ends.min, ends.max) - want)
        return bool((beyond <= 0.5 + TIE + 1e-6 * np.abs(number)).all())


def _laid_out(node: ir.Node, numbers: Array, shape: tuple[int, ...]) -> Array:
    """A scale or zero point so that it broadcasts over the numbers: of all, an axis, or blocks."""
    if numbers.size == 1 or node.op_type == "DynamicQuantizeLinear":
        return numbers.reshape(())
    axis = node.attributes.get_int("axis", 1) % len(shape)
    if numbers.ndim == 1:
        return numbers.reshape([-1 if i == axis else 1 for i in range(len(shape))])
    repeated = np.repeat(numbers, node.attributes.get_int("block_size", 1), axis)
    return np.take(repeated, range(shape[axis]), axis)


def _given(name: str) -> str:
    return f"{name}/of the original"


def _cut(model: ir.Model, names: set[str]) -> tuple[ir.Model, dict[str, tuple[str, str, str]]]:
    """A copy in which these tensors are outputs, and what reads them reads inputs instead.

    So are what is rounded, its scale and its zero point, whose names are returned.
    """
    copy = model.clone()
    graph = copy.graph
    before: dict[str, tuple[str, str, str]] = {}
    for node in list(graph):
        value = node.outputs[0]
        if value.name not in names:
            continue
        entry = ir.Value(name=_given(str(value.name)), shape=value.shape, type=value.type)
        value.replace_all_uses_with(entry)
        graph.inputs.append(entry)
        if not value.is_graph_output():
            graph.outputs.append(value)
        dynamic = node.op_type == "DynamicQuantizeLinear"
        scales = list(node.outputs[1:] if dynamic else node.inputs[1:])
        if len(scales) == 1 or scales[1] is None:
            assert value.dtype is not None
            none = np.zeros((), value.dtype.numpy())
            scales = [scales[0], new_constant(graph, f"{value.name}/no zero point", none)]
        shown = [node.inputs[0], *scales]
        for each in shown:
            if each is not None and not each.is_graph_output() and not each.is_graph_input():
                graph.outputs.append(each)
        first, second, third = (str(each.name) for each in shown if each is not None)
        before[str(value.name)] = (first, second, third)
    common.RemoveUnusedNodesPass()(copy)
    return copy, before


def agree(want: Array, have: Array, tolerance: float = TOLERANCE) -> bool:
    """Return whether two outputs are the same to a tolerance, infinities and all."""
    if want.shape != have.shape:
        return False
    if not np.isfinite(want).all():
        return bool(np.array_equal(np.isfinite(want), np.isfinite(have)))
    largest = float(np.abs(want).max(initial=0.0))
    return float(np.abs(want - have).max(initial=0.0)) <= tolerance * largest + 1e-6
