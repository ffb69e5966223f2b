"""Class activation maps: a feature map's channels, weighted and added up.

A: the map, (channels, rows, columns). G: the score's gradient there.
"""

from collections.abc import Callable

import numpy as np
from pydantic import Field

from leap_audit.config import Options
from leap_audit.errors import GradientUnavailable, UsageError
from leap_audit.graph.operators import ARRANGING
from leap_audit.ingest.model import Model
from leap_audit.ingest.outputs.answer import Detections
from leap_audit.measure.attribution.entry import Item, LayerOptions, MethodValues, attribution
from leap_audit.measure.attribution.places import Places, default_layer, places_of
from leap_audit.measure.attribution.shared_maps import item_layer
from leap_audit.measure.methods import GRADIENT, Need, Traits
from leap_audit.measure.targets import difference_to_nearest
from leap_audit.run.session import Array

__all__ = [
    "PLACES",
    "CamOptions",
    "eigen_cam",
    "elementwise",
    "grad_cam",
    "grad_cam_map",
    "grad_cam_plus_plus",
    "hires_cam",
    "layer_cam",
    "xgrad_cam",
]


def _unmet_places(model: Model) -> str:
    try:
        default_layer(model)
    except UsageError as error:
        return str(error).rstrip(".")
    return ""


PLACES = Need("feature map", _unmet_places)
"""A tensor with more than one place."""


class CamOptions(LayerOptions):
    """A class activation map."""

    relu: bool = True
    """Whether what speaks against the class is left out."""


def grad_cam(values: Array, gradients: Array) -> Array:
    """sum_c mean(G_c) A_c (Selvaraju et al. 2017), before the ReLU"""
    return np.asarray(np.tensordot(gradients.mean((1, 2)), values, 1))


def hires_cam(values: Array, gradients: Array) -> Array:
    """sum_c G_c A_c (Draelos and Carin 2020)"""
    return np.asarray((gradients * values).sum(0))


def layer_cam(values: Array, gradients: Array) -> Array:
    """sum_c ReLU(G_c) A_c (Jiang et al. 2021)"""
    return np.asarray((np.maximum(gradients, 0) * values).sum(0))


def xgrad_cam(values: Array, gradients: Array) -> Array:
    """sum_c w_c A_c, w_c = sum(G_c A_c) / sum(A_c) (Fu et al. 2020)"""
    weights = (gradients * values).sum((1, 2)) / (values.sum((1, 2)) + 1e-7)
    return np.asarray(np.tensordot(weights, values, 1))


def grad_cam_plus_plus(
    values: Array, gradients: Array, score: float | None = None, epsilon: float = 1e-6
) -> Array:
    """Chattopadhay et al. 2018: w_c = sum(alpha ReLU(G_c)), alpha = G² / (2 G² + sum(A) G³)

    score: f, where the gradients are those of exp(f), which the paper explains; they grow by
    exp(f) then. None leaves the factor out, which the maps' shape does not depend on. epsilon:
    added below the fraction, as pytorch-grad-cam does; 0: where nothing is below, alpha is 0.
    """
    square = gradients**2
    below = 2 * square + values.sum((1, 2), keepdims=True) * square * gradients + epsilon
    alpha = np.divide(square, below, out=np.zeros_like(below), where=(below != 0) & (square != 0))
    factor = 1.0 if score is None else np.exp(score)
    weights = (alpha * np.maximum(factor * gradients, 0)).sum((1, 2))
    return np.asarray(np.tensordot(weights, values, 1))


def elementwise(values: Array, gradients: Array) -> Array:
    """sum_c ReLU(G_c A_c)"""
    return np.asarray(np.maximum(gradients * values, 0).sum(0))


def eigen_cam(values: Array) -> Array:
    """First principal component of the places' channels (Muhammad and Yeasin 2020).

    Its sign is arbitrary: turned so that its largest number is positive.
    """
    flat = values.reshape(len(values), -1).T.astype(np.float64)
    flat = flat - flat.mean(0)
    _, _, right = np.linalg.svd(flat, full_matrices=False)
    found = (flat @ right[0]).reshape(values.shape[1:])
    return np.asarray(-found if abs(found.min()) > abs(found.max()) else found)


def grad_cam_map(item: Item, places: Places) -> Array:
    """Return Grad-CAM of an item at a tensor, (rows, columns), before the ReLU."""
    return grad_cam(*_inner(item, places))


