"""From a network as ONNX to a Model: everything a later stage may know of it."""

import hashlib
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from leap_audit.artifacts import ModelIdentity, Preprocessing, Task, TensorInfo
from leap_audit.canonical.batch import copied, with_batch
from leap_audit.canonical.folding import inlined, with_weights_folded
from leap_audit.canonical.form import canonicalise, input_shape, require_batch
from leap_audit.canonical.sizes import explain_open_shapes
from leap_audit.config import DeclaredPreprocessing
from leap_audit.errors import CanonicalMismatch, ModelRefused
from leap_audit.graph.digest import graph_digest
from leap_audit.graph.protos import opset_of, parameters, real_inputs, tensor_info
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.weights import restore_weights, shared_with, split_weights
from leap_audit.ingest.detectors.reading import (
    DetectorReading,
    find_detector,
    scores_written,
    usual,
    with_measured_unit,
)
from leap_audit.ingest.detectors.registry import DeclaredDetector
from leap_audit.ingest.detectors.selection import ALL_BOXES, with_all_rows
from leap_audit.ingest.detectors.ssd import without_suppression
from leap_audit.ingest.inputs.integers import floating_input
from leap_audit.ingest.inputs.layout import input_dimensions
from leap_audit.ingest.inputs.pixels import require_same_numbers
from leap_audit.ingest.inputs.selection import Inputs, fix_inputs
from leap_audit.ingest.outputs.answer import Answer, answer_kind
from leap_audit.ingest.outputs.directions import DirectionReading, output_of_vectors
from leap_audit.ingest.outputs.final_layer import FinalLayer, final_layer
from leap_audit.ingest.outputs.head import find_head
from leap_audit.ingest.outputs.reading import Reading
from leap_audit.ingest.outputs.task import DeclaredAnswer, refuse_boxes
from leap_audit.ingest.outputs.tensor_outputs import (
    output_info,
    with_outputs,
    with_tensor_outputs,
)
from leap_audit.ingest.outputs.tokens import TOKENS, tokens_said, with_one_vector
from leap_audit.ingest.outputs.trial import OutputTrial
from leap_audit.ingest.pictures.preprocessing import resolve
from leap_audit.ingest.pictures.scaling import read_scaling
from leap_audit.ingest.source import Source
from leap_audit.ingest.training import require_prediction
from leap_audit.run.opaque import OpaqueModule
from leap_audit.run.providers import Provider
from leap_audit.text.filenames import legible

__all__ = ["Model", "make_model"]

BYTES = (onnx.TensorProto.UINT8, onnx.TensorProto.INT8)
"""Types of whole numbers that a picture's pixels fill from end to end."""
TRIED = 2
"""Pictures that go through at once when it is found out whether several can."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A network that gives scores to classes, in canonical form, ready to be audited."""

    proto: onnx.ModelProto
    """As it came, but with one input, the picture in floating point, and one output, the one that
    is read; and with its weights folded."""
    canonical: onnx.ModelProto
    """The canonical graph of one picture: the model's input in, its scores out. Large weights that
    stand in `proto` as well are inputs of it; `graph` has them."""
    identity: ModelIdentity
    preprocessing: Preprocessing
    answer: Answer
    """What its scores are, and how they lie in the output of `graph`."""
    final_layer: FinalLayer | None
    """The linear layer that the scores come from; None where the last step is not linear."""
    operators: dict[str, int]
    """Operator -> nodes, of the canonical graph."""
    batchable: bool
    """Whether several pictures can go through at once."""
    provider: Provider
    reading: Reading | DetectorReading | DirectionReading
    """How the scores are read out of the model's output; already done in `graph`."""
    batch_leads: bool = True
    """Whether the batch is the first axis of every tensor. Where it is not, as in attention over
    (tokens, batch, features), each batch takes canonicalising once more."""
    outside: OpaqueModule | None = None
    """What runs it where it is no ONNX graph; then `proto` is empty."""
    labels: tuple[str, ...] = ()
    """Names of the classes that stood in an operator at the end of the graph."""
    labels_in: str = ""
    """That operator."""
    encoder: "Model | None" = None
    """The encoder whose vectors it compares with directions; None of every other model."""

    @property
    def classes(self) -> int:
        """Return how many classes it tells apart."""
        return self.answer.classes

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """Return (channels, height, width) of a picture, before layout and channel order."""
        return (len(self.preprocessing.mean), *self.preprocessing.input_size)

    @cached_property
    def digest(self) -> str:
        """Return the SHA-256 of what determines its numbers: a part of a unit of work's key.

        The canonical graph with its weights, the reading of its scores, the answer, and the
        preprocessing; of a network that is no ONNX graph, the digest of its state.
        """
        digest = hashlib.sha256(graph_digest(self.graph).encode())
        for part in (self.reading, self.answer, self.preprocessing):
            digest.update(repr(part).encode())
        if self.outside is not None:
            digest.update(self.identity.sha256.encode())
        return digest.hexdigest()

    @cached_property
    def graph(self) -> ir.Model:
        """Return the canonical graph of one picture, never changed: `with_batch` copies it."""
        graph = ir.from_proto(self.canonical)
        restore_weights(graph, split_weights(self.proto)[1])
        explain_open_shapes(graph.graph)
        return graph

    def with_batch(self, batch: int) -> ir.Model:
        """Return a copy of the canonical graph for `batch` pictures, to be changed at will.

        Its weights are those of `graph`, not copies.
        Raises ModelRefused or CanonicalMismatch: it takes one picture at a time.
        """
        if batch == 1 or self.batch_leads:
            return with_batch(self.graph, batch)
        if batch not in self._others:
            sizes = _sizes(tensor_info(_only_input(self.proto)), self.preprocessing)
            self._others[batch] = _canonicalised(self.proto, self.reading, batch, sizes, None)
        return copied(self._others[batch])

    @cached_property
    def _others(self) -> dict[int, ir.Model]:
        """The graphs of other batches, where each takes canonicalising."""
        return {}

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields alone: what is made of them is no plain data."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


