"""Read PyTorch files without running their code: exported programs and TorchScript.

Both are ZIP archives that name the operators to run. Every operator must be on a list, and PyTorch
opens an archive that was rewritten from the checked parts (`pt2.py`, `torchscript.py`), because
PyTorch itself would resolve and call any name.
"""

import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import onnx

from leap_audit.errors import ModelRefused
from leap_audit.ingest.files.archives import open_archive
from leap_audit.ingest.frameworks.export_check import reason
from leap_audit.ingest.frameworks.pt2 import clean_program, is_program
from leap_audit.ingest.frameworks.torch import tracing
from leap_audit.ingest.frameworks.torch_programs import written_program, written_script
from leap_audit.ingest.frameworks.torchscript import clean_script
from leap_audit.ingest.inputs.selection import Inputs
from leap_audit.ingest.sandbox.trust import require_walls
from leap_audit.run.fallback import pytorch

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


def export_torch_file(
    path: Path, shape: Sequence[int] | None, inputs: Inputs | None = None
) -> onnx.ModelProto:
    """Return the network in a .pt2 program or a TorchScript file as ONNX.

    shape: of one picture without the batch, where the file does not say it: TorchScript never
    does, a program where its height and width are free. inputs: of a network with several, which
    takes the picture and what the others hold. The batch is free, unless the program was exported
    with a fixed one. What trains otherwise than it predicts (BatchNorm, Dropout) predicts. The
    graph is run against PyTorch.

    Raises RuntimeMissing: no PyTorch. ModelRefused: no wall stands around this process and the file
    is not trusted; it calls what no network needs, holds code or pickled objects, cannot be read or
    exported, or its graph gives other numbers.
    """
    with open_archive(path) as archive:
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
            loaded = _loaded(torch.export.load, clean, path)
            return written_program(torch, loaded, shape, str(path), inputs or Inputs())
        module = _loaded(torch.jit.load, clean, path, map_location="cpu").eval()
        return written_script(torch, module, shape or (), str(path), inputs or Inputs())


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
