"""The table of gradient rules: one small function per operator.

    @gradient("Sigmoid", samples=[sample((2, 3))])
    def sigmoid(op, node, dy):
        \"\"\"dx = dy * y * (1 - y)\"\"\"
        (y,) = node.outputs
        return op.Mul(dy, op.Mul(y, op.Sub(1.0, y)))

A rule takes the emitter, the node and the gradient of each of the node's outputs (None where
nothing depends on that output). It returns the gradient of its only input, or a sequence with
one entry per input. None is legal only for an input that has no gradient by ONNX's definition
or that `node.needs` says is off the path. Summing over several uses, undoing broadcasting and
pruning are the walk's work, never a rule's.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from leap_audit.graph.opset import OPSET
from leap_audit.graph.shapes import static_shape

__all__ = ["RULES", "Node", "Rule", "RuleSample", "gradient", "sample"]

Gradients = ir.Value | Sequence[ir.Value | None]
RuleFunction = Callable[..., Gradients]


@dataclass(frozen=True)
class Node:
    """A node as a rule sees it."""

    op_type: str
    name: str
    inputs: tuple[ir.Value | None, ...]
    outputs: tuple[ir.Value, ...]
    needs: tuple[bool, ...]
    """Which inputs are on the path to what is differentiated with respect to."""
    attributes: dict[str, Any]

    def attribute(self, name: str, default: Any = None) -> Any:
        """Return an attribute: as given, else ONNX's default, else `default`."""
        if name in self.attributes:
            return self.attributes[name]
        schema = onnx.defs.get_schema(self.op_type, OPSET).attributes[name]
        if schema.default_value.name:
            default_value = onnx.helper.get_attribute_value(schema.default_value)
            return default_value.decode() if isinstance(default_value, bytes) else default_value
        return default

    def shape(self, index: int) -> tuple[int, ...]:
        """Return the static shape of an input."""
        value = self.inputs[index]
        assert value is not None
        return static_shape(value)


@dataclass(frozen=True)
class RuleSample:
    """A node to test a rule on: inputs, attributes, and which inputs to differentiate."""

    inputs: tuple[NDArray[Any] | None, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    wrt: tuple[int, ...] = (0,)
    outputs: int = 1


@dataclass(frozen=True)
class Rule:
    """An operator's gradient, with the samples that test it."""

    op_type: str
    function: RuleFunction
    samples: tuple[RuleSample, ...]
    broadcasting: bool
    """Inputs are broadcast to the output's shape; the walk sums what the rule returns back."""


RULES: dict[str, Rule] = {}


def gradient(
    *op_types: str, samples: Iterable[RuleSample], broadcasting: bool = False
) -> Callable[[RuleFunction], RuleFunction]:
    """Enter a function into the table as the rule of the operators named."""

    def enter(function: RuleFunction) -> RuleFunction:
        for op_type in op_types:
            if op_type in RULES:
                raise ValueError(f"{op_type} has a gradient rule already")
            RULES[op_type] = Rule(op_type, function, tuple(samples), broadcasting)
        return function

    samples = tuple(samples)
    return enter


def sample(
    *inputs: tuple[int, ...] | NDArray[Any] | None,
    wrt: int | tuple[int, ...] = 0,
    low: float = -2.0,
    high: float = 2.0,
    outputs: int = 1,
    **attributes: Any,
) -> RuleSample:
    """Return a sample; a tuple stands for random numbers of that shape in low..high."""
    rng = np.random.default_rng(len(inputs) + len(attributes))
    arrays = [rng.uniform(low, high, a) if isinstance(a, tuple) else a for a in inputs]
    positions = (wrt,) if isinstance(wrt, int) else wrt
    return RuleSample(tuple(arrays), attributes, positions, outputs)
