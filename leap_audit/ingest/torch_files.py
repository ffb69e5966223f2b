"""Files of PyTorch, read without running what is in them: exported programs and TorchScript.

Both are ZIP archives that name what is to be computed. What they name is held against a list of
operators, and PyTorch is given an archive that was written anew from what was checked (`pt2.py`,
`script.py`), because PyTorch itself would look up and call anything.
"""

import copy
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from leap_audit.errors import ModelRefused
from leap_audit.ingest.archives import opened
from leap_audit.ingest.exported import (
    CHECKED,
    EXAMPLE,
    random_pictures,
    reason,
    require_agreement,
)
from leap_audit.ingest.programs import require_walls
from leap_audit.ingest.pt2 import clean_program, is_program
from leap_audit.ingest.script import clean_script
from leap_audit.ingest.torch import numbers, tracing
from leap_audit.ingest.weights import poured
from leap_audit.run.fallback import first_tensor, pytorch

__all__ = ["export_torch_file"]

_TEXTS = (
    "padding mode reduce rounding_mode norm approximate equation interpolation side "
    "padding_side indexing pad_mode ord p UPLO driver msg cls message assert_msg device_type "
    "activation algorithm attr unary_attr binary_attr unary_algorithm self string a b l key "
    "item el t other"
)
TEXTS = frozenset(_TEXTS.split())
"""Arguments of operators that are text: how to pad, how to round. No operator with another is let
through, such as the name of a file."""
_PRIMITIVES = (
    "RaiseException unchecked_cast unchecked_unwrap_optional NumToTensor TupleIndex "
    "TupleUnpack min max abs is_cuda is_cpu is_quantized is_mkldnn is_nested is_sparse device "
    "dtype layout itemsize data rangelist tolist type StringIndex ModuleContainerIndex "
    "requires_grad Uninitialized ConstantChunk IfThenElse"
)
PRIMITIVES = frozenset(_PRIMITIVES.split())
VISION = frozenset({"nms", "roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool", "deform_conv2d"})
TRAINING: dict[str, tuple[int, bool | float]] = {
    **dict.fromkeys(("batch_norm", "instance_norm"), (5, False)),
    **dict.fromkeys(("dropout", "alpha_dropout", "feature_dropout"), (2, False)),
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), (6, False)),
    "rrelu": (3, False),
    "scaled_dot_product_attention": (4, 0.0),
}
"""Operators of ATen that train otherwise than they predict -> the argument that says how, and
what it is where they predict."""


def export_torch_file(path: Path, shape: Sequence[int] | None) -> onnx.ModelProto:
    """Return the network in a .pt2 program or a TorchScript file as ONNX.

    shape: of one picture without the batch, where the file does not say it: TorchScript never
    does, a program where its height and width are free. The batch is
    free, unless the program was exported with a fixed one. What trains otherwise than it predicts
    (BatchNorm, Dropout) predicts. The graph is run against PyTorch.

    Raises RuntimeMissing: no PyTorch. ModelRefused: no wall stands around this process and the file
    is not trusted; it calls what no network needs, holds code or pickled objects, cannot be read or
    exported, or its graph gives other numbers.
    """
    with opened(path) as archive:
        program = is_program(list(archive.entries))
        require_walls(path, "a torch.export program" if program else "TorchScript")
        torch = pytorch()
        clean = (
            clean_program(archive, path)
            if program
            else clean_script(archive, path, _operators(torch))
        )
    if not program and shape is None:
        raise ModelRefused(
            f"{path}: TorchScript does not say what pictures it takes; pass --input-size "
            "HEIGHT,WIDTH, such as --input-size 224,224."
        )
    with tracing(torch):
        if program:
            program = _loaded(torch.export.load, clean, path)
            return _export_program(torch, program, shape, str(path))
        module = _loaded(torch.jit.load, clean, path, map_location="cpu").eval()
        return _export_script(torch, module, shape or (), str(path))


def export_program(program: Any, shape: Sequence[int] | None = None) -> onnx.ModelProto:
    """Return a torch.export.ExportedProgram as ONNX, as `export_torch_file` does its file."""
    torch = pytorch()
    with tracing(torch):
        return _export_program(torch, copy.deepcopy(program), shape, "the program")


def export_script(module: Any, shape: Sequence[int]) -> onnx.ModelProto:
    """Return a torch.jit.ScriptModule as ONNX, as `export_torch_file` does its file."""
    torch = pytorch()
    with tracing(torch, module):
        return _export_script(torch, module, shape, "the ScriptModule")


