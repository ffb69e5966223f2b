"""DeepLIFT as a rule set: multipliers between an input and its baseline, in one batch.

The batch is [x; x0]. In place of the slope of a node stands the difference of its output over the
difference of its input, so that the multiplier of the input times x - x0 adds up to f(x) - f(x0).
Shrikumar, Greenside and Kundaje 2017, the rescale rule.

Sums of products are shared evenly among their factors:
a b - a0 b0 = (a - a0)(b + b0)/2 + (b - b0)(a + a0)/2. So a chain of functions of one number, such
as x · sigmoid(x), gets the multiplier of the chain as a whole.
"""

from collections.abc import Collection, Mapping, Sequence

import onnx_ir as ir

from leap_audit.errors import GradientUnavailable
from leap_audit.gradient.multipliers import MULTIPLIERS, PRODUCTS
from leap_audit.gradient.pairs import (
    ELEMENTWISE,
    PairAxes,
    PairAxis,
    PairedTensors,
    depending_on,
    pair_axes,
)
from leap_audit.gradient.path import list_nodes, node_view, tensors_on_path
from leap_audit.gradient.rulesets import RULE_SETS, Place, RuleSet
from leap_audit.gradient.table import RULES, Gradients, Node, Rule
from leap_audit.graph.emit import Emitter
from leap_audit.graph.opset import ONNX_DOMAIN
from leap_audit.graph.values import constant_of

__all__ = ["DEEPLIFT", "require_pairs"]

LINEAR_IN: Mapping[str, Collection[int]] = {
    **dict.fromkeys(("Add", "Concat", "Mean", "Sub", "Sum"), range(10**6)),
    **dict.fromkeys(
        (
            "AveragePool", "BatchNormalization", "Cast", "CastLike", "CenterCropPad", "Col2Im",
            "CumSum", "DepthToSpace", "DequantizeLinear", "Dropout", "Expand", "Flatten", "Gather",
            "GatherElements", "GatherND", "GlobalAveragePool", "GridSample", "Identity", "Neg",
            "Pad", "ReduceMean", "ReduceSum", "Reshape", "Resize", "Slice", "SpaceToDepth", "Split",
            "Squeeze", "Tile", "Transpose", "Trilu", "Unsqueeze",
        ),
        (0,),
    ),
    **dict.fromkeys(("Conv", "ConvTranspose"), (0, 2)),
    "Where": (1, 2),
}  # fmt: skip
"""Operator -> the inputs that it is linear in, all of them together."""


def require_pairs(graph: ir.Graph, values: Collection[ir.Value]) -> None:
    """Raise GradientUnavailable where a tensor holds no pairs, first members first, along axis 0.

    What is sent back, and what comes out, has the same numbers for both members.
    """
    _require_pairs(pair_axes(graph), values)


def _require_pairs(axes: PairAxes, values: Collection[ir.Value]) -> None:
    if odd := [x for x in values if axes.get(x) != PairAxis(0)]:
        raise GradientUnavailable(
            f"DeepLIFT: {str(odd[0].name)!r} does not hold pairs along its first axis; give an "
            "even batch (batch, --batch 2), inputs first, then their baselines, and a tensor that "
            "keeps this order."
        )


def _fitted(
    nodes: Sequence[ir.Node], wrt: Collection[ir.Value], stop: Collection[ir.Value]
) -> RuleSet:
    """Return the rules for the nodes of a path.

    Raises GradientUnavailable: nodes that mix the members of pairs, that have no multipliers, or
    that read what depends on the input and carries no gradient; all of them, by name.
    """
    if not nodes or nodes[0].graph is None:
        return DEEPLIFT
    graph = nodes[0].graph
    assert isinstance(graph, ir.Graph)
    axes, on_path = pair_axes(graph), tensors_on_path(nodes, wrt, stop)
    _require_pairs(axes, wrt)
    changing = depending_on(graph, wrt) - on_path
    mixing, without, cut = [], [], []
    for node in nodes:
        lost = [
            x for x in (*node.inputs, *node.outputs) if x is not None and axes.get(x, 0) is None
        ]
        if node.domain not in ONNX_DOMAIN or node.op_type not in {*LINEAR_IN, *MULTIPLIERS}:
            without.append(node)
        elif any(x in changing for x in node.inputs):
            cut.append(node)
        elif lost:
            mixing += [] if any(x in on_path for x in lost if x in node.inputs) else [node]
        elif not _served(node_view(node, on_path), axes):
            without.append(node)
    reasons = [
        f"{what}: {list_nodes(found)}"
        for what, found in (
            ("These operators mix the pictures of a batch", mixing),
            ("These have no multipliers", without),
            ("These read what depends on the input and carries no gradient", cut),
        )
        if found
    ]
    if reasons:
        raise GradientUnavailable(f"DeepLIFT cannot run on this model. {'. '.join(reasons)}.")
    pairs = PairedTensors(axes, {})
    return RuleSet(NAME, lambda node, _: _rule(pairs, node), gradient_is_answer=True)


def _served(node: Node, axes: PairAxes) -> bool:
    """Whether the multipliers of a node are known, of which some inputs depend on the picture."""
    depending = [i for i, x in enumerate(node.inputs) if x is not None and x in axes]
    linear = LINEAR_IN.get(node.op_type)
    if linear is not None:
        return all(i in linear for i in depending)
    if node.op_type not in MULTIPLIERS:
        return False
    if node.op_type in PRODUCTS:
        return len(node.inputs) <= (3 if node.op_type == "Gemm" else 2)
    if node.op_type == "ReduceLogSumExp":
        over = None if len(node.inputs) < 2 else constant_of(node.inputs[1])
        return depending == [0] and over is not None and over.size == 1
    if node.op_type == "LpNormalization":
        return bool(node.attribute("p") == 2)
    if node.op_type in ELEMENTWISE:
        return node.op_type in SEVERAL or len(depending) == 1
    return depending == [0]


def _rule(pairs: PairedTensors, node: Node) -> Rule | None:
    """The rule of a node; None: the table's."""
    if node.op_type in LINEAR_IN:
        return None
    if node.op_type in PRODUCTS and sum(x in pairs.axes for x in node.inputs[:2]) < 2:
        return None
    function = MULTIPLIERS[node.op_type]

    def applied(op: Emitter, view: Node, dy: ir.Value, *_: ir.Value | None) -> Gradients:
        return function(pairs, op, view, dy)

    return Rule(node.op_type, applied, (), RULES[node.op_type].broadcasting)


SEVERAL = frozenset({"Div", "Max", "Min"})
"""Operators with multipliers for several inputs that depend on the picture, beside the products."""
NAME = "deeplift"


def _unfitted(node: Node, place: Place) -> Rule | None:  # noqa: ARG001
    raise AssertionError("DeepLIFT's rules depend on all nodes of a path")


DEEPLIFT = RuleSet(NAME, _unfitted, fitted=_fitted, gradient_is_answer=True)
"""Multipliers in place of the gradient. The batch holds inputs, then as many baselines; what is
sent back must be the same for both members of a pair, and so is the answer."""
RULE_SETS[NAME] = DEEPLIFT