def make_model(
    source: Source,
    declared: DeclaredPreprocessing,
    provider: Provider,
    *,
    task: Task | None = None,
    names: int | None = None,
    region: tuple[float, float, float, float] | None = None,
    output: str | None = None,
    inputs: Inputs | None = None,
    features: int | None = None,
    detector: DeclaredDetector | None = None,
) -> Model:
    """Return a network with everything that a later stage may know of it.

    task: what it answers, None: inferred. names: how many classes were named, which can settle
    what the graph leaves open. region: (top, left, bottom, right), the part of a map of answers
    to audit, as fractions. output: the name of the output, or tensor inside the graph, that holds
    the scores; None: chosen; NAME:first or NAME:mean, of the vectors of tokens. inputs: which
    input takes the picture, and the values of the others.

    features: of an encoder, how many numbers its vectors have; the output that holds so many is
    read, and the task is embedding. detector: what is declared of a detector.

    Raises ModelRefused, PreprocessingRefused or CanonicalMismatch, with a sentence saying why
    it cannot be audited.
    """
    tokens = tokens_said(source.proto, output)
    whole = source.proto if tokens is None else with_one_vector(source.proto, *tokens)
    ends = with_tensor_outputs(whole, output)
    if features is not None:
        task, names = "embedding", None
        read = output_of_vectors(ends.proto.graph.output, features)
        ends = replace(ends, proto=with_outputs(ends.proto, [read]))
    # What was converted has its other inputs fixed already.
    chosen = Inputs() if source.converted or inputs is None else inputs
    raw = ends.proto
    if task in (None, "detection"):
        raw = with_all_rows(without_suppression(raw))
    fixed, name, values = fix_inputs(raw, chosen)
    if not _is_output(fixed, ALL_BOXES):
        refuse_boxes(fixed)
    require_prediction(inlined(fixed))
    proto, pixels, unrounded = floating_input(fixed, name)
    value = _only_input(proto)
    info, sides = tensor_info(value), input_dimensions(proto, value)
    first = resolve(declared, sides, name=name)
    sizes = _sizes(info, first)
    if pixels is not None:
        shape = input_shape(value, 1, sizes[name])
        require_same_numbers(fixed, proto, name, shape, unrounded, provider)
    canonical = canonicalise(proto, batch=1, sizes=sizes, provider=provider)
    kind = next(v for v in fixed.graph.input if v.name == name).type.tensor_type.elem_type
    scaling = read_scaling(
        copied(canonical), first.layout, provider, pixels if kind in BYTES else None
    )
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
    answer_declared = DeclaredAnswer(
        task,
        named,
        first.layout,
        output if _is_output(proto, output) else None,
        "" if tokens is None else TOKENS[tokens[1]],
    )
    found = None
    if output is None and features is None:
        declared_detector = detector or DeclaredDetector()
        found = find_detector(
            canonical.graph, preprocessing.input_size, declared_detector, task=task, names=named
        )
    reading: Reading | DetectorReading
    if found is not None:
        preprocessing = usual(preprocessing, found.format)
        trial = OutputTrial(preprocessing, provider)
        found = with_measured_unit(found, copied(canonical), trial)
        head = found.head
        reading = found.reading
    else:
        head = find_head(copied(canonical), answer_declared, OutputTrial(preprocessing, provider))
        reading = head.reading
    if region is not None and head.places == (1, 1):
        raise ModelRefused(
            f"--region picks a part of a segmentation's map, and this model gives a picture one "
            f"answer ({head.task}); leave --region out."
        )
    held = found.reading.outputs if found is not None else (head.reading.output,)
    proto = with_outputs(proto, list(held))
    canonical.graph.outputs[:] = [v for v in canonical.graph.outputs if v.name in held]
    common.RemoveUnusedNodesPass()(canonical)
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
        threshold=None if found is None else found.threshold,
        overlap=None if found is None or not found.format.several else found.overlap,
        size_bytes=source.size_bytes,
        logits="; ".join([head.text, *ends.taken]),
        picture=source.picture or name,
        fixed_inputs=(*source.fixed_inputs, *values),
        signature=source.signature,
    )
    proto = with_weights_folded(proto)
    batchable, leads = _batching(proto, canonical, reading, sizes, provider)
    canonical.graph.outputs[:] = [scores_written(canonical.graph, reading)]
    answer = (
        found.answer
        if found is not None
        else answer_kind(
            head.classes,
            head.probabilities,
            single=head.single,
            sides=head.places,
            axis=head.axis,
            region=region,
        )
    )
    last = final_layer(canonical.graph.outputs[0], answer)
    return Model(
        proto=proto,
        canonical=shared_with(canonical, split_weights(proto)[1]),
        identity=identity,
        preprocessing=preprocessing,
        answer=answer,
        final_layer=last,
        operators=dict(sorted(operators.items())),
        batchable=batchable,
        batch_leads=leads,
        provider=provider,
        reading=reading,
        labels=ends.names if len(ends.names) == head.classes else (),
        labels_in=ends.names_in,
    )


