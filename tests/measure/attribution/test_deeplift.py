"""DeepLIFT of pictures: every target, layers, reused and branching networks, and refusals."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from captum import attr
from torch import nn

from leap_audit.errors import ConfigRefused, GradientUnavailable, UsageError
from leap_audit.measure.attribution.deeplift import DeepLiftOptions
from leap_audit.measure.attribution.score import Score
from leap_audit.measure.attribution.smoothing import explainer
from leap_audit.measure.methods import BATCH_OF_TWO, Explanation
from leap_audit.measure.run import Run
from leap_audit.measure.subject import Subject
from leap_audit.measure.targets import (
    ClassTarget,
    CosineTarget,
    DifferenceTarget,
    DirectionTarget,
    EmbeddingTarget,
    SimilarityTarget,
    Target,
    TensorTarget,
)
from leap_audit.pipeline.inputs import Network
from leap_audit.run.session import Array

pytestmark = pytest.mark.filterwarnings("ignore")
SHAPE = (3, 12, 12)
CLASSES = 5


class Plain(nn.Module):
    """Convolution, ReLU, MaxPool, then linear; `relu` is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(6 * 36, CLASSES)
        self.relu, self.pool = nn.ReLU(), nn.MaxPool2d(2)
        self.second = nn.Conv2d(6, 6, 3, padding=1)

    def forward(self, x: torch.Tensor) -> Any:
        x = self.pool(self.relu(self.first(x)))
        return self.last(torch.flatten(self.relu(self.second(x)), 1))


class Residual(Plain):
    """A branch that is added, and one that is multiplied."""

    def forward(self, x: torch.Tensor) -> Any:
        x = self.pool(self.relu(self.first(x)))
        x = x + self.relu(self.second(x)) * torch.sigmoid(x.mean((2, 3), keepdim=True))
        return self.last(torch.flatten(x, 1))


