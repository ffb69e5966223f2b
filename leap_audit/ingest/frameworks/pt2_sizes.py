"""Sizes in a torch.export program, such as Max(1, s0//2): arithmetic, and written anew from that.

PyTorch hands the text to SymPy, which evaluates it as Python.
"""

import ast
import re

__all__ = ["clean_size"]

LONGEST = 20_000
NAME = re.compile(r"[a-z]{1,3}\d+")
"""Of a symbol: s0, u12, zf3."""
CONSTANTS = frozenset({"True", "False", "oo", "int_oo", "inf", "nan", "zoo", "pi", "E"})
_FUNCTIONS = (
    "Symbol Integer Float Rational Max Min Mod PythonMod FloorDiv CleanDiv IntTrueDiv "
    "FloatTrueDiv ModularIndexing CeilDiv CeilToInt FloorToInt TruncToInt TruncToFloat "
    "RoundToInt RoundDecimal ToFloat Identity Where PowByNatural FloatPow Pow floor ceiling "
    "Abs sign sqrt log exp Eq Ne Lt Le Gt Ge And Or Not Xor Piecewise ExprCondPair "
    "BitwiseFn_bitwise_and BitwiseFn_bitwise_or IsNonOverlappingAndDenseIndicator LShift "
    "RShift Add Mul OpaqueUnaryFn_sqrt OpaqueUnaryFn_cos OpaqueUnaryFn_sin OpaqueUnaryFn_exp "
    "OpaqueUnaryFn_log OpaqueUnaryFn_log2 OpaqueUnaryFn_tanh"
)
FUNCTIONS = frozenset(_FUNCTIONS.split())
NODES = (
    *(ast.Expression, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Call, ast.Name),
    *(ast.Constant, ast.Tuple, ast.Load, ast.keyword),
    *(ast.operator, ast.unaryop, ast.boolop, ast.cmpop),
)
MOST_POWERS = 4
LARGEST_EXPONENT = 16
LARGEST_NUMBER = 2**64


def clean_size(text: str) -> str | None:
    """Return the expression written anew, or None where it is more than arithmetic on sizes."""
    if len(text) > LONGEST or not text.isascii() or not text.isprintable():
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
        known = node.id in CONSTANTS or node.id in FUNCTIONS
        return known or NAME.fullmatch(node.id) is not None
    if isinstance(node, ast.Constant):
        whole = type(node.value) is int and abs(node.value) < LARGEST_NUMBER
        return whole or type(node.value) in (float, bool) or _is_symbol_name(node)
    return isinstance(node, NODES)


def _is_function(node: ast.Call) -> bool:
    if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
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
    return NAME.fullmatch(node.value) is not None


def _modest(tree: ast.AST) -> bool:
    """Whether no power in it is a number of a million digits."""
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
    return isinstance(node, ast.Name) and NAME.fullmatch(node.id) is not None
