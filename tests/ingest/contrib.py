"""Models of one operator of ONNX Runtime's own."""

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


def one_node(
    op_type: str,
    inputs: Mapping[str, NDArray[np.generic] | tuple[int, ...] | None],
    *,
    domain: str = "com.microsoft",
    outputs: tuple[str, ...] = ("y",),
    kind: int = TensorProto.FLOAT,
    opset: int = 17,
    **attributes: object,
) -> onnx.ModelProto:
    """Return the model; a tuple stands for a float input of that shape, None for an absent one."""
    node = helper.make_node(
        op_type,
        [name if given is not None else "" for name, given in inputs.items()],
        list(outputs),
        name="node",
        domain=domain,
        **attributes,
    )
    graph = helper.make_graph(
        [node],
        "one",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, given)
            for name, given in inputs.items()
            if isinstance(given, tuple)
        ],
        [helper.make_tensor_value_info(name, kind, None) for name in outputs if name],
        [
            numpy_helper.from_array(given, name)
            for name, given in inputs.items()
            if isinstance(given, np.ndarray)
        ],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)