class Attending(Plain):
    """Layer normalisation, attention and GELU as they are written out at export."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.attend = nn.LayerNorm(6), nn.MultiheadAttention(6, 2)

    def forward(self, x: torch.Tensor) -> Any:
        x = self.pool(self.first(x)).flatten(2).permute(2, 0, 1)  # tokens first
        normal = self.norm(x)
        x = x + self.attend(normal, normal, normal, need_weights=False)[0]
        return self.last(nn.functional.gelu(x).permute(1, 2, 0).flatten(1))


def _seeded(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return kind().eval()


def _run(module: nn.Module) -> Run:
    return Network(module).run(SHAPE)


@cache
def _run_of(kind: type[nn.Module]) -> Run:
    return _run(_seeded(kind))


@pytest.fixture(scope="module")
def pictures() -> Array:
    """A picture, a baseline, and a third one."""
    return np.random.default_rng(4).random((3, *SHAPE)).astype(np.float32)


def _explained(
    run: Run, pictures: Array, name: str = "deeplift", target: Target | None = None, **more: Any
) -> Explanation:
    method = explainer(name)
    options = method.options.parse(more, "test")
    subject = Subject(pictures[0], 1, target=target, baselines=pictures[1:2])
    (found,) = method.function(run, [subject], options, seed=0)
    return found


@pytest.mark.parametrize("kind", [Plain, Residual, Attending])
def test_networks_add_up(kind: type[nn.Module], pictures: Array) -> None:
    module = _seeded(kind)
    found = _explained(_run_of(kind), pictures)
    with torch.no_grad():
        ends = module.double()(torch.tensor(pictures[:2]).double())[:, 1].numpy()
    assert found.detail is not None
    assert found.detail.sum() == pytest.approx(ends[0] - ends[1], rel=1e-4)
    assert found.figures["completeness_gap"] < 1e-4
    assert found.figures["gap_of_absolute_sum"] < 1e-5


def test_a_reused_activation_is_refused_by_captum_and_not_here(pictures: Array) -> None:
    """In a graph every use is a node of its own."""
    module = _seeded(Plain)
    x, x0 = (torch.tensor(each[None]) for each in pictures[:2])
    with pytest.raises(RuntimeError, match="more than once"):
        attr.DeepLift(module).attribute(x, x0, 1)
    assert _explained(_run_of(Plain), pictures).figures["completeness_gap"] < 1e-4


def test_a_maximum_behind_a_relu_by_hand(pictures: Array) -> None:
    """In double precision, window by window: what an output gains beyond the other is its own."""

    class Short(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4 * 36, CLASSES)

        def forward(self, x: torch.Tensor) -> Any:
            pooled = nn.functional.max_pool2d(torch.relu(self.conv(x)), 2)
            return self.last(torch.flatten(pooled, 1))

    module = _seeded(Short)
    found = _explained(_run(module), pictures)
    module = module.double()
    x, x0 = (torch.tensor(each[None]).double() for each in pictures[:2])
    conv, weight = module.conv, module.last.weight[1].reshape(4, 6, 6)
    with torch.no_grad():
        before, before0 = conv(x)[0], conv(x0)[0]
        a, a0 = before.relu(), before0.relu()
        share = torch.zeros_like(a)
        for k, i, j in np.ndindex(4, 6, 6):
            window = (k, slice(2 * i, 2 * i + 2), slice(2 * j, 2 * j + 2))
            values, values0 = a[window].flatten(), a0[window].flatten()
            most = torch.maximum(values.max(), values0.max())
            gained = share[window].flatten()
            gained[values.argmax()] += most - values0.max()
            gained[values0.argmax()] -= most - values.max()
            share[window] = (gained * weight[k, i, j]).reshape(2, 2)
        share = torch.where(before == before0, 0, share / (before - before0))
        want = nn.functional.conv_transpose2d(share[None], conv.weight, padding=1) * (x - x0)
    assert found.detail is not None
    np.testing.assert_allclose(found.detail, want[0].numpy(), atol=1e-6 * want.abs().max().item())


def test_shap_is_the_mean_over_baselines(pictures: Array) -> None:
    run = _run_of(Residual)
    method = explainer("deeplift_shap")
    subject = Subject(pictures[0], 1, baselines=pictures[1:])
    (found,) = method.function(run, [subject], method.options(), seed=0)
    single = [_explained(run, pictures[[0, k]]).detail for k in (1, 2)]
    np.testing.assert_allclose(found.detail, np.mean(np.stack(single), 0), rtol=1e-6)
    assert found.figures["completeness_gap"] < 1e-4
    with pytest.raises(ConfigRefused, match="at least 2"):
        method.options.parse({"baseline": ("black",)}, "test")


def test_layers_add_up_and_agree_with_captum(pictures: Array) -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.Tanh(), nn.Flatten(),
        nn.Linear(4 * 64, CLASSES),
    ).eval()  # fmt: skip
    run = _run(module)
    inside = [n.outputs[0].name for n in run.model.graph.graph if n.op_type == "Relu"]
    found = _explained(run, pictures, at=str(inside[0]))
    x, x0 = (torch.tensor(each[None]) for each in pictures[:2])
    theirs = attr.LayerDeepLift(module, module[1]).attribute(x, x0, 1).detach().numpy()[0]
    np.testing.assert_allclose(found.detail, theirs, atol=1e-5 * np.abs(theirs).max())
    assert found.figures["completeness_gap"] < 1e-4
    assert "6 channels" in found.at


def test_a_tensor_is_compared_with_zeros_while_the_rest_stays(pictures: Array) -> None:
    """Alone, and with a branch past it; the difference is that of the layers behind."""
    run = _run_of(Residual)
    last = {n.op_type: str(n.outputs[0].name) for n in run.model.graph.graph}
    for name in ("MaxPool", "Relu"):
        at = last[name]
        for target in (ClassTarget(2), CosineTarget(np.arange(1.0, 1.0 + CLASSES))):
            found = _explained(run, pictures, target=target, at=at, from_zero=True)
            score = Score(run, target, 2)
            inside = score.values(pictures[:1], at)[at]
            ends = score.tail(pictures[0], at)(np.concatenate([inside, 0 * inside]))
            assert found.detail is not None
            assert found.detail.sum() == pytest.approx(ends[0] - ends[1], rel=1e-4)
            assert found.figures["completeness_gap"] < 1e-4
            assert ("beside it" in found.at) == (name == "Relu")
    with pytest.raises(UsageError, match="from_zero: name the tensor"):
        _explained(run, pictures, from_zero=True)


@pytest.mark.parametrize("name", ["deeplift", "deeplift_shap"])
def test_every_target_adds_up(name: str, pictures: Array) -> None:
    run = _run_of(Residual)
    vector = np.arange(1.0, 1.0 + CLASSES)
    tensor = next(n.outputs[0].name for n in run.model.graph.graph if n.op_type == "MaxPool")
    targets: list[Target] = [
        ClassTarget(2),
        DifferenceTarget(1, (0, 3)),
        DirectionTarget(vector),
        CosineTarget(vector),
        EmbeddingTarget(),
        SimilarityTarget(pictures[2]),
        TensorTarget(str(tensor), (3, 2, 2)),
    ]
    for target in targets:
        found = _explained(run, pictures, name, target)
        score = Score(run, target, 2, pictures[0])
        ends = score(pictures[:2])
        assert found.detail is not None
        assert found.detail.sum() == pytest.approx(ends[0] - ends[1], rel=2e-4), target
        assert found.figures["completeness_gap"] < 2e-4


def test_the_secant_of_a_cosine_is_exact() -> None:
    rng = np.random.default_rng(0)
    target = CosineTarget(rng.standard_normal(6))
    a, b = rng.standard_normal((2, 6, 1))
    slopes = target.secant(a, b)
    assert np.vdot(slopes, a - b) == pytest.approx(target.value(a) - target.value(b), rel=1e-12)
    np.testing.assert_allclose(target.secant(a, a), target.slope(a), rtol=1e-12)
    with pytest.raises(UsageError, match="baseline is zero"):
        target.secant(a, 0 * b)


@pytest.mark.parametrize("name", ["deeplift", "deeplift_shap"])
def test_models_of_one_picture_at_a_time_are_refused(name: str) -> None:
    assert BATCH_OF_TWO in explainer(name).needs


def test_what_rounds_is_refused_by_name(pictures: Array) -> None:
    class Rounding(Plain):
        def forward(self, x: torch.Tensor) -> Any:
            y = super().forward(x)
            return y * torch.round(y)

    with pytest.raises(GradientUnavailable, match="carries no gradient: Mul"):
        _explained(_run_of(Rounding), pictures)


def test_options_are_those_of_the_path_methods() -> None:
    assert DeepLiftOptions().baseline == ("zero",)
