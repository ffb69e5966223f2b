"""FoXAI's explainers beside captum, which FoXAI calls, and their shapes and refusals."""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from leap_audit.errors import ConfigRefused, PictureRefused, TargetRefused, UsageError
from leap_audit.foxai import explainer as of
from leap_audit.foxai.context_manager import CVClassificationExplainers
from leap_audit.foxai.explainer import CLASSIFICATION, DETECTION
from leap_audit.foxai.object_detection import LayerGradCAMObjectDetectionExplainer
from leap_audit.pipeline.explain import methods
from tests.foxai.conftest import HEIGHT, TARGET, WIDTH, Prepared

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
attr = pytest.importorskip("captum.attr", reason="captum is not installed")
WINDOW: dict[str, Any] = {"sliding_window_shapes": (2, 3, 4), "strides": (1, 2, 3)}
Oracle = Callable[[Any, Any, Any, Any], Any]

ORACLES: dict[str, tuple[type[of.Explainer], dict[str, Any], Oracle]] = {
    "saliency": (of.SaliencyCVExplainer, {}, lambda m, x, _, t: attr.Saliency(m).attribute(x, t)),
    "signed saliency": (
        of.SaliencyCVExplainer,
        {"abs_value": False},
        lambda m, x, _, t: attr.Saliency(m).attribute(x, t, abs=False),
    ),
    "input x gradient": (
        of.InputXGradientCVExplainer,
        {},
        lambda m, x, _, t: attr.InputXGradient(m).attribute(x, t),
    ),
    "layer input x gradient": (
        of.LayerInputXGradientCVExplainer,
        {"layer": 3},
        lambda m, x, _, t: attr.LayerGradientXActivation(m, m[3]).attribute(x, t),
    ),
    "integrated gradients": (
        of.IntegratedGradientsCVExplainer,
        {"baselines": ..., "n_steps": 6},
        lambda m, x, b, t: attr.IntegratedGradients(m).attribute(x, b, t, n_steps=6),
    ),
    **{
        f"integrated gradients, {rule}": (
            of.IntegratedGradientsCVExplainer,
            {"n_steps": 6, "method": rule},
            lambda m, x, _, t, rule=rule: attr.IntegratedGradients(m).attribute(
                x, None, t, n_steps=6, method=rule
            ),
        )
        for rule in ("riemann_left", "riemann_right", "riemann_middle")
    },
    "several baselines": (
        of.IntegratedGradientsCVExplainer,
        {"baselines": [..., 0.25], "n_steps": 6},
        lambda m, x, b, t: (
            (
                attr.IntegratedGradients(m).attribute(x, b, t, n_steps=6)
                + attr.IntegratedGradients(m).attribute(x, 0.25, t, n_steps=6)
            )
            / 2
        ),
    ),
    "layer integrated gradients": (
        of.LayerIntegratedGradientsCVExplainer,
        {"layer": 3, "n_steps": 6, "baselines": 0.5},
        lambda m, x, _, t: attr.LayerIntegratedGradients(m, m[3]).attribute(x, 0.5, t, n_steps=6),
    ),
    "conductance of a layer's input": (
        of.LayerConductanceCVExplainer,
        {"layer": 4, "attribute_to_layer_input": True, "n_steps": 6, "method": "gausslegendre"},
        lambda m, x, _, t: attr.LayerConductance(m, m[3]).attribute(x, 0, t, n_steps=6),
    ),
    "layer DeepLIFT": (
        of.LayerDeepLIFTCVExplainer,
        {"layer": 3, "baselines": ...},
        lambda m, x, b, t: attr.LayerDeepLift(m, m[3]).attribute(x, b, t),
    ),
    "layer DeepLIFT SHAP": (
        of.LayerDeepLIFTSHAPCVExplainer,
        {"layer": 3, "baselines": ...},
        lambda m, x, b, t: attr.LayerDeepLiftShap(m, m[3]).attribute(x, b, t),
    ),
    "guided backpropagation": (
        of.GuidedBackpropCVExplainer,
        {},
        lambda m, x, _, t: attr.GuidedBackprop(m).attribute(x, t),
    ),
    "deconvolution": (
        of.DeconvolutionCVExplainer,
        {},
        lambda m, x, _, t: attr.Deconvolution(m).attribute(x, t),
    ),
    "guided Grad-CAM": (
        of.GuidedGradCAMCVExplainer,
        {"layer": 4},
        lambda m, x, _, t: attr.GuidedGradCam(m, m[4]).attribute(x, t),
    ),
    "occlusion of channels": (
        of.OcclusionCVExplainer,
        {**WINDOW, "baselines": ...},
        lambda m, x, b, t: attr.Occlusion(m).attribute(
            x, WINDOW["sliding_window_shapes"], WINDOW["strides"], b, t
        ),
    ),
    "LRP": (of.LRPCVExplainer, {}, lambda m, x, _, t: attr.LRP(by_order(m)).attribute(x, t)),
    "LRP of a layer": (
        of.LayerLRPCVExplainer,
        {"layer": 2},
        lambda m, x, _, t: layer_lrp(by_order(m), 2, x, t),
    ),
    "occlusion": (
        of.OcclusionCVExplainer,
        {"sliding_window_shapes": (3, 5, 2), "strides": (3, 2, 2)},
        lambda m, x, _, t: attr.Occlusion(m).attribute(x, (3, 5, 2), (3, 2, 2), 0, t),
    ),
}


