"""Graphs run once, and loops whose state feeds itself."""

from collections.abc import Callable

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from leap_audit.errors import LeapAuditError
from leap_audit.run import Session, choose_provider
from leap_audit.run.options import may_be_transposed, second_copies, session_options
from leap_audit.run.session import Loop

Load = Callable[[onnx.ModelProto], Session]


def _graph(
    nodes: list[tuple[str, list[str], str]],
    inputs: dict[str, list[int]],
    outputs: dict[str, list[int]],
    kind: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node(op, reads, [writes]) for op, reads, writes in nodes],
        "test",
        [helper.make_tensor_value_info(n, kind, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, kind, s) for n, s in outputs.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.fixture
def load() -> Load:
    return lambda model: Session(model, choose_provider("cpu"), threads=1)


def test_session_names_and_selects_outputs(load: Load) -> None:
    session = load(
        _graph(
            [("Neg", ["x"], "minus"), ("Abs", ["x"], "size")],
            {"x": [2]},
            {"minus": [2], "size": [2]},
        )
    )
    x = np.array([1, -2], np.float32)
    assert session.inputs == ("x",)
    assert session.outputs == ("minus", "size")
    minus, size = session.run({"x": x})
    np.testing.assert_array_equal(minus, [-1, 2])
    np.testing.assert_array_equal(size, [1, 2])
    (size,) = session.run({"x": x}, ["size"])
    np.testing.assert_array_equal(size, [1, 2])


def test_session_keeps_float16(load: Load) -> None:
    session = load(_graph([("Neg", ["x"], "y")], {"x": [2]}, {"y": [2]}, TensorProto.FLOAT16))
    (y,) = session.run({"x": np.array([1, 2], np.float16)})
    assert y.dtype == np.float16


def test_session_refuses_what_cannot_be_loaded(load: Load) -> None:
    with pytest.raises(LeapAuditError, match="cannot load"):
        load(_graph([("NoSuchOperator", ["x"], "y")], {"x": [1]}, {"y": [1]}))


def _two_counters(load: Load) -> tuple[Loop, dict[str, np.ndarray]]:
    """a' = a M + draw, where M mixes places so that work in place would show; b' = b + a."""
    model = _graph(
        [
            ("MatMul", ["a", "m"], "mixed"),
            ("Add", ["mixed", "draw"], "a_next"),
            ("Add", ["b", "a"], "b_next"),
            ("Mul", ["b", "draw"], "seen"),
        ],
        {"a": [1, 3], "b": [1, 3], "m": [3, 3], "draw": [1, 3]},
        {"a_next": [1, 3], "b_next": [1, 3], "seen": [1, 3]},
    )
    first = {
        "a": np.array([[1, 2, 3]], np.float32),
        "b": np.array([[0, 0, 1]], np.float32),
        "m": np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]], np.float32),
    }
    state = {"a": ("a_next", first["a"]), "b": ("b_next", first["b"])}
    return Loop(load(model), state, {"m": first["m"]}), first


def test_loop_carries_two_states_over_many_steps(load: Load) -> None:
    loop, first = _two_counters(load)
    a, b, m = (first[name].copy() for name in ("a", "b", "m"))
    for i in range(7):
        draw = np.full((1, 3), i, np.float32)
        loop.step({"draw": draw})
        seen = b * draw
        a, b = a @ m + draw, b + a
        np.testing.assert_array_equal(loop.state("a"), a)
        np.testing.assert_array_equal(loop.state("b"), b)
        np.testing.assert_array_equal(loop.output("seen"), seen)


def test_loop_leaves_its_callers_arrays_alone(load: Load) -> None:
    loop, first = _two_counters(load)
    before = {name: array.copy() for name, array in first.items()}
    loop.step({"draw": np.ones((1, 3), np.float32)})
    for name, array in before.items():
        np.testing.assert_array_equal(first[name], array)
    held = loop.state("a")
    kept = held.copy()
    for array in first.values():
        array[...] = np.nan  # the loop has its own copies
    loop.step({"draw": np.ones((1, 3), np.float32)})
    assert np.isfinite(loop.state("a")).all()
    np.testing.assert_array_equal(held, kept)


def test_loop_starts_at_the_first_values(load: Load) -> None:
    loop, first = _two_counters(load)
    np.testing.assert_array_equal(loop.state("a"), first["a"])


def test_loop_counts_with_a_single_number(load: Load) -> None:
    model = _graph([("Add", ["n", "one"], "next")], {"n": [], "one": []}, {"next": []})
    one = np.array(1, np.float32)
    loop = Loop(load(model), {"n": ("next", np.array(0, np.float32))}, {"one": one})
    for _ in range(5):
        loop.step({})
    assert loop.state("n").shape == ()
    assert loop.state("n") == 5


def test_a_step_takes_all_its_draws_and_no_others(load: Load) -> None:
    loop, _ = _two_counters(load)
    with pytest.raises(ValueError, match="draw"):
        loop.step({})
    with pytest.raises(ValueError, match="colour"):
        loop.step({"draw": np.ones((1, 3), np.float32), "colour": np.ones(3, np.float32)})


