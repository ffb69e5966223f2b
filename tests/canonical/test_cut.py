"""The part of a graph between tensors: the same numbers, and what cannot be cut is named."""

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from leap_audit.canonical.cut import bypass, cut
from leap_audit.canonical.form import canonicalise
from leap_audit.errors import UsageError
from leap_audit.ingest.model import Model
from leap_audit.run import choose_provider
from leap_audit.run.session import Array, Session
from tests.builders.classifiers import Node, read_model, write_model

CPU = choose_provider("cpu")
RNG = np.random.default_rng(3)
X = RNG.random((1, 1, 8, 8)).astype(np.float32)
NODES: list[Node] = [
    ("Conv", ["x", "w"], "a"),
    ("Relu", ["a"], "b"),
    ("Conv", ["b", "u"], "c"),
    ("Add", ["b", "c"], "s"),
    ("GlobalAveragePool", ["s"], "g"),
    ("Flatten", ["g"], "f"),
    ("Gemm", ["f", "v"], "y", {"transB": 1}),
]
"""A block from b to s, with a connection around c."""
WEIGHTS = {
    "w": RNG.standard_normal((4, 1, 1, 1)),
    "u": RNG.standard_normal((4, 4, 1, 1)),
    "v": RNG.standard_normal((3, 4)),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return read_model(write_model(tmp_path_factory.mktemp("cut") / "m.onnx", NODES, WEIGHTS))


@pytest.fixture(scope="module")
def graph(model: Model) -> ir.Model:
    return model.graph


@pytest.fixture(scope="module")
def numbers(graph: ir.Model) -> dict[str, Array]:
    """Every tensor of the graph on one picture, by name."""
    whole = graph.clone()
    names = [str(v.name) for node in whole.graph for v in node.outputs]
    inner = [v for node in whole.graph for v in node.outputs if not v.is_graph_output()]
    whole.graph.outputs.extend(inner)
    (entry,) = (str(v.name) for v in whole.graph.inputs)
    found = Session(whole, CPU).run({entry: X}, names)
    return {**dict(zip(names, found, strict=True)), entry: X}


@pytest.mark.parametrize(
    ("starts", "ends"),
    [
        (["b"], ["y"]),
        (["s"], ["y"]),
        (["b", "c"], ["y"]),
        (["c", "b"], ["g", "s"]),
        (["x"], ["c"]),
        (["a"], ["f", "y", "b"]),
        (["x", "s"], ["b", "y"]),
    ],
)
def test_a_part_gives_the_numbers_of_the_whole(
    graph: ir.Model, numbers: dict[str, Array], starts: list[str], ends: list[str]
) -> None:
    part = cut(graph, starts, ends)
    assert [v.name for v in part.graph.inputs] == starts
    assert [v.name for v in part.graph.outputs] == ends
    found = Session(part, CPU).run({name: numbers[name] for name in starts})
    for name, have in zip(ends, found, strict=True):
        assert part.graph.outputs[ends.index(name)].shape == numbers[name].shape
        np.testing.assert_allclose(have, numbers[name], rtol=1e-5, atol=1e-6)
    if starts == ["s"]:  # what came before, and its weights, is gone
        assert {n.op_type for n in part.graph}.isdisjoint({"Conv", "Relu", "Add"})
        assert len(part.graph.initializers) < len(graph.graph.initializers)


def test_the_inputs_of_a_part_are_what_its_ends_depend_on(
    graph: ir.Model, numbers: dict[str, Array]
) -> None:
    session = Session(cut(graph, ["b", "c"], ["s"]), CPU)
    found = session.run({"b": numbers["b"] * 0, "c": numbers["c"]})[0]
    np.testing.assert_array_equal(found, numbers["c"])


def test_the_graph_is_left_as_it_was(graph: ir.Model) -> None:
    before = ir.to_proto(graph).SerializeToString(deterministic=True)
    cut(graph, ["b"], ["y"])
    assert ir.to_proto(graph).SerializeToString(deterministic=True) == before


def test_an_end_that_is_a_start_is_given_back(graph: ir.Model, numbers: dict[str, Array]) -> None:
    part = cut(graph, ["s"], ["s", "y"])
    assert [v.name for v in part.graph.outputs] == ["s/given", "y"]
    found = Session(part, CPU).run({"s": numbers["s"]})
    np.testing.assert_array_equal(found[0], numbers["s"])


@pytest.mark.parametrize(
    ("starts", "ends", "said"),
    [
        (["c"], ["y"], "'c' cannot be where the graph begins: 'b', beside it,"),
        (["c"], ["s", "b"], "'b', beside it,"),
        (["s"], ["a"], "'a', beside it,"),
        (["s", "f"], ["y"], "nothing of 'y' depends on 's'"),
        (["bb"], ["y"], "no tensor 'bb'; did you mean 'b'?"),
        (["b"], ["yy"], "no tensor 'yy'; did you mean 'y'?"),
        (["w"], ["y"], "no tensor 'w'"),
    ],
)
def test_what_cannot_be_cut_is_named(
    graph: ir.Model, starts: list[str], ends: list[str], said: str
) -> None:
    with pytest.raises(UsageError, match="cut: ") as refused:
        cut(graph, starts, ends)
    assert said in str(refused.value)


def test_of_several_tensors_beside_it_the_first_is_named(graph: ir.Model) -> None:
    assert bypass(graph, ["c"], ["y"]) == "b"
    assert bypass(graph, ["c"], ["f", "a"]) == "a"
    assert bypass(graph, ["b"], ["y"]) is None
    assert bypass(graph, ["y"], ["y"]) is None


def test_one_output_of_a_node_is_no_cut() -> None:
    """The other output still comes from the input, and is the one that is named."""
    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Split", ["x"], ["l", "r"], axis=1, num_outputs=2),
        helper.make_node("Mul", ["l", "r"], ["m"]),
    ]
    ends = [value("x", TensorProto.FLOAT, [1, 4])], [value("m", TensorProto.FLOAT, [1, 2])]
    graph = helper.make_graph(nodes, "halves", *ends)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    halves = canonicalise(proto)
    with pytest.raises(UsageError, match="'r', beside it"):
        cut(halves, ["l"], ["m"])
    x = np.array([[1.0, 2.0, 3.0, 4.0]], np.float32)
    found = Session(cut(halves, ["x", "l"], ["m"]), CPU).run({"x": x, "l": x[:, :2] * 10})
    np.testing.assert_array_equal(found[0], [[30.0, 80.0]])


def test_what_a_subgraph_reads_counts() -> None:
    """A branch of an If reads a tensor of the graph around it without naming it as an input."""
    value = helper.make_tensor_value_info
    branches = [
        helper.make_graph(
            [helper.make_node(op, ["a"], [f"{op}_y"])],
            op,
            [],
            [value(f"{op}_y", TensorProto.FLOAT, [1, 4])],
        )
        for op in ("Neg", "Abs")
    ]
    nodes = [
        helper.make_node("Exp", ["x"], ["a"]),
        helper.make_node("Relu", ["x"], ["b"]),
        helper.make_node("ReduceSum", ["b"], ["t"], keepdims=0),
        helper.make_node("Cast", ["t"], ["c"], to=TensorProto.BOOL),
        helper.make_node("If", ["c"], ["y"], then_branch=branches[0], else_branch=branches[1]),
    ]
    ends = [value("x", TensorProto.FLOAT, [1, 4])], [value("y", TensorProto.FLOAT, [1, 4])]
    graph = helper.make_graph(nodes, "choice", *ends)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    choice = ir.from_proto(proto)
    assert bypass(choice, ["b"], ["y"]) == "a"
    assert bypass(choice, ["a", "b"], ["y"]) is None
