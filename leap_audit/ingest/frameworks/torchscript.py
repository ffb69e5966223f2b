"""Check a TorchScript file and rewrite it before PyTorch opens it.

A TorchScript file is a ZIP archive of source in a Python-like language, pickles and weights.
PyTorch runs the source. Here the source is parsed, every operator in it must be on the list of
those that compute on tensors, and it is rewritten from the parsed tree: PyTorch's own parser
never sees text that this one has not understood.
"""

import ast
import io
import pickletools
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from leap_audit.errors import ModelRefused
from leap_audit.ingest.files.archives import Archive, write_archive

__all__ = ["Operators", "clean_script", "is_script"]

Operators = Mapping[str, frozenset[str]]
"""Namespace -> the operators in it that compute on tensors and reach nothing else."""

CODE = re.compile(r"(^|/)code/.+\.py$")
KEPT = re.compile(
    r"data\.pkl|constants\.pkl|data/\d+|constants/\d+|version|byteorder|"
    r"\.data/(version|serialization_id)"
)
LEFT_OUT = re.compile(
    r"extra/.*|code/.*\.debug_pkl|traced_inputs\.pkl|traced_inputs/\d+|.*_model_spec\.json|\.format_version|"
    r"\.storage_alignment"
)
"""Notes for debugging, and of the user's."""
LARGEST_TEXT = 64 << 20
CLASSES = re.compile(r"__torch__\.torch\.classes\.(?!(quantized|rnn|sparse)\.)")
"""Classes of native code, but those that hold packed weights."""
PICKLED = re.compile(
    r"__torch__(\.\w+)*|collections|torch(\._utils|\.jit\._pickle|\.serialization)?|builtins|numpy.*"
)
"""Modules that the pickles of a network name."""
ROOTS = ("torch", "ops")
NEVER = frozenset({*ROOTS, "print", "fork", "wait"})
"""Names that are not passed on as a thing of their own."""
_BUILTINS = (
    "annotate uninitialized getattr hasattr isinstance unchecked_cast len int float bool str "
    "complex range min max abs list dict tuple zip enumerate sorted round ord chr divmod sum "
    "all any reversed pow super hash hex bin Exception ValueError RuntimeError AssertionError "
    "NotImplementedError IndexError KeyError TypeError StopIteration AttributeError "
    "unwrap_optional inf nan"
)
BUILTINS = frozenset(_BUILTINS.split())
STATEMENTS = (
    *(ast.Module, ast.ClassDef, ast.FunctionDef, ast.arguments, ast.arg, ast.Return, ast.Assign),
    *(ast.AnnAssign, ast.AugAssign, ast.Expr, ast.If, ast.For, ast.While, ast.Pass, ast.Break),
    *(ast.Continue, ast.Raise, ast.Assert, ast.Delete),
)
EXPRESSIONS = (
    *(ast.Attribute, ast.Name, ast.Call, ast.Constant, ast.Subscript, ast.Slice, ast.Tuple),
    *(ast.List, ast.Dict, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.keyword),
    *(ast.Starred, ast.ListComp, ast.comprehension, ast.expr_context, ast.operator, ast.unaryop),
    *(ast.boolop, ast.cmpop),
)


def is_script(names: Iterable[str]) -> bool:
    """Whether a ZIP archive with these entries is TorchScript."""
    return any(CODE.search(name) for name in names)


def clean_script(archive: Archive, path: Path, operators: Operators) -> bytes:
    """Return a new archive of a TorchScript file, with the checked entries and nothing else.

    Raises ModelRefused: its code calls what no network needs or cannot be parsed, its pickles name
    what is none of it, or there are entries that TorchScript does not have.
    """
    root = next(name[: m.start()] for name in archive.entries if (m := CODE.search(name)))
    root = f"{root}/" if root else ""
    code = {name: archive.read(name, LARGEST_TEXT) for name in archive.entries if CODE.search(name)}
    trees = {name: _parsed(data, name, path) for name, data in code.items()}
    own = frozenset(
        node.name
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    ) | frozenset(name for tree in trees.values() for name in _called_otherwise(tree))
    clean: dict[str, bytes] = {}
    for name in archive.entries:
        short = name.removeprefix(root)
        if name in trees and name.startswith(root):
            _Code(path, operators, own).look_through(trees[name])
            clean[f"model/{short}"] = ast.unparse(trees[name]).encode() + b"\n"
        elif name.startswith(root) and KEPT.fullmatch(short):
            data = archive.read(name)
            if short.endswith(".pkl"):
                _require_plain_pickle(data, short, path)
            clean[f"model/{short}"] = data
        elif not (name.startswith(root) and LEFT_OUT.fullmatch(short)):
            raise ModelRefused(
                f"{path}: holds {name[:80]!r}, which TorchScript does not have; save the network "
                "again with torch.jit.save."
            )
    return write_archive(clean)


