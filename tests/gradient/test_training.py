"""Adam, appended to a graph, against Adam written out."""

import numpy as np
import onnx_ir as ir

from leap_audit.canonical.form import to_proto
from leap_audit.gradient.training import adam_draws, adam_state, append_adam
from leap_audit.run import Session, choose_provider
from leap_audit.run.session import Loop
from tests.builders.emitted import start


def test_five_steps_equal_adam_written_out() -> None:
    rng = np.random.default_rng(0)
    first, goal = rng.standard_normal((2, 3)), rng.standard_normal((2, 3))
    bowl = np.array([[1.0, 5.0, 0.01], [100.0, 0.3, 2.0]])
    op, (x,) = start(x=(2, 3))
    away = op.Sub(x, goal)
    loss = op.ReduceSum(op.Mul(op.Mul(away, away), bowl), keepdims=0)
    op.graph.outputs.append(loss)
    append_adam(op, x, {loss: op.constant(np.array(1.0))}, lr=0.1)
    loss.name = "loss"
    session = Session(to_proto(ir.Model(op.graph, ir_version=10)), choose_provider("cpu"), 1)
    loop = Loop(session, adam_state("x", first.astype(np.float32)), {})

    want, m, v = first.copy(), np.zeros((2, 3)), np.zeros((2, 3))
    losses = []
    for t in range(1, 6):
        slope = 2 * bowl * (want - goal)
        m = 0.9 * m + 0.1 * slope
        v = 0.999 * v + 0.001 * slope**2
        losses.append((bowl * (want - goal) ** 2).sum())
        want = want - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        loop.step(adam_draws(t - 1))
        np.testing.assert_allclose(loop.output("loss"), losses[-1], rtol=1e-4)
        np.testing.assert_allclose(loop.state("x"), want, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(loop.state("adam_m"), m, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(loop.state("adam_v"), v, rtol=1e-4, atol=1e-5)
    assert losses[-1] < losses[0]


def test_items_of_a_batch_do_not_move_one_another() -> None:
    op, (x,) = start(x=(3, 2))
    score = op.ReduceSum(op.Mul(x, x), [1], keepdims=0)
    op.graph.outputs.append(score)
    append_adam(op, x, {score: op.constant(np.array([1.0, 0.0, -1.0]))}, lr=0.5)
    session = Session(to_proto(ir.Model(op.graph, ir_version=10)), choose_provider("cpu"), 1)
    first = np.array([[1, -1], [2, 2], [3, -3]], np.float32)
    loop = Loop(session, adam_state("x", first), {})
    loop.step(adam_draws(0))
    # The first step of Adam is the learning rate, whatever the slope.
    np.testing.assert_allclose(loop.state("x"), [[0.5, -0.5], [2, 2], [3.5, -3.5]], atol=1e-5)


def test_what_is_stopped_is_a_constant() -> None:
    op, (x,) = start(x=(2,))
    held = op.Mul(x, 3.0)
    loss = op.Mul(op.Sub(x, held), op.constant([1.0, -1.0]))
    op.graph.outputs.append(loss)
    append_adam(op, x, {loss: op.constant(np.ones(2))}, lr=0.1, stop={held})
    session = Session(to_proto(ir.Model(op.graph, ir_version=10)), choose_provider("cpu"), 1)
    loop = Loop(session, adam_state("x", np.zeros(2, np.float32)), {})
    loop.step(adam_draws(0))
    np.testing.assert_allclose(loop.state("x"), [-0.1, 0.1], atol=1e-6)
