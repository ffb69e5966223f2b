"""Every method beside its oracle, on toy networks; benchmarks/parity.py has the large ones."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from captum import attr

from benchmarks.pairs import NETWORKS, Pair, made
from benchmarks.parity import cams_enlarged, rows
from leap_audit.measure.methods import load_methods

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.xdist_group("parity"),  # one process makes the pairs
]
LIMITS = {
    "occlusion": 1e-4,  # differences of scores, each in float32
    "scorecam": 1e-4,
    "ablationcam": 1e-4,
    "reciprocam": 1e-4,
    "xgradcam": 3e-5,  # divides by a sum of activations, in float32
}
COMPARED_ELSEWHERE = {
    "attention_rollout",  # on the transformer
    "attnlrp",
    "blur_ig",
    "cam",
    "deeplift",  # in test_deeplift.py, where captum adds up
    "deeplift_shap",
    "drise",  # in test_detections.py, against the paper's formula
    "finercam",
    "fullgrad",
    "gradient_rollout",
    "isolation_ranking",
    "kernel_shap",
    "lrp",
    "rise",
    "shapley_sampling",
    "xrai",
}


@cache
def pair(name: str) -> Pair:
    with TemporaryDirectory() as folder:
        return made(name, Path(folder))


@pytest.mark.parametrize("name", ["toy", "toy_vit"])
def test_methods_agree_with_their_oracles(name: str) -> None:
    found = list(rows(pair(name)))
    worst = {row.method: row.error for row in found}
    assert {m: e for m, e in worst.items() if not e <= LIMITS.get(m, 1e-5)} == {}
    names = {row.method.partition(",")[0] for row in found}
    if name == "toy":
        attributions = {m.name for m in load_methods().values() if m.kind == "attribution"}
        assert attributions - names == COMPARED_ELSEWHERE
    else:
        assert {"attention_rollout", "gradient_rollout", "gradcam"} <= names


def test_networks_of_the_table_are_at_least_those_promised() -> None:
    wanted = {"resnet18", "mobilenet_v2", "vit_tiny", "swin_t", "convnext_tiny"}
    assert wanted <= set(NETWORKS)


def test_captum_trapezoid_leaves_out_a_step_and_ours_does_not() -> None:
    """Of a linear model any rule is exact; captum's n weights add up to (n - 1) / n."""
    from leap_audit.measure.attribution.paths import nodes_and_weights

    linear = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1, bias=False))
    x = torch.rand(1, 1, 2, 2)
    exact = (x.flatten() * linear[1].weight[0]).sum().item()
    theirs = attr.IntegratedGradients(linear).attribute(
        x, 0.0, 0, n_steps=5, method="riemann_trapezoid"
    )
    assert theirs.sum().item() == pytest.approx(exact * 4 / 5, rel=1e-5)
    points, weights = nodes_and_weights("trapezoid", 5)
    assert weights.sum() == pytest.approx(1)
    assert weights @ points**1 == pytest.approx(0.5)


def test_captum_conductance_leaves_out_both_ends_and_ours_does_not() -> None:
    p = pair("toy")
    layer = p.module.last
    x = p.x
    with torch.no_grad():
        scores = p.module(torch.cat([x, 0 * x]))[:, p.class_]
    difference = float(scores[0] - scores[1])
    theirs = attr.LayerConductance(p.module, layer).attribute(x, 0.0, p.class_, n_steps=20)
    gap = abs(float(theirs.sum()) - difference) / abs(difference)
    ours = p.ours("conductance", steps=200).figures["completeness_gap"]
    assert ours < 5e-3
    assert p.ours("conductance", steps=20).figures["completeness_gap"] < gap


def test_fullgrad_adds_up_to_the_score() -> None:
    assert pair("toy").ours("fullgrad").figures["completeness_gap"] < 1e-5
    assert pair("toy_vit").ours("fullgrad").figures["completeness_gap"] > 1e-3  # GELU, LayerNorm


def test_cam_is_hirescam_where_the_map_is_averaged() -> None:
    p = pair("toy")
    cam, hires = p.ours("cam", relu=False).values, p.ours("hirescam", relu=False).values
    np.testing.assert_allclose(cam, hires * 256, rtol=1e-4, atol=1e-4)  # 16 × 16 places
    np.testing.assert_allclose(p.ours("gradcam", relu=False).values, hires, rtol=1e-4, atol=1e-6)


def test_finercam_is_gradcam_of_a_difference() -> None:
    p = pair("toy")
    logits = p.run.logits(p.picture[None])[0].astype(np.float64)
    k = p.class_
    near = sorted((i for i in range(5) if i != k), key=lambda i: abs(logits[i] - logits[k]))[:3]
    shares = np.exp(logits - logits.max())
    weights = shares[near] / shares[near].sum()
    x = torch.from_numpy(p.picture)[None]
    a = p.module.last(p.module.first(x) + p.module.second(p.module.first(x)))
    score = p.module.head(p.module.pool(a).flatten(1))[0]
    value = score[k] - sum(float(w) * score[j] for w, j in zip(weights, near, strict=True))
    (g,) = torch.autograd.grad(value, a)
    want = torch.einsum("c,cij->ij", g[0].mean((1, 2)), a[0]).detach().numpy()
    found = p.ours("finercam", relu=False).values
    np.testing.assert_allclose(found, cams_enlarged(want, p), rtol=1e-4, atol=1e-6)