class _Code:
    """Checks parsed source."""

    def __init__(self, path: Path, operators: Operators, own: frozenset[str]) -> None:
        self._path, self._operators, self._own = path, operators, own
        self._methods = frozenset().union(*operators.values()) | own

    def look_through(self, tree: ast.AST) -> None:
        """Raise ModelRefused for what is no computation on tensors."""
        inside = set()  # of longer chains of names, which were looked at whole
        for node in ast.walk(tree):
            if not isinstance(node, STATEMENTS + EXPRESSIONS):
                raise self._refused(type(node).__name__, "which no network needs")
            if isinstance(node, ast.Attribute):
                if id(node) not in inside:
                    self._chain(node)
                inside.add(id(node.value))
            elif isinstance(node, ast.Name) and id(node) not in inside and node.id in NEVER:
                raise self._refused(node.id, "as a thing of its own")
            elif isinstance(node, ast.Call):
                self._call(node)
            elif isinstance(node, ast.FunctionDef | ast.ClassDef) and node.decorator_list:
                raise self._refused("a decorator", "which no network needs")

    def _chain(self, node: ast.Attribute) -> None:
        """A chain of names that begins at an operator or a class, or ends in a method."""
        names = [node.attr]
        value = node.value
        while isinstance(value, ast.Attribute):
            names.insert(0, value.attr)
            value = value.value
        if not isinstance(value, ast.Name):
            return
        names.insert(0, value.id)
        text = ".".join(names)
        if value.id == "torch":
            allowed = len(names) == 2 and names[1] in self._operators["aten"]
        elif value.id == "ops":
            allowed = len(names) == 3 and names[2] in self._operators.get(names[1], frozenset())
        else:
            allowed = not CLASSES.match(text)
        if not allowed:
            raise self._refused(text, "which is no operator of a network")

    def _call(self, node: ast.Call) -> None:
        function = node.func
        if isinstance(function, ast.Name):
            if function.id not in BUILTINS and function.id not in self._own:
                raise self._refused(function.id, "which is no operator of a network")
        elif isinstance(function, ast.Attribute):
            # A method of a tensor is an operator; others are of the network's own classes.
            rooted = ast.unparse(function).partition(".")[0] in (*ROOTS, "__torch__")
            if not rooted and function.attr not in self._methods:
                raise self._refused(function.attr, "which is no operator of a network")
        elif not isinstance(function, ast.Call):
            raise self._refused(ast.unparse(function), "which is no operator of a network")

    def _refused(self, what: str, why: str) -> ModelRefused:
        return ModelRefused(f"{self._path}: its code calls {what[:80]!r}, {why}.")


def _called_otherwise(tree: ast.AST) -> Iterator[str]:
    """Yield names that stand for a class or a function of the file's own: `_3 = __torch__.f`."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute)):
            continue
        if ast.unparse(node.value).startswith("__torch__."):
            yield from (each.id for each in node.targets if isinstance(each, ast.Name))


def _parsed(data: bytes, name: str, path: Path) -> ast.Module:
    try:
        tree = ast.parse(data.decode("ascii"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ModelRefused(
            f"{path}: {name[:80]!r} in it cannot be parsed; save the network again with "
            "torch.jit.save."
        ) from None
    return tree


def _require_plain_pickle(data: bytes, name: str, path: Path) -> None:
    """Raise ModelRefused for a pickle that names anything but tensors and the network's classes."""
    for module in _globals(data):
        if not PICKLED.fullmatch(module.partition(" ")[0]) or CLASSES.match(
            module.replace(" ", ".")
        ):
            raise ModelRefused(
                f"{path}: {name!r} in it names {module[:80]!r}, which is no part of a network; "
                "save the network again with torch.jit.save."
            )


def _globals(data: bytes) -> Iterator[str]:
    try:
        for opcode, argument, _ in pickletools.genops(io.BytesIO(data)):
            if opcode.name in ("GLOBAL", "INST"):
                yield str(argument)
            elif opcode.name == "STACK_GLOBAL":
                yield "? ?"
    except Exception:  # a pickle may be cut off anywhere
        yield "? ?"