def _export_program(
    torch: Any, program: Any, shape: Sequence[int] | None, name: str
) -> onnx.ModelProto:
    batch = _batch_shape(program, shape, name)
    _predicting(program)
    try:
        model: ir.Model = torch.onnx.export(
            program,
            (),
            None,
            input_names=["picture"],
            output_names=["logits"],
            dynamo=True,
            verbose=False,
        ).model
    except Exception as error:  # it raises whatever its translations raise
        raise ModelRefused(f"{name}: PyTorch cannot write it as ONNX: {reason(error)}") from error
    del model.graph.outputs[1:]  # other results, and statistics that training would update
    common.ClearMetadataAndDocStringPass()(model)
    proto = poured(model)
    pictures = random_pictures(batch[0], batch[1:])
    want = numbers(first_tensor(program.module()(torch.from_numpy(pictures))))
    require_agreement(proto, pictures, want, name)
    return proto


def _export_script(torch: Any, module: Any, shape: Sequence[int], name: str) -> onnx.ModelProto:
    """By tracing as PyTorch did before torch.export, which takes no TorchScript."""
    written = io.BytesIO()
    example = torch.from_numpy(random_pictures(EXAMPLE, shape))
    try:
        first_tensor(module(example))
        torch.onnx.export(
            module,
            (example,),
            written,
            dynamo=False,
            opset_version=17,
            input_names=["picture"],
            output_names=["logits"],
            dynamic_axes={"picture": {0: "batch"}, "logits": {0: "batch"}},
        )
    except Exception as error:  # neither has one class for what can go wrong
        raise ModelRefused(
            f"{name}: PyTorch cannot write it as ONNX for pictures of {list(shape)}: "
            f"{reason(error)}"
        ) from error
    model = ir.from_proto(onnx.load_from_string(written.getvalue()))
    common.ClearMetadataAndDocStringPass()(model)
    del model.graph.outputs[1:]
    proto = poured(model)
    pictures = random_pictures(CHECKED, shape)
    want = numbers(first_tensor(module(torch.from_numpy(pictures))))
    require_agreement(proto, pictures, want, name)
    return proto


def _batch_shape(program: Any, shape: Sequence[int] | None, name: str) -> tuple[int, ...]:
    """The shape of a batch that the program takes; `shape` of one picture where it is free."""
    given = set(program.graph_signature.user_inputs)
    values = [n.meta["val"] for n in program.graph.nodes if n.op == "placeholder"]
    names = [n.name for n in program.graph.nodes if n.op == "placeholder"]
    inputs = [v for n, v in zip(names, values, strict=True) if n in given]
    if len(inputs) != 1 or not hasattr(inputs[0], "shape"):
        raise ModelRefused(
            f"{name}: takes {len(inputs)} inputs; an audit needs one, the picture: export a module "
            "that takes the picture alone."
        )
    if not inputs[0].dtype.is_floating_point:
        raise ModelRefused(f"{name}: takes {inputs[0].dtype} numbers; export it for float32.")
    free = [not isinstance(side, int) for side in inputs[0].shape]
    if any(free[1:]) and shape is None:
        raise ModelRefused(
            f"{name}: leaves the size of its pictures free; pass --input-size HEIGHT,WIDTH, such "
            "as --input-size 224,224."
        )
    sides = [CHECKED if free[0] else int(inputs[0].shape[0])]
    given_sides = shape or (0,) * len(free[1:])
    for side, open_, said in zip(inputs[0].shape[1:], free[1:], given_sides, strict=True):
        sides.append(said if open_ else int(side))
    return tuple(sides)


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


def _loaded(load: Callable[..., Any], data: bytes, path: Path, **options: Any) -> Any:
    """What PyTorch loads from the archive of a file, its pickles as weights only."""
    with patch.dict(os.environ, {"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1"}):
        try:
            return load(io.BytesIO(data), **options)
        except Exception as error:  # whatever is wrong with the file
            raise ModelRefused(
                f"{path}: PyTorch cannot read it ({reason(error).rstrip('.')}); export it again, "
                "with the PyTorch that is installed here."
            ) from None


def _operators(torch: Any) -> dict[str, frozenset[str]]:
    """Return the operators on tensors that TorchScript may name, by namespace.

    What takes text that is no word for how to compute is none: aten::save and aten::from_file take
    the name of a file.
    """
    found: dict[str, set[str]] = {name: set() for name in ("aten", "prims", "quantized")}
    outside: dict[str, set[str]] = {name: set() for name in found}
    for schema in torch._C._jit_get_all_schemas():
        namespace, _, name = schema.name.partition("::")
        if namespace in found:
            texts = {a.name for a in schema.arguments if "str" in str(a.type)}
            strange = texts - TEXTS and any(a.type.kind() == "TensorType" for a in schema.arguments)
            strange = strange or "filename" in texts or name in ("_print", "warn")
            (outside if strange else found)[namespace].add(name)
    return {
        **{name: frozenset(names - outside[name]) for name, names in found.items()},
        "prim": PRIMITIVES,
        "torchvision": VISION,
    }
