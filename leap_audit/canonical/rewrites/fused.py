"""What ONNX Runtime's optimiser and exporters fuse: activations, products and their biases."""

import math
from typing import Any

import onnx_ir as ir

from leap_audit.canonical.rewrite import MICROSOFT, Writer, Written, rewriting


def normal_gelu(op: Writer, x: ir.Value) -> ir.Value:
    """Return x * Phi(x), by the error function."""
    return op.Mul(op.Mul(x, 0.5), op.Add(op.Erf(op.Mul(x, 1 / math.sqrt(2))), 1.0))


@rewriting(f"{MICROSOFT}Gelu")
def gelu(op: Writer) -> Written:
    """x / 2 * (1 + erf(x / sqrt(2)))"""
    return normal_gelu(op, _first(op))


@rewriting(f"{MICROSOFT}BiasGelu")
def bias_gelu(op: Writer) -> Written:
    """gelu(x + bias)"""
    return normal_gelu(op, op.Add(*op.node.inputs))


@rewriting(f"{MICROSOFT}BiasSplitGelu")
def bias_split_gelu(op: Writer) -> Written:
    """left * gelu(right), the halves of x + bias"""
    halves = {"axis": -1, "num_outputs": 2}
    left, right = op.emit("Split", [op.Add(*op.node.inputs)], halves, 2)
    return op.Mul(left, normal_gelu(op, right))


@rewriting(f"{MICROSOFT}FastGelu")
def fast_gelu(op: Writer) -> Written:
    """x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))), of x + bias"""
    x, bias = _first(op), op.input(1)
    x = x if bias is None else op.Add(x, bias)
    cube = op.Mul(op.Mul(x, op.Mul(x, x)), 0.044715)
    bent = op.Tanh(op.Mul(op.Add(x, cube), math.sqrt(2 / math.pi)))
    return op.Mul(op.Mul(x, 0.5), op.Add(bent, 1.0))


@rewriting(f"{MICROSOFT}QuickGelu")
def quick_gelu(op: Writer) -> Written:
    """x * sigmoid(alpha * x)"""
    x = _first(op)
    return op.Mul(x, op.Sigmoid(op.Mul(x, op.number("alpha", 1.702))))


@rewriting(f"{MICROSOFT}BiasAdd")
def bias_add(op: Writer) -> Written:
    """x + bias + skip"""
    x, bias, skip = op.node.inputs
    return op.Add(op.Add(x, bias), skip)


@rewriting(f"{MICROSOFT}FusedConv")
def fused_conv(op: Writer) -> Written:
    """activation(Conv(x, w, b) + z)"""
    given = {a.name: a.value for a in op.node.attributes.values()}
    name, numbers = given.pop("activation", ""), given.pop("activation_params", ())
    y = op.Conv(*op.node.inputs[:3], **given)
    z = op.input(3)
    return _activated(op, y if z is None else op.Add(y, z), name, list(numbers))


@rewriting(f"{MICROSOFT}FusedGemm")
def fused_gemm(op: Writer) -> Written:
    """activation(Gemm(a, b, c))"""
    given = {a.name: a.value for a in op.node.attributes.values()}
    name = given.pop("activation", "")
    numbers = [given.pop(f"activation_{n}", None) for n in ("alpha", "beta", "gamma")]
    y = op.Gemm(*op.node.inputs, **given)
    return _activated(op, y, name, [n for n in numbers if n is not None])


@rewriting(f"{MICROSOFT}FusedMatMul", f"{MICROSOFT}TransposeMatMul")
def fused_matmul(op: Writer) -> Written:
    """alpha * a' b', with the last two axes exchanged where it says so"""
    if op.attribute("transBatchA", 0) or op.attribute("transBatchB", 0):
        return None
    operands = []
    for value, name in zip(op.node.inputs, ("transA", "transB"), strict=True):
        if value is not None and op.attribute(name, 0):
            if value.shape is None:
                return None
            rank = len(value.shape)
            if rank > 1:  # a vector stays as it is
                value = op.Transpose(value, perm=[*range(rank - 2), rank - 1, rank - 2])
        operands.append(value)
    alpha = op.number("alpha", 1.0)
    y = op.MatMul(*operands)
    return y if alpha == 1 else op.Mul(y, alpha)


@rewriting(f"{MICROSOFT}MatMulNBits")
def matmul_n_bits(op: Writer) -> Written:
    """a times the transposed weight, of which each number has 4 or 8 bits, with a scale a block"""
    a, packed, scales, zero_points = (op.input(i) for i in range(4))
    bits, size = op.attribute("bits", 4), op.attribute("block_size")
    k, n = op.attribute("K"), op.attribute("N")
    blocks = -(-k // size)
    if bits not in (4, 8) or op.input(4) is not None or a is None or packed is None:
        return None
    weight: Any = _unpacked(op, packed, bits, [n, blocks, size])
    middle: Any = float(2 ** (bits - 1))
    if zero_points is not None:
        if zero_points.dtype not in (None, ir.DataType.UINT8):
            return None
        row = blocks if bits == 8 else 2 * -(-blocks // 2)
        middle = op.Slice(_unpacked(op, zero_points, bits, [n, row]), [0], [blocks], [1])
        middle = op.Unsqueeze(middle, [2])
    scaled = op.Mul(op.Sub(weight, middle), op.Reshape(scales, [n, blocks, 1]))
    flat = op.Slice(op.Reshape(scaled, [n, blocks * size]), [0], [k], [1])
    y = op.MatMul(a, op.Transpose(flat, perm=[1, 0]))
    bias = op.input(5)
    return y if bias is None else op.Add(y, bias)


def _unpacked(op: Writer, packed: ir.Value, bits: int, shape: list[int]) -> ir.Value:
    """Return bytes, or the two halves of each, the lower first, as floating-point numbers."""
    numbers = op.Reshape(packed, [-1, 1])
    if bits == 4:
        sixteen = op.Cast(op.constant([16]), to=ir.DataType.UINT8.value)
        high = op.Div(numbers, sixteen)
        numbers = op.Concat(op.Sub(numbers, op.Mul(high, sixteen)), high, axis=1)
    return op.Reshape(op.Cast(numbers, to=op.dtype.value), shape)


def _activated(op: Writer, x: ir.Value, name: str, numbers: list[float]) -> ir.Value | None:
    parameters = {"LeakyRelu": ["alpha"], "HardSigmoid": ["alpha", "beta"]}
    if name in ("", "Relu", "Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid", "HardSwish"):
        named = dict(zip(parameters.get(name, []), numbers, strict=False))
        return op.emit(name, [x], named, 1)[0] if name else x
    if name == "Clip":
        return op.Clip(x, *(float(number) for number in numbers))
    if name == "Gelu":
        return normal_gelu(op, x)
    return None


def _first(op: Writer) -> ir.Value:
    x = op.node.inputs[0]
    assert x is not None
    return x
