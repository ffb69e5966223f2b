"""Max(relu(x)) = relu(max(x)): a Relu before a MaxPool moves behind it, to fewer numbers.

The values are the same and so is the gradient, ties included: where nothing in a window is above
zero, it is zero either way. What the gradient needs to remember of the Relu is a quarter as much.
"""

from collections.abc import Collection

import onnx_ir as ir

from leap_audit.graph.emit import Emitter

__all__ = ["relu_behind_max"]


def relu_behind_max(op: Emitter, keep: Collection[ir.Value]) -> None:
    """Let what reads a MaxPool that alone reads a Relu read the two in the other order.

    The old ones stay for whoever holds them. keep: tensors that are read as before.
    """
    keep = {*keep, *op.graph.outputs}
    for relu in [node for node in op.graph if node.op_type == "Relu" and node.domain == ""]:
        (y,) = relu.outputs
        pool = y.consumers()[0] if len(y.consumers()) == 1 else None
        if pool is None or pool.graph is not op.graph or not _pools_what_is_there(pool):
            continue
        most = pool.outputs[0]
        if y in keep or most in keep:
            continue
        readers = list(most.uses())
        below = op.MaxPool(relu.inputs[0], **{a.name: a.value for a in pool.attributes.values()})
        above = op.Relu(below)
        new = [node for node in (below.producer(), above.producer()) if node is not None]
        op.graph.remove(new)  # from the end, where their readers would come before them
        op.graph.insert_after(pool, new)
        for node, index in readers:
            node.replace_input_with(index, above)


def _pools_what_is_there(pool: ir.Node) -> bool:
    """Whether it is a MaxPool that gives no indices, none of whose windows is all border."""
    if pool.op_type != "MaxPool" or pool.domain != "":
        return False
    if len(pool.outputs) > 1 and pool.outputs[1].uses():
        return False
    window = pool.attributes.get_ints("kernel_shape", ())
    pads = pool.attributes.get_ints("pads", ())
    if any(step > 1 for step in pool.attributes.get_ints("dilations", ())):
        return False  # every pixel of such a window may lie in the border
    return not pool.attributes.get_int("ceil_mode", 0) and all(
        pad < side for pad, side in zip(pads, [*window, *window], strict=False)
    )
