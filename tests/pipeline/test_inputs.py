"""A network at its own inputs, without preprocessing."""

import numpy as np
import pytest

from leap_audit.errors import ConfigRefused, PictureRefused
from leap_audit.pipeline.inputs import Network, explain_inputs
from tests.builders.classifiers import linear

SIDE = 6


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    weights = np.stack([np.zeros(SIDE**2), np.arange(SIDE**2)])
    return Network(linear(tmp_path_factory.mktemp("linear") / "m.onnx", weights, SIDE))


def test_inputs_are_explained_as_they_are(network: Network) -> None:
    run = network.run((1, SIDE, SIDE))
    assert network.run((1, SIDE, SIDE)) is run
    inputs = np.random.default_rng(0).normal(size=(2, 1, SIDE, SIDE)).astype(np.float32) * 9
    slopes = np.arange(SIDE**2).reshape(1, SIDE, SIDE)
    np.testing.assert_allclose(
        run.logits(inputs)[:, 1], (slopes * inputs).sum((1, 2, 3)), rtol=1e-4
    )
    found = explain_inputs(run, inputs, [1, None], "input_x_gradient")
    np.testing.assert_allclose(found[0].values, slopes * inputs[0], rtol=1e-4, atol=1e-3)
    assert found[1].subject.class_ == int(run.logits(inputs)[1].argmax())


def test_baselines_are_of_each_input(network: Network) -> None:
    run = network.run((1, SIDE, SIDE))
    inputs = np.ones((2, 1, SIDE, SIDE), np.float32)
    baselines = [np.full((1, 1, SIDE, SIDE), 3.0, np.float32), None]
    found = explain_inputs(
        run, inputs, [1, 1], "integrated_gradients", {"steps": 4}, baselines=baselines
    )
    slopes = np.arange(SIDE**2).reshape(1, SIDE, SIDE)
    np.testing.assert_allclose(found[0].values, -2 * slopes, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found[1].values, slopes, rtol=1e-4, atol=1e-4)


def test_what_the_network_does_not_take_is_refused(network: Network) -> None:
    with pytest.raises(PictureRefused, match="x: inputs of 1 channels at 6 × 7 do not fit"):
        network.run((1, SIDE, SIDE + 1))
    run = network.run((1, SIDE, SIDE))
    inputs = np.zeros((1, 1, SIDE, SIDE), np.float32)
    with pytest.raises(ConfigRefused, match="did you mean 'saliency'"):
        explain_inputs(run, inputs, [0], "salience")
    with pytest.raises(ConfigRefused, match="did you mean 'absolute'"):
        explain_inputs(run, inputs, [0], "saliency", {"absolut": True})
