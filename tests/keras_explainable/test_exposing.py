"""What is explained and where: tensors of a graph, and layers of Keras and torch."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import leap_audit.keras_explainable as ke
from leap_audit.errors import UsageError
from leap_audit.keras_explainable.inspection import Endpoint
from leap_audit.pipeline.layers import layer_calls
from tests.builders.classifiers import Node, write_model
from tests.keras_explainable.conftest import Array, Worked


def test_a_tensor_of_the_graph_is_explained(worked: Worked, inputs: Array, units: Array) -> None:
    """The map before the ReLU, whose gradient is none where the ReLU is off."""
    exposed = ke.inspection.expose(worked.path, "z")
    _, maps = ke.methods.cams.gradcam(exposed, inputs, units)
    n, h, w, c = inputs.shape
    halves = inputs.reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4))
    before = halves @ worked.kernel.T + worked.bias
    gradient = np.stack([g[u] for g, u in zip(worked.bias_gradient(inputs), units, strict=True)])
    want = np.einsum("nhwk,nuk->nhwu", before, gradient.mean((2, 3)))
    np.testing.assert_allclose(maps, want, atol=1e-5 * np.abs(want).max())
    again = ke.inspection.expose(exposed, {"name": "z"}, "y")
    np.testing.assert_array_equal(ke.methods.cams.gradcam(again, inputs, units)[1], maps)


def test_another_tensor_holds_the_scores(worked: Worked, inputs: Array) -> None:
    exposed = ke.inspection.expose(worked.path, None, "f")
    scores, maps = ke.methods.cams.gradcam(exposed, inputs, [[2]] * 3)
    averages = worked.maps(inputs).mean((1, 2))
    np.testing.assert_allclose(scores[:, 0], averages[:, 2], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(maps[..., 0] * 12, worked.maps(inputs)[..., 2], atol=1e-5)


def test_what_is_not_there_is_named_with_the_nearest(worked: Worked, inputs: Array) -> None:
    with pytest.raises(UsageError, match="no tensor 'zz'; did you mean 'z'"):
        ke.gradcam(ke.inspection.expose(worked.path, "zz"), inputs, verbose=0)
    with pytest.raises(UsageError, match="a float describes no layer"):
        ke.inspection.expose(worked.path, 0.5)
    with pytest.raises(UsageError, match='"link" is "output" or "input"'):
        ke.inspection.expose(worked.path, {"name": "z", "link": "inward"})
    with pytest.raises(UsageError, match="has no layers to be named"):
        layer_calls(worked.path, inputs)
    with pytest.raises(UsageError, match="give a name, properties or a class"):
        ke.inspection.find_layer_with(worked.path)


def test_a_graph_has_no_layers_and_needs_none(worked: Worked, inputs: Array) -> None:
    logits = ke.inspection.get_logits_layer(worked.path)
    assert logits == ke.inspection.get_global_pooling_layer(worked.path) == Endpoint(None)
    layers, biases = ke.inspection.layers_with_biases(worked.path, exclude=[logits])
    assert (layers, biases) == ([], [])
    exposed = ke.inspection.expose(worked.path, layers, logits)
    plain = ke.full_gradients(worked.path, inputs, [[1]] * 3, verbose=0)[1]
    found = ke.full_gradients(exposed, inputs, [[1]] * 3, biases=biases, verbose=0)[1]
    np.testing.assert_array_equal(found, plain)


def test_units_are_gathered() -> None:
    values = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(ke.inspection.gather_units(values), values)
    found = ke.inspection.gather_units(values, [[2, 0], [1, -1]])
    np.testing.assert_array_equal(found, [[2, 0], [4, 5]])


def test_the_bias_of_batch_normalisation_has_the_layers_own_epsilon() -> None:
    norm = SimpleNamespace(
        moving_mean=np.array([2.0]),
        moving_variance=np.array([0.1]),
        epsilon=0.9,
        gamma=None,
        beta=np.array([0.5]),
    )
    plain = SimpleNamespace(bias=np.array([3.0]))
    found = ke.inspection.biases([norm, plain])
    np.testing.assert_allclose(found, [[0.5 - 2 / 1], [3]])


@pytest.fixture(scope="module")
def network(keras: Any) -> Any:
    """A classifier whose second convolution is folded into batch normalisation by the exporter."""
    keras.utils.set_random_seed(0)
    of = keras.layers
    model = keras.Sequential(
        [
            keras.Input((None, None, 3), name="inputs"),
            of.Conv2D(4, 3, padding="same", activation="relu", name="first"),
            of.MaxPooling2D(name="pool"),
            of.Conv2D(6, 3, padding="same", name="second"),
            of.BatchNormalization(name="norm"),
            of.Activation("relu", name="post_relu"),
            of.GlobalAveragePooling2D(name="avg_pool"),
            of.Dense(5, activation="softmax", name="predictions"),
        ]
    )
    norm = model.get_layer("norm")
    norm.set_weights([w + 0.3 * (i + 1) for i, w in enumerate(norm.get_weights())])
    return model


def keras_gradcam(network: Any, inputs: Array, units: Array) -> NDArray[Any]:
    """Grad-CAM of the scores before the softmax, at the last ReLU, by the layers' own numbers."""
    outputs = [call.output for call in layer_calls(network, inputs)]
    maps = next(each for each in outputs if each.shape[-1] == 6 and each.min() >= 0)
    dense = np.asarray(network.get_layer("predictions").kernel).T
    return np.einsum("nhwk,nuk->nhwu", maps, dense[units] / (maps.shape[1] * maps.shape[2]))


