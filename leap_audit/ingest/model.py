"""From a network as ONNX to a Model: everything a later stage may know of it."""

from dataclasses import dataclass, field, replace

import numpy as np
import onnx
import onnx_ir as ir

from leap_audit.artifacts import ModelIdentity, Preprocessing, Task, TensorInfo
from leap_audit.config import DeclaredPreprocessing
from leap_audit.errors import CanonicalMismatch, ModelRefused
from leap_audit.ingest.canonical import canonicalise, inlined, input_shape, static_shape
from leap_audit.ingest.head import find_head
from leap_audit.ingest.inputs import Inputs, fix_inputs
from leap_audit.ingest.integers import floating_input
from leap_audit.ingest.onnx import (
    opset_of,
    parameters,
    real_inputs,
    tensor_info,
)
from leap_audit.ingest.outside import outside_graph
from leap_audit.ingest.pixels import require_same_numbers
from leap_audit.ingest.preprocess import resolve
from leap_audit.ingest.scaling import read_scaling
from leap_audit.ingest.sides import sides_of
from leap_audit.ingest.source import Source
from leap_audit.ingest.task import Asked, refuse_boxes
from leap_audit.ingest.training import require_prediction
from leap_audit.run.outside import Outside
from leap_audit.run.providers import Provider
from leap_audit.run.session import Session

__all__ = ["Model", "forward_graph", "known"]

BYTES = (onnx.TensorProto.UINT8, onnx.TensorProto.INT8)
"""Types of whole numbers that a picture's pixels fill from end to end."""


@dataclass(frozen=True)
class Model:
    """A network that gives scores to classes, ready to be audited."""

    proto: onnx.ModelProto
    """As it came, but for its input: the picture alone, in floating point."""
    identity: ModelIdentity
    preprocessing: Preprocessing
    classes: int
    """How many classes it tells apart."""
    operators: dict[str, int]
    """Operator -> nodes, of the canonical graph."""
    batchable: bool
    """Whether several pictures can go through at once."""
    provider: Provider
    asked: Asked = field(default_factory=Asked)
    """What `forward_graph` is told of the answer: the task, as it was inferred or said."""
    single: bool = False
    """Whether one score stands for both classes."""
    axis: int = 1
    """Of the classes, in the logits of `forward_graph`."""
    outside: Outside | None = None
    """What runs it where it is no ONNX graph; then `proto` is empty."""
    scores: tuple[int, ...] = ()
    """Of such a network: the shape of one picture's scores."""
    probabilities: bool = False
    """Of such a network: whether its scores are a softmax's."""

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
    inputs: Inputs | None = None,
) -> Model:
    """Return a network with everything that a later stage may know of it.

    task: what it answers, None: inferred. names: how many classes were named, which can settle
    what the graph leaves open. region: (top, left, bottom, right), the part of a map of answers
    to audit, as fractions. inputs: which input takes the picture, and the values of the others.

    Raises ModelRefused, PreprocessingRefused or CanonicalMismatch, with a sentence saying why
    it cannot be audited.
    """
    # What was converted has its other inputs fixed already.
    chosen = Inputs() if source.converted or inputs is None else inputs
    fixed, name, values = fix_inputs(source.proto, chosen)
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
    graph = canonical.graph
    asked = Asked(task, names, first.layout)
    head = find_head(graph, 1, asked)
    if region is not None and head.places == (1, 1):
        raise ModelRefused(
            f"--region picks a part of a segmentation's map, and this model gives a picture one "
            f"answer ({head.task}); leave --region out."
        )
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
    for node in graph:
        operators[node.op_type] = operators.get(node.op_type, 0) + 1
    identity = ModelIdentity(
        file=source.file,
        sha256=source.sha256,
        converted=source.converted,
        opset=opset_of(proto),
        parameters=parameters(source.proto),
        inputs=tuple(tensor_info(v) for v in real_inputs(source.proto)),
        outputs=tuple(tensor_info(v) for v in proto.graph.output),
        layout=preprocessing.layout,
        preprocessing=preprocessing,
        task=head.task,
        task_reason=head.why,
        independent=head.independent,
        places=head.places,
        region=region,
        size_bytes=source.size_bytes,
        logits=head.text,
        picture=source.picture or name,
        fixed_inputs=(*source.fixed_inputs, *values),
        signature=source.signature,
    )
    model = Model(
        proto,
        identity,
        preprocessing,
        head.classes,
        dict(sorted(operators.items())),
        False,
        provider,
        replace(asked, task=head.task),
        head.single,
        head.axis,
    )
    _require_finite(model)
    return replace(model, batchable=_batchable(model))


def forward_graph(model: Model, batch: int) -> ir.Model:
    """Return the canonical graph for `batch` pictures: the model's input in, its logits out.

    They keep the shape the model gives them, with the classes along `model.axis`.
    """
    if model.outside is not None:
        shape = (batch, *model.picture_shape)
        return outside_graph(shape, (batch, *model.scores), model.probabilities)
    info = tensor_info(_only_input(model.proto))
    sizes = _sizes(info, model.preprocessing)
    # known() has checked the graph of one and of two pictures; more are the same rewriting.
    canonical = canonicalise(
        model.proto, batch=batch, sizes=sizes, provider=model.provider if batch == 2 else None
    )
    head = find_head(canonical.graph, batch, model.asked)
    canonical.graph.outputs[:] = [head.logits]
    return canonical


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


def _require_finite(model: Model) -> None:
    graph = forward_graph(model, 1)
    low, high = model.preprocessing.range
    entry = graph.graph.inputs[0]
    picture = np.random.default_rng(0).uniform(low, high, static_shape(entry))
    assert entry.dtype is not None
    session = Session(graph, model.provider)
    (logits,) = session.run({str(entry.name): picture.astype(entry.dtype.numpy())})
    if not np.isfinite(logits).all():
        raise ModelRefused(
            f"{model.identity.file}: gives NaN or infinite scores for a random picture; its "
            "weights are damaged or its preprocessing is far off."
        )


def _batchable(model: Model) -> bool:
    try:
        forward_graph(model, 2)
    except (CanonicalMismatch, ModelRefused):
        return False
    return True
