"""From a network as ONNX to a Model: everything a later stage may know of it."""

from dataclasses import dataclass, replace

import numpy as np
import onnx
import onnx_ir as ir

from leap_audit.artifacts import ModelIdentity, Preprocessing, Task, TensorInfo
from leap_audit.canonical.folding import inlined, with_weights_folded
from leap_audit.canonical.form import canonicalise, input_shape
from leap_audit.config import DeclaredPreprocessing
from leap_audit.errors import CanonicalMismatch, ModelRefused
from leap_audit.graph.opaque import opaque_graph
from leap_audit.graph.protos import opset_of, parameters, real_inputs, tensor_info
from leap_audit.graph.shapes import static_shape
from leap_audit.ingest.inputs.integers import floating_input
from leap_audit.ingest.inputs.pixels import require_same_numbers
from leap_audit.ingest.inputs.selection import Inputs, fix_inputs
from leap_audit.ingest.inputs.sides import sides_of
from leap_audit.ingest.outputs.ends import output_info, tensor_outputs, with_outputs
from leap_audit.ingest.outputs.head import find_head
from leap_audit.ingest.outputs.reading import Reading, written
from leap_audit.ingest.outputs.task import Asked, refuse_boxes
from leap_audit.ingest.outputs.trial import Trial
from leap_audit.ingest.pictures.preprocessing import resolve
from leap_audit.ingest.pictures.scaling import read_scaling
from leap_audit.ingest.source import Source
from leap_audit.ingest.training import require_prediction
from leap_audit.run.opaque import OpaqueModule
from leap_audit.run.providers import Provider
from leap_audit.text.filenames import legible

__all__ = ["Model", "forward_graph", "known"]

BYTES = (onnx.TensorProto.UINT8, onnx.TensorProto.INT8)
"""Types of whole numbers that a picture's pixels fill from end to end."""


@dataclass(frozen=True)
class Model:
    """A network that gives scores to classes, ready to be audited."""

    proto: onnx.ModelProto
    """As it came, but with one input, the picture in floating point, and one output, the one that
    is read; and with its weights folded."""
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
    outside: OpaqueModule | None = None
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
    inputs: Inputs | None = None,
) -> Model:
    """Return a network with everything that a later stage may know of it.

    task: what it answers, None: inferred. names: how many classes were named, which can settle
    what the graph leaves open. region: (top, left, bottom, right), the part of a map of answers
    to audit, as fractions. output: the name of the output, or tensor inside the graph, that holds
    the scores; None: chosen. inputs: which input takes the picture, and the values of the others.

    Raises ModelRefused, PreprocessingRefused or CanonicalMismatch, with a sentence saying why
    it cannot be audited.
    """
    ends = tensor_outputs(source.proto, output)
    # What was converted has its other inputs fixed already.
    chosen = Inputs() if source.converted or inputs is None else inputs
    fixed, name, values = fix_inputs(ends.proto, chosen)
    refuse_boxes(fixed)
    require_prediction(inlined(fixed))
    proto, pixels, unrounded = floating_input(fixed, name)
    value = _only_input(proto)
    info, sides = tensor_info(value), sides_of(proto, value)
    first = resolve(declared, sides, name=name)
    sizes = _sizes(info, first)
    if pixels is not None:
        shape = input_shape(value, 1, sizes[name])
        require_same_numbers(fixed, proto, name, shape, unrounded, provider)
    canonical = canonicalise(proto, batch=1, sizes=sizes, provider=provider)
    kind = next(v for v in fixed.graph.input if v.name == name).type.tensor_type.elem_type
    scaling = read_scaling(canonical, first.layout, provider, pixels if kind in BYTES else None)
    if pixels is not None:
        pixels = scaling.range or pixels
    preprocessing = resolve(declared, sides, name=name, scaling=scaling, pixels=pixels)
    if unrounded and "range" in preprocessing.assumed:
        left = f"; the rounding of {', '.join(unrounded)} is left out"
        said = {**preprocessing.assumed, "range": preprocessing.assumed["range"] + left}
        preprocessing = preprocessing.model_copy(update={"assumed": said})
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
        parameters=parameters(source.proto),
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
        picture=source.picture or name,
        fixed_inputs=(*source.fixed_inputs, *values),
        signature=source.signature,
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
        canonical = opaque_graph(shape, (batch, *model.scores))
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
    (value,) = real_inputs(proto)  # known() leaves one
    return value


def _sizes(info: TensorInfo, preprocessing: Preprocessing) -> dict[str, tuple[int, ...]]:
    channels = len(preprocessing.mean)
    height, width = preprocessing.input_size
    nchw = preprocessing.layout == "NCHW"
    return {info.name: (channels, height, width) if nchw else (height, width, channels)}


def _batchable(model: Model) -> bool:
    try:
        forward_graph(model, 2)
    except (CanonicalMismatch, ModelRefused):
        return False
    return True
