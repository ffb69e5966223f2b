"""A recurrent layer behind a Transpose, as exporters write it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

STEPS, BATCH, WIDTH, HIDDEN = 4, 2, 3, 5
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def layer(
    op_type: str,
    *,
    biases: bool = True,
    first: bool = True,
    peepholes: bool = False,
    lengths: Sequence[int] | None = None,
    outputs: str = "all",
    **attributes: Any,
) -> onnx.ModelProto:
    """Return the model; `first` gives first states, `outputs` names those used."""
    rng = np.random.default_rng(0)
    ways = 2 if attributes.get("direction") == "bidirectional" else 1
    gates, states = GATES[op_type] * HIDDEN, 2 if op_type == "LSTM" else 1
    batch_first = bool(attributes.get("layout"))
    state = (BATCH, ways, HIDDEN) if batch_first else (ways, BATCH, HIDDEN)
    shapes: dict[str, tuple[int, ...]] = {"W": (ways, gates, WIDTH), "R": (ways, gates, HIDDEN)}
    if biases:
        shapes["B"] = (ways, 2 * gates)
    if first:
        shapes |= dict.fromkeys(("initial_h", "initial_c")[:states], state)
    if peepholes:
        shapes["P"] = (ways, 3 * HIDDEN)
    arrays = {n: 0.7 * rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()}
    if lengths is not None:
        arrays["sequence_lens"] = np.array(lengths, np.int32)
    order = ["W", "R", "B", "sequence_lens", "initial_h"]
    if op_type == "LSTM":
        order += ["initial_c", "P"]
    reads = ["x", *(name if name in arrays else "" for name in order)]
    named = ["Y", "Y_h", "Y_c"][: 1 + states]
    used = [name if outputs == "all" or name in outputs.split() else "" for name in named]
    perm = [0, 1, 2] if batch_first else [1, 0, 2]
    graph = helper.make_graph(
        [
            helper.make_node("Transpose", ["image"], ["x"], perm=perm),
            helper.make_node(op_type, reads, used, name="layer", hidden_size=HIDDEN, **attributes),
        ],
        "recurrent",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [BATCH, STEPS, WIDTH])],
        [
            helper.make_tensor_value_info(n, TensorProto.FLOAT, [None] * (4 if n == "Y" else 3))
            for n in used
            if n
        ],
        [numpy_helper.from_array(a, n) for n, a in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
