"""Convert exported programs and TorchScript to ONNX, and check them against PyTorch."""

import copy
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from leap_audit.artifacts import TensorInfo
from leap_audit.errors import ModelRefused
from leap_audit.graph.weights import into_proto
from leap_audit.ingest.frameworks.export_check import (
    CHECKED,
    EXAMPLE,
    random_pictures,
    reason,
    require_same_as_source,
)
from leap_audit.ingest.frameworks.torch import numbers, tracing
from leap_audit.ingest.frameworks.torch_inputs import called_with, info_of_input, note_values
from leap_audit.ingest.inputs.conversion import SelectedInputs, record_inputs
from leap_audit.ingest.inputs.selection import Inputs, fix_inputs, select_picture
from leap_audit.ingest.inputs.values import array_for
from leap_audit.run.fallback import first_tensor, pytorch
from leap_audit.run.session import Array

__all__ = ["export_program", "export_script", "written_program", "written_script"]

TRAINING: dict[str, tuple[int, bool | float]] = {
    **dict.fromkeys(("batch_norm", "instance_norm"), (5, False)),
    **dict.fromkeys(("dropout", "alpha_dropout", "feature_dropout"), (2, False)),
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), (6, False)),
    "rrelu": (3, False),
    "scaled_dot_product_attention": (4, 0.0),
}
"""Operators of ATen that train otherwise than they predict -> the argument that says how, and
what it is where they predict."""


def export_program(
    program: Any, shape: Sequence[int] | None = None, inputs: Inputs | None = None
) -> onnx.ModelProto:
    """Return a torch.export.ExportedProgram as ONNX, as a file with it is."""
    torch = pytorch()
    with tracing(torch):
        whole = copy.deepcopy(program)
        return written_program(torch, whole, shape, "the program", inputs or Inputs())


def export_script(
    module: Any, shape: Sequence[int], inputs: Inputs | None = None
) -> onnx.ModelProto:
    """Return a torch.jit.ScriptModule as ONNX, as a file with it is."""
    torch = pytorch()
    with tracing(torch, module):
        return written_script(torch, module, shape, "the ScriptModule", inputs or Inputs())


def written_program(
    torch: Any, program: Any, shape: Sequence[int] | None, name: str, inputs: Inputs
) -> onnx.ModelProto:
    """Return a program as ONNX. name: what to call it in a message."""
    infos = _user_inputs(program, name)
    picture = select_picture(list(infos.values()), inputs, name)
    batch = _batch_shape(picture, shape, name)
    _predicting(program)
    try:
        model: ir.Model = torch.onnx.export(
            program,
            (),
            None,
            input_names=["picture"] if len(infos) == 1 else list(infos),
            output_names=["logits"],
            dynamo=True,
            verbose=False,
        ).model
    except Exception as error:  # it raises whatever its translations raise
        raise ModelRefused(f"{name}: PyTorch cannot write it as ONNX: {reason(error)}") from error
    del model.graph.outputs[1:]  # other results, and statistics that training would update
    common.ClearMetadataAndDocStringPass()(model)
    proto = into_proto(model)
    values = {
        each: array_for(info, inputs.values[each], picture)
        for each, info in infos.items()
        if each in inputs.values
    }
    fixed = SelectedInputs(picture, values, frozenset(values))
    if values:
        proto, *_ = fix_inputs(proto, Inputs(picture.name, values), name)
    pictures = _pictures(batch, picture)
    free = not all(isinstance(side, int) for side in picture.shape[1:])
    try:
        arguments = {**values, picture.name: pictures}
        args = [
            torch.from_numpy(_repeated(arguments[each], info, batch[0]))
            for each, info in infos.items()
        ]
        want = numbers(first_tensor(program.module()(*args)))
        require_same_as_source(proto, pictures, want, name)
    except Exception as error:  # PyTorch and ONNX Runtime have no one class for what can go wrong
        if not free:
            raise
        size = " × ".join(map(str, batch[1:]))
        raise ModelRefused(
            f"{name}: leaves the size of its pictures free, and does not run on {size} "
            f"({reason(error).rstrip('.')}); pass the size that it was exported with as "
            "--input-size, or export it with fixed sizes."
        ) from error
    return record_inputs(proto, fixed, "")


