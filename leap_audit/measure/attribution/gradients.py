"""Attributions from one gradient: saliency and what multiplies or changes it."""

from typing import Any

import numpy as np
from pydantic import Field

from leap_audit.gradient.path import path
from leap_audit.ingest.model import Model
from leap_audit.measure.attribution.baselines import model_zero
from leap_audit.measure.attribution.cams import grad_cam_map
from leap_audit.measure.attribution.entry import (
    Item,
    LayerOptions,
    MethodValues,
    attribution,
    enlarged,
)
from leap_audit.measure.attribution.places import places_of
from leap_audit.measure.attribution.shared_maps import item_layer
from leap_audit.measure.methods import GRADIENT, Need, Traits

__all__: list[str] = []


class SaliencyOptions(LayerOptions):
    """Saliency."""

    at: str | None = None
    """Tensor inside the model whose gradient is shown. Left out: the picture's."""
    absolute: bool = True
    """Whether the size of the gradient is shown, without its sign."""


class InputXGradientOptions(LayerOptions):
    """Input times gradient."""

    at: str | None = None
    """Tensor inside the model to multiply with its gradient. Left out: the picture."""


def _rectified(model: Model) -> str:
    graph = model.graph.graph
    if any(node.op_type == "Relu" for node in path(graph, [graph.outputs[0]], [graph.inputs[0]])):
        return ""
    return "its rule is for Relu, and the model has none: it would give the plain gradient"


RELU = Need("Relu", _rectified)
GUIDED = (
    "Shows edges, whatever the class and nearly whatever the weights (Adebayo et al. 2018, Nie et "
    "al. 2018): use it as a control, not as an explanation."
)


@attribution(
    "saliency",
    options=SaliencyOptions,
    source="Simonyan, Vedaldi and Zisserman 2014",
    cost="3 passes",
    traits=Traits(
        "|df/dx|",
        advice="Says which pixels the score is sensitive to; noisy on deep networks: smooth it.",
        peers={"captum": "Saliency", "foxai": "CV_SALIENCY_EXPLAINER"},
    ),
)
def saliency(item: Item, options: SaliencyOptions, rng: np.random.Generator) -> MethodValues:  # noqa: ARG001
    """Size of the score's gradient at each pixel."""
    if options.at is None:
        found, at = item.score.gradient(item.picture[None])[0], ""
    else:
        places = places_of(item.score.run.model, options.at)
        gradients = item.score.gradients(item.picture[None], (places.name,))
        found, at = places.of(gradients[places.name])[0], places.text
    return MethodValues(np.abs(found) if options.absolute else found, at=at)


@attribution(
    "input_x_gradient",
    options=InputXGradientOptions,
    source="Shrikumar et al. 2016",
    cost="3 passes",
    traits=Traits(
        "(x - x0) · df/dx, where the preprocessing makes zeros of x0",
        advice="On a network of ReLUs the same as LRP with epsilon 0 (Ancona et al. 2018).",
        peers={"captum": "InputXGradient", "foxai": "CV_INPUT_X_GRADIENT_EXPLAINER"},
    ),
)
def input_x_gradient(
    item: Item,
    options: InputXGradientOptions,
    rng: np.random.Generator,  # noqa: ARG001
) -> MethodValues:
    """Gradient times the model's input, or times a tensor inside the model."""
    model = item.score.run.model
    if options.at is None:
        gradient = item.score.gradient(item.picture[None])[0]
        return MethodValues((item.picture - model_zero(model)) * gradient)
    places = places_of(model, options.at)
    inner = item.score.inner(item.picture[None], places.name)[places.name]
    return MethodValues(places.of(inner.values * inner.gradient)[0], at=places.text)


@attribution(
    "guided_backprop",
    needs=(GRADIENT, RELU),
    source="Springenberg et al. 2015",
    cost="3 passes",
    traits=Traits(
        "gradient with dx = dy where y > 0 and dy > 0 at each Relu",
        shortcut=False,
        classes=False,
        advice=GUIDED,
        peers={"captum": "GuidedBackprop", "foxai": "CV_GUIDED_BACKPOPAGATION_EXPLAINER"},
    ),
)
def guided_backprop(item: Item, options: Any, rng: np.random.Generator) -> MethodValues:  # noqa: ARG001
    """Guided backpropagation: the gradient, positive parts alone at each ReLU."""
    return MethodValues(item.score.gradient(item.picture[None], "guided")[0])


@attribution(
    "deconvnet",
    needs=(GRADIENT, RELU),
    source="Zeiler and Fergus 2014",
    cost="3 passes",
    traits=Traits(
        "gradient with dx = dy where dy > 0 at each Relu",
        shortcut=False,
        classes=False,
        advice=GUIDED,
        peers={"captum": "Deconvolution", "foxai": "CV_DECONVOLUTION_EXPLAINER"},
    ),
)
def deconvnet(item: Item, options: Any, rng: np.random.Generator) -> MethodValues:  # noqa: ARG001
    """Deconvolution: the gradient, where positive gradients alone pass a ReLU."""
    return MethodValues(item.score.gradient(item.picture[None], "deconvnet")[0])


class GuidedGradCamOptions(LayerOptions):
    """Guided Grad-CAM."""

    bilinear: bool = Field(default=True)
    """Whether the map is enlarged bilinearly, as in the paper, or by repeating each place."""


@attribution(
    "guided_gradcam",
    options=GuidedGradCamOptions,
    needs=(GRADIENT, RELU),
    source="Selvaraju et al. 2017",
    cost="6 passes",
    traits=Traits(
        "guided backpropagation · enlarged ReLU(Grad-CAM)",
        shortcut=False,
        advice="The place is Grad-CAM's; the fine pattern in it depends on the class no more than "
        "guided backpropagation does.",
        peers={"captum": "GuidedGradCam", "foxai": "CV_GUIDEDGRADCAM_EXPLAINER"},
    ),
)
def guided_gradcam(
    item: Item,
    options: GuidedGradCamOptions,
    rng: np.random.Generator,  # noqa: ARG001
) -> MethodValues:
    """Guided backpropagation, weighted by Grad-CAM."""
    places = item_layer(item, options.at)
    cam = np.maximum(grad_cam_map(item, places), 0)
    shape = item.picture.shape[1:]
    if options.bilinear:
        wide = enlarged(cam, shape)
    else:
        rows, columns = (
            np.arange(size) * cells // size for cells, size in zip(cam.shape, shape, strict=True)
        )
        wide = cam[rows][:, columns]
    guided = item.score.gradient(item.picture[None], "guided")[0]
    return MethodValues(np.asarray(guided * wide, np.float32), at=places.text)
