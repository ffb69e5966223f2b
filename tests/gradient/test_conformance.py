"""Every rule on ONNX's own conformance cases, against central differences."""

import pytest

from leap_audit.gradient.table import RULES
from tests.gradient.conformance import Case, collected
from tests.gradient.operators_page import OUT_OF_DATE, cases_part, committed
from tests.gradient.oracle import TOLERANCE, check_rule

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

COLLECTED = list(collected())
CASES = [case for case in COLLECTED if case.sample is not None]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_rule_agrees_on_the_conformance_case(case: Case) -> None:
    if case.name in EXCLUDED:
        pytest.skip(EXCLUDED[case.name])
    assert case.sample is not None
    assert check_rule(case.op_type, case.sample) < TOLERANCE


def test_every_exclusion_is_a_case() -> None:
    assert not set(EXCLUDED) - {case.name for case in CASES}


def test_every_rule_has_cases_but_these() -> None:
    """Those of Where, Trilu and CastLike are on whole numbers, Mish's come as several nodes."""
    judged = {name for name, rule in RULES.items() if rule.samples}
    without = judged - {case.op_type for case in CASES}
    assert without == {"CastLike", "Mish", "Trilu", "Where"}


def test_the_page_of_operators_has_these_cases() -> None:
    assert cases_part(COLLECTED, EXCLUDED) in committed(), OUT_OF_DATE
