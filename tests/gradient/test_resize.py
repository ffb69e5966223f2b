"""The rule of Resize against ONNX Runtime's own Resize, whose transpose it must be."""

import itertools
from collections.abc import Iterator

import numpy as np
import onnx_ir as ir
import pytest

from leap_audit.gradient.table import RuleSample, sample
from leap_audit.run import Session, choose_provider
from tests.builders.oracle import case_of

COORDINATES = [
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_crop_and_resize",
]
ROI = np.array([0, 0, 0.3, -0.2, 1, 1, 0.9, 0.7])


def _cases() -> Iterator[RuleSample]:
    for mode, coordinates in itertools.product(("nearest", "linear", "cubic"), COORDINATES):
        roundings = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
        for rounding in roundings if mode == "nearest" else roundings[:1]:
            kind = {"mode": mode, "coordinate_transformation_mode": coordinates}
            kind |= {"nearest_mode": rounding}
            for scales in ([1, 1, 2, 3], [1, 1, 1.7, 0.6], [1, 1, 0.3, 2.4], [1, 1, 0.15, 7]):
                yield sample((2, 3, 7, 9), ROI, np.array(scales, float), **kind)
            for sizes in ([2, 3, 14, 4], [2, 3, 1, 31], [2, 3, 5, 5]):
                yield sample((2, 3, 7, 9), ROI, None, np.array(sizes), **kind)
    for mode, outside, size in itertools.product(("linear", "cubic"), (0, 1), (4, 17)):
        if (mode, outside) != ("linear", 1):
            kind = {"antialias": 1, "mode": mode, "exclude_outside": outside}
            yield sample((2, 3, 7, 9), None, None, np.array([2, 3, 3, size]), **kind)
    for policy in ("stretch", "not_larger", "not_smaller"):
        # A policy with negative axes resizes nothing on ONNX Runtime.
        axes = [3, 2] if policy != "stretch" else [-1, -2]
        kind = {"mode": "linear", "keep_aspect_ratio_policy": policy, "axes": axes}
        yield sample((2, 3, 7, 9), None, None, np.array([12, 20]), **kind)


def _name(case: RuleSample) -> str:
    size = case.inputs[2] if case.inputs[2] is not None else case.inputs[3]
    assert size is not None
    return "-".join(str(part) for part in (*case.attributes.values(), *size[-2:]))


@pytest.mark.parametrize("case", list(_cases()), ids=_name)
def test_resize_is_the_transpose_of_what_onnx_runtime_computes(case: RuleSample) -> None:
    graphs = case_of("Resize", case, dtype=ir.DataType.FLOAT)
    provider = choose_provider("cpu")
    ((name, weights),) = graphs.weights.items()
    x = graphs.inputs["x0"]
    (y,) = Session(graphs.forward, provider, threads=1).run({"x0": x}, [name])
    (dx,) = Session(graphs.gradient, provider, threads=1).run({"x0": x})
    assert float((y * weights).sum()) == pytest.approx(float((x * dx).sum()), rel=1e-4, abs=1e-4)