def _inner(item: Item, places: Places) -> tuple[Array, Array]:
    inner = item.score.inner(item.picture[None], places.name)[places.name]
    values, gradients = places.of(inner.values)[0], places.of(inner.gradient)[0]
    if not gradients.any():
        raise GradientUnavailable(
            f"at {places.text} the score's gradient is zero at every place; name another tensor."
        )
    return values, gradients


def _cam(found: Array, options: "CamOptions | AveragedCamOptions", places: Places) -> MethodValues:
    return MethodValues(np.maximum(found, 0) if options.relu else found, at=places.text)


def _enter(
    name: str, function: Callable[[Array, Array], Array], summary: str, source: str, traits: Traits
) -> None:
    def compute(item: Item, options: CamOptions, rng: np.random.Generator) -> MethodValues:  # noqa: ARG001
        places = item_layer(item, options.at)
        return _cam(function(*_inner(item, places)), options, places)

    compute.__doc__ = summary
    needs = (GRADIENT, PLACES)
    attribution(
        name, options=CamOptions, needs=needs, source=source, cost="3 passes", traits=traits
    )(compute)


_enter(
    "gradcam",
    grad_cam,
    "Grad-CAM: channels weighted by the mean of their gradient.",
    "Selvaraju et al. 2017",
    Traits(
        "ReLU(sum_c mean(G_c) A_c)",
        shortcut=False,
        advice="At the map that is averaged before the classes, the same as CAM; elsewhere, and "
        "where the map is flattened, the mean of the gradient loses where it was, and the map can "
        "lie in the wrong place: prefer hirescam there.",
        peers={
            "captum": "LayerGradCam",
            "pytorch-grad-cam": "GradCAM",
            "foxai": "CV_LAYER_GRADCAM_EXPLAINER",
            "keras-explainable": "gradcam",
        },
    ),
)


class GradCamPlusPlusOptions(CamOptions):
    """Grad-CAM++."""

    epsilon: float = Field(default=1e-6, ge=0)
    """Added below the fraction of alpha, as pytorch-grad-cam does; 0: as in the paper."""
    exponential: bool = False
    """Whether the gradient is that of exp(f), as in the paper: the map is exp(f) times as high."""


LARGEST_EXPONENT = 80.0
"""Of exp(f), whose product with a gradient is still a float32."""


@attribution(
    "gradcam++",
    options=GradCamPlusPlusOptions,
    needs=(GRADIENT, PLACES),
    source="Chattopadhay et al. 2018",
    cost="3 passes",
    traits=Traits(
        "ReLU(sum_c w_c A_c), w_c = sum(alpha ReLU(G_c)), alpha = G² / (2 G² + sum(A_c) G³)",
        advice="For several objects of one class; ignores what speaks against the class.",
        peers={"pytorch-grad-cam": "GradCAMPlusPlus", "keras-explainable": "gradcampp"},
    ),
)
def gradcampp(
    item: Item,
    options: GradCamPlusPlusOptions,
    rng: np.random.Generator,  # noqa: ARG001
) -> MethodValues:
    """Grad-CAM++: channels weighted by their positive gradients, rare ones more."""
    places = item_layer(item, options.at)
    values, gradients = _inner(item, places)
    score = None
    if options.exponential:
        score = min(float(item.score(item.picture[None])[0]), LARGEST_EXPONENT)
    return _cam(grad_cam_plus_plus(values, gradients, score, options.epsilon), options, places)


_enter(
    "hirescam",
    hires_cam,
    "HiResCAM: each element times its gradient.",
    "Draelos and Carin 2020",
    Traits(
        "ReLU(sum_c G_c A_c)",
        advice="Shows just what the layers after the tensor used, at any tensor.",
        peers={"pytorch-grad-cam": "HiResCAM"},
    ),
)
_enter(
    "layercam",
    layer_cam,
    "LayerCAM: each element times the positive part of its gradient.",
    "Jiang et al. 2021",
    Traits(
        "ReLU(sum_c ReLU(G_c) A_c)",
        advice="For earlier tensors, whose maps are finer.",
        peers={"pytorch-grad-cam": "LayerCAM"},
    ),
)
_enter(
    "xgradcam",
    xgrad_cam,
    "XGrad-CAM: channels weighted by their gradient, where they are active.",
    "Fu et al. 2020",
    Traits(
        "ReLU(sum_c w_c A_c), w_c = sum(G_c A_c) / sum(A_c)",
        advice="Like Grad-CAM; needs activations that are 0 or more, its weights blow up else.",
        peers={"pytorch-grad-cam": "XGradCAM"},
    ),
)
_enter(
    "elementwise",
    elementwise,
    "Sum of the positive parts of element times gradient.",
    "Gildenblat et al. 2021 (pytorch-grad-cam)",
    Traits(
        "sum_c ReLU(G_c A_c)",
        advice="Channels do not cancel out; what speaks against the class is left out of each.",
        peers={"pytorch-grad-cam": "GradCAMElementWise"},
    ),
)