def test_large_weights_are_lent_and_stay_as_they_were(load: Load) -> None:
    weight = np.random.default_rng(0).standard_normal((128, 64)).astype(np.float32)
    model = _graph([("MatMul", ["x", "w"], "y")], {"x": [2, 128]}, {"y": [2, 64]})
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    before = model.SerializeToString()
    x = np.ones((2, 128), np.float32)
    for often in (True, False):
        (y,) = Session(model, choose_provider("cpu"), often=often).run({"x": x})
        np.testing.assert_allclose(y, x @ weight, rtol=1e-5)
    assert model.SerializeToString() == before


def test_what_no_output_needs_is_not_run() -> None:
    nodes = [("Neg", ["x"], "y"), ("Reshape", ["x", "into"], "unread")]
    graph = _graph(nodes, {"x": [4]}, {"y": [4]})
    graph.graph.initializer.append(onnx.numpy_helper.from_array(np.array([3]), "into"))
    (y,) = Session(ir.from_proto(graph), choose_provider("cpu")).run({"x": np.ones(4, np.float32)})
    np.testing.assert_array_equal(y, -1)


@pytest.mark.parametrize("lean", [True, False])
@pytest.mark.parametrize("often", [True, False])
def test_large_weights_are_not_copied(often: bool, lean: bool) -> None:
    graph = _graph([("Mul", ["x", "w"], "y")], {"x": [5000]}, {"y": [5000]})
    weight = np.full(5000, 2, np.float32)
    graph.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    model = ir.from_proto(graph)
    model.graph.initializers["w"].const_value = ir.tensor(weight, name="w")
    session = Session(model, choose_provider("cpu"), often=often, lean=lean)
    ones = {"x": np.ones(5000, np.float32)}
    assert session.run(ones)[0].max() == 2
    weight[:] = 3
    assert session.run(ones)[0].max() == 3


def _weighty(
    operator: str, weight: tuple[int, ...], x: tuple[int, ...], y: tuple[int, ...]
) -> ir.Model:
    graph = _graph([(operator, ["x", "w"], "y")], {"x": list(x)}, {"y": list(y)})
    numbers = np.random.default_rng(0).standard_normal(weight).astype(np.float32)
    graph.graph.initializer.append(onnx.numpy_helper.from_array(numbers, "w"))
    return ir.from_proto(graph)


@pytest.mark.parametrize(
    ("operator", "weight", "x", "y", "copies"),
    [
        ("Conv", (8, 8, 3, 3), (1, 8, 10, 10), (1, 8, 8, 8), {"packed": True, "layout": False}),
        ("Conv", (8, 8, 3, 3), (1, 8, 11, 11), (1, 8, 9, 9), {"packed": True, "layout": True}),
        ("MatMul", (6, 5), (17, 6), (17, 5), {"packed": False, "layout": True}),
        ("MatMul", (6, 5), (18, 6), (18, 5), {"packed": True, "layout": True}),
    ],
)
def test_second_copies_of_weights_are_left_where_they_are_much_and_the_result_stays(
    operator: str,
    weight: tuple[int, ...],
    x: tuple[int, ...],
    y: tuple[int, ...],
    copies: dict[str, bool],
) -> None:
    model = _weighty(operator, weight, x, y)
    assert second_copies(model) == copies
    given = {"x": np.random.default_rng(1).standard_normal(x).astype(np.float32)}
    results = [
        Session(model, choose_provider("cpu"), lean=lean).run(given)[0] for lean in (True, False)
    ]
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-5)


def test_no_memory_is_held_for_what_comes_later() -> None:
    options = session_options()
    assert not options.enable_mem_pattern
    assert not options.enable_mem_reuse


@pytest.mark.parametrize("operator", ["Add", "Mul", "MatMul"])
@pytest.mark.parametrize("lean", [True, False])
def test_a_square_weight_behind_a_transpose_keeps_its_axes(operator: str, lean: bool) -> None:
    # ONNX Runtime 1.32 turns the weight and, where it is used in place, does not.
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["": 21]> g (float[1,72,8,9] x) => '
        "(float[1,72,72] y, float[1,72,72] z) <int64[3] s={1,72,72}> { r = Reshape(x, s) "
        f"t = Transpose<perm=[0,2,1]>(r) u = {operator}(t, w) v = Transpose<perm=[0,2,1]>(u) "
        "e = Sigmoid(v) y = Transpose<perm=[0,2,1]>(e) z = Neg(u) }"
    )
    weight = np.random.default_rng(0).standard_normal((1, 72, 72)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    x = {"x": np.random.default_rng(1).standard_normal((1, 72, 8, 9)).astype(np.float32)}
    cpu = choose_provider("cpu")
    plain = Session(model, cpu, often=False).run(x)
    for want, have in zip(plain, Session(model, cpu, lean=lean).run(x), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-5)


def test_only_weights_that_may_be_turned_are_copied() -> None:
    reads = [("Transpose", ["x"], "t"), ("MatMul", ["t", "w"], "m"), ("Add", ["m", "b"], "y")]
    graph = _graph(reads, {"x": [2, 2]}, {"y": [2, 2]})
    for name in ("w", "b"):
        graph.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((2, 2), "f"), name))
    assert may_be_transposed(graph.SerializeToString()) == {"b"}
    del graph.graph.node[0]
    assert may_be_transposed(graph.SerializeToString()) == frozenset()
