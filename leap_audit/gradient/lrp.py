"""Rule sets of relevance: `lrp` for convolutional networks, `attnlrp` also for transformers.

Every operator is in one class, which says how relevance passes it; an operator in none is refused
by name, since the table's own rule would scale relevance by a slope.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Literal, TypeAlias

import onnx_ir as ir
from pydantic import Field

from leap_audit.errors import UsageError
from leap_audit.gradient.affine import fold_affine
from leap_audit.gradient.layer_rules import (
    LayerRule,
    alpha_beta,
    box,
    epsilon_layer,
    flat,
    gamma,
    gamma_of_weights,
)
from leap_audit.gradient.ledger import Ledger
from leap_audit.gradient.relevance import Rules
from leap_audit.gradient.rulesets import RULE_SETS, Place, RuleOptions, RuleSet
from leap_audit.gradient.sums import merge_sums
from leap_audit.gradient.table import Node, Rule
from leap_audit.graph.operators import CASTING, MOVING, RESHAPING, ROUNDING
from leap_audit.graph.values import constant_of

__all__ = [
    "BY_ELEMENT",
    "CLASSES",
    "COMPOSITES",
    "AttnLrpRuleOptions",
    "Composite",
    "LrpRuleOptions",
    "Passing",
    "attnlrp_rules",
    "lrp_rules",
]


class Passing(StrEnum):
    """How relevance passes an operator."""

    LAYER = "layer"
    """Weights that are constants: the rule of the composite."""
    SUM = "sum"
    """Linear, or of degree one, without weights: in proportion to what each input adds."""
    ACTIVATION = "activation"
    """Element by element: all of it to the one input."""
    MOVE = "move"
    """To where the numbers came from; of a maximum, to the largest."""
    PRODUCT = "product"
    """To both factors, half each; none to a gate or a divisor."""
    NORMALISATION = "normalisation"
    """In proportion, with the deviation held constant."""
    ATTENTION = "attention"
    """A Softmax: `attnlrp` alone."""


CLASSES: dict[str, Passing] = {
    op_type: passing
    for passing, op_types in {
        Passing.LAYER: ("Conv", "ConvTranspose", "Einsum", "Gemm", "MatMul"),
        Passing.SUM: (
            *("Add", "AveragePool", "Col2Im", "CumSum", "GlobalAveragePool", "GlobalLpPool"),
            *("GridSample", "LpPool", "Mean", "ReduceL1", "ReduceL2", "ReduceMean", "ReduceSum"),
            *("Resize", "RoiAlign", "Sub", "Sum"),
        ),
        Passing.ACTIVATION: (
            *("Abs", "BatchNormalization", "Celu", "Clip", "Dropout", "Elu", "Erf", "Exp", "Gelu"),
            *("HardSigmoid", "HardSwish", "LRN", "LeakyRelu", "Log", "LpNormalization", "Mish"),
            *("Neg", "PRelu", "Pow", "Reciprocal", "Relu", "Selu", "Shrink", "Sigmoid", "Softplus"),
            *("Softsign", "Sqrt", "Tanh", "ThresholdedRelu", "DequantizeLinear"),
            *sorted(CASTING | ROUNDING),
        ),
        Passing.MOVE: (
            *("CenterCropPad", "GlobalMaxPool", "Max", "MaxPool", "MaxRoiPool", "MaxUnpool", "Min"),
            *("Pad", "ReduceMax", "ReduceMin", "ScatterElements", "ScatterND", "TopK", "Trilu"),
            *("Where", *sorted(MOVING - {"Compress"})),
        ),
        Passing.PRODUCT: ("Div", "Mul"),
        Passing.NORMALISATION: ("InstanceNormalization", "LayerNormalization"),
        Passing.ATTENTION: ("Softmax",),
    }.items()
    for op_type in op_types
}
"""Operator -> how relevance passes it, for each operator that a rule set knows."""
GATES = frozenset({"HardSigmoid", "Sigmoid"})
"""Activations whose output weighs another tensor."""
GATE_SHAPING = frozenset({*RESHAPING, "Expand", "Tile", "Transpose"})
"""Operators that bring a gate to the shape of what it weighs."""
BY_ELEMENT = frozenset(
    {op for op, passing in CLASSES.items() if passing is Passing.ACTIVATION}
    | {"Add", "Div", "Max", "Min", "Mul", "Sub", "Sum", "Where"}
) - {"BatchNormalization", "LRN", "LpNormalization"}
"""Operators that compute each element from the elements at its own position."""
FARTHEST = 12
"""Nodes of an activation that is written out, such as GELU by a hyperbolic tangent."""

Composite = Literal[
    "epsilon",
    "epsilon_plus",
    "epsilon_gamma_box",
    "epsilon_plus_flat",
    "epsilon_alpha2_beta1",
    "epsilon_alpha2_beta1_flat",
    "foxai",
]


class LrpRuleOptions(RuleOptions):
    """Which rule each linear layer has, and its constants."""

    composite: Composite = "epsilon_plus"
    """Rules by layer: ε at products with a matrix and, by name, at convolutions z⁺ (plus), γ
    (gamma) or α2β1, with z^B (box) or the flat rule at the first layer; foxai: γ in the first half
    of the layers, then ε, at the last ε of 0."""
    epsilon: float = Field(default=1e-6, ge=0)
    """What the ε rule adds to the size of a denominator."""
    gamma: float = Field(default=0.25, ge=0)
    """How much more the products of one sign count in the γ rule."""
    stabiliser: float = Field(default=1e-6, gt=0)
    """What all other rules add to the size of a denominator."""
    low: tuple[float, ...] = ()
    """Least value of the first layer's input, for each channel or for all: of z^B alone."""
    high: tuple[float, ...] = ()
    """Largest value of the first layer's input."""


