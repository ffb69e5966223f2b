"""LFXAI's functions, against captum on its auxiliary function and against their definitions."""

from typing import Any

import numpy as np
import pytest

from leap_audit.errors import ConfigRefused, PictureRefused
from leap_audit.lfxai import (
    InfluenceFunctions,
    NearestNeighbours,
    SimplEx,
    TracIn,
    attribute_auxiliary,
    attribute_individual_dim,
)
from leap_audit.lfxai.explanations.encoder import encoder_network, representations

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.fixture(scope="module")
def encoder() -> Any:
    torch.manual_seed(0)
    of = torch.nn
    return of.Sequential(
        of.Conv2d(1, 4, 3, padding=1), of.ReLU(), of.Flatten(), of.Linear(4 * 64, 5)
    ).eval()


@pytest.fixture(scope="module")
def network(encoder: Any) -> Any:
    return encoder_network(encoder)


@pytest.fixture(scope="module")
def inputs() -> Any:
    torch.manual_seed(1)
    return torch.randn(5, 1, 8, 8)


def loader(x: Any) -> Any:
    return [(x[:3], torch.zeros(3)), (x[3:], torch.zeros(len(x) - 3))]


def auxiliary(encoder: Any, x: Any) -> Any:
    fixed = encoder(x).detach()

    def score(other: Any) -> Any:
        return (fixed.repeat_interleave(len(other) // len(fixed), 0) * encoder(other)).sum(-1)

    return score


@pytest.mark.filterwarnings("ignore:Input Tensor 0 did not")
def test_label_free_saliency_and_integrated_gradients_are_captums(
    encoder: Any, network: Any, inputs: Any
) -> None:
    attr = pytest.importorskip("captum.attr")
    for name, options, theirs in (
        ("Saliency", {}, lambda f, x: attr.Saliency(f).attribute(x)),
        (
            "IntegratedGradients",
            {"steps": 20},
            lambda _, x: torch.cat(
                [
                    attr.IntegratedGradients(auxiliary(encoder, one[None])).attribute(
                        one[None], n_steps=20
                    )
                    for one in x
                ]
            ),
        ),
    ):
        ours = attribute_auxiliary(network, loader(inputs), "cpu", name, **options)
        peer = theirs(auxiliary(encoder, inputs), inputs).detach().numpy()
        assert ours.shape == (5, 1, 8, 8)
        assert np.abs(ours - peer).max() <= 1e-5 * np.abs(peer).max(), name


def test_integrated_gradients_add_up_to_the_auxiliary_function(
    encoder: Any, network: Any, inputs: Any
) -> None:
    found = attribute_auxiliary(network, [inputs], None, "integrated_gradients", steps=200)
    h, zero = encoder(inputs).detach(), encoder(torch.zeros(1, 1, 8, 8)).detach()
    gap = found.sum((1, 2, 3)) - ((h * h).sum(1) - (h * zero).sum(1)).numpy()
    assert np.abs(gap).max() < 1e-2


def test_one_dimension_is_weighed_by_its_own_value(encoder: Any, network: Any, inputs: Any) -> None:
    found = attribute_individual_dim(network, 2, loader(inputs), None, "Saliency")
    x = inputs.clone().requires_grad_()
    for d in range(2):
        (slope,) = torch.autograd.grad(encoder(x)[:, d].sum(), x)
        slow = (encoder(x)[:, d].detach()[:, None, None] * slope[:, 0]).abs()
        assert np.allclose(found[:, d], slow.numpy(), atol=1e-5)
    with pytest.raises(ConfigRefused, match="5 dimensions"):
        attribute_individual_dim(network, 6, loader(inputs), None, "Saliency")


def test_refusals_say_what_to_do(network: Any, inputs: Any) -> None:
    with pytest.raises(ConfigRefused, match="there is no 'Salency'"):
        attribute_auxiliary(network, [inputs], None, "Salency")
    with pytest.raises(PictureRefused, match="baseline"):
        attribute_auxiliary(
            network, [inputs], None, "integrated_gradients", baseline=np.zeros((2, 3))
        )
    with pytest.raises(PictureRefused, match="no batch"):
        attribute_auxiliary(network, [], None, "Saliency")
    with pytest.raises(ConfigRefused, match="X_train"):
        SimplEx(network).attribute(inputs, [0])


def test_examples_of_every_test_input(network: Any, inputs: Any) -> None:
    h = representations(network, inputs.numpy())
    near = NearestNeighbours(network, X_train=inputs).attribute(inputs[:2], [2, 3, 4])
    assert isinstance(near, torch.Tensor)
    slow = 1 / ((h[:2, None] - h[None, 2:]) ** 2).sum(2)
    assert np.allclose(near.numpy(), slow, rtol=1e-4)
    weights = SimplEx(network, X_train=inputs).attribute(inputs, [0, 1, 2, 3])
    assert np.allclose(weights.sum(1), 1, atol=1e-5)
    assert np.allclose(weights[:4], np.eye(4), atol=1e-3)
    by_loader = SimplEx(network).attribute_loader(None, [inputs[:4]], loader(inputs))
    assert np.allclose(by_loader, weights, atol=1e-5)


def test_the_residual_is_no_larger_than_by_gradient_descent() -> None:
    rng = np.random.default_rng(0)
    hull, test = rng.normal(size=(30, 8)), rng.normal(size=(3, 8))
    ours = SimplEx.compute_weights(test, hull)
    free = torch.zeros((3, 30), requires_grad=True)  # as LFXAI does it
    steps = torch.optim.Adam([free])
    corpus, wanted = torch.tensor(hull).float(), torch.tensor(test).float()
    for _ in range(1000):
        steps.zero_grad()
        ((torch.softmax(free, -1) @ corpus - wanted) ** 2).sum().backward()
        steps.step()
    theirs = torch.softmax(free, -1).detach().numpy()
    ours_left = np.linalg.norm(ours @ hull - test, axis=1)
    assert (ours_left <= np.linalg.norm(theirs @ hull - test, axis=1) + 1e-6).all()


def test_tracin_and_influence_of_the_last_layer(encoder: Any, inputs: Any) -> Any:
    labels = torch.tensor([0, 1, 2, 3, 4])
    found = TracIn(encoder, None, None, inputs, y_train=labels).attribute(inputs[:2], [1, 2])
    last, body = encoder[-1], encoder[:-1]

    def gradient(x: Any, y: Any) -> Any:
        loss = torch.nn.functional.cross_entropy(last(body(x[None]).detach()), y[None])
        return torch.cat([g.ravel() for g in torch.autograd.grad(loss, last.parameters())])

    shown = encoder(inputs).argmax(1)
    slow = [
        [gradient(inputs[t], shown[t]) @ gradient(inputs[i], labels[i]) for i in (1, 2)]
        for t in (0, 1)
    ]
    assert np.allclose(found.numpy(), np.array(slow), rtol=1e-3, atol=1e-5)
    helped = InfluenceFunctions(encoder).attribute_loader(
        None, [(inputs, labels)], [(inputs, labels)], damp=1.0
    )
    assert (np.diag(helped) > 0).all()  # an input helps itself
    with pytest.raises(ConfigRefused, match="y_train"):
        TracIn(encoder, X_train=inputs).attribute(inputs, [0])
