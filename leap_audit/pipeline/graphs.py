"""What `gradient`, `operators` and `export` do with a model's file, in a child process.

Everything is imported inside the functions, so that only the child waits for it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leap_audit.config import DeclaredPreprocessing
from leap_audit.errors import ModelRefused

if TYPE_CHECKING:
    from leap_audit.ingest.inputs.selection import Inputs

__all__ = [
    "OperatorTable",
    "WrittenGradient",
    "WrittenModel",
    "exported_of",
    "gradient_of",
    "operators_of",
]


@dataclass(frozen=True)
class WrittenGradient:
    """A gradient graph as the bytes of a file, and what is to be said of it."""

    data: bytes
    nodes: int
    outputs: tuple[str, ...]
    agreement: str = ""
    """What its comparison with difference quotients found; empty where none was asked for."""
    agrees: bool = True


@dataclass(frozen=True)
class WrittenModel:
    """A model as the bytes of an ONNX file, and what is to be said of it."""

    data: bytes
    nodes: int
    opset: int
    shapes: str
    """Of its inputs and outputs, in words."""
    converted: str
    """What it was and what wrote it as ONNX; empty for an ONNX file."""


@dataclass(frozen=True)
class OperatorTable:
    """The operators of a model: (state, what is printed of it) of each."""

    rows: tuple[tuple[str, tuple[str, ...]], ...]
    counts: str
    """How many are in each state, in words."""
    refusal: str | None
    """Why there is no gradient."""


def gradient_of(
    model: Path, *, check: bool, inputs: "Inputs | None" = None, **asked: Any
) -> WrittenGradient:
    """Return the gradient of the model in a file; `asked` is what `build_gradient` takes.

    Raises what `build_gradient` does. ModelRefused: the result is too large for a file.
    """
    from leap_audit.gradient import build_gradient, check_gradient

    graph = build_gradient(_network(model, inputs), **asked)
    if graph.ByteSize() >= 2**31:
        raise ModelRefused(f"{model}: with its gradient it is above 2 GB, too large to write.")
    outputs = tuple(value.name for value in graph.graph.output)
    nodes = len(graph.graph.node)
    if not check:
        return WrittenGradient(graph.SerializeToString(), nodes, outputs)
    found = check_gradient(graph)
    data = graph.SerializeToString() if found.agrees else b""
    return WrittenGradient(data, nodes, outputs, found.sentence, found.agrees)


def operators_of(
    model: Path | None, *, inputs: "Inputs | None" = None, **asked: Any
) -> OperatorTable:
    """Return the operators of the model in a file, or all; `asked` is as for `model_operators`.

    Raises what `model_operators` does.
    """
    from leap_audit.gradient.operators import State, model_operators, operator_states
    from leap_audit.text.lists import few

    rows: list[tuple[str, tuple[str, ...]]]
    if model is None:
        rows = [(each.state, (each.name, each.state, each.note)) for each in operator_states()]
        refusal = None
    else:
        found = model_operators(_network(model, inputs), **asked)
        refusal = found.refusal
        rows = [
            (each.state, (each.name, each.state, str(len(each.nodes)), few(each.nodes)))
            for each in found.uses
        ]
    states = [state for state, _ in rows]
    counts = "; ".join(f"{states.count(s)} {s}" for s in State if s in states)
    plain = tuple((str(state), tuple(map(str, row))) for state, row in rows)
    return OperatorTable(plain, counts, refusal)


def exported_of(
    model: Path,
    declared: DeclaredPreprocessing,
    *,
    inputs: "Inputs | None" = None,
    canonical: bool,
) -> WrittenModel:
    """Return the model in a file as ONNX; canonical: as the graph that is differentiated, of one
    picture.

    Raises what `leap_audit.ingest.load` does. ModelRefused: the result is too large for a file.
    """
    import onnx
    import onnx_ir as ir

    from leap_audit.canonical.form import canonicalise
    from leap_audit.graph.protos import opset_of, real_inputs, tensor_info
    from leap_audit.ingest.inputs.selection import fix_inputs
    from leap_audit.ingest.loading import read_file
    from leap_audit.ingest.outputs.tensor_outputs import with_tensor_outputs
    from leap_audit.run.providers import choose_provider

    source = read_file(model, declared, inputs)
    proto: onnx.ModelProto = source.proto
    if inputs is not None and inputs.specified and not source.converted:
        proto, *_ = fix_inputs(proto, inputs, partly=inputs.picture is None)
    if canonical:
        proto = with_tensor_outputs(proto).proto
        sizes = _sizes(proto, declared)
        proto = ir.to_proto(
            canonicalise(proto, batch=1, sizes=sizes, provider=choose_provider("cpu"))
        )
    if proto.ByteSize() >= 2**31:
        raise ModelRefused(f"{model}: is above 2 GB as ONNX, too large for one file.")
    takes, gives = (
        ", ".join(f"{t.name} {list(t.shape)}" for t in map(tensor_info, values))
        for values in (real_inputs(proto), proto.graph.output)
    )
    return WrittenModel(
        proto.SerializeToString(),
        len(proto.graph.node),
        opset_of(proto),
        f"{takes} → {gives}".replace("'", ""),
        source.converted,
    )


def _network(model: Path, inputs: "Inputs | None") -> Any:
    """The ONNX graph of the model in a file of any kind, with the inputs that were set fixed."""
    from leap_audit.ingest.inputs.selection import fix_inputs
    from leap_audit.ingest.loading import read_file

    source = read_file(model, DeclaredPreprocessing(), inputs)
    if inputs is None or not inputs.specified or source.converted:
        return source.proto
    return fix_inputs(source.proto, inputs, partly=inputs.picture is None)[0]


def _sizes(proto: Any, declared: DeclaredPreprocessing) -> dict[str, tuple[int, ...]]:
    """The shape of one picture, for an input that leaves its height and width free."""
    from leap_audit.graph.protos import real_inputs
    from leap_audit.ingest.inputs.layout import input_dimensions
    from leap_audit.ingest.pictures.preprocessing import resolve

    (value, *_) = real_inputs(proto)
    found = resolve(declared, input_dimensions(proto, value), name=value.name)
    channels, size = len(found.mean), found.input_size
    return {value.name: (channels, *size) if found.layout == "NCHW" else (*size, channels)}
