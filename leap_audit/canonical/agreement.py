"""Check that the canonical graph computes what the original model computes."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from leap_audit.canonical.layers import TOLERANCE, Layers, agree
from leap_audit.canonical.products import with_unsigned_factors
from leap_audit.errors import CanonicalMismatch, LeapAuditError, ModelRefused, reason_of
from leap_audit.graph.operators import ROUNDING
from leap_audit.graph.opset import ONNX_DOMAIN, OPSET
from leap_audit.graph.protos import opset_of
from leap_audit.graph.weights import restore_weights
from leap_audit.run.providers import Provider
from leap_audit.run.session import Array, Session, foreign

__all__ = ["SCALES", "require_runs", "require_same_outputs"]

RUNTIME_DOMAINS = ("ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc")
"""What ONNX Runtime brings along beside ONNX's own operators."""
Run = Callable[[Mapping[str, Array]], list[Array]]
SCALES = (1.0, 255.0)
"""Random inputs are uniform in 0..scale: small ones, and ones of a picture's range."""
STEPS = 3
"""Largest difference, in steps of 8 bits, of a graph that rounds and shares no tensor with its
original: a last digit tips a number over to its neighbour. Where they share some, each layer is
compared (see `layers.py`)."""


def require_same_outputs(
    original: onnx.ModelProto,
    weights: Mapping[str, ir.TensorProtocol],
    canonical: ir.Model,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    one_by_one: bool,
    provider: Provider,
) -> None:
    """Require that both graphs give the same outputs on random inputs of each scale.

    weights: those that are inputs of the original. shapes: of its other inputs. one_by_one: it
    takes one item at a time.

    Raises CanonicalMismatch, or ModelRefused where the original itself does not run.
    """
    trials = _trials(original, weights, shapes)
    # One after the other: what the graphs compute then lies in memory for one of them only.
    expected = _run_original(original, weights, trials, one_by_one, provider)
    names = [value.name for value in original.graph.output]
    actual = _run_canonical(canonical, trials, names, provider)
    quantised = {y.name for n in canonical.graph if n.op_type in ROUNDING for y in n.outputs}
    kinds = _kinds(original)

    def differing(steps: int) -> str | None:
        """The first output that differs by more than the tolerance or so many steps of 8 bits."""
        for expected_outputs, actual_outputs in zip(expected, actual, strict=True):
            for value, want, have in zip(
                original.graph.output, expected_outputs, actual_outputs, strict=True
            ):
                kind = kinds[value.name]
                if kind == ir.DataType.UNDEFINED or kind.is_floating_point():
                    same = agree(want, have, max(steps / 127, TOLERANCE))
                else:  # other whole numbers, such as an ArgMax, may change by much at a tie
                    same = value.name not in quantised or _agree_in_steps(want, have, steps)
                if not same:
                    return value.name
        return None

    off = differing(0)
    if off is not None and quantised:
        layers = Layers.shared(original, canonical)
        if layers is None:
            off = differing(STEPS)
        else:
            run = partial(_run_original, layers.original, weights)
            off = layers.differing(
                trials, lambda inputs: run([inputs], one_by_one, provider)[0], provider
            )
    if off is None:
        return
    raise CanonicalMismatch(
        f"output {off!r}: the canonical graph gives other numbers "
        "than the model itself, so nothing built on it could be trusted."
    )


def require_runs(
    original: onnx.ModelProto,
    weights: Mapping[str, ir.TensorProtocol],
    shapes: Mapping[str, tuple[int, ...]],
    *,
    one_by_one: bool,
    provider: Provider,
) -> None:
    """Raise ModelRefused where the original itself does not run; as `require_same_outputs`."""
    trials = _trials(original, weights, shapes)
    _run_original(original, weights, trials, one_by_one, provider)


def _trials(
    original: onnx.ModelProto,
    weights: Mapping[str, ir.TensorProtocol],
    shapes: Mapping[str, tuple[int, ...]],
) -> list[dict[str, Array]]:
    """Return random inputs of each scale."""
    rng = np.random.default_rng(0)
    uniform = {name: rng.random(shape) for name, shape in shapes.items()}
    return [
        {
            v.name: _of_type(uniform[v.name] * scale, _numpy_type(v))
            for v in original.graph.input
            if v.name not in weights
        }
        for scale in SCALES
    ]


def _kinds(model: onnx.ModelProto) -> dict[str, ir.DataType]:
    """The types of the outputs, where they are not said of the output itself too."""
    kinds: dict[str, ir.DataType] = {}
    for value in (*model.graph.value_info, *model.graph.output):
        kind = ir.DataType(value.type.tensor_type.elem_type)
        if kind != ir.DataType.UNDEFINED or value.name not in kinds:
            kinds[value.name] = kind
    return kinds


