"""Small graphs written with the emitter, and their gradients' numbers."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from leap_audit.canonical.form import to_proto
from leap_audit.gradient import Emitter
from leap_audit.graph.opset import IR_VERSION, OPSET
from leap_audit.run import Session, choose_provider


def start(**inputs: Sequence[int]) -> tuple[Emitter, list[ir.Value]]:
    """Return an emitter on a new graph with these float32 inputs, and the inputs."""
    values = [
        ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(ir.DataType.FLOAT))
        for name, shape in inputs.items()
    ]
    return Emitter(ir.Graph(values, [], nodes=[], opset_imports={"": OPSET}), "test"), values


def numbers(
    op: Emitter, outputs: Sequence[ir.Value], inputs: Mapping[str, object]
) -> list[NDArray[np.float32]]:
    """Run an emitter's graph on ONNX Runtime and return these tensors."""
    op.graph.outputs[:] = outputs
    session = Session(
        to_proto(ir.Model(op.graph, ir_version=IR_VERSION)), choose_provider("cpu"), 1
    )
    given = {name: np.asarray(x, np.float32) for name, x in inputs.items()}
    return session.run(given)
