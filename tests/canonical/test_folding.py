"""What depends on constants and shapes alone is folded; sizes are static, or the node is named."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from leap_audit.canonical.folding import fold, with_weights_folded
from leap_audit.canonical.form import canonicalise
from leap_audit.errors import ModelRefused
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.weights import LARGE, split_weights
from leap_audit.run import Session, choose_provider

CPU = choose_provider("cpu")
RNG = np.random.default_rng(0)
WIDE = LARGE // 16
"""Columns that make a matrix of more than 16 rows a large weight."""


def model_of(
    body: str, weights: dict[str, np.ndarray] | None = None, opset: int = 17
) -> onnx.ModelProto:
    """Return a model of a picture (N, 3, 8, 8) in ONNX's text format."""
    text = f"""<ir_version: 8, opset_import: ["" : {opset}, "com.microsoft" : 1]>
        net (float[N, 3, 8, 8] x) => (y) {{ {body} }}"""
    model = onnx.parser.parse_model(text)
    for name, array in (weights or {}).items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return model


def constant_nodes(graph: ir.Graph) -> list[str]:
    """Return the operators of a graph that no input reaches."""
    reached = set(graph.inputs)
    found = []
    for node in graph:
        if any(value in reached for value in node.inputs):
            reached.update(node.outputs)
        else:
            found.append(node.op_type)
    return found


FLAT = """shape = Shape (x) zero = Constant <value_int = 0> ()
    batch = Gather (shape, zero) row = Constant <value_ints = [0]> ()
    b = Unsqueeze (batch, row) minus = Constant <value_ints = [-1]> ()"""
