"""What an audit costs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from leap_audit.gradient import Emitter
from leap_audit.graph.values import new_graph, new_input
from leap_audit.ingest.model import Model
from leap_audit.measure.costs import (
    JUDGING,
    LIKENING,
    PAGES,
    PICTURE,
    PREPARING,
    READING,
    TRYING,
    Amount,
    Costs,
    multiply_adds,
    steady,
)
from tests.builders.classifiers import linear, read_model


def shaped(op: Emitter, *shape: int) -> ir.Value:
    return op.constant(np.zeros(shape, np.float32))


def test_multiply_adds_of_a_convolution_and_products() -> None:
    op = Emitter(new_graph(), "t")
    x = new_input(op.graph, "x", (1, 4, 8, 8))
    y = op.Conv(x, shaped(op, 6, 2, 3, 3), group=2)
    y.shape = ir.Shape((1, 6, 6, 6))
    assert multiply_adds(op.graph) == 6 * 6 * 6 * 2 * 9
    z = op.MatMul(shaped(op, 5, 7), shaped(op, 7, 3))
    z.shape = ir.Shape((5, 3))
    assert multiply_adds(op.graph) == 6 * 6 * 6 * 2 * 9 + 5 * 7 * 3
    g = op.Gemm(shaped(op, 7, 5), shaped(op, 7, 3), transA=1)
    g.shape = ir.Shape((5, 3))
    assert multiply_adds(op.graph) == 6 * 6 * 6 * 2 * 9 + 2 * 5 * 7 * 3
    t = op.ConvTranspose(x, shaped(op, 4, 6, 2, 2), strides=[2, 2])
    t.shape = ir.Shape((1, 6, 16, 16))
    assert multiply_adds(op.graph) == 6 * 6 * 6 * 2 * 9 + 2 * 5 * 7 * 3 + 4 * 64 * 6 * 4
    op.Relu(t)
    op.Conv(t, shaped(op, 1, 6, 1, 1)).shape = None
    assert multiply_adds(op.graph) == 6 * 6 * 6 * 2 * 9 + 2 * 5 * 7 * 3 + 4 * 64 * 6 * 4


def test_multiply_adds_of_a_model(tmp_path: Path) -> None:
    model: Model = read_model(linear(tmp_path / "m.onnx", np.zeros((5, 64))))
    assert multiply_adds(model.graph.graph) >= 5 * 64


@pytest.mark.parametrize(
    ("seconds", "expected"), [([9.0], 9.0), ([9.0, 1.0, 2.0], 2.0), ([9.0, 3.0, 1.0, 2.0], 2.0)]
)
def test_the_first_step_warms_up(seconds: list[float], expected: float) -> None:
    assert steady(seconds) == expected


def test_every_kind_of_work_takes_its_time() -> None:
    nothing = Amount(0, 0, 10, 0, 0, 10)
    costs = Costs(1, answer=1.0, prototype_step=2.0, isolation_step=3.0, explanation=4.0)
    assert costs.seconds(nothing) == PAGES
    assert costs.seconds(replace(nothing, answers=2)) == PAGES + 2 * (1 + PICTURE)
    assert costs.seconds(replace(nothing, changed=2)) == PAGES + 2
    assert costs.seconds(replace(nothing, likened=2)) == PAGES + 2 * (LIKENING + PICTURE)
    assert costs.seconds(replace(nothing, drawn=2)) == PAGES + 2 * 10 * 2
    assert costs.seconds(replace(nothing, isolated=2)) == PAGES + 2 * 10 * 3
    each = READING + 4 + PICTURE
    assert costs.seconds(replace(nothing, isolations=2)) == PAGES + 2 * each
    tried = replace(nothing, tried=2, hosts=5, searched=7)
    once = PAGES + PREPARING
    assert costs.seconds(tried) == once + 2 * 5 * (TRYING + JUDGING) * 1 + 7 * 2
    assert costs.seconds(replace(tried, searched=0)) == once + 2 * 5 * TRYING * 1
    asked = replace(nothing, opinions=5, opinions_checked=3)
    assert replace(costs, opinion=0.5).seconds(asked) == PAGES + (5 + 2 * 3) * 0.5


def test_workers_share_whole_batches() -> None:
    costs = Costs(1, answer=1.0, prototype_step=2.0, isolation_step=3.0, explanation=0.0)
    work = Amount(4, 6, 10, 2, 2, 10, tried=3, hosts=5, drawings=3, searches=1)
    pages = PAGES + 6 * PICTURE + PREPARING
    isolating = 2 * 10 * 3 + 2 * READING
    trying = 3 * 5 * TRYING
    assert costs.seconds(work) == pytest.approx(pages + 4 + 120 + isolating + trying)
    assert costs.seconds(work, 2) == pytest.approx(
        pages + 2 + 120 * 2 / 3 + isolating + trying * 2 / 3
    )
    assert costs.seconds(work, 3) == pytest.approx(pages + 4 / 3 + 40 + isolating + trying / 3)
    assert costs.seconds(work, 8) == pytest.approx(pages + 4 / 8 + 40 + isolating + trying / 3)
