"""From a network as ONNX to a Model: everything a later stage may know of it."""

from dataclasses import dataclass, replace

import numpy as np
import onnx
import onnx_ir as ir

from leap_audit.artifacts import ModelIdentity, Preprocessing, Task, TensorInfo
from leap_audit.config import DeclaredPreprocessing
from leap_audit.errors import CanonicalMismatch, ModelRefused
from leap_audit.filenames import legible
from leap_audit.ingest.canonical import canonicalise, static_shape
from leap_audit.ingest.ends import output_info, tensor_outputs, with_outputs
from leap_audit.ingest.folding import with_weights_folded
from leap_audit.ingest.head import find_head
from leap_audit.ingest.onnx import (
    is_float,
    opset_of,
    parameters,
    real_inputs,
    tensor_info,
)
from leap_audit.ingest.outside import outside_graph
from leap_audit.ingest.preprocess import resolve
from leap_audit.ingest.reading import Reading, written
from leap_audit.ingest.source import Source
from leap_audit.ingest.task import Asked, refuse_boxes
from leap_audit.ingest.trial import Trial
from leap_audit.run.outside import Outside
from leap_audit.run.providers import Provider

__all__ = ["Model", "forward_graph", "known"]

PASSING_THROUGH = frozenset({"Transpose", "Cast", "Identity", "Reshape", "Pad"})


