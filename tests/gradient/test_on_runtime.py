"""Rules that onnx.reference cannot judge, against central differences of ONNX Runtime's forward.

In float32, so with a tolerance of a thousandth; the inputs are spread out, off kinks and ties.
"""

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from leap_audit.gradient import Emitter
from leap_audit.gradient.table import RULES, Node, Rule, RuleSample, sample
from leap_audit.run import Session, choose_provider
from tests.builders.oracle import TOLERANCE as EXACT
from tests.builders.oracle import Case, case_of, check_rule

STEP = 1 / 256
TOLERANCE = 1e-3

_PICTURE = (1, 2, 6, 7)
_POOLS = [
    ((2, 3, 9), {"kernel_shape": [3], "strides": [2], "pads": [1, 0]}),
    (
        (1, 1, 4, 5, 6),
        {"kernel_shape": [2, 3, 2], "strides": [2, 1, 2], "pads": [0, 1, 0, 0, 1, 1]},
    ),
    (_PICTURE, {"kernel_shape": [2, 3], "dilations": [3, 2]}),
    (_PICTURE, {"kernel_shape": [3, 3], "strides": [2, 2], "dilations": [2, 2], "pads": [2] * 4}),
    (_PICTURE, {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    (_PICTURE, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 0, 0], "ceil_mode": 1}),
    ((1, 2, 7, 8), {"kernel_shape": [2, 2], "strides": [3, 3], "ceil_mode": 1}),
    (_PICTURE, {"kernel_shape": [3, 2], "auto_pad": "SAME_UPPER"}),
    (_PICTURE, {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    (_PICTURE, {"kernel_shape": [3, 2], "strides": [2, 3], "auto_pad": "VALID"}),
    ((2, 3, 9), {"kernel_shape": [4], "strides": [2], "auto_pad": "SAME_LOWER"}),
    ((1, 1, 5, 4, 5), {"kernel_shape": [2, 2, 3], "strides": [2, 3, 2], "ceil_mode": 1}),
    ((1, 1, 5, 4, 5), {"kernel_shape": [2, 2, 2], "dilations": [2, 1, 3]}),
]
_PADDED = [
    {"pads": [1, 0, 2, 1]},
    {"pads": [1, 0, 2, 1], "strides": [2, 2]},
    {"pads": [1, 0, 2, 1], "strides": [2, 2], "ceil_mode": 1},
    {"pads": [2, 2, 2, 2], "dilations": [2, 2]},
    {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
    {"strides": [2, 2], "ceil_mode": 1},
]


def _spread(*shape: int) -> np.ndarray:
    """Different numbers in -2..2, none near 0, in no order."""
    numbers = np.linspace(-2, 2, 2 * int(np.prod(shape)) + 2)[1::2][: int(np.prod(shape))]
    return np.random.default_rng(len(shape)).permutation(numbers).reshape(shape)


def _cases() -> list[tuple[str, RuleSample]]:
    picture, weights = _spread(1, 4, 3, 4), np.random.default_rng(0).uniform(-1, 1, (4, 3, 3, 4))
    transposed = [
        {"group": 2},
        {"group": 2, "strides": [2, 3], "pads": [1, 0, 2, 1], "output_padding": [1, 2]},
        {"group": 4, "dilations": [2, 1]},
        {"strides": [2, 2], "output_shape": [6, 9]},
        {"strides": [2, 2], "output_shape": [6, 9], "auto_pad": "SAME_UPPER"},
        {"strides": [2, 2], "output_shape": [6, 9], "auto_pad": "SAME_LOWER"},
        {"strides": [2, 2], "output_shape": [8, 11]},
        {"strides": [2, 2], "output_shape": [8, 10], "output_padding": [1, 0]},
        {"strides": [3, 3], "dilations": [1, 2], "auto_pad": "SAME_UPPER"},
    ]
    both = {"wrt": (0, 1)}
    cases = [("ConvTranspose", sample(picture, weights, **both, **kind)) for kind in transposed]
    # onnx.reference has no grouped ConvTranspose, which a strided grouped Conv's gradient is.
    grouped = {"group": 2, "strides": [2, 2], "pads": [1, 0, 1, 1]}
    cases += [("Conv", sample(_spread(1, 4, 7, 6), weights[:, :2, :, :2], **both, **grouped))]
    for shape, attributes in _POOLS:
        for name in ("AveragePool", "MaxPool", "LpPool"):
            cases.append((name, sample(_spread(*shape), **attributes)))
    for attributes in _PADDED:
        kinds = {**attributes, "kernel_shape": [3, 3], "count_include_pad": 1}
        cases.append(("AveragePool", sample(_spread(*_PICTURE), **kinds)))
    pool = {"kernel_shape": [3, 2], "strides": [2, 1], "storage_order": 1}
    cases += [("MaxPool", sample(_spread(*_PICTURE), **pool, outputs=n)) for n in (1, 2)]
    cases += [("LpPool", sample(_spread(1, 2, 5, 5), kernel_shape=[2, 2], p=p)) for p in (1, 3, 4)]
    cases += [("GlobalLpPool", sample(_spread(2, 3, 4, 5), p=p)) for p in (1, 2, 3)]
    cases += [("GlobalLpPool", sample(_spread(2, 3, 4)))]
    cases += [("LpNormalization", sample(_spread(2, 3, 4), p=1, axis=axis)) for axis in (-1, 0)]
    cases += [("LRN", sample(_spread(2, 6, 3, 2), size=size, alpha=0.7)) for size in (3, 5)]
    for axis, count in ((-1, 3), (1, 3), (-1, 2)):  # the mean and the inverse deviation as well
        gain = _spread(*(2, 3, 4)[axis:])
        kinds = {"axis": axis, "outputs": count, "wrt": (0, 1, 2)}
        cases.append(("LayerNormalization", sample(_spread(2, 3, 4), gain, -gain, **kinds)))
    cases += [("Gelu", sample(_spread(4, 6))), ("Celu", sample(_spread(4, 6)))]
    cases += [("Celu", sample(_spread(4, 6), alpha=0.5))]
    regions = np.array([[0, 0, 0, 4, 5], [1, 2, 2, 9, 3], [1, -3, 1, 3, 2.4], [0, 9, 9, 12, 12]])
    for scale in (1.0, 0.5):
        pooled = {"pooled_shape": [2, 3], "spatial_scale": scale}
        cases.append(("MaxRoiPool", sample(np.abs(_spread(2, 2, 6, 7)), regions, **pooled)))
    for mode in ("linear", "cubic"):
        for padding in ("zeros", "border", "reflection"):
            for align, size in ((0, 4), (1, 5)):  # one coordinate step is half a pixel's
                odd = 2 * np.random.default_rng(size).integers(-90, 90, (2, 3, 2, 2)) + 1
                kinds = {"mode": mode, "padding_mode": padding, "align_corners": align}
                cases.append(
                    (
                        "GridSample",
                        sample(_spread(2, 2, size, size), odd / 128, wrt=(0, 1), **kinds),
                    )
                )
    return cases


def _disagreement(case: Case) -> float:
    """Return the relative difference between the rule and the difference quotient."""
    provider = choose_provider("cpu")
    forward = Session(case.forward, provider, threads=1)
    gradients = Session(case.gradient, provider, threads=1).run(case.inputs)
    direction = {
        name: np.random.default_rng(3).choice([-1.0, -0.5, 0.5, 1.0], x.shape)
        for name, x in case.inputs.items()
    }

    def value(step: float) -> float:
        at = {n: (x + step * direction[n]).astype(np.float32) for n, x in case.inputs.items()}
        found = forward.run(at, list(case.weights))
        pairs = zip(case.weights.values(), found, strict=True)
        return sum(float((w.astype(np.float64) * y).sum()) for w, y in pairs)

    quotient = (value(STEP) - value(-STEP)) / (2 * STEP)
    pairs = list(zip(gradients, direction.values(), strict=True))
    predicted = sum(float((dx * d).sum()) for dx, d in pairs)
    return abs(quotient - predicted) / sum(float(np.abs(dx * d).sum()) / 3 for dx, d in pairs)


CASES = [pytest.param(*case, id=f"{case[0]}-{i}") for i, case in enumerate(_cases())]


@pytest.mark.parametrize(("op_type", "case"), CASES)
def test_rule_agrees_with_the_runtime(op_type: str, case: RuleSample) -> None:
    assert _disagreement(case_of(op_type, case, dtype=ir.DataType.FLOAT)) < TOLERANCE


@pytest.mark.parametrize(
    "name", ["ConvTranspose", "GlobalLpPool", "Gelu", "Celu", "GridSample", "MaxRoiPool"]
)
def test_a_gradient_off_by_a_hundredth_is_rejected(name: str) -> None:
    def wrong(op: Emitter, node: Node, dy: ir.Value) -> Any:
        answer = RULES[name].function(op, node, dy)
        first, *others = answer if isinstance(answer, tuple) else (answer,)
        return op.Mul(first, 1.01), *others

    case = next(case for op_type, case in _cases() if op_type == name)
    graphs = case_of(name, case, Rule(name, wrong, (), False), ir.DataType.FLOAT)
    assert _disagreement(graphs) > TOLERANCE


def test_lrn_over_an_even_number_of_channels_which_the_runtime_has_not() -> None:
    # onnx.reference is right where there are as many items as channels.
    assert check_rule("LRN", sample((4, 4, 2, 2), size=4, alpha=1.0, beta=0.5)) < EXACT
