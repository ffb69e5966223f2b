"""A torch.export program (.pt2), looked through and written anew before PyTorch opens it.

It is a ZIP archive of a description in JSON and of weights. PyTorch looks up with getattr what the
description calls, evaluates its sizes as Python, writes its names into Python source, unpickles the
example inputs, and falls back to other entries of the archive.
"""

import json
import keyword
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from leap_audit.errors import ModelRefused
from leap_audit.ingest.files.archives import Archive, archive_of
from leap_audit.ingest.frameworks.pt2_sizes import clean_size

__all__ = ["clean_program", "is_program"]

DESCRIPTION = re.compile(r"(^|/)models/[^/]+\.json$")
KEPT = re.compile(
    r"data/weights/(weight_\d+|model\.pt|model_weights_config\.json)"
    r"|data/constants/(tensor_\d+|model\.pt|model_constants_config\.json)"
    r"|archive_format|archive_version|byteorder|version|\.data/(version|serialization_id)"
)
"""Entries that are handed on as they are, or as they were parsed."""
LEFT_OUT = re.compile(r"extra/.*|data/sample_inputs/model\.pt|\.format_version|\.storage_alignment")
"""Entries that a network does not need: notes of the user's, and pickled example inputs."""
MODEL = "models/model.json"
LARGEST_TEXT = 256 << 20
"""Bytes of a description; the weights are not in it."""
OPERATORS = re.compile(
    r"torch\.ops\.(aten|prims|torchvision|quantized_decomposed|higher_order)\.\w+(\.\w+)?"
    r"|_operator\.\w+|math\.\w+|torch\.sym_\w+",
    re.ASCII,
)
"""What a program may call: operators on tensors and arithmetic on sizes."""
OUTSIDE = re.compile(r"from_file|\bload\b|\bsave\b|print|\bcall_torchbind\b|triton|__\w*import")
_OPERATOR_MODULE = (
    "add sub mul truediv floordiv mod pow neg pos abs eq ne lt le gt ge and_ or_ xor not_ "
    "invert lshift rshift getitem index truth"
)
OPERATOR_MODULE = frozenset(_OPERATOR_MODULE.split())
"""Of _operator: neither call nor attrgetter nor methodcaller."""
PLAIN = re.compile(r"[\w.\-:+ ]*", re.ASCII)
NAMES = frozenset({"name", "as_name"})
FREE = frozenset({"as_string", "torch_version", "str_value"})
"""Keys whose text is handed to operators as text, or to nobody."""
DROPPED = frozenset({"metadata", "guards_code", "stack_trace"})
"""Keys of what was noted for debugging, and of source that PyTorch would run; `metadata` only of
nodes."""
SPECS = frozenset({"in_spec", "out_spec"})
NESTED = frozenset(
    {None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"}
)


def is_program(names: Iterator[str] | list[str]) -> bool:
    """Whether a ZIP archive with these entries is a torch.export program."""
    return any(DESCRIPTION.search(name) for name in names)


def clean_program(archive: Archive, path: Path) -> bytes:
    """Return the archive of a program with what was checked, and nothing else.

    Raises ModelRefused: it calls what no network needs, has sizes that are no arithmetic, names
    that are none, or holds code, pickled objects or entries that no program of PyTorch has.
    """
    root = _root(archive)
    clean: dict[str, bytes] = {}
    for name in archive.entries:
        short = name.removeprefix(root) if name.startswith(root) else f"/{name}"
        if short == MODEL:
            described = _json(archive, name, path)
            clean[f"model/{short}"] = _written(_Looked(path).through(described))
        elif KEPT.fullmatch(short):
            clean[f"model/{short}"] = _kept(archive, name, path)
        elif not LEFT_OUT.fullmatch(short):
            raise ModelRefused(
                f"{path}: holds {name[:80]!r}, compiled code or a pickled object, or another "
                "model, which is not run; export the module itself with torch.export."
            )
    if f"model/{MODEL}" not in clean:
        raise ModelRefused(f"{path}: holds no {MODEL}; save the program with torch.export.save.")
    clean["model/data/sample_inputs/model.pt"] = b""
    return archive_of(clean)


def _root(archive: Archive) -> str:
    """The folder in the archive that everything lies in."""
    roots = {name.partition("/")[0] for name in archive.entries if "/" in name}
    return next((f"{r}/" for r in sorted(roots) if f"{r}/{MODEL}" in archive.entries), "")


def _kept(archive: Archive, name: str, path: Path) -> bytes:
    if not name.endswith("_config.json"):
        return archive.read(name)
    config = _json(archive, name, path)
    for payload in _tables(config):
        if payload.get("use_pickle"):
            raise ModelRefused(
                f"{path}: {name[:80]!r} in it asks for pickled objects, which could run any code; "
                "export the module itself with torch.export."
            )
    return _written(config)


class _Looked:
    """Looks through a description, and makes it anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._of: dict[str, Callable[[str], str]] = {
            "target": self._target,
            "expr_str": self._size,
            **dict.fromkeys(NAMES, self._name),
            **dict.fromkeys(SPECS, self._spec),
        }

    def through(self, value: Any, key: str = "", depth: int = 0) -> Any:
        """Return what a description holds there, looked through. Raises ModelRefused."""
        if depth > 400:
            raise ModelRefused(f"{self._path}: its description nests too deeply; export it again.")
        if isinstance(value, dict):
            node = "target" in value and "inputs" in value
            return {
                self._plain(name): self.through(inner, name, depth + 1)
                for name, inner in value.items()
                if name not in DROPPED or (name == "metadata" and not node)
            } | ({"metadata": {}} if node else {})
        if isinstance(value, list):
            return [self.through(inner, key, depth + 1) for inner in value]
        if not isinstance(value, str) or key in FREE:
            return value
        return self._of.get(key, self._plain)(value)

    def _target(self, text: str) -> str:
        if text == "":
            return text
        root, _, rest = text.partition(".")
        wrong = root == "_operator" and rest not in OPERATOR_MODULE
        parts = text.split(".")
        if text.startswith(("torch.", "_operator", "math")):
            wrong |= not OPERATORS.fullmatch(text) or any(part.startswith("__") for part in parts)
        else:  # of a buffer or parameter: a place among the weights
            wrong |= not re.fullmatch(r"[A-Za-z_][\w.]*", text, re.ASCII) or "." in text[-1:]
            wrong |= text.startswith("#")
        if wrong or OUTSIDE.search(text):
            raise ModelRefused(
                f"{self._path}: calls {text[:80]!r}, which is no operator on tensors; give a "
                "program that torch.export made of a network."
            )
        return text

    def _size(self, text: str) -> str:
        clean = clean_size(text)
        if clean is None:
            raise ModelRefused(
                f"{self._path}: has {text[:80]!r} as a size, which is no arithmetic; export it "
                "again."
            )
        return clean

    def _name(self, text: str) -> str:
        """A name, which PyTorch writes into the source of a function."""
        if not re.fullmatch(r"[\w.]*", text, re.ASCII) or keyword.iskeyword(text):
            raise ModelRefused(
                f"{self._path}: has {text[:80]!r} as a name, which is none; export it again."
            )
        return text

    def _plain(self, text: str) -> str:
        if not PLAIN.fullmatch(text):
            raise ModelRefused(
                f"{self._path}: has {text[:80]!r} in its description, where no exporter writes "
                "such; export it again."
            )
        return text

    def _spec(self, text: str) -> str:
        """How inputs and outputs nest, itself JSON: tuples, lists and tables, nothing else."""
        if text == "":
            return text
        try:
            spec = json.loads(text)
        except (ValueError, RecursionError):
            spec = [{"type": "?"}]
        for table in _tables(spec):
            if "type" in table and table["type"] not in NESTED:
                raise ModelRefused(
                    f"{self._path}: nests its inputs or outputs in {str(table['type'])[:80]!r}; "
                    "export a module that takes a tensor and returns tensors."
                )
        return json.dumps(spec)


def _tables(value: Any) -> Iterator[dict[str, Any]]:
    from leap_audit.ingest.files.nested import tables_in

    return tables_in(value)


def _written(description: Any) -> bytes:
    return json.dumps(description).encode()


def _json(archive: Archive, name: str, path: Path) -> Any:
    data = archive.read(name, LARGEST_TEXT)
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise ModelRefused(f"{path}: {name[:80]!r} in it is damaged; export it again.") from None