"""The batch as a tensor of one number, as TorchScript exports take it from the picture."""
SHAPES = {
    "a class token is expanded to the batch": f"""{FLAT}
        sizes = Concat <axis = 0> (b, minus, minus) count = Constant <value_ints = [3]> ()
        filled = ConstantOfShape <value = int64[1] {{1}}> (count)
        negative = Mul (filled, minus) open = Equal (sizes, negative)
        target = Where (open, filled, sizes)
        token = Constant <value = float[1,1,8] {{1,2,3,4,5,6,7,8}}> ()
        tokens = Expand (token, target) rows = Constant <value_ints = [0, 24, 8]> ()
        patches = Reshape (x, rows) y = Concat <axis = 1> (tokens, patches)""",
    "positions are counted": """shape = Shape (x) last = Constant <value_int = 3> ()
        width = Gather (shape, last) zero = Constant <value_int = 0> ()
        one = Constant <value_int = 1> () places = Range (zero, width, one)
        numbers = Cast <to = 1> (places) y = Mul (x, numbers)""",
    "a picture is padded to whole windows": """shape = Shape (x) at = Constant <value_ints = [2]> ()
        height = Gather (shape, at) five = Constant <value_ints = [5]> ()
        rest = Mod (height, five) more = Sub (five, rest)
        front = Constant <value_ints = [0, 0, 0, 0, 0, 0]> () last = Constant <value_ints = [0]> ()
        pads = Concat <axis = 0> (front, more, last) y = Pad (x, pads)""",
    "a picture is rolled by slices of its shape": """shape = Shape (x)
        from = Constant <value_ints = [2]> () to = Constant <value_ints = [3]> ()
        height = Slice (shape, from, to) start = Constant <value_ints = [3]> ()
        first = Constant <value_ints = [0]> () axis = Constant <value_ints = [2]> ()
        below = Slice (x, start, height, axis) above = Slice (x, first, start, axis)
        y = Concat <axis = 2> (below, above)""",
    "a size is computed in floating point": """shape = Shape (x)
        sides = Constant <value_ints = [2, 3]> () small = Gather (shape, sides)
        real = Cast <to = 1> (small) by = Constant <value_float = 1.5> ()
        larger = Mul (real, by) whole = Floor (larger) sizes = Cast <to = 7> (whole)
        two = Constant <value_ints = [0, 1]> () rest = Gather (shape, two)
        all = Concat <axis = 0> (rest, sizes) y = Resize <mode = "linear"> (x, , , all)""",
    "a shape is split": """shape = Shape (x) n, c, h, w = Split <axis = 0> (shape)
        pixels = Mul (h, w) target = Concat <axis = 0> (n, c, pixels) y = Reshape (x, target)""",
    "a shape is written by scatter": """shape = Shape (x) where = Constant <value_ints = [3]> ()
        four = Constant <value_ints = [4]> () half = ScatterElements (shape, where, four)
        places = Constant <value_ints = [0, 0, 0, 0]> ()
        y = Slice (x, places, half)""",
    "a tile counts": """shape = Shape (x) axis = Constant <value_int = 1> ()
        channels = ReduceProd <axes = [0], keepdims = 1> (shape) all = Size (x)
        once = Div (all, channels) ones = Constant <value_ints = [1, 1]> ()
        two = Constant <value_ints = [2]> () repeats = Concat <axis = 0> (once, ones, two)
        y = Tile (x, repeats)""",
    "a mask is found by NonZero": """mask = Constant <value = int64[8] {0,1,0,1,1,0,0,1}> ()
        rows = NonZero (mask) axis = Constant <value_ints = [0]> () at = Squeeze (rows, axis)
        y = Gather <axis = 3> (x, at)""",
    "an order is found by TopK and Unique": """scores = Constant <value = float[4] {3,1,2,2}> ()
        two = Constant <value_ints = [2]> () best, at = TopK (scores, two)
        once, first, back, counts = Unique (scores) some = Cast <to = 7> (once)
        both = Concat <axis = 0> (at, some) y = Gather <axis = 2> (x, both)""",
    "a mask is a triangle": """shape = Shape (x) sides = Constant <value_ints = [2, 3]> ()
        square = Gather (shape, sides) ones = ConstantOfShape <value = float[1] {1}> (square)
        lower = Trilu <upper = 0> (ones) y = Mul (x, lower)""",
    "a branch depends on the size": """shape = Shape (x) last = Constant <value_int = 3> ()
        width = Gather (shape, last) eight = Constant <value_int = 8> () same = Equal (width, eight)
        z = If (same) <
            then_branch = yes () => (float[N, 3, 8, 8] a) { a = Relu (x) },
            else_branch = no () => (float[N, 3, 8, 8] c) { c = Neg (x) }>
        y = Identity (z)""",
    "a loop is as long as the picture is wide": """shape = Shape (x)
        last = Constant <value_int = 3> ()
        width = Gather (shape, last) true = Constant <value = bool {1}> ()
        y = Loop (width, true, x) <
            body = step (int64 i, bool go, float[N, 3, 8, 8] a) => (bool again, float[N, 3, 8, 8] d)
            { again = Identity (go) half = Constant <value_float = 0.5> () c = Mul (a, half)
              d = Add (c, x) }>""",
    "sizes pass through a sequence": """shape = Shape (x) two = Constant <value_ints = [2, 2]> ()
        parts = SplitToSequence <axis = 0> (shape, two) one = Constant <value_int = 1> ()
        sides = SequenceAt (parts, one) first = Constant <value_ints = [-1, 3]> ()
        target = Concat <axis = 0> (first, sides) y = Reshape (x, target)""",
}


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", SHAPES)
def test_sizes_are_static_and_nothing_is_left_to_compute(name: str, batch: int) -> None:
    graph = canonicalise(model_of(SHAPES[name]), batch=batch, provider=CPU).graph
    assert constant_nodes(graph) == []
    assert not {node.op_type for node in graph} & {"Shape", "Size", "If", "Loop"}
    for node in graph:
        assert all(static_shape(value) for value in node.outputs)
    assert static_shape(graph.outputs[0])[0] == batch


def test_a_token_beside_the_patches_of_one_picture_is_repeated_for_a_batch() -> None:
    body = SHAPES["a class token is expanded to the batch"]
    model = model_of(body.replace("[0, 24, 8]", "[1, 24, 8]"))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    graph = canonicalise(model, batch=3, provider=CPU).graph
    assert static_shape(graph.outputs[0]) == (3, 25, 8)


FIXED = {
    "a size of Resize": (
        """s = Constant <value_ints = [1, 3, 12, 12]> () y = Resize <mode = "cubic"> (x, , , s)""",
        (12, 12),
    ),
    "sides of Resize": (
        """s = Constant <value_ints = [5, 6]> ()
        y = Resize <mode = "linear", axes = [2, 3]> (x, , , s)""",
        (5, 6),
    ),
    "a size of MaxUnpool": (
        """p, at = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x)
        s = Constant <value_ints = [1, 3, 8, 8]> ()
        y = MaxUnpool <kernel_shape = [2, 2], strides = [2, 2]> (p, at, s)""",
        (8, 8),
    ),
}


