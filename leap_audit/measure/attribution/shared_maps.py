"""The maps that the heads of a detector share: where a class activation map of a detection lies."""

from collections.abc import Sequence

import onnx_ir as ir

from leap_audit.errors import GradientUnavailable, UsageError
from leap_audit.graph.shapes import shape_of
from leap_audit.ingest.model import Model
from leap_audit.ingest.outputs.answer import BOXES
from leap_audit.measure.attribution.attending import inside_attention
from leap_audit.measure.attribution.entry import Item
from leap_audit.measure.attribution.places import (
    Places,
    attentions,
    default_layer,
    layer_of,
    places_of,
    upstream,
)
from leap_audit.measure.detection_targets import DetectionTarget
from leap_audit.measure.targets import TensorTarget

__all__ = ["item_layer", "shared_maps"]

WEIGHTED = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm"})


def shared_maps(model: Model) -> tuple[Places, ...]:
    """Return the maps that both boxes and classes are computed from, the last of each size.

    In the graph's order: maps of four axes, and lists of tokens with as many places as one of
    these. The last layer with weights comes after each of them: what it gives are the numbers of
    one row, not features. What is computed inside attention is no map, and of tokens beside those
    of the detections only what the last attention looks at counts.
    """
    graph = model.graph.graph
    joined = graph.outputs[0].producer()
    assert joined is not None  # scores and boxes, one after the other
    scores, boxes = joined.inputs
    assert scores is not None
    assert boxes is not None
    to_scores, to_boxes = upstream(graph, [scores]), set(upstream(graph, [boxes]))
    inside = inside_attention(graph)
    last = attentions(model, to_scores)[-1:]
    looked_at = set(upstream(graph, last))
    found: dict[tuple[int, int], Places] = {}
    for node in _before_weights(to_scores):
        for value in node.outputs if node in to_boxes else ():
            rank = len(shape_of(value) or ())
            if rank not in (3, 4) or value in inside:
                continue
            try:
                places = places_of(model, str(value.name))
            except UsageError:
                continue
            size = places.rows, places.columns
            if rank == 3 and not _is_map(places, size in found, model):
                continue
            if places.behind and node not in looked_at:
                continue
            found.pop(size, None)  # so that the order is that of the last of each size
            found[size] = places
    return tuple(found.values())


def _is_map(places: Places, known: bool, model: Model) -> bool:
    """Whether tokens are those of a map, and not the rows of the detector."""
    rows = places.rows * places.columns + places.extra
    return places.behind > 0 or (known and rows != model.answer.places)


def _before_weights(nodes: Sequence[ir.Node]) -> list[ir.Node]:
    """The nodes behind which, among these, a layer with weights comes."""
    read: set[ir.Value | None] = set()
    found = []
    for node in reversed(nodes):
        before = not read.isdisjoint(node.outputs)
        if before:
            found.append(node)
        if before or node.op_type in WEIGHTED:
            read.update(node.inputs)
    return found[::-1]


def item_layer(item: Item, at: str | None) -> Places:
    """Return the tensor `at`; or of a detection, the last shared map that it depends on.

    Of any other score: the default layer.
    """
    model = item.score.run.model
    target = item.score.target
    boxes = isinstance(target, TensorTarget) and target.name == BOXES
    if at is not None or not (boxes or isinstance(target, DetectionTarget)):
        return layer_of(model, at)
    maps = shared_maps(model)
    if not maps:
        return default_layer(model)
    gradients = item.score.gradients(item.picture[None], [each.name for each in maps])
    touched = [each for each in maps if each.of(gradients[each.name]).any()]
    if not touched:
        raise GradientUnavailable(
            "the detection's score has no gradient at any map that its boxes and classes share; "
            "name another tensor with at."
        )
    return touched[-1]
