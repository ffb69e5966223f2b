"""Files of PyTorch, read without running what is in them: exported programs and TorchScript.

Both are ZIP archives that name what is to be computed. What they name is held against a list of
operators before PyTorch opens the file, because PyTorch itself would look up and call anything:
a program's targets are resolved with getattr, its symbolic sizes are evaluated as Python.
"""

import contextlib
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

from leap_audit.errors import ModelRefused
from leap_audit.ingest.exported import reason
from leap_audit.ingest.inputs import Inputs
from leap_audit.ingest.nested import tables_in
from leap_audit.ingest.torch import tracing
from leap_audit.ingest.torch_programs import written_program, written_script
from leap_audit.run.fallback import pytorch

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


def is_program(names: Sequence[str]) -> bool:
    """Whether a ZIP archive with these entries is a torch.export program."""
    return any(DESCRIPTION.search(name) for name in names)


def is_script(names: Sequence[str]) -> bool:
    """Whether a ZIP archive with these entries is TorchScript."""
    return any(CODE.search(name) for name in names)


def export_torch_file(
    path: Path, shape: Sequence[int] | None, inputs: Inputs | None = None
) -> onnx.ModelProto:
    """Return the network in a .pt2 program or a TorchScript file as ONNX.

    shape: of one picture without the batch, where the file does not say it: TorchScript never
    does, a program where its height and width are free. inputs: of a network with several, which
    takes the picture and what the others hold. The batch is free, unless the program was exported
    with a fixed one. What trains otherwise than it predicts (BatchNorm, Dropout) predicts. The
    graph is run against PyTorch.

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
            opened = _opened(torch.export.load, path)
            return written_program(torch, opened, shape, str(path), inputs or Inputs())
        module = _opened(torch.jit.load, path, map_location="cpu").eval()
        return written_script(torch, module, shape or (), str(path), inputs or Inputs())


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
