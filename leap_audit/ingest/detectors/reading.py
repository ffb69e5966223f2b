"""From a canonical graph to a detector's scores and boxes, and how they were recognised."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_ir as ir

from leap_audit.artifacts import Preprocessing, Task
from leap_audit.errors import ModelRefused
from leap_audit.graph.emit import Emitter
from leap_audit.graph.shapes import static_shape
from leap_audit.ingest.detectors.registry import (
    DeclaredDetector,
    DetectorFormat,
    Outputs,
    Signature,
    described,
    load_detectors,
    recognised,
)
from leap_audit.ingest.outputs.answer import BOXES, Detections
from leap_audit.ingest.outputs.directions import DirectionReading, cosines_written
from leap_audit.ingest.outputs.head import Head
from leap_audit.ingest.outputs.reading import Reading, written
from leap_audit.ingest.outputs.trial import NOISE, OutputTrial
from leap_audit.ingest.pictures.preprocessing import NO_RANGE
from leap_audit.run.session import Array

__all__ = [
    "DECODING",
    "DetectorHead",
    "DetectorReading",
    "are_fractions",
    "find_detector",
    "scores_written",
    "usual",
    "with_measured_unit",
]

DECODING = "leap_audit/detections"
"""What the names of the tensors begin with that decode boxes and scores."""
FRACTIONS, SHARE = 1.5, 0.9
"""Coordinate up to which SHARE of all lie where boxes are fractions of the picture. Rows of little
confidence may reach beyond it; in pixels most rows lie far from the first corner."""
NOISY = slice(NOISE, NOISE + 3)
"""The trial pictures on which the unit of boxes is measured."""


@dataclass(frozen=True)
class DetectorReading:
    """From the outputs of the graph to the scores and boxes of a detector, for every batch."""

    format: str
    outputs: tuple[str, ...]
    """Their names in the canonical graph."""
    size: tuple[int, int]
    """(height, width) of the picture that the model sees, in pixels."""
    names: int | None = None
    """How many classes were named."""
    fractions: bool = False
    """Whether boxes are fractions of the picture where the format has pixels."""

    @property
    def output(self) -> str:
        """Return the name of the first output that is read."""
        return self.outputs[0]


@dataclass(frozen=True)
class DetectorHead:
    """What a detector's outputs were recognised as."""

    format: DetectorFormat
    signature: Signature
    reading: DetectorReading
    declared: DeclaredDetector

    @property
    def threshold(self) -> float:
        """Return the least confidence of a detection that counts."""
        said = self.declared.threshold
        return self.format.counting.threshold if said is None else said

    @property
    def overlap(self) -> float:
        """Return the share of their union from which on two boxes of a class are one."""
        said = self.declared.overlap
        return self.format.counting.overlap if said is None else said

    @property
    def answer(self) -> Detections:
        """Return the kind of answer that the model gives."""
        return Detections(
            self.signature.classes,
            self.signature.rows,
            self.threshold,
            self.overlap,
            self.format.several,
        )

    @property
    def head(self) -> Head:
        """Return the same in the terms of every model's answer."""
        said = self.declared.format is not None
        names = " and ".join(map(repr, self.signature.outputs))
        several = "outputs" if len(self.signature.outputs) > 1 else "output"
        source = f" ({self.format.counting.source})"
        why = source if self.declared.threshold is None else ""
        sorted_ = "each object has one row"
        if self.format.several:
            own = source if self.declared.overlap is None and not why else ""
            sorted_ = (
                f"boxes of a class that share more than {self.overlap:g} of their union are one"
                f"{own}"
            )
        return Head(
            reading=Reading(self.reading.output),
            task="detection",
            why=f"{'said with --detector' if said else 'its outputs are those of'} "
            f"{self.format.name} ({self.format.about})",
            classes=self.signature.classes,
            places=(1, 1),
            axis=1,
            single=False,
            independent=True,
            probabilities="sigmoid",
            constant=False,
            text=f"{several} {names}, {self.signature.words}",
            meaning=f"A score is the log-odds of a row's confidence in a class; detections count "
            f"from a confidence of {self.threshold:g} on{why}, and {sorted_}.",
        )