def written_script(
    torch: Any, module: Any, shape: Sequence[int], name: str, inputs: Inputs
) -> onnx.ModelProto:
    """By tracing as PyTorch did before torch.export, which takes no TorchScript."""
    written = io.BytesIO()
    example = torch.from_numpy(random_pictures(EXAMPLE, shape))
    call = called_with(torch, module, inputs)
    try:
        first_tensor(call(example))
        network = module if call is module else _wrapped(torch, module, call, example)
        torch.onnx.export(
            network,
            (example,),
            written,
            dynamo=False,
            opset_version=17,
            input_names=["picture"],
            output_names=["logits"],
            dynamic_axes={"picture": {0: "batch"}, "logits": {0: "batch"}},
        )
    except Exception as error:  # neither has one class for what can go wrong
        hint = ""
        if "channels" in str(error):
            hint = (
                f" The pictures had {shape[0]}; for one channel pass --channel-order GRAY, for "
                "others --channel-order BANDS and --mean with a number for each."
            )
        raise ModelRefused(
            f"{name}: PyTorch cannot write it as ONNX for pictures of {list(shape)}: "
            f"{reason(error)}{hint}"
        ) from error
    model = ir.from_proto(onnx.load_from_string(written.getvalue()))
    common.ClearMetadataAndDocStringPass()(model)
    del model.graph.outputs[1:]
    proto = into_proto(model)
    pictures = random_pictures(CHECKED, shape)
    want = numbers(first_tensor(call(torch.from_numpy(pictures))))
    require_same_as_source(proto, pictures, want, name)
    return note_values(proto, inputs)


def _wrapped(torch: Any, module: Any, call: Callable[[Any], Any], example: Any) -> Any:
    """A function of pictures, which calls a script, as a script for the exporter."""

    class Picture(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = module

        def forward(self, picture: Any) -> Any:
            return first_tensor(call(picture))

    return torch.jit.trace(Picture(), (example,), check_trace=False)


def _user_inputs(program: Any, name: str) -> dict[str, TensorInfo]:
    """What a program is called with, by name, in its order."""
    taken = set(program.graph_signature.user_inputs)
    found = {
        node.name: info_of_input(node.name, node.meta["val"], name)
        for node in program.graph.nodes
        if node.op == "placeholder" and node.name in taken
    }
    if not found:
        raise ModelRefused(f"{name}: takes no input; an audit needs one, the picture.")
    return found


def _pictures(batch: tuple[int, ...], picture: TensorInfo) -> Array:
    """Random pictures of the type that the program takes: of whole numbers, up to 255."""
    found = random_pictures(batch[0], batch[1:])
    if "int" in picture.dtype:
        return (found * (127 if picture.dtype == "int8" else 255)).astype(picture.dtype)
    return found


def _repeated(array: Array, info: TensorInfo, batch: int) -> Array:
    """The value of an input for a batch of pictures."""
    free = bool(info.shape) and not isinstance(info.shape[0], int)
    return np.repeat(array, batch, 0) if free and array.shape[:1] == (1,) else array


def _batch_shape(picture: TensorInfo, shape: Sequence[int] | None, name: str) -> tuple[int, ...]:
    """The shape of a batch that the program takes; `shape` of one picture where it is free."""
    if "float" not in picture.dtype and "int" not in picture.dtype:
        raise ModelRefused(f"{name}: takes {picture.dtype} numbers; export it for float32.")
    free = [not isinstance(side, int) for side in picture.shape]
    if any(free[1:]) and (shape is None or len(shape) != len(free) - 1):
        raise ModelRefused(
            f"{name}: leaves the size of its pictures free; pass --input-size HEIGHT,WIDTH, such "
            "as --input-size 224,224."
        )
    said = shape if any(free[1:]) and shape is not None else picture.shape[1:]
    sides = [
        int(b) if open_ else int(a)
        for a, b, open_ in zip(picture.shape[1:], said, free[1:], strict=True)
    ]
    return (CHECKED if not picture.shape or free[0] else int(picture.shape[0]), *sides)


def _predicting(program: Any) -> None:
    """Set what trains otherwise than it predicts to predict, as eval() does in a module."""
    for node in program.graph.nodes:
        package, _, rest = str(node.target).partition(".")
        name = rest.partition(".")[0].rstrip("_")
        if package != "aten" or name not in TRAINING:
            continue
        if name.endswith("_norm") and node.args[3] is None:
            continue  # without running statistics it predicts as it trains
        place, value = TRAINING[name]
        if len(node.args) > place:
            node.args = (*node.args[:place], value, *node.args[place + 1 :])
        elif "dropout_p" in node.kwargs:
            node.kwargs = {**node.kwargs, "dropout_p": value}
    program.graph_module.recompile()