@pytest.mark.parametrize("name", FIXED)
def test_a_size_of_one_picture_is_one_of_a_batch(name: str) -> None:
    body, sides = FIXED[name]
    model = model_of(body, opset=19)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    graph = canonicalise(model, batch=3, provider=None if "MaxUnpool" in name else CPU).graph
    assert static_shape(graph.outputs[0]) == (3, 3, *sides)


MATRIX = RNG.standard_normal((192, WIDE)).astype(np.float32)
HALVES = {"w": RNG.standard_normal((WIDE, 192)).astype(np.float32)}
ROWS = "rows = Constant <value_ints = [0, 192]> () flat = Reshape (x, rows)"
WEIGHTS = {
    "transposed": (f"{ROWS} t = Transpose <perm = [1, 0]> (w) y = MatMul (flat, t)", HALVES),
    "gates in another order": (
        f"""{ROWS} a = Constant <value_ints = [0]> () b = Constant <value_ints = [100]> ()
        c = Constant <value_ints = [{WIDE}]> () one = Constant <value_ints = [1]> ()
        left = Slice (w, a, b, one) right = Slice (w, b, c, one)
        t = Concat <axis = 1> (right, left) y = MatMul (flat, t)""",
        {"w": MATRIX},
    ),
    "weight norm": (
        f"""{ROWS} length = ReduceL2 <axes = [0], keepdims = 1> (v) unit = Div (v, length)
        t = Mul (unit, g) y = MatMul (flat, t)""",
        {"v": MATRIX, "g": RNG.random((1, WIDE)).astype(np.float32)},
    ),
    "spectral norm": (
        f"""{ROWS} wv = MatMul (w, v) sigma = MatMul (u, wv) t = Div (w, sigma)
        y = MatMul (flat, t)""",
        {
            "w": MATRIX,
            "u": RNG.standard_normal((1, 192)).astype(np.float32),
            "v": RNG.standard_normal((WIDE, 1)).astype(np.float32),
        },
    ),
    "half precision": (
        f"{ROWS} t = Cast <to = 1> (w) y = MatMul (flat, t)",
        {"w": MATRIX.astype(np.float16)},
    ),
    "quantised weights alone": (
        f"{ROWS} t = DequantizeLinear <axis = 1> (w, s) y = MatMul (flat, t)",
        {
            "w": RNG.integers(-127, 128, (192, WIDE)).astype(np.int8),
            "s": RNG.random(WIDE).astype(np.float32) + 0.1,
        },
    ),
    "standardised kernels": (
        """axes = Constant <value_ints = [1, 2, 3]> () mean = ReduceMean <axes = [1, 2, 3]> (w)
        off = Sub (w, mean) square = Mul (off, off) var = ReduceMean <axes = [1, 2, 3]> (square)
        tiny = Constant <value_float = 1e-5> () more = Add (var, tiny) root = Sqrt (more)
        t = Div (off, root) y = Conv (x, t)""",
        {"w": RNG.standard_normal((256, 3, 3, 3)).astype(np.float32)},
    ),
    "rows of a table": (
        f"""{ROWS} at = Constant <value_ints = [1, 0]> () two = Gather (w, at)
        first = Constant <value_int = 0> () t = Gather (two, first) y = MatMul (flat, t)""",
        {"w": RNG.standard_normal((2, 192, WIDE)).astype(np.float32)},
    ),
    "many numbers of few": (
        f"""{ROWS} shape = Constant <value_ints = [192, {WIDE}]> () t = Expand (c, shape)
        y = MatMul (flat, t)""",
        {"c": RNG.standard_normal((192, 1)).astype(np.float32)},
    ),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_arithmetic_on_weights_is_folded(name: str) -> None:
    body, weights = WEIGHTS[name]
    graph = canonicalise(model_of(body, weights), provider=CPU).graph
    assert constant_nodes(graph) == []
    (last,) = [node for node in graph if node.op_type in ("MatMul", "Conv")]
    assert last.inputs[1].const_value is not None
    assert set(graph.initializers) & set(weights) == set()  # those that it was made of are gone


@pytest.mark.parametrize("name", [name for name in WEIGHTS if name != "many numbers of few"])
def test_a_model_has_its_weights_folded_once(name: str) -> None:
    body, weights = WEIGHTS[name]
    model = model_of(body, weights)
    before = model.SerializeToString(deterministic=True)
    folded = with_weights_folded(model)
    assert model.SerializeToString(deterministic=True) == before
    large = split_weights(folded)[1]
    assert len(large) == 1
    assert set(large) & set(weights) == set()
    assert with_weights_folded(folded) is folded
    x = {"x": RNG.random((2, 3, 8, 8), np.float32)}
    # As written: ONNX Runtime's optimiser would quantise the picture beside a quantised weight.
    want, have = (Session(m, CPU, often=False).run(x)[0] for m in (model, folded))
    np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-4)