@attribution(
    "eigencam",
    options=CamOptions,
    needs=(PLACES,),
    source="Muhammad and Yeasin 2020",
    cost="1 pass",
    traits=Traits(
        "first principal component of A over the places",
        shortcut=False,
        classes=False,
        advice="Knows neither class nor score: a control, which shows what stands out.",
        peers={"pytorch-grad-cam": "EigenCAM"},
    ),
)
def eigencam(item: Item, options: CamOptions, rng: np.random.Generator) -> MethodValues:  # noqa: ARG001
    """Eigen-CAM: the first principal component of the feature map, of no class."""
    places = item_layer(item, options.at)
    values = places.of(item.score.values(item.picture[None], places.name)[places.name])[0]
    return _cam(eigen_cam(values), options, places)


class FinerCamOptions(CamOptions):
    """Finer-CAM."""

    others: int = Field(default=3, ge=1)
    """Classes with the nearest scores that are compared with."""
    alpha: float = Field(default=1.0, ge=0)
    """How much the others count."""


@attribution(
    "finercam",
    options=FinerCamOptions,
    needs=(GRADIENT, PLACES),
    source="Zhang et al. 2025",
    cost="4 passes",
    traits=Traits(
        "Grad-CAM of f_k - alpha sum_j p_j f_j / sum_j p_j, j: the classes with nearest scores",
        advice="What tells the class from those that look like it, not what it has in common "
        "with them. As a target (Difference) it goes with every method.",
        peers={"pytorch-grad-cam": "FinerCAM"},
    ),
)
def finercam(item: Item, options: FinerCamOptions, rng: np.random.Generator) -> MethodValues:  # noqa: ARG001
    """Grad-CAM of the class less the classes with the nearest scores."""
    score, model = item.score, item.score.run.model
    (scores,) = score.run.scores(item.picture[None])
    target = difference_to_nearest(
        model.answer,
        scores,
        item.subject.class_,
        options.others,
        options.alpha,
        item.subject.where if isinstance(model.answer, Detections) else None,
    )
    places = item_layer(item, options.at)
    other = Item(type(score)(score.run, target, score.batch), item.subject)
    return _cam(grad_cam(*_inner(other, places)), options, places)


def _unmet_linear(model: Model) -> str:
    return (
        ""
        if _averaged_map(model) is not None
        else ("it needs classes that are linear in the average of a feature map")
    )


def _averaged_map(model: Model) -> Places | None:
    """The map whose average, and nothing else, is the features of the final linear layer."""
    layer = model.final_layer
    if layer is None:
        return None
    try:
        if layer.pooled:
            return places_of(model, layer.features)
        places = default_layer(model)
    except UsageError:
        return None
    graph = model.graph.graph
    value = next((v for n in graph for v in n.outputs if v.name == layer.features), None)
    while value is not None and (node := value.producer()) is not None:
        if node.op_type in ARRANGING:
            value = node.inputs[0]
        elif node.op_type in ("GlobalAveragePool", "ReduceMean", "AveragePool"):
            same = node.inputs[0] is not None and node.inputs[0].name == places.name
            return places if same and places.channels == layer.weights.shape[1] else None
        else:
            return None
    return None


class AveragedCamOptions(Options):
    """CAM."""

    relu: bool = True
    """Whether what speaks against the class is left out."""


@attribution(
    "cam",
    options=AveragedCamOptions,
    needs=(Need("average before the classes", _unmet_linear),),
    source="Zhou et al. 2016",
    cost="1 pass",
    traits=Traits(
        "sum_c w_kc A_c, where class k's score is w_k · mean(A) + b_k",
        advice="Exact, where a model is made so: the classes' evidence at each place.",
        peers={"keras-explainable": "cam"},
    ),
)
def cam(item: Item, options: AveragedCamOptions, rng: np.random.Generator) -> MethodValues:  # noqa: ARG001
    """CAM: the last feature map, weighted by the class's own weights."""
    model = item.score.run.model
    places, layer = _averaged_map(model), model.final_layer
    assert places is not None
    assert layer is not None
    values = places.of(item.score.values(item.picture[None], places.name)[places.name])[0]
    weights = item.score.cotangent.sum(1) @ layer.weights
    return _cam(np.tensordot(weights, values, 1), options, places)