class AttnLrpRuleOptions(LrpRuleOptions):
    """Which rule each linear layer has in AttnLRP."""

    composite: Composite = "epsilon"
    """Rules by layer, as in `lrp`; Achtibat et al. 2024 take ε."""


LayerRules: TypeAlias = Callable[[LrpRuleOptions, Node, Place], LayerRule]
ALL = ("Conv", "ConvTranspose")


def _composite(
    convolution: Callable[[LrpRuleOptions], LayerRule],
    first: Callable[[LrpRuleOptions], LayerRule] | None = None,
    first_of_any: bool = True,
) -> LayerRules:
    """ε at matrices, a rule at convolutions, and one at the first layer, or first convolution."""

    def choose(options: LrpRuleOptions, node: Node, place: Place) -> LayerRule:
        is_convolution = node.op_type in ALL
        begins = place.first_layer if first_of_any else is_convolution and place.same == 0
        if first is not None and begins:
            return first(options)
        return convolution(options) if is_convolution else epsilon_layer(options.epsilon)

    return choose


def _epsilon(options: LrpRuleOptions) -> LayerRule:
    return epsilon_layer(options.epsilon)


def _plus(options: LrpRuleOptions) -> LayerRule:
    return alpha_beta(1.0, 0.0, options.stabiliser)


def _alpha2_beta1(options: LrpRuleOptions) -> LayerRule:
    return alpha_beta(2.0, 1.0, options.stabiliser)


def _gamma(options: LrpRuleOptions) -> LayerRule:
    return gamma(options.gamma, options.stabiliser)


def _flat(options: LrpRuleOptions) -> LayerRule:
    return flat(options.stabiliser)


def _box(options: LrpRuleOptions) -> LayerRule:
    if not options.low or not options.high:
        raise UsageError(
            "the composite 'epsilon_gamma_box' needs `low` and `high`, the range of the first "
            "convolution's input."
        )
    return box(options.low, options.high, options.stabiliser)


def _foxai(options: LrpRuleOptions, node: Node, place: Place) -> LayerRule:  # noqa: ARG001
    """FoXAI's rules; it counts modules in the order of their registration, here layers count."""
    assert place.layer is not None
    if place.layer + 1 <= (place.layers + 1) // 2:
        return gamma_of_weights(options.gamma, FOXAI_EPSILON)
    return epsilon_layer(0.0 if place.last_layer else FOXAI_EPSILON)


FOXAI_EPSILON = 1e-9
COMPOSITES: dict[str, LayerRules] = {
    "epsilon": _composite(_epsilon),
    "epsilon_plus": _composite(_plus),
    "epsilon_gamma_box": _composite(_gamma, _box, first_of_any=False),
    "epsilon_plus_flat": _composite(_plus, _flat),
    "epsilon_alpha2_beta1": _composite(_alpha2_beta1),
    "epsilon_alpha2_beta1_flat": _composite(_alpha2_beta1, _flat),
    "foxai": _foxai,
}
"""Name -> the rule of a linear layer at its place."""


def lrp_rules(options: LrpRuleOptions | None = None, ledger: Ledger | None = None) -> RuleSet:
    """Return layer-wise relevance propagation, Bach et al. 2015, with a composite of rules.

    Composites as Montavon et al. 2019 and Kohlbrenner et al. 2020 name them. ledger: collects
    what constants and stabilisers keep while a graph is built. Refuses Softmax and products of
    two matrices that both depend on the input.
    """
    return _rule_set("lrp", options or LrpRuleOptions(), ledger, attention=False)