def find_detector(
    graph: ir.Graph,
    size: tuple[int, int],
    declared: DeclaredDetector,
    *,
    task: Task | None = None,
    names: int | None = None,
) -> DetectorHead | None:
    """Return what a canonical graph of one picture is as a detector; None where it is none.

    size: (height, width) of the picture. task, names: as in `make_model`.

    Raises ModelRefused: what was declared does not fit.
    """
    if task not in (None, "detection"):
        if declared.format is not None:
            raise ModelRefused(
                f"--detector {declared.format} is for detectors; leave out --task {task}."
            )
        return None
    outputs = Outputs(graph, size, names)
    found = recognised(outputs, declared)
    if found is None:
        if task == "detection":
            raise ModelRefused(
                f"--task detection: the outputs, {described(outputs)}, are those of none of the "
                f"formats that are known: {', '.join(load_detectors())}. Export the detector "
                "without its own decoding, or name the format with --detector."
            )
        return None
    format_, signature = found
    _require_names(signature, format_, names)
    reading = DetectorReading(format_.name, signature.outputs, size, names)
    return DetectorHead(format_, signature, reading, declared)


def with_measured_unit(head: DetectorHead, model: ir.Model, trial: OutputTrial) -> DetectorHead:
    """Return the head with boxes as fractions, where those of the model are and no pixels.

    model: the canonical graph of one picture, which is changed.
    """
    if not head.signature.pixels:
        return head
    graph = model.graph
    rows = scores_written(graph, replace(head.reading, fractions=True))
    boxes = static_shape(rows)[1] - 4
    (found,) = trial.run(model, [rows], shown=NOISY)
    if not are_fractions(found[:, 0, boxes:]):
        return head
    words = f"{head.signature.words}; boxes are fractions of the picture, as measured"
    return replace(
        head,
        signature=replace(head.signature, words=words),
        reading=replace(head.reading, fractions=True),
    )


def are_fractions(boxes: Array) -> bool:
    """Return whether the coordinates of boxes are fractions of the picture, not pixels."""
    return bool(np.quantile(np.abs(boxes), SHARE) <= FRACTIONS)


def scores_written(
    graph: ir.Graph, reading: Reading | DetectorReading | DirectionReading
) -> ir.Value:
    """Return the scores, appended to a canonical graph where they are not in it already.

    Of a detector: (n, classes + 4, rows), the scores of the classes and the box of each row; the
    boxes alone are the tensor BOXES.
    """
    if isinstance(reading, Reading):
        return written(graph, reading)
    if isinstance(reading, DirectionReading):
        return cosines_written(graph, written(graph, reading.vectors), reading.directions)
    outputs = Outputs(graph, reading.size, reading.names, declared=True)
    signature = load_detectors()[reading.format].fits(outputs)
    if signature is None:
        raise ModelRefused(
            f"the outputs, {described(outputs)}, are not those of {reading.format} with another "
            "batch; export the model with a batch of 1."
        )
    values = {str(value.name): value for value in graph.outputs}
    op = Emitter(graph, DECODING)
    size = (1, 1) if reading.fractions else reading.size
    raw = signature.write(op, [values[name] for name in signature.outputs], size)
    boxes = op.Identity(raw.boxes)
    boxes.name = BOXES
    return op.Concat(raw.scores, boxes, axis=1)


def usual(preprocessing: Preprocessing, format_: DetectorFormat) -> Preprocessing:
    """Return the preprocessing with what is usual for a format where nothing was declared."""
    assumed, found = dict(preprocessing.assumed), dict[str, Any]()
    why = f"usual for {format_.name}"
    if "resize" in assumed:
        found["resize"] = format_.resize
        assumed["resize"] = why
    if assumed.get("channel_order") == "the usual order":
        found["channel_order"] = format_.channel_order
        assumed["channel_order"] = why
    channels = len(preprocessing.mean)
    conventional = {"mean", "std"} <= assumed.keys() and any(preprocessing.mean)
    unread = conventional or assumed.get("range", "").startswith(NO_RANGE)
    if format_.range is not None and unread:
        found["range"] = format_.range
        assumed["range"] = why
    if format_.plain and conventional:
        found |= {"mean": (0.0,) * channels, "std": (1.0,) * channels}
        assumed |= dict.fromkeys(("mean", "std"), why)
    if not found:
        return preprocessing
    return preprocessing.model_copy(update={**found, "assumed": assumed})


def _require_names(signature: Signature, format_: DetectorFormat, names: int | None) -> None:
    """COCO's classes are written as 80 or as 91 names, which shifts every one."""
    if names is None or names == signature.classes:
        return
    coco = ""
    if {names, signature.classes} <= {80, 90, 91}:
        coco = (
            ": COCO has 80 classes, which some lists number from 1 to 90 with gaps, so one list "
            "does not fit models of the other"
        )
    raise ModelRefused(
        f"--classes has {names} names, and the detector ({format_.name}) tells "
        f"{signature.classes} classes apart{coco}; give a list of {signature.classes} names."
    )