def test_a_model_without_arithmetic_on_weights_is_itself() -> None:
    model = model_of(f"{ROWS} y = MatMul (flat, w)", {"w": MATRIX})
    assert with_weights_folded(model) is model


def test_random_numbers_are_not_folded() -> None:
    model = model_of(
        """shape = Constant <value_ints = [8]> () zero = ConstantOfShape (shape)
        r = RandomNormalLike (zero) half = Constant <value_float = 0.5> () s = Mul (r, half)
        y = Add (x, s)"""
    )
    assert fold(model, {})
    kept = [node.op_type for node in model.graph.node if node.op_type != "Constant"]
    assert kept == ["RandomNormalLike", "Mul", "Add"]


def test_quantised_weights_beside_quantised_activations_stay() -> None:
    """ONNX Runtime's optimiser would quantise folded ones again, with one scale for all."""
    scales = RNG.random(256).astype(np.float32) * 0.1 + 0.001
    body = """q = QuantizeLinear (x, s, z) d = DequantizeLinear (q, s, z)
        t = DequantizeLinear <axis = 0> (w, ws) c = Conv (d, t)
        p = QuantizeLinear (c, cs, z) y = DequantizeLinear (p, cs, z)"""
    weights = {
        "w": RNG.integers(-127, 128, (256, 3, 3, 3)).astype(np.int8),
        "ws": scales,
        "s": np.array(1 / 255, np.float32),
        "cs": np.array(0.5, np.float32),
        "z": np.array(0, np.int8),
    }
    model = model_of(body, weights)
    graph = canonicalise(model, batch=2, provider=CPU)
    x = {"x": RNG.random((2, 3, 8, 8), np.float32)}
    want = Session(model, CPU, often=False).run(x)[0]  # as written: exact on every processor
    np.testing.assert_array_equal(Session(graph, CPU).run(x)[0], want)


def test_an_output_that_is_constant_keeps_its_name_and_numbers() -> None:
    body = "s = Constant <value_ints = [2, 3]> () z = ConstantOfShape (s) o = Exp (z) y = Relu (x)"
    model = model_of(body)
    model.graph.output.append(onnx.ValueInfoProto(name="o"))
    graph = canonicalise(model, provider=CPU)
    _, ones = Session(graph, CPU).run({"x": np.zeros((1, 3, 8, 8), np.float32)}, ["y", "o"])
    np.testing.assert_array_equal(ones, np.ones((2, 3)))


OPEN = {
    "NonZero": "n = NonZero (x) y = Cast <to = 1> (n)",
    "Compress": """m = ReduceMax <axes = [0, 1, 2], keepdims = 0> (x)
        half = Constant <value_float = 0.5> () over = Greater (m, half)
        y = Compress <axis = 3> (x, over)""",
    "Range": """m = ReduceMax <keepdims = 0> (x) n = Cast <to = 7> (m)
        zero = Constant <value_int = 0> () one = Constant <value_int = 1> ()
        r = Range (zero, n, one) y = Cast <to = 1> (r)""",
}


@pytest.mark.parametrize("operator", OPEN)
def test_a_size_that_depends_on_the_pixels_names_its_node(operator: str) -> None:
    model = model_of(OPEN[operator])
    for node in model.graph.node:
        node.name = f"the {node.op_type} of the net"
    graph = canonicalise(model).graph
    with pytest.raises(ModelRefused, match=rf"{operator} \(node 'the {operator} of the net'\)"):
        static_shape(graph.outputs[0])


def test_a_size_that_onnx_does_not_infer_is_the_one_of_a_run() -> None:
    """ONNX infers nothing from a depth of shape (1,), which ONNX Runtime takes."""
    body = """d = Constant <value_ints = [5]> () v = Constant <value_floats = [0.0, 1.0]> ()
        best = ArgMax <axis = 1, keepdims = 0> (x) o = OneHot (best, d, v)
        m = ReduceMean <axes = [1], keepdims = 0> (x) up = Constant <value_ints = [3]> ()
        column = Unsqueeze (m, up) y = Mul (o, column)"""
    graph = canonicalise(model_of(body), batch=2, provider=CPU).graph
    assert static_shape(graph.outputs[0]) == (2, 8, 8, 5)
