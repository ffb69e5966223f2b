"""Check a torch.export program (.pt2) and rewrite it before PyTorch opens it.

A program is a ZIP archive of a JSON description and weights. PyTorch resolves the calls of the
description with getattr, evaluates its sizes as Python, writes its names into Python source,
unpickles the example inputs, and falls back to other entries of the archive.
"""

import ast
import json
import keyword
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from leap_audit.errors import ModelRefused
from leap_audit.ingest.files.archives import Archive, write_archive
from leap_audit.ingest.files.nested import nested_tables

__all__ = ["clean_program", "clean_size", "is_program"]

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


LONGEST_SIZE = 20_000
SYMBOL = re.compile(r"[a-z]{1,3}\d+")
"""Of a symbol: s0, u12, zf3."""
SIZE_CONSTANTS = frozenset({"True", "False", "oo", "int_oo", "inf", "nan", "zoo", "pi", "E"})
_SIZE_FUNCTIONS = (
    "Symbol Integer Float Rational Max Min Mod PythonMod FloorDiv CleanDiv IntTrueDiv "
    "FloatTrueDiv ModularIndexing CeilDiv CeilToInt FloorToInt TruncToInt TruncToFloat "
    "RoundToInt RoundDecimal ToFloat Identity Where PowByNatural FloatPow Pow floor ceiling "
    "Abs sign sqrt log exp Eq Ne Lt Le Gt Ge And Or Not Xor Piecewise ExprCondPair "
    "BitwiseFn_bitwise_and BitwiseFn_bitwise_or IsNonOverlappingAndDenseIndicator LShift "
    "RShift Add Mul OpaqueUnaryFn_sqrt OpaqueUnaryFn_cos OpaqueUnaryFn_sin OpaqueUnaryFn_exp "
    "OpaqueUnaryFn_log OpaqueUnaryFn_log2 OpaqueUnaryFn_tanh"
)
SIZE_FUNCTIONS = frozenset(_SIZE_FUNCTIONS.split())
SIZE_NODES = (
    *(ast.Expression, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Call, ast.Name),
    *(ast.Constant, ast.Tuple, ast.Load, ast.keyword),
    *(ast.operator, ast.unaryop, ast.boolop, ast.cmpop),
)
MOST_POWERS = 4
LARGEST_EXPONENT = 16
LARGEST_NUMBER = 2**64


def is_program(names: Iterator[str] | list[str]) -> bool:
    """Whether a ZIP archive with these entries is a torch.export program."""
    return any(DESCRIPTION.search(name) for name in names)


def clean_program(archive: Archive, path: Path) -> bytes:
    """Return a new archive of a program, with the checked entries and nothing else.

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
    return write_archive(clean)


def _root(archive: Archive) -> str:
    """The folder in the archive that everything lies in."""
    roots = {name.partition("/")[0] for name in archive.entries if "/" in name}
    return next((f"{r}/" for r in sorted(roots) if f"{r}/{MODEL}" in archive.entries), "")


def _kept(archive: Archive, name: str, path: Path) -> bytes:
    if not name.endswith("_config.json"):
        return archive.read(name)
    config = _json(archive, name, path)
    for payload in nested_tables(config):
        if payload.get("use_pickle"):
            raise ModelRefused(
                f"{path}: {name[:80]!r} in it asks for pickled objects, which could run any code; "
                "export the module itself with torch.export."
            )
    return _written(config)


class _Looked:
    """Checks a description and rewrites it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._of: dict[str, Callable[[str], str]] = {
            "target": self._target,
            "expr_str": self._size,
            **dict.fromkeys(NAMES, self._name),
            **dict.fromkeys(SPECS, self._spec),
        }

    def through(self, value: Any, key: str = "", depth: int = 0) -> Any:
        """Return a checked copy of a value in a description. Raises ModelRefused."""
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
        for table in nested_tables(spec):
            if "type" in table and table["type"] not in NESTED:
                raise ModelRefused(
                    f"{self._path}: nests its inputs or outputs in {str(table['type'])[:80]!r}; "
                    "export a module that takes a tensor and returns tensors."
                )
        return json.dumps(spec)


def _written(description: Any) -> bytes:
    return json.dumps(description).encode()


def _json(archive: Archive, name: str, path: Path) -> Any:
    data = archive.read(name, LARGEST_TEXT)
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise ModelRefused(f"{path}: {name[:80]!r} in it is damaged; export it again.") from None


def clean_size(text: str) -> str | None:
    """Return the rewritten expression of a size; None where it is more than arithmetic on sizes."""
    if len(text) > LONGEST_SIZE or not text.isascii() or not text.isprintable():
        return None
    try:
        tree = ast.parse(text.strip(), mode="eval")
        if not all(_allowed(node) for node in ast.walk(tree)) or not _modest(tree):
            return None
        return ast.unparse(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _allowed(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return _is_function(node)
    if isinstance(node, ast.Name):
        known = node.id in SIZE_CONSTANTS or node.id in SIZE_FUNCTIONS
        return known or SYMBOL.fullmatch(node.id) is not None
    if isinstance(node, ast.Constant):
        whole = type(node.value) is int and abs(node.value) < LARGEST_NUMBER
        return whole or type(node.value) in (float, bool) or _is_symbol_name(node)
    return isinstance(node, SIZE_NODES)


def _is_function(node: ast.Call) -> bool:
    if not isinstance(node.func, ast.Name) or node.func.id not in SIZE_FUNCTIONS:
        return False
    if node.func.id != "Symbol":
        return not node.keywords and not any(_is_symbol_name(each) for each in node.args)
    named = len(node.args) == 1 and _is_symbol_name(node.args[0])
    return named and all(
        each.arg is not None and isinstance(each.value, ast.Constant) and each.value.value in (0, 1)
        for each in node.keywords
    )


def _is_symbol_name(node: ast.AST) -> bool:
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
        return False
    return SYMBOL.fullmatch(node.value) is not None


def _modest(tree: ast.AST) -> bool:
    """Return whether every exponent is small, so that no power has a million digits."""
    powers = [n for n in ast.walk(tree) if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Pow)]
    named = ("Pow", "PowByNatural", "FloatPow", "LShift", "exp")
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call)]
    called = [n for n in calls if isinstance(n.func, ast.Name) and n.func.id in named]
    exponents = [n.right for n in powers] + [n.args[-1] for n in called if n.args]
    if len(exponents) > MOST_POWERS:
        return False
    return all(_exponent(each) for each in exponents)


def _exponent(node: ast.AST) -> bool:
    if isinstance(node, ast.UnaryOp):
        node = node.operand
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float) and abs(node.value) <= LARGEST_EXPONENT
    return isinstance(node, ast.Name) and SYMBOL.fullmatch(node.id) is not None
