"""Models of one operator of ONNX Runtime's own."""

from collections.abc import Mapping
from typing import Any

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
    given: int = TensorProto.FLOAT,
    version: int = 17,
    **attributes: Any,
) -> onnx.ModelProto:
    """Return the model; a tuple stands for an input of that shape, None for an absent one.

    kind, given: the types of outputs and inputs.
    """
    node = helper.make_node(
        op_type,
        [name if x is not None else "" for name, x in inputs.items()],
        list(outputs),
        name="node",
        domain=domain,
        **attributes,
    )
    graph = helper.make_graph(
        [node],
        "one",
        [
            helper.make_tensor_value_info(name, given, shape)
            for name, shape in inputs.items()
            if isinstance(shape, tuple)
        ],
        [helper.make_tensor_value_info(name, kind, None) for name in outputs if name],
        [
            numpy_helper.from_array(array, name)
            for name, array in inputs.items()
            if isinstance(array, np.ndarray)
        ],
    )
    opsets = [helper.make_opsetid("", version), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)
