"""The explainers of FoXAI, each a translation of its parameters to a method of the registry."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from leap_audit.errors import ConfigRefused
from leap_audit.foxai.arrays import numbers_of
from leap_audit.foxai.base_explainer import Explainer, Translated, chosen_from, require_default
from leap_audit.foxai.object_detection import LayerGradCAMObjectDetectionExplainer
from leap_audit.pipeline.explain import PictureExplanation
from leap_audit.run.session import Array

__all__ = [
    "CLASSIFICATION",
    "DETECTION",
    "DeconvolutionCVExplainer",
    "DeepLIFTCVExplainer",
    "DeepLIFTSHAPCVExplainer",
    "FullGradientCVExplainer",
    "GradientSHAPCVExplainer",
    "GuidedBackpropCVExplainer",
    "GuidedGradCAMCVExplainer",
    "InputXGradientCVExplainer",
    "IntegratedGradientsCVExplainer",
    "LRPCVExplainer",
    "LayerConductanceCVExplainer",
    "LayerDeepLIFTCVExplainer",
    "LayerDeepLIFTSHAPCVExplainer",
    "LayerGradCAMCVExplainer",
    "LayerGradientSHAPCVExplainer",
    "LayerInputXGradientCVExplainer",
    "LayerIntegratedGradientsCVExplainer",
    "LayerLRPCVExplainer",
    "LayerNoiseTunnelCVExplainer",
    "NoiseTunnelCVExplainer",
    "OcclusionCVExplainer",
    "SaliencyCVExplainer",
    "XRAICVExplainer",
]

RULES = {
    "gausslegendre": "gauss_legendre",
    "riemann_left": "left",
    "riemann_right": "right",
    "riemann_middle": "middle",
    "riemann_trapezoid": "trapezoid",
}
KINDS = {"smoothgrad": "mean", "smoothgrad_sq": "square", "vargrad": "variance"}


class SaliencyCVExplainer(Explainer):
    """Saliency: |df/dx|, or df/dx with abs_value=False."""

    parameters: ClassVar = {"abs_value": True}

    def translated(self, values: dict[str, Any]) -> Translated:
        return "saliency", {"absolute": bool(values["abs_value"])}


class InputXGradientCVExplainer(Explainer):
    """Input times gradient."""

    method = "input_x_gradient"


class LayerInputXGradientCVExplainer(InputXGradientCVExplainer):
    """A tensor inside the model times its gradient."""

    at_layer = True


class IntegratedGradientsCVExplainer(Explainer):
    """Integrated gradients."""

    parameters: ClassVar = {"n_steps": 50, "method": "gausslegendre"}

    def translated(self, values: dict[str, Any]) -> Translated:
        rule = chosen_from("method", values["method"], RULES)
        return "integrated_gradients", {"steps": values["n_steps"], "rule": rule}


class LayerIntegratedGradientsCVExplainer(IntegratedGradientsCVExplainer):
    """Integrated gradients between the values of a tensor inside the model."""

    at_layer = True

    def translated(self, values: dict[str, Any]) -> Translated:
        _, options = super().translated(values)
        return "layer_ig", options


class LayerConductanceCVExplainer(Explainer):
    """Conductance of a tensor inside the model."""

    at_layer = True
    parameters: ClassVar = {"n_steps": 50, "method": None}

    def translated(self, values: dict[str, Any]) -> Translated:
        rules = {"riemann_trapezoid": "trapezoid", "gausslegendre": "captum"}
        rule = chosen_from("method", values["method"] or "riemann_trapezoid", rules)
        return "conductance", {"steps": values["n_steps"], "rule": rule}


class GradientSHAPCVExplainer(Explainer):
    """Expected gradients over baselines and random points."""

    distribution = True
    parameters: ClassVar = {"n_samples": 5, "stdevs": 0.0}

    def translated(self, values: dict[str, Any]) -> Translated:
        noise = {"noise": _deviation(values["stdevs"]), "relative": False}
        return "gradient_shap", {"samples": values["n_samples"], "baseline": ("zero",), **noise}


class LayerGradientSHAPCVExplainer(GradientSHAPCVExplainer):
    """Expected gradients at a tensor inside the model."""

    at_layer = True


class NoiseTunnelCVExplainer(Explainer):
    """Integrated gradients of noisy inputs: their mean, mean square or variance."""

    parameters: ClassVar = {
        "nt_type": "smoothgrad",
        "nt_samples": 5,
        "stdevs": 1.0,
        "draw_baseline_from_distrib": False,
    }

    def translated(self, values: dict[str, Any]) -> Translated:
        require_default(
            values, {"draw_baseline_from_distrib": False}, "baselines are not drawn here"
        )
        path = "layer_ig" if self.at_layer else "integrated_gradients"
        return f"smooth:{path}", {
            "kind": chosen_from("nt_type", values["nt_type"], KINDS),
            "copies": values["nt_samples"],
            "noise": _deviation(values["stdevs"]),
            "relative": False,
        }


class LayerNoiseTunnelCVExplainer(NoiseTunnelCVExplainer):
    """Integrated gradients of noisy inputs at a tensor inside the model."""

    at_layer = True


class GuidedBackpropCVExplainer(Explainer):
    """Guided backpropagation."""

    method = "guided_backprop"


class DeconvolutionCVExplainer(Explainer):
    """Deconvolution."""

    method = "deconvnet"


class GuidedGradCAMCVExplainer(Explainer):
    """Guided backpropagation times enlarged Grad-CAM."""

    parameters: ClassVar = {"interpolate_mode": "nearest"}
    optional_layer = True

    def translated(self, values: dict[str, Any]) -> Translated:
        modes = {"nearest": "", "bilinear": "yes"}
        bilinear = bool(chosen_from("interpolate_mode", values["interpolate_mode"], modes))
        return "guided_gradcam", {"bilinear": bilinear}


class LayerGradCAMCVExplainer(Explainer):
    """Grad-CAM of the target, of the inputs' size, (n, 1, height, width) in 0..1."""

    method = "gradcam"
    optional_layer = True

    def shaped(self, explanation: PictureExplanation, inputs: Array) -> Array:  # noqa: ARG002
        above = explanation.map - explanation.map.min()
        top = float(above.max())
        return np.asarray(above / top if top > 0 else above)[None]


