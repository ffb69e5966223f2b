"""Files of PyTorch, read without running what is in them: exported programs and TorchScript.

Both are ZIP archives that name what is to be computed. What they name is held against a list of
operators before PyTorch opens the file, because PyTorch itself would look up and call anything:
a program's targets are resolved with getattr, its symbolic sizes are evaluated as Python.
"""

import contextlib
import copy
import io
import json
import os
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from leap_audit.errors import ModelRefused
from leap_audit.ingest.exported import (
    CHECKED,
    EXAMPLE,
    random_pictures,
    reason,
    require_agreement,
)
from leap_audit.ingest.nested import tables_in
from leap_audit.ingest.torch import numbers, tracing
from leap_audit.ingest.weights import poured
from leap_audit.run.fallback import first_tensor, pytorch

__all__ = ["export_torch_file", "is_program", "is_script"]

DESCRIPTION = re.compile(r"(^|/)models/[^/]+\.json$")
CODE = re.compile(r"(^|/)code/.+\.py$")
OPERATORS = re.compile(
    r"torch\.ops\.(aten|prims|torchvision|quantized_decomposed|higher_order)\.\w+(\.\w+)?"
    r"|_operator\.\w+|math\.\w+|torch\.sym_\w+"
)
"""What a program may call: operators on tensors and arithmetic on sizes."""
READING = re.compile(r"from_file|\bload\b|\bsave\b")
SYMBOL = re.compile(r"Symbol\('\w+'(, \w+=\w+)*\)")
SIZE = re.compile(r"((?![a-z_]\w*\s*\()(?!\w*__)\w+|(floor|ceiling)(?=\()|[\s+\-*/%(),<>=&|~])*")
"""Of sizes, such as Max(1, s0//2): arithmetic and SymPy's functions, no text, no attribute."""
FOREIGN = re.compile(r"(^|/)data/aotinductor/|(custom|opaque)_obj|\.(so|dll|dylib|py|cpp)$")
"""Entries of a program's archive that are native code or pickled objects."""
SCRIPT_CALLS = re.compile(
    r"(?<![\w.])ops\.(?!aten\b|prims?\b|torchvision\b|quantized\b)\w+|\btorch\.(save|load|from_file)\b"
)
LARGEST_TEXT = 256 << 20
"""Bytes of a program's description; the weights are not in it."""
TRAINING: dict[str, tuple[int, bool | float]] = {
    **dict.fromkeys(("batch_norm", "instance_norm"), (5, False)),
    **dict.fromkeys(("dropout", "alpha_dropout", "feature_dropout"), (2, False)),
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), (6, False)),
    "rrelu": (3, False),
    "scaled_dot_product_attention": (4, 0.0),
}
"""Operators of ATen that train otherwise than they predict -> the argument that says how, and
what it is where they predict."""


def is_program(names: Sequence[str]) -> bool:
    """Whether a ZIP archive with these entries is a torch.export program."""
    return any(DESCRIPTION.search(name) for name in names)


def is_script(names: Sequence[str]) -> bool:
    """Whether a ZIP archive with these entries is TorchScript."""
    return any(CODE.search(name) for name in names)


def export_torch_file(path: Path, shape: Sequence[int] | None) -> onnx.ModelProto:
    """Return the network in a .pt2 program or a TorchScript file as ONNX.

    shape: of one picture without the batch, where the file does not say it: TorchScript never
    does, a program where its height and width are free. The batch is
    free, unless the program was exported with a fixed one. What trains otherwise than it predicts
    (BatchNorm, Dropout) predicts. The graph is run against PyTorch.

    Raises RuntimeMissing: no PyTorch. ModelRefused: the file calls what no network needs, holds
    code or pickled objects, cannot be read or exported, or its graph gives other numbers.
    """
    with _readable(path), zipfile.ZipFile(path) as archive:
        program = is_program(archive.namelist())
        (_require_operators if program else _require_plain_code)(archive, path)
    if not program and shape is None:
        raise ModelRefused(
            f"{path}: TorchScript does not say what pictures it takes; pass --input-size "
            "HEIGHT,WIDTH, such as --input-size 224,224."
        )
    torch = pytorch()
    with tracing(torch):
        if program:
            return _export_program(torch, _opened(torch.export.load, path), shape, str(path))
        module = _opened(torch.jit.load, path, map_location="cpu").eval()
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


def _opened(load: Callable[..., Any], path: Path, **options: Any) -> Any:
    """What PyTorch loads from a file, its pickles as weights only."""
    with patch.dict(os.environ, {"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1"}):
        try:
            return load(io.BytesIO(path.read_bytes()), **options)
        except Exception as error:  # whatever is wrong with the file
            raise ModelRefused(
                f"{path}: PyTorch cannot read it ({reason(error).rstrip('.')}); export it again, "
                "with the PyTorch that is installed here."
            ) from None


def _require_operators(archive: zipfile.ZipFile, path: Path) -> None:
    for name in archive.namelist():
        if FOREIGN.search(name):
            raise ModelRefused(
                f"{path}: holds {name!r}, compiled code or a pickled object, which is not run; "
                "export the module itself with torch.export."
            )
    for entry in archive.infolist():
        if not DESCRIPTION.search(entry.filename):
            continue
        for kind, text in _named(_json(archive, entry, path)):
            if kind == "target" and (not OPERATORS.fullmatch(text) or READING.search(text)):
                raise ModelRefused(
                    f"{path}: calls {text[:80]!r}, which is no operator on tensors; give a "
                    "program that torch.export made of a network."
                )
            if kind == "expr_str" and not SIZE.fullmatch(SYMBOL.sub("s", text)):
                raise ModelRefused(
                    f"{path}: has {text[:80]!r} as a size, which is no arithmetic; export it again."
                )


def _json(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> Any:
    if entry.file_size > LARGEST_TEXT:
        raise ModelRefused(f"{path}: {entry.filename!r} is too large for a program's description.")
    try:
        return json.loads(archive.read(entry))
    except (ValueError, RecursionError):
        raise ModelRefused(
            f"{path}: {entry.filename!r} in it is damaged; export it again."
        ) from None


def _named(description: Any) -> Iterator[tuple[str, str]]:
    """Every text of a description that stands under a key, with the key."""
    for table in tables_in(description):
        yield from ((key, text) for key, text in table.items() if isinstance(text, str))


def _require_plain_code(archive: zipfile.ZipFile, path: Path) -> None:
    for entry in archive.infolist():
        if not CODE.search(entry.filename):
            continue
        if entry.file_size > LARGEST_TEXT:
            raise ModelRefused(f"{path}: {entry.filename!r} is too large for a network's code.")
        found = SCRIPT_CALLS.search(archive.read(entry).decode("utf-8", "replace"))
        if found:
            raise ModelRefused(
                f"{path}: its code calls {found.group()!r}, which is no operator of a network."
            )


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise ModelRefused(f"{path}: its archive is damaged ({error}); copy it again.") from None