def _numpy_type(value: onnx.ValueInfoProto) -> np.dtype[Any]:
    return ir.DataType(value.type.tensor_type.elem_type).numpy()


def _run_original(
    model: onnx.ModelProto,
    weights: Mapping[str, ir.TensorProtocol],
    trials: Sequence[Mapping[str, Array]],
    one_by_one: bool,
    provider: Provider,
) -> list[list[Array]]:
    """Run the original as it is written, or as ONNX Runtime optimises it where only that runs."""
    for often in (False, True):
        run = _original(model, weights, provider, often)
        try:
            return [_run_each(run, inputs) if one_by_one else run(inputs) for inputs in trials]
        except Exception as error:  # ONNX Runtime has no one class for what can go wrong
            failure = error
    raise ModelRefused(f"the model does not run: {reason_of(failure)}.") from failure


def _original(
    model: onnx.ModelProto,
    weights: Mapping[str, ir.TensorProtocol],
    provider: Provider,
    often: bool,
) -> Run:
    """Return what runs the original: ONNX's reference, where ONNX Runtime is older than it.

    Products of 8-bit numbers are written so that their sums are exact on every processor.
    """
    model = with_unsigned_factors(model, weights)
    try:
        if not often and provider.device == "cpu" and (run := _fed(model, weights, provider)):
            return run
        return Session(model, provider, often=often, weights=weights).run
    except LeapAuditError as error:
        _refuse_foreign(model)
        domains = {opset.domain for opset in model.opset_import}
        if opset_of(model) <= OPSET or domains - set(ONNX_DOMAIN):
            raise ModelRefused(f"the model itself does not load: {error}{_hint(model)}") from None
        whole = ir.from_proto(model)
        restore_weights(whole, weights)
        evaluator = ReferenceEvaluator(ir.to_proto(whole))
        return lambda inputs: list(evaluator.run(None, dict(inputs)))


def _fed(
    model: onnx.ModelProto, weights: Mapping[str, ir.TensorProtocol], provider: Provider
) -> Run | None:
    """Return what runs a model with its weights as inputs, which are not copied.

    None where ONNX Runtime must know a weight beforehand, or NumPy cannot hold it.
    """
    arrays = {name: tensor.numpy() for name, tensor in weights.items()}
    if any(map(foreign, arrays.values())):
        return None
    try:
        session = Session(model, provider, often=False, weights={})
    except LeapAuditError:
        return None
    return lambda inputs: session.run({**inputs, **arrays})


def _refuse_foreign(model: onnx.ModelProto) -> None:
    """Raise ModelRefused, with their names, for operators that only a library could run."""
    domains = {*ONNX_DOMAIN, *RUNTIME_DOMAINS, *(function.domain for function in model.functions)}
    foreign = [node for node in model.graph.node if node.domain not in domains]
    if foreign:
        names = sorted({f"{node.domain}::{node.op_type} at {node.name!r}"[:80] for node in foreign})
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise ModelRefused(
            f"operators that ONNX Runtime does not have: {', '.join(names[:3])}{more}; libraries "
            "of operators are never loaded, so export the model with ONNX's own."
        )


def _run_each(run: Run, inputs: Mapping[str, Array]) -> list[Array]:
    items = next(iter(inputs.values())).shape[0]
    runs = [run({n: x[i : i + 1] for n, x in inputs.items()}) for i in range(items)]
    return [np.concatenate(parts) for parts in zip(*runs, strict=True)]


def _run_canonical(
    model: ir.Model,
    trials: Sequence[Mapping[str, Array]],
    names: Sequence[str],
    provider: Provider,
) -> list[list[Array]]:
    try:
        session = Session(model, provider, often=False)
    except LeapAuditError as error:
        raise CanonicalMismatch(f"the canonical graph does not load: {error}") from None
    try:
        return [session.run(inputs, names) for inputs in trials]
    except Exception as error:
        raise CanonicalMismatch(f"the canonical graph does not run: {reason_of(error)}.") from None


def _hint(model: onnx.ModelProto) -> str:
    """What is likely to be wrong with a model that does not load."""
    kinds = {v.type.tensor_type.elem_type for v in (*model.graph.input, *model.graph.output)}
    kinds |= {tensor.data_type for tensor in model.graph.initializer}
    if onnx.TensorProto.BFLOAT16 not in kinds:
        return ""
    return " It holds bfloat16, in which ONNX Runtime computes little; convert it to float32."


def _of_type(numbers: Array, dtype: np.dtype[Any]) -> Array:
    if np.issubdtype(dtype, np.integer):
        numbers = np.minimum(numbers, np.iinfo(dtype).max)
    return numbers.astype(dtype)


def _agree_in_steps(want: Array, have: Array, steps: int) -> bool:
    if want.shape != have.shape:
        return False
    return int(np.abs(want.astype(np.int32) - have.astype(np.int32)).max(initial=0)) <= steps