def by_order(module: Any) -> Any:
    """Return a copy with FoXAI's rules as they fall to three linear layers: γ, γ, ε of 0."""
    rules = pytest.importorskip("captum.attr._utils.lrp_rules")
    changed = copy.deepcopy(module)
    chosen = {0: rules.GammaRule(), 3: rules.GammaRule(), 6: rules.EpsilonRule(epsilon=0)}
    for number, layer in enumerate(changed):
        if type(layer) is not torch.nn.ReLU:
            layer.rule = chosen.get(number) or rules.EpsilonRule()
    return changed


def layer_lrp(module: Any, layer: int, x: Any, target: int) -> Any:
    return attr.LayerLRP(module, module[layer]).attribute(x, target)


def error(found: Any, want: Any) -> float:
    return float((found - want.detach()).norm() / want.detach().norm())


def explained(prepared: Prepared, explainer: type[of.Explainer], **given: Any) -> Any:
    """Return the attributions; a layer is the number of a module."""
    target = given.pop("target", TARGET)
    if isinstance(given.get("layer"), int):
        given["layer"] = prepared.module[given["layer"]]
    return explainer().calculate_features(prepared.network, prepared.inputs, target, **given)


@pytest.mark.parametrize("name", ORACLES)
def test_explainers_agree_with_captum(prepared: Prepared, name: str) -> None:
    explainer, given, oracle = ORACLES[name]
    x = prepared.inputs
    baseline = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    given = dict(given)
    if given.get("baselines") is ...:
        given["baselines"] = baseline
    elif isinstance(given.get("baselines"), list):
        given["baselines"] = torch.stack([baseline, torch.full_like(x, 0.25)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # captum's hooks
        want = oracle(prepared.module, x, baseline, TARGET)
    found = explained(prepared, explainer, **given)
    assert (found.shape, found.dtype, found.requires_grad) == (want.shape, torch.float32, False)
    assert error(found, want) < 1e-5


def test_captums_trapezoids_add_up_to_less_than_one(prepared: Prepared) -> None:
    """Their weights add up to (n - 1) / n; those here to 1, as a mean's must."""
    arguments = {"n_steps": 6, "method": "riemann_trapezoid"}
    captum = attr.IntegratedGradients(prepared.module)
    want = captum.attribute(prepared.inputs, None, TARGET, **arguments) * 6 / 5
    found = explained(prepared, of.IntegratedGradientsCVExplainer, **arguments)
    assert error(found, want) < 1e-5


def test_conductance_has_both_ends_unless_captums_points_are_named(prepared: Prepared) -> None:
    module, x = prepared.module, prepared.inputs
    apart = (module(x) - module(torch.zeros_like(x)))[:, TARGET].detach()
    gaps = [
        error(explained(prepared, of.LayerConductanceCVExplainer, **given).sum((1, 2, 3)), apart)
        for given in (
            {"layer": 3, "n_steps": 100},
            {"layer": 3, "n_steps": 100, "method": "riemann_trapezoid"},
            {"layer": 3, "n_steps": 100, "method": "gausslegendre"},
        )
    ]
    assert gaps[0] == gaps[1] < 0.02 < 2 * gaps[2]


def test_draws_belong_to_the_input(prepared: Prepared) -> None:
    """FoXAI's are of no seed; its means over many draws are these."""
    x, module = prepared.inputs, prepared.module
    for explainer, given in (
        (of.NoiseTunnelCVExplainer, {"nt_samples": 3, "stdevs": 0.5}),
        (of.GradientSHAPCVExplainer, {"n_samples": 5, "baselines": torch.randn(4, *x.shape[1:])}),
        (of.LayerGradientSHAPCVExplainer, {"n_samples": 5, "stdevs": 0.1, "layer": 3}),
    ):
        first = explained(prepared, explainer, **given)
        torch.testing.assert_close(explained(prepared, explainer, **given), first, rtol=0, atol=0)
        if isinstance(given.get("layer"), int):
            given = {**given, "layer": module[3]}
        alone = explainer().calculate_features(prepared.network, x[1:], TARGET, **given)
        torch.testing.assert_close(alone[0], first[1], rtol=1e-4, atol=1e-6)


def test_gradient_shap_comes_to_integrated_gradients(prepared: Prepared) -> None:
    """One baseline and many points: the mean over the straight line, at the input and inside."""
    for shap, path, more in (
        (of.GradientSHAPCVExplainer, of.IntegratedGradientsCVExplainer, {}),
        (of.LayerGradientSHAPCVExplainer, None, {"layer": 3}),
    ):
        found = explained(prepared, shap, n_samples=400, baselines=0.0, **more)
        if path is not None:
            assert error(found, explained(prepared, path)) < 0.1
            continue
        x = prepared.inputs
        inside = prepared.module[:4]
        apart = (inside(x) - inside(torch.zeros_like(x))).detach()
        whole = sum(_gradients_inside(prepared, a) for a in np.linspace(0.01, 0.99, 50)) / 50
        assert error(found, whole * apart) < 0.1


def _gradients_inside(prepared: Prepared, share: float) -> Any:
    inner = prepared.module[:4](share * prepared.inputs).detach().requires_grad_()
    score = prepared.module[4:](inner)[:, TARGET].sum()
    return torch.autograd.grad(score, inner)[0]


@pytest.mark.parametrize(
    ("kind", "moment"),
    [("smoothgrad", 1.0), ("smoothgrad_sq", None), ("vargrad", 0.0)],
)
def test_noise_is_in_the_models_own_numbers(
    prepared: Prepared, kind: str, moment: float | None
) -> None:
    """Of hardly any noise the copies are the input: mean 1, square itself, variance 0."""
    plain = explained(prepared, of.IntegratedGradientsCVExplainer)
    given = {"nt_type": kind, "nt_samples": 4, "stdevs": 1e-6}
    found = explained(prepared, of.NoiseTunnelCVExplainer, **given)
    want = plain**2 if moment is None else moment * plain
    torch.testing.assert_close(found, want, rtol=1e-3, atol=1e-5 * float(plain.abs().max()))
    wide = explained(prepared, of.NoiseTunnelCVExplainer, **{**given, "stdevs": 2.0})
    assert not torch.allclose(wide, found, rtol=0.1)


def test_grad_cam_is_of_the_target_and_of_each_input_alone(prepared: Prepared) -> None:
    """FoXAI's is of the highest score in the batch, whatever the target."""
    module, x = prepared.module, prepared.inputs
    found = explained(prepared, of.LayerGradCAMCVExplainer, layer=4, target=[1, 2])
    assert found.shape == (2, 1, HEIGHT, WIDTH)
    for i, target in enumerate((1, 2)):
        captum = attr.LayerGradCam(module, module[4])
        small = captum.attribute(x[i : i + 1], target, relu_attributions=True)
        wide = torch.nn.functional.interpolate(small, (HEIGHT, WIDTH), mode="bilinear")[0]
        want = (wide - wide.min()) / (wide.max() - wide.min())
        torch.testing.assert_close(found[i], want.detach(), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(found, explained(prepared, of.LayerGradCAMCVExplainer, layer=4))


def test_full_gradients_are_brought_to_one_part_by_part(prepared: Prepared) -> None:
    module, x = prepared.module, prepared.inputs[:1].clone().requires_grad_()
    inner = [x]
    for layer in module:
        inner.append(layer(inner[-1]))
    kept = [inner[1], inner[4]]
    gradients = torch.autograd.grad(inner[-1][0, TARGET], [x, *kept])
    parts = [(x * gradients[0])[0]]
    for layer, gradient in zip((module[0], module[3]), gradients[1:], strict=True):
        parts.append(layer.bias[:, None, None] * gradient[0])
    total = torch.zeros(HEIGHT, WIDTH)
    for part in parts:
        size = part.detach().abs()
        scaled = (size - size.min()) / (size.max() - size.min())
        wide = torch.nn.functional.interpolate(scaled[None], (HEIGHT, WIDTH), mode="bilinear")
        total = total + wide[0].sum(0)
    found = explained(prepared, of.FullGradientCVExplainer)[0, 0]
    torch.testing.assert_close(found, total, rtol=1e-4, atol=1e-4)


def test_segments_are_those_of_the_whole_range(prepared: Prepared) -> None:
    pytest.importorskip("skimage", reason="scikit-image is not installed")
    given = {"min_pixel_diff": 2, "dilation_rad": 0, "steps": 8}
    found = explained(prepared, of.XRAICVExplainer, **given)
    assert found.shape == (2, 1, HEIGHT, WIDTH)
    assert len(torch.unique(found[0])) > 1
    brighter = of.XRAICVExplainer().calculate_features(
        prepared.network,
        prepared.inputs,
        TARGET,
        baselines=torch.zeros(2, 2, 3, HEIGHT, WIDTH),
        **given,
    )
    assert not torch.allclose(brighter, found)


def test_arrays_come_back_as_arrays(prepared: Prepared) -> None:
    explainer = of.SaliencyCVExplainer()
    found = explainer.calculate_features(prepared.network, prepared.inputs.numpy(), TARGET)
    assert (type(found), found.dtype) == (np.ndarray, np.float32)
    want = explained(prepared, of.SaliencyCVExplainer)
    np.testing.assert_allclose(found, want.numpy(), atol=1e-7)
    assert explainer.algorithm_name == "SaliencyCVExplainer"


def test_without_a_class_each_input_has_its_most_probable(prepared: Prepared) -> None:
    best = prepared.module(prepared.inputs).argmax(1)
    found = explained(prepared, of.SaliencyCVExplainer, target=None)
    torch.testing.assert_close(found, explained(prepared, of.SaliencyCVExplainer, target=best))


@pytest.mark.parametrize(
    ("explainer", "given", "kind", "says"),
    [
        (
            of.SaliencyCVExplainer,
            {"abs_val": 1},
            ConfigRefused,
            "'abs_val'; did you mean 'abs_value'",
        ),
        (of.GradientSHAPCVExplainer, {"n_steps": 9}, ConfigRefused, "no parameter 'n_steps'"),
        (of.SaliencyCVExplainer, {"additional_forward_args": 1}, ConfigRefused, "of one input"),
        (of.IntegratedGradientsCVExplainer, {"method": "gauss"}, ConfigRefused, "'gausslegendre'"),
        (
            of.LayerConductanceCVExplainer,
            {"method": "riemann_left"},
            ConfigRefused,
            "'riemann_trap",
        ),
        (of.NoiseTunnelCVExplainer, {"nt_type": "smooth"}, ConfigRefused, "mean 'smoothgrad'"),
        (
            of.NoiseTunnelCVExplainer,
            {"stdevs": (1.0, 2.0)},
            ConfigRefused,
            "one standard deviation",
        ),
        (
            of.NoiseTunnelCVExplainer,
            {"draw_baseline_from_distrib": True},
            ConfigRefused,
            "leave it",
        ),
        (of.GuidedGradCAMCVExplainer, {"interpolate_mode": "area"}, ConfigRefused, "no 'area'"),
        (
            of.OcclusionCVExplainer,
            {"sliding_window_shapes": (3, 3)},
            ConfigRefused,
            "channels, rows",
        ),
        (of.OcclusionCVExplainer, {"sliding_window_shapes": 0}, ConfigRefused, "1 or more"),
        (of.XRAICVExplainer, {"area_threshold": 0.2}, ConfigRefused, "area_threshold: segments"),
        (of.SaliencyCVExplainer, {"target": 5}, TargetRefused, "no class 5; the model has 5"),
        (of.SaliencyCVExplainer, {"target": [1, 2, 3]}, TargetRefused, "3 values of int64"),
        (of.SaliencyCVExplainer, {"target": 0.5}, TargetRefused, "1 values of float64"),
        (
            of.IntegratedGradientsCVExplainer,
            {"baselines": np.zeros((3, 3, 8, 10))},
            PictureRefused,
            "several of it",
        ),
        (of.LayerInputXGradientCVExplainer, {"layer": "33"}, UsageError, "no tensor '33'"),
        (of.DeepLIFTCVExplainer, {"eps": 1e-6}, ConfigRefused, "eps: what rounding"),
        (
            of.LayerDeepLIFTSHAPCVExplainer,
            {"multiply_by_inputs": False},
            ConfigRefused,
            "multiply_by_inputs: multipliers",
        ),
        (LayerGradCAMObjectDetectionExplainer, {}, PictureRefused, "explains one at a time"),
    ],
)
def test_what_cannot_be_explained_is_refused(
    prepared: Prepared, explainer: Any, given: dict[str, Any], kind: type[Exception], says: str
) -> None:
    with pytest.raises(kind, match=says):
        explained(prepared, explainer, **given)


def test_one_input_has_four_axes(prepared: Prepared) -> None:
    with pytest.raises(PictureRefused, match=r"shape \[3, 8, 10\]; give \(n, channels"):
        of.SaliencyCVExplainer().calculate_features(prepared.network, prepared.inputs[0])


def test_the_registry_names_what_foxai_calls_its_methods() -> None:
    """Each name in the registry is a member of the enumeration that comes to this method."""
    named = {m.traits.peers["foxai"]: n for n, m in methods().items() if "foxai" in m.traits.peers}
    for key, name in named.items():
        explainer = CLASSIFICATION[key]()
        values = {**dict.fromkeys(("baselines", "layer")), **explainer.parameters}
        assert explainer.translated(values)[0].rpartition(":")[2] in (name, "integrated_gradients")
    offered = {key for key, each in CLASSIFICATION.items() if not each().missing}
    inside = {key for key in offered if "_LAYER_" in key and key not in named}
    assert offered - inside == set(named)


def test_the_enumerations_are_foxais() -> None:
    assert len(CVClassificationExplainers) == 23
    assert len(DETECTION) == 1
    for member in CVClassificationExplainers:
        assert getattr(of, member.value) is CLASSIFICATION[member.name]
