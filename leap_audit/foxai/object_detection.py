"""FoXAI's explainer of detectors: Grad-CAM of each detection in a picture."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from leap_audit.errors import PictureRefused
from leap_audit.foxai.arrays import as_before, input_batch
from leap_audit.foxai.base_explainer import Explainer, network_of_model, tensor_of_layer
from leap_audit.measure.detections import boxes_of
from leap_audit.pipeline.inputs import explain_inputs

__all__ = [
    "LayerGradCAMObjectDetectionExplainer",
    "ObjectDetectionOutput",
    "PredictionOutput",
]


@dataclass
class PredictionOutput:
    """One detection, as FoXAI has it."""

    bbox: list[int]
    """Top, left, bottom and right in pixels of the input."""
    class_number: int
    class_name: str
    confidence: float


@dataclass
class ObjectDetectionOutput:
    """All detections in a picture, the most confident first, each with its map and its scores."""

    saliency_maps: list[Any] = field(default_factory=list)
    """(1, 1, height, width) each, 0..1."""
    logits: list[Any] = field(default_factory=list)
    """(classes,) each: the log-odds of the row's confidence in every class."""
    predictions: list[PredictionOutput] = field(default_factory=list)


class LayerGradCAMObjectDetectionExplainer(Explainer):
    """Grad-CAM of each detection, brought to 0..1."""

    method: ClassVar[str] = "gradcam"

    def calculate_features(
        self,
        model: Any,
        input_data: Any,
        pred_label_idx: Any = None,  # noqa: ARG002
        **kwargs: Any,
    ) -> ObjectDetectionOutput:
        """Return every detection in one picture with its map.

        model: a detector of a format that leap-audit reads. input_data: (1, channels, height,
        width), as the model takes it. pred_label_idx: not read, as in FoXAI. kwargs: `layer`.
        Without it, the last tensor that the branches for boxes and classes share.

        Raises UsageError: the model is no detector. PictureRefused: several pictures.
        """
        values = self._values(kwargs)
        inputs = input_batch(input_data)
        if len(inputs) != 1:
            raise PictureRefused(f"x: {len(inputs)} pictures; a detector explains one at a time.")
        _, channels, height, width = inputs.shape
        network = network_of_model(model)
        run = network.run((channels, height, width))
        boxes = boxes_of(run, inputs[0])
        options: dict[str, Any] = {}
        if values["layer"] is not None:
            options["at"] = tensor_of_layer(run, network.source, values)
        targets = [box.target() for box in boxes]
        maps = explain_inputs(run, np.repeat(inputs, len(boxes), 0), targets, self.method, options)
        (scores,) = run.at_once(1).scores(inputs)
        found = ObjectDetectionOutput()
        for box, explanation in zip(boxes, maps, strict=True):
            whole = np.asarray(explanation.map - explanation.map.min(), np.float32)[None, None]
            found.saliency_maps.append(as_before(whole / (whole.max() or 1), input_data))
            found.logits.append(as_before(scores[:, box.row], input_data))
            left, top, right, bottom = box.box
            sides = [round(top * height), round(left * width)]
            sides += [round(bottom * height), round(right * width)]
            found.predictions.append(PredictionOutput(sides, box.class_, box.name, box.confidence))
        return found