@dataclass(frozen=True)
class Model:
    """A network that gives scores to classes, ready to be audited."""

    proto: onnx.ModelProto
    """As it came, with the output that is read for its only one and its weights folded."""
    identity: ModelIdentity
    preprocessing: Preprocessing
    classes: int
    """How many classes it tells apart."""
    operators: dict[str, int]
    """Operator -> nodes, of the canonical graph."""
    batchable: bool
    """Whether several pictures can go through at once."""
    provider: Provider
    reading: Reading
    """Where `forward_graph` finds the scores."""
    single: bool = False
    """Whether one score stands for both classes."""
    axis: int = 1
    """Of the classes, in the logits of `forward_graph`."""
    outside: Outside | None = None
    """What runs it where it is no ONNX graph; then `proto` is empty."""
    scores: tuple[int, ...] = ()
    """Of such a network: the shape of one picture's scores."""
    labels: tuple[str, ...] = ()
    """Names of the classes that stood in an operator at the end of the graph."""
    labels_in: str = ""
    """That operator."""

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of a picture, before layout and channel order."""
        return (len(self.preprocessing.mean), *self.preprocessing.input_size)

    @property
    def window(self) -> tuple[slice, slice]:
        """The rows and columns of the map of answers that are audited."""
        top, left, bottom, right = self.identity.region or (0, 0, 1, 1)
        rows, columns = self.identity.places
        return _cells(top, bottom, rows), _cells(left, right, columns)

    @property
    def places(self) -> int:
        """How many answers a picture gets: 1, or the places of the map that are audited."""
        return int(np.prod([cells.stop - cells.start for cells in self.window]))


def known(
    source: Source,
    declared: DeclaredPreprocessing,
    provider: Provider,
    *,
    task: Task | None = None,
    names: int | None = None,
    region: tuple[float, float, float, float] | None = None,
    output: str | None = None,
) -> Model:
    """Return a network with everything that a later stage may know of it.

    task: what it answers, None: inferred. names: how many classes were named, which can settle
    what the graph leaves open. output: the name of the output, or tensor inside the graph, that
    holds the scores; None: chosen. region: (top, left, bottom, right), the part of a map of answers
    to audit, as fractions.

    Raises ModelRefused, PreprocessingRefused or CanonicalMismatch, with a sentence saying why
    it cannot be audited.
    """
    ends = tensor_outputs(source.proto, output)
    proto = ends.proto
    value = _only_input(proto)
    refuse_boxes(proto)
    info = tensor_info(value)
    free: list[int | str | None] = [d if isinstance(d, int) else None for d in info.shape]
    first = resolve(declared, free, scales_inside=False)
    canonical = canonicalise(proto, batch=1, sizes=_sizes(info, first), provider=provider)
    preprocessing = resolve(declared, free, scales_inside=_scales_inside(canonical.graph.inputs[0]))
    operators: dict[str, int] = {}
    for node in canonical.graph:
        operators[node.op_type] = operators.get(node.op_type, 0) + 1
    named = names if names is not None else len(ends.names) or None
    asked = Asked(task, named, first.layout, output if _is_output(proto, output) else None)
    head = find_head(canonical, asked, Trial(preprocessing, provider))
    if region is not None and head.places == (1, 1):
        raise ModelRefused(
            f"--region picks a part of a segmentation's map, and this model gives a picture one "
            f"answer ({head.task}); leave --region out."
        )
    proto = with_outputs(proto, [head.reading.output])
    identity = ModelIdentity(
        file=legible(source.file),
        sha256=source.sha256,
        converted=source.converted,
        opset=opset_of(proto),
        parameters=parameters(proto),
        inputs=tuple(tensor_info(v) for v in real_inputs(source.proto)),
        outputs=tuple(output_info(v) for v in source.proto.graph.output),
        layout=preprocessing.layout,
        preprocessing=preprocessing,
        task=head.task,
        task_reason=head.why,
        output=head.reading.output,
        meaning=head.meaning,
        constant=head.constant,
        probabilities=head.probabilities,
        independent=head.independent,
        places=head.places,
        region=region,
        size_bytes=source.size_bytes,
        logits="; ".join([head.text, *ends.taken]),
    )
    model = Model(
        with_weights_folded(proto),
        identity,
        preprocessing,
        head.classes,
        dict(sorted(operators.items())),
        False,
        provider,
        head.reading,
        head.single,
        head.axis,
        labels=ends.names if len(ends.names) == head.classes else (),
        labels_in=ends.names_in,
    )
    return replace(model, batchable=_batchable(model))


def forward_graph(model: Model, batch: int) -> ir.Model:
    """Return the canonical graph for `batch` pictures: the model's input in, its logits out.

    They keep the shape the model gives them, with the classes along `model.axis`.
    """
    if model.outside is not None:
        shape = (batch, *model.picture_shape)
        canonical = outside_graph(shape, (batch, *model.scores))
        canonical.graph.outputs[:] = [written(canonical.graph, model.reading)]
        return canonical
    info = tensor_info(_only_input(model.proto))
    sizes = _sizes(info, model.preprocessing)
    # known() has checked the graph of one and of two pictures; more are the same rewriting.
    canonical = canonicalise(
        model.proto, batch=batch, sizes=sizes, provider=model.provider if batch == 2 else None
    )
    scores = written(canonical.graph, model.reading)
    if static_shape(scores)[0] != batch:
        raise ModelRefused(f"tensor {scores.name!r}: holds no scores for each of {batch} pictures.")
    canonical.graph.outputs[:] = [scores]
    return canonical


def _is_output(proto: onnx.ModelProto, name: str | None) -> bool:
    return any(value.name == name for value in proto.graph.output)


def _cells(start: float, end: float, count: int) -> slice:
    """The cells of `count` whose centres lie between two fractions; at least one."""
    first = min(round(start * count), count - 1)
    return slice(first, max(round(end * count), first + 1))


def _only_input(proto: onnx.ModelProto) -> onnx.ValueInfoProto:
    inputs = real_inputs(proto)
    if len(inputs) != 1:
        names = ", ".join(repr(v.name) for v in inputs) or "none"
        raise ModelRefused(
            f"the model has {len(inputs)} inputs ({names}); an audit needs one, the picture."
        )
    if not is_float(inputs[0]):
        kind = tensor_info(inputs[0]).dtype
        raise ModelRefused(
            f"input {inputs[0].name!r} takes {kind} numbers; give the floating-point model that "
            "was quantised."
        )
    return inputs[0]


def _sizes(info: TensorInfo, preprocessing: Preprocessing) -> dict[str, tuple[int, ...]]:
    channels = len(preprocessing.mean)
    height, width = preprocessing.input_size
    nchw = preprocessing.layout == "NCHW"
    return {info.name: (channels, height, width) if nchw else (height, width, channels)}


def _scales_inside(value: ir.Value) -> bool:
    """Whether the first arithmetic on the input takes it for 0..255."""
    while True:
        uses = list(value.uses())
        if len(uses) != 1:
            return False
        node = uses[0].node
        if node.op_type not in PASSING_THROUGH:
            break
        value = node.outputs[0]
    constants = [
        float(np.abs(v.const_value.numpy()).max())
        for v in node.inputs
        if v is not None and v.const_value is not None and v.const_value.size
    ]
    if node.op_type == "Mul":
        return any(c <= 0.02 for c in constants)
    return node.op_type in ("Sub", "Add", "Div") and any(c >= 50 for c in constants)


def _batchable(model: Model) -> bool:
    try:
        forward_graph(model, 2)
    except (CanonicalMismatch, ModelRefused):
        return False
    return True
