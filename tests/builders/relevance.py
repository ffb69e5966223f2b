"""Relevance of a network, with what its constants keep."""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from leap_audit.gradient import backpropagate
from leap_audit.gradient.build import prepare
from leap_audit.gradient.ledger import Ledger
from leap_audit.gradient.lrp import LrpRuleOptions, attnlrp_rules, lrp_rules
from leap_audit.graph.emit import Emitter
from leap_audit.graph.shapes import static_shape
from leap_audit.run import Session, choose_provider

Array = NDArray[Any]


def model(
    nodes: list[Any], x: tuple[int, ...], y: tuple[int, ...], weights: dict[str, Array]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, y)],
        [numpy_helper.from_array(w.astype(np.float32), n) for n, w in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def relevance(
    proto: onnx.ModelProto,
    x: Array,
    target: int | None,
    options: LrpRuleOptions | None = None,
    *,
    attention: bool = False,
    wrt: str | None = None,
) -> tuple[Array, float, float]:
    """(relevance of `wrt`, what constants keep, the score)

    target: the output that is explained; None: the largest. wrt: None: the input.
    """
    ledger = Ledger()
    rules = (attnlrp_rules if attention else lrp_rules)(options, ledger)
    prepared = prepare(proto, wrt=wrt, passes=rules.passes)
    graph, output = prepared.model.graph, prepared.output
    (entry,) = graph.inputs
    dy = ir.Value(name="cotangent", shape=output.shape, type=output.type)
    graph.inputs.append(dy)
    op = Emitter(graph, "lrp")
    (r,) = backpropagate(op, {output: dy}, list(prepared.values), rules=rules)
    graph.outputs.clear()
    graph.outputs.extend([op.Identity(r), op.Identity(ledger.total(op)), op.Identity(output)])
    session = Session(ir.Model(graph, ir_version=10), choose_provider("cpu"), 1)
    given = {str(entry.name): x, "cotangent": np.zeros(static_shape(output), np.float32)}
    if target is None:
        target = int(session.run(given)[2].argmax())
    given["cotangent"].reshape(-1)[target] = 1
    found, kept, y = session.run(given)
    return found, float(kept), float(y.reshape(-1)[target])


def options_of(composite: str, **more: Any) -> LrpRuleOptions:
    box = {"low": (-2.5,), "high": (3.5,)} if composite == "epsilon_gamma_box" else {}
    return LrpRuleOptions.model_validate({"composite": composite, **box, **more})


def close(a: Array, b: Array, tolerance: float = 2e-5) -> None:
    assert b.any()
    assert np.linalg.norm(a.ravel() - b.ravel()) < tolerance * np.linalg.norm(b.ravel())