class FullGradientCVExplainer(Explainer):
    """FullGrad, (n, 1, height, width)."""

    method = "fullgrad"
    options: ClassVar = {"together": "part"}

    def shaped(self, explanation: PictureExplanation, inputs: Array) -> Array:  # noqa: ARG002
        return explanation.map[None]


class OcclusionCVExplainer(Explainer):
    """Occlusion by windows of (channels, rows, columns)."""

    parameters: ClassVar = {
        "sliding_window_shapes": None,
        "strides": None,
        "show_progress": False,
    }

    def translated(self, values: dict[str, Any]) -> Translated:
        window, stride = values["sliding_window_shapes"], values["strides"]
        if window is None:
            return "occlusion", {}
        step = (1, 1, 1) if stride is None else stride
        return "occlusion", {"window": _three(window), "stride": _three(step)}


class XRAICVExplainer(Explainer):
    """XRAI, (n, 1, height, width). Needs scikit-image."""

    fixed: ClassVar[Mapping[str, Any]] = {
        "segments": None,
        "area_threshold": 1.0,
        "flatten_xrai_segments": True,
        "scale_range": (-1.0, 1.0),
        "image_resize": None,
        "sigma_values": (0.8,),
        "min_segment_size": None,
    }
    parameters: ClassVar = {
        "steps": 100,
        "min_pixel_diff": 50,
        "dilation_rad": 5,
        "scale_values": (50, 100, 150, 250, 500, 1200),
        **fixed,
    }

    def translated(self, values: dict[str, Any]) -> Translated:
        require_default(values, self.fixed, "segments are made in one way here")
        return "xrai", {
            "steps": values["steps"],
            "least": values["min_pixel_diff"],
            "dilation": values["dilation_rad"],
            "scales": tuple(values["scale_values"]),
            "stretched": True,
        }

    def baselines_of(self, given: Any, inputs: Array) -> list[Array | None]:
        if given is not None:
            return super().baselines_of(given, inputs)
        return [np.stack([np.full_like(x, x.min()), np.full_like(x, x.max())]) for x in inputs]

    def shaped(self, explanation: PictureExplanation, inputs: Array) -> Array:  # noqa: ARG002
        return explanation.map[None]


class LRPCVExplainer(Explainer):
    """Layer-wise relevance propagation, with FoXAI's rules by the order of the layers."""

    method = "lrp"
    options: ClassVar = {"composite": "foxai"}
    parameters: ClassVar = {"verbose": False}


class LayerLRPCVExplainer(LRPCVExplainer):
    """Relevance of a tensor inside the model."""

    at_layer = True


