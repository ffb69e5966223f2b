"""Differentiate ONNX graphs in reverse mode, into standard ONNX operators."""

from leap_audit.gradient import deeplift as _deeplift  # noqa: F401  enters its rule set
from leap_audit.gradient import lrp as _lrp  # noqa: F401  enters its rule sets
from leap_audit.gradient import rules as _rules  # noqa: F401  fills the table
from leap_audit.gradient.agreement import Agreement, check_gradient
from leap_audit.gradient.build import build_gradient
from leap_audit.gradient.engine import Differentiable, OnnxGradient, differentiable
from leap_audit.gradient.rulesets import Place, RuleOptions, RuleSet
from leap_audit.gradient.table import RULES, gradient, sample
from leap_audit.gradient.walk import backpropagate
from leap_audit.graph.emit import Emitter

__all__ = [
    "RULES",
    "Agreement",
    "Differentiable",
    "Emitter",
    "OnnxGradient",
    "Place",
    "RuleOptions",
    "RuleSet",
    "backpropagate",
    "build_gradient",
    "check_gradient",
    "differentiable",
    "gradient",
    "sample",
]