def _batching(
    proto: onnx.ModelProto,
    canonical: ir.Model,
    reading: Reading | DetectorReading,
    sizes: dict[str, tuple[int, ...]],
    provider: Provider,
) -> tuple[bool, bool]:
    """Whether several pictures can go through at once, and whether `with_batch` serves for it.

    Both are tried on TRIED pictures beside the model itself; other batches are the same rewriting.
    """
    refused = (CanonicalMismatch, ModelRefused)
    try:
        require_batch(proto, canonical, TRIED, sizes=sizes, provider=provider)
        return True, True
    except refused:
        pass
    try:
        _canonicalised(proto, reading, TRIED, sizes, provider)
    except refused:
        return False, True
    return True, False


def _canonicalised(
    proto: onnx.ModelProto,
    reading: Reading | DetectorReading | DirectionReading,
    batch: int,
    sizes: dict[str, tuple[int, ...]],
    provider: Provider | None,
) -> ir.Model:
    """The canonical graph of a batch, with the scores as its output."""
    again = canonicalise(proto, batch=batch, sizes=sizes, provider=provider)
    scores = scores_written(again.graph, reading)
    if static_shape(scores)[0] != batch:
        raise ModelRefused(f"tensor {scores.name!r}: holds no scores for each of {batch} pictures.")
    again.graph.outputs[:] = [scores]
    return again


def _is_output(proto: onnx.ModelProto, name: str | None) -> bool:
    return any(value.name == name for value in proto.graph.output)


def _only_input(proto: onnx.ModelProto) -> onnx.ValueInfoProto:
    (value,) = real_inputs(proto)  # make_model leaves one
    return value


def _sizes(info: TensorInfo, preprocessing: Preprocessing) -> dict[str, tuple[int, ...]]:
    channels = len(preprocessing.mean)
    height, width = preprocessing.input_size
    nchw = preprocessing.layout == "NCHW"
    return {info.name: (channels, height, width) if nchw else (height, width, channels)}