class DeepLIFTCVExplainer(Explainer):
    """DeepLIFT by the rescale rule."""

    method = "deeplift"
    parameters: ClassVar = {
        "eps": 1e-10,
        "multiply_by_inputs": True,
        "custom_attribution_func": None,
    }

    def translated(self, values: dict[str, Any]) -> Translated:
        why = "multipliers are multiplied with the difference of the inputs here"
        require_default(values, {"multiply_by_inputs": True, "custom_attribution_func": None}, why)
        why = "what rounding may change is measured by the size of the numbers here"
        require_default(values, {"eps": 1e-10}, why)
        return self.method, {}


class LayerDeepLIFTCVExplainer(DeepLIFTCVExplainer):
    """DeepLIFT at a tensor inside the model."""

    at_layer = True


class DeepLIFTSHAPCVExplainer(DeepLIFTCVExplainer):
    """DeepLIFT, averaged for each input over all baselines."""

    distribution = True
    method = "deeplift_shap"

    def baselines_of(self, given: Any, inputs: Array) -> list[Array | None]:
        return super().baselines_of(0.0 if given is None else given, inputs)


class LayerDeepLIFTSHAPCVExplainer(DeepLIFTSHAPCVExplainer):
    """DeepLIFT at a tensor inside the model, averaged over several baselines."""

    at_layer = True


def _deviation(given: Any) -> float:
    several = np.ravel(numbers_of(given))
    if several.size != 1:
        raise ConfigRefused("stdevs: one standard deviation, of the one input of the model.")
    return float(several[0])


def _three(given: Any) -> tuple[int, int, int]:
    """(channels, rows, columns) of a window or a stride."""
    sides = (given,) * 3 if isinstance(given, int) else tuple(given)
    sides = tuple(sides[0]) if len(sides) == 1 and isinstance(sides[0], Sequence) else sides
    if len(sides) != 3 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise ConfigRefused(
            f"sliding_window_shapes, strides: {given!r}; give (channels, rows, columns), 1 or more."
        )
    return sides[0], sides[1], sides[2]


CLASSIFICATION: dict[str, Callable[[], Explainer]] = {
    "CV_OCCLUSION_EXPLAINER": OcclusionCVExplainer,
    "CV_INTEGRATED_GRADIENTS_EXPLAINER": IntegratedGradientsCVExplainer,
    "CV_NOISE_TUNNEL_EXPLAINER": NoiseTunnelCVExplainer,
    "CV_GRADIENT_SHAP_EXPLAINER": GradientSHAPCVExplainer,
    "CV_LRP_EXPLAINER": LRPCVExplainer,
    "CV_FULL_GRADIENTS_EXPLAINER": FullGradientCVExplainer,
    "CV_GUIDEDGRADCAM_EXPLAINER": GuidedGradCAMCVExplainer,
    "CV_LAYER_INTEGRATED_GRADIENTS_EXPLAINER": LayerIntegratedGradientsCVExplainer,
    "CV_LAYER_NOISE_TUNNEL_EXPLAINER": LayerNoiseTunnelCVExplainer,
    "CV_LAYER_GRADIENT_SHAP_EXPLAINER": LayerGradientSHAPCVExplainer,
    "CV_LAYER_LRP_EXPLAINER": LayerLRPCVExplainer,
    "CV_LAYER_GRADCAM_EXPLAINER": LayerGradCAMCVExplainer,
    "CV_INPUT_X_GRADIENT_EXPLAINER": InputXGradientCVExplainer,
    "CV_LAYER_INPUT_X_GRADIENT_EXPLAINER": LayerInputXGradientCVExplainer,
    "CV_DEEPLIFT_EXPLAINER": DeepLIFTCVExplainer,
    "CV_LAYER_DEEPLIFT_EXPLAINER": LayerDeepLIFTCVExplainer,
    "CV_DEEPLIFT_SHAP_EXPLAINER": DeepLIFTSHAPCVExplainer,
    "CV_LAYER_DEEPLIFT_SHAP_EXPLAINER": LayerDeepLIFTSHAPCVExplainer,
    "CV_DECONVOLUTION_EXPLAINER": DeconvolutionCVExplainer,
    "CV_LAYER_CONDUCTANCE_EXPLAINER": LayerConductanceCVExplainer,
    "CV_SALIENCY_EXPLAINER": SaliencyCVExplainer,
    "CV_GUIDED_BACKPOPAGATION_EXPLAINER": GuidedBackpropCVExplainer,
    "CV_XRAI_EXPLAINER": XRAICVExplainer,
}
"""Name of FoXAI's enumeration, as it is spelt there -> explainer."""
DETECTION: dict[str, Callable[[], Explainer]] = {
    "CV_LAYER_GRADCAM_OBJECT_DETECTION_EXPLAINER": LayerGradCAMObjectDetectionExplainer,
}
