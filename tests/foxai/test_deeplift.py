"""DeepLIFT's explainers beside captum, which adds up where no MaxPool follows a ReLU."""

import warnings
from typing import Any

import pytest

from leap_audit.foxai import explainer as of
from leap_audit.pipeline.inputs import Network
from tests.foxai.conftest import TARGET, Prepared

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
attr = pytest.importorskip("captum.attr", reason="captum is not installed")


def _two(x: Any) -> Any:
    """Two baselines for all inputs."""
    return torch.randn(x.shape, generator=torch.Generator().manual_seed(1))


def _quiet(function: Any, *arguments: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # captum's hooks
        return function(*arguments).detach()


def _error(found: Any, want: Any) -> float:
    return float((found - want).norm() / want.norm())


@pytest.fixture(scope="module")
def averaging(prepared: Prepared) -> Prepared:
    """The network with an average in place of the maximum."""
    layers = [each for each in prepared.module if not isinstance(each, torch.nn.MaxPool2d)]
    module = torch.nn.Sequential(*layers[:2], torch.nn.AvgPool2d(2), *layers[2:]).eval()
    return Prepared(module, Network(module), prepared.inputs)


def test_inputs_are_explained_as_captum_does(averaging: Prepared) -> None:
    x, module, network = averaging.inputs, averaging.module, averaging.network
    two = _two(x)
    cases: list[tuple[of.Explainer, dict[str, Any], Any]] = [
        (of.DeepLIFTCVExplainer(), {"baselines": two}, attr.DeepLift(module).attribute),
        (of.DeepLIFTCVExplainer(), {}, attr.DeepLift(module).attribute),
        (of.DeepLIFTSHAPCVExplainer(), {"baselines": two}, attr.DeepLiftShap(module).attribute),
    ]
    for explainer, given, theirs in cases:
        want = _quiet(theirs, x, given.get("baselines", 0.0), TARGET)
        found = explainer.calculate_features(network, x, TARGET, **given)
        assert found.shape == want.shape
        assert _error(found, want) < 1e-5


def test_shap_without_baselines_is_against_zeros(prepared: Prepared) -> None:
    x, network = prepared.inputs, prepared.network
    found = of.DeepLIFTSHAPCVExplainer().calculate_features(network, x, TARGET)
    same = of.DeepLIFTCVExplainer().calculate_features(network, x, TARGET)
    assert torch.equal(found, same)


def test_attributions_add_up_where_captums_do_not(prepared: Prepared) -> None:
    """A MaxPool behind a ReLU."""
    x, module, x0 = prepared.inputs, prepared.module, _two(prepared.inputs)
    apart = (module(x) - module(x0))[:, TARGET].detach()
    found = of.DeepLIFTCVExplainer().calculate_features(prepared.network, x, TARGET, baselines=x0)
    theirs = _quiet(attr.DeepLift(module).attribute, x, x0, TARGET)
    assert _error(found.sum((1, 2, 3)), apart) < 1e-5
    assert _error(theirs.sum((1, 2, 3)), apart) > 1e-2