def attnlrp_rules(options: LrpRuleOptions | None = None, ledger: Ledger | None = None) -> RuleSet:
    """Return AttnLRP, Achtibat et al. 2024: `lrp` with rules for attention.

    Softmax by its first-order expansion, products of two matrices half and half, normalisation
    with its deviation held constant.
    """
    return _rule_set("attnlrp", options or AttnLrpRuleOptions(), ledger, attention=True)


def _rule_set(
    name: str, options: LrpRuleOptions, ledger: Ledger | None, *, attention: bool
) -> RuleSet:
    layers = Rules(options.epsilon, ledger)
    others = Rules(options.stabiliser, ledger)

    def choose(node: Node, place: Place) -> Rule | None:
        passing = CLASSES.get(node.op_type)
        if passing is None or (passing is Passing.ATTENTION and not attention):
            return None
        if passing is Passing.LAYER:
            return _at_layer(node, place)
        if passing is Passing.PRODUCT:
            return _at_product(others, node)
        return _elsewhere(others, node, passing)

    def _at_layer(node: Node, place: Place) -> Rule | None:
        several = sum(node.needs[:2]) > 1
        if several or node.op_type == "Einsum":
            if (several and not attention) or node.op_type in ALL:
                return None
            return layers.proportional(node, 0.5 if several else 1.0)
        if any(node.needs[2:]):
            return layers.proportional(node)
        chosen = COMPOSITES[options.composite](options, node, place)
        return layers.layer(node, chosen)

    return RuleSet(name, choose, passes=(fold_affine, merge_sums), options=options, relevance=True)


def _elsewhere(rules: Rules, node: Node, passing: Passing) -> Rule | None:
    """The rule of an operator without weights or factors; None where other inputs count too."""
    if passing is Passing.SUM:
        one = node.op_type in ("GridSample", "RoiAlign", "Resize", "CumSum")
        return None if one and any(node.needs[1:]) else rules.proportional(node)
    if passing is Passing.MOVE:
        extremum = node.op_type in ("Max", "Min")
        return rules.passed(node) if extremum and sum(node.needs) == 1 else rules.moved(node)
    if any(node.needs[1:]):
        return None
    if passing is Passing.ATTENTION:
        return rules.softmax(node)
    if passing is Passing.NORMALISATION:
        rank = len(node.shape(0))
        if node.op_type == "InstanceNormalization":
            return rules.normalised(node, range(2, rank))
        return rules.normalised(node, range(node.attribute("axis") % rank, rank))
    return rules.passed(node)


def _at_product(rules: Rules, node: Node) -> Rule:
    """The rule of Mul and Div; a factor that is a gate gets nothing."""
    if sum(node.needs) == 1:
        return rules.passed(node)
    if node.op_type == "Div":
        return rules.shared(node, (1.0, 0.0))
    a, b = node.inputs
    assert a is not None
    assert b is not None
    if _is_function(b, _root(a)) or (_is_gate(b) and not _is_gate(a)):
        return rules.shared(node, (1.0, 0.0))
    if _is_function(a, _root(b)) or (_is_gate(a) and not _is_gate(b)):
        return rules.shared(node, (0.0, 1.0))
    return rules.shared(node, (0.5, 0.5))


def _root(value: ir.Value) -> ir.Value:
    """The tensor of which this one is a multiple by a constant."""
    node = value.producer()
    if node is None or node.op_type not in ("Mul", "Div"):
        return value
    a, b = node.inputs
    if constant_of(b) is not None and a is not None:
        return _root(a)
    return _root(b) if node.op_type == "Mul" and constant_of(a) is not None and b else value


def _is_function(value: ir.Value, of: ir.Value) -> bool:
    """Whether a tensor is computed element by element from another, and from constants alone.

    So y = x · f(x) is an activation of x: SiLU, GELU, HardSwish, Mish, written out.
    """
    waiting, visited = [value], set[ir.Value]()
    while waiting:
        each = waiting.pop()
        node = each.producer()
        if each is of or each in visited or each.const_value is not None:
            continue
        visited.add(each)
        if node is None or node.op_type not in BY_ELEMENT or len(visited) > FARTHEST:
            return False
        waiting += [x for x in node.inputs if x is not None]
    return value is not of and value.const_value is None


def _is_gate(value: ir.Value) -> bool:
    """Whether a tensor comes from an activation that weighs other tensors."""
    node = value.producer()
    while node is not None and node.op_type in GATE_SHAPING:
        first = node.inputs[0]
        node = None if first is None else first.producer()
    return node is not None and node.op_type in GATES


for _rules in (lrp_rules(), attnlrp_rules()):
    RULE_SETS[_rules.name] = _rules