def test_layers_of_keras_are_exposed(network: Any, inputs: Array, units: Array) -> None:
    want = keras_gradcam(network, inputs, units)
    for arguments in (
        (),
        ("post_relu", "predictions"),
        ({"name": "post_relu", "link": "output"}, {"name": "predictions"}),
        ({"name": "avg_pool", "link": "input", "node": 0}, "predictions"),
        (network.layers.index(network.get_layer("post_relu")),),
        (network.get_layer("post_relu"),),
    ):
        exposed = ke.inspection.expose(network, *arguments)
        _, maps = ke.methods.cams.gradcam(exposed, inputs, units)
        np.testing.assert_allclose(maps, want, atol=1e-5 * np.abs(want).max())
    assert not {"call"} & set(vars(network.get_layer("post_relu")))  # as it was
    probabilities = np.asarray(network(inputs, training=False))
    every = ke.methods.gradient.gradients(exposed, inputs)[0]
    found = np.exp(every - every.max(1, keepdims=True))
    np.testing.assert_allclose(found / found.sum(1, keepdims=True), probabilities, atol=1e-5)


def test_a_layer_that_is_folded_away_is_replaced_and_said(
    network: Any, inputs: Array, units: Array
) -> None:
    exposed = ke.inspection.expose(network, "second")
    with pytest.warns(UserWarning, match="'second' is folded into the layer after it"):
        _, maps = ke.methods.cams.gradcam(exposed, inputs, units)
    _, want = ke.methods.cams.gradcam(ke.inspection.expose(network, "norm"), inputs, units)
    np.testing.assert_allclose(maps, want, atol=1e-5)
    with pytest.raises(UsageError, match="is called 1 times; there is no call 3"):
        ke.gradcam(ke.inspection.expose(network, {"name": "norm", "node": 3}), inputs, verbose=0)


def test_a_model_of_convolutions_alone_has_cams(tmp_path: Path, inputs: Array) -> None:
    """Classes are made at each place, and averaged: the weights are those of the convolution."""
    rng = np.random.default_rng(5)
    kernel, classes = rng.normal(size=(4, 3)), rng.normal(size=(5, 4))
    nodes: list[Node] = [
        ("Conv", ["x", "k"], "z"),
        ("Relu", ["z"], "a"),
        ("Conv", ["a", "c"], "s"),
        ("GlobalAveragePool", ["s"], "p"),
        ("Flatten", ["p"], "y"),
    ]
    weights = {"k": kernel[:, :, None, None], "c": classes[:, :, None, None]}
    path = tmp_path / "m.onnx"
    write_model(path, nodes, weights, shape=("n", 3, 6, 8), outputs=[("y", ("n", 5))])
    _, maps = ke.methods.cams.cam(ke.inspection.expose(path, "a"), inputs)
    want = np.maximum(inputs @ kernel.T, 0) @ classes.T
    np.testing.assert_allclose(maps, want, atol=1e-5 * np.abs(want).max())


def test_layers_inside_a_model_inside_are_found(keras: Any, network: Any, inputs: Array) -> None:
    """Keras itself refuses this: its tensors belong to another graph."""
    of = keras.layers
    inner = keras.Sequential(network.layers[:-1], name="body")
    outer = keras.Sequential(
        [keras.Input(inputs.shape[1:]), inner, of.Dense(5, name="logits"), of.Softmax()]
    )
    units = np.array([[1]] * 3)
    for arguments in (
        (),
        (("body", "post_relu"),),
        ({"name": ("body", "avg_pool"), "link": "input"},),
    ):
        exposed = ke.inspection.expose(outer, *arguments)
        _, maps = ke.methods.cams.cam(exposed, inputs, units)
        _, same = ke.methods.cams.gradcam(exposed, inputs, units)
        np.testing.assert_allclose(maps / 12, same, atol=1e-5)
    with pytest.raises(UsageError, match="no layer 'bdy'; did you mean 'body'"):
        ke.inspection.expose(outer, ("bdy", "post_relu"))


def test_layers_of_keras_are_searched(network: Any) -> None:
    of = ke.inspection
    logits = of.get_logits_layer(network)
    assert logits is network.get_layer("predictions")
    assert of.get_global_pooling_layer(network) is network.get_layer("avg_pool")
    assert of.find_layer_with(network, properties=["kernel"], search_reversed=False).name == "first"
    assert of.find_layer_with(network, klass=type(network.get_layer("pool"))).name == "pool"
    layers, biases = of.layers_with_biases(network, exclude=[logits])
    assert [layer.name for layer in layers] == ["first", "second", "norm"]
    assert [len(bias) for bias in biases] == [4, 6, 6]
    assert of.layers_with_biases(network, return_biases=False)[-1] is logits
    with pytest.raises(UsageError, match="no layer of the class"):
        of.find_layer_with(network, klass="Nothing")


def test_layers_of_torch_are_exposed(inputs: Array, units: Array) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(6, 5),
    ).eval()
    first = torch.from_numpy(np.moveaxis(inputs, -1, 1).copy())
    with torch.no_grad():
        maps = module[:2](first).numpy()
        scores = module(first).numpy()
    weights = module[4].weight.detach().numpy()[units] / maps[0, 0].size
    want = np.einsum("nkhw,nuk->nhwu", maps, weights)
    for arguments in ((), ("1",), (module[1],), ({"name": "2", "link": "input"},)):
        found = ke.methods.cams.gradcam(ke.inspection.expose(module, *arguments), inputs, units)
        np.testing.assert_allclose(found[0], np.take_along_axis(scores, units, 1), atol=1e-5)
        np.testing.assert_allclose(found[1], want, atol=1e-5)
    stray = ke.inspection.expose(module, torch.nn.ReLU())
    with pytest.raises(UsageError, match="the ReLU is not called"):
        ke.gradcam(stray, inputs, verbose=0)
