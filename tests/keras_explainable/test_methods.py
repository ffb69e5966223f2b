"""Each method beside its formula in NumPy, on models with channels first and last."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import leap_audit.keras_explainable as ke
from leap_audit.errors import PictureRefused, UsageError
from leap_audit.keras_explainable.meta import resized
from tests.keras_explainable.conftest import CLASSES, HEIGHT, WIDTH, Array, Worked


def taken(values: Array, units: Array) -> Array:
    """Return (n, classes, ...) at the units of each, (n, units, ...)."""
    return np.stack([each[chosen] for each, chosen in zip(values, units, strict=True)])


def last(maps: Array) -> Array:
    """Return (n, units, rows, columns) as (n, rows, columns, units)."""
    return np.moveaxis(maps, 1, -1)


def normalised(x: Array) -> Array:
    """Return values brought to 0..1 along the two axes before the last."""
    above = x - x.min((-3, -2), keepdims=True)
    top = above.max((-3, -2), keepdims=True)
    return np.where(top > 0, above / np.where(top > 0, top, 1), 0)


def gradients(worked: Worked, x: Array, units: Array) -> Array:
    return last(np.abs(taken(worked.gradient(x), units)).mean(-1))


def cam(worked: Worked, x: Array, units: Array) -> Array:
    return np.einsum("nhwk,nuk->nhwu", worked.maps(x), worked.dense[units])


def gradcam(worked: Worked, x: Array, units: Array) -> Array:
    weights = taken(worked.map_gradient(x), units).mean((2, 3))
    return np.einsum("nhwk,nuk->nhwu", worked.maps(x), weights)


def gradcampp(worked: Worked, x: Array, units: Array) -> Array:
    a, g = worked.maps(x), taken(worked.map_gradient(x), units)
    scores = taken(worked.scores(x), units)
    below = 2 * g**2 + a.sum((1, 2))[:, None, None, None] * g**3
    alpha = np.where(below != 0, g**2 / np.where(below != 0, below, 1), 0)
    positive = np.maximum(np.exp(scores)[:, :, None, None, None] * g, 0)
    return np.einsum("nhwk,nuk->nhwu", a, (alpha * positive).sum((2, 3)))


def scorecam(worked: Worked, x: Array, units: Array) -> Array:
    masks = resized(normalised(worked.maps(x)), x.shape[1:3])
    total = np.zeros((*x.shape[:3], units.shape[1]))
    for k in range(masks.shape[-1]):
        mask = masks[..., k]
        scores = taken(worked.scores(x * mask[..., None]), units)
        total += scores[:, None, None] * mask[..., None]
    return total


def full_gradients(worked: Worked, x: Array, units: Array) -> Array:
    gradient = taken(worked.gradient(x), units).sum(1)
    of_bias = taken(worked.bias_gradient(x), units).sum(1) * worked.bias
    parts = [np.abs(gradient * x), np.abs(of_bias)]
    means = [normalised(part).mean(-1, keepdims=True) for part in parts]
    return means[0] + resized(means[1], x.shape[1:3])


ORACLES: dict[str, tuple[Any, Callable[[Worked, Array, Array], Array]]] = {
    "gradients": (ke.methods.gradient.gradients, gradients),
    "full_gradients": (ke.methods.gradient.full_gradients, full_gradients),
    "cam": (ke.methods.cams.cam, cam),
    "gradcam": (ke.methods.cams.gradcam, gradcam),
    "gradcampp": (ke.methods.cams.gradcampp, gradcampp),
    "scorecam": (ke.methods.cams.scorecam, scorecam),
}


@pytest.mark.parametrize("name", ORACLES)
def test_methods_are_their_formulas(worked: Worked, inputs: Array, units: Array, name: str) -> None:
    method, oracle = ORACLES[name]
    scores, maps = method(worked.path, inputs, units)
    assert (scores.dtype, maps.dtype) == (np.float32, np.float32)
    np.testing.assert_allclose(scores, taken(worked.scores(inputs), units), rtol=1e-5, atol=1e-5)
    want = oracle(worked, inputs, units)
    assert maps.shape == want.shape
    np.testing.assert_allclose(maps, want, atol=2e-5 * np.abs(want).max())


def test_the_list_of_methods_is_the_originals() -> None:
    every = [*ke.methods.gradient.METHODS, *ke.methods.cams.METHODS]
    assert {each.__name__ for each in every} == set(ORACLES)


def test_without_units_every_class_is_explained(worked: Worked, inputs: Array) -> None:
    scores, maps = ke.methods.cams.cam(worked.path, inputs)
    assert scores.shape == (3, CLASSES)
    every = np.tile(np.arange(CLASSES), (3, 1))
    np.testing.assert_allclose(maps, cam(worked, inputs, every), rtol=1e-4, atol=1e-4)


def test_a_filter_of_gradients_takes_channels_last(
    worked: Worked, inputs: Array, units: Array
) -> None:
    def first(gradient: Array) -> Array:
        assert gradient.shape == (HEIGHT, WIDTH, 3)
        return gradient * np.array([3.0, 0, 0])

    _, maps = ke.methods.gradient.gradients(worked.path, inputs, units, gradient_filter=first)
    want = last(taken(worked.gradient(inputs), units)[..., 0])
    np.testing.assert_allclose(maps, want, atol=1e-5)


def test_psi_gets_each_part_with_its_axes(worked: Worked, inputs: Array) -> None:
    shapes = []

    def signed(part: Array, axes: tuple[int, ...]) -> Array:
        shapes.append((part.shape, axes))
        return part * part.shape[-1]

    units = np.array([[2], [2], [2]])
    _, maps = ke.methods.gradient.full_gradients(worked.path, inputs, units, psi=signed)
    assert shapes[0] == ((1, HEIGHT, WIDTH, 3), (-3, -2))
    assert shapes[1] == ((1, HEIGHT // 2, WIDTH // 2, 4), (-3, -2))
    sizes = np.array([HEIGHT * WIDTH, HEIGHT * WIDTH / 4])
    parts = [(worked.gradient(inputs) * inputs[:, None])[:, 2].sum((1, 2, 3))]
    parts += [(worked.bias_gradient(inputs) * worked.bias)[:, 2].sum((1, 2, 3))]
    whole = worked.scores(inputs)[:, 2] - worked.dense_bias[2]
    np.testing.assert_allclose(sum(parts), whole, rtol=1e-5)  # they add up to the score
    want = (parts[0] / sizes[0] + parts[1] / sizes[1]) * sizes[0]
    np.testing.assert_allclose(maps.sum((1, 2, 3)), want, rtol=1e-3)


def test_an_exponential_does_not_overflow(worked: Worked, inputs: Array) -> None:
    loud = inputs * 1000
    units = worked.scores(loud).argmax(1)[:, None]
    assert worked.scores(loud).max() > 100
    scores, maps = ke.gradcampp(worked.path, loud, units, verbose=0, resizing=False)
    assert np.isfinite(maps).all()
    assert maps.max() == 1
    assert scores.max() > 100


def test_smooth_is_the_mean_of_the_input_and_its_copies(worked: Worked, inputs: Array) -> None:
    seen: list[Array] = []

    def method(model: Any, x: Array, indices: Any = None, factor: int = 1) -> tuple[Array, Array]:
        seen.append(x)
        return x.sum((1, 2)), factor * x

    smooth = ke.methods.meta.smooth(method, repetitions=6, noise=0.5)
    assert smooth.__name__ == "method_smooth"
    scores, maps = smooth(worked.path, inputs, factor=2)
    assert len(seen) == 6
    np.testing.assert_array_equal(seen[0], inputs)
    np.testing.assert_allclose(maps, 2 * np.mean(seen, 0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(scores, np.mean(seen, 0).sum((1, 2)), rtol=1e-4, atol=1e-4)
    noise = np.stack(seen[1:]) - inputs
    assert noise.std() == pytest.approx(0.5, rel=0.1)
    assert not np.allclose(noise[0], noise[1])
    alone = smooth(worked.path, inputs[1:2], factor=2)[1]
    np.testing.assert_allclose(alone, maps[1:2], rtol=1e-5, atol=1e-6)
    assert smooth(worked.path, inputs, factor=2)[1].tobytes() == maps.tobytes()


@pytest.mark.parametrize("hflip", [True, False])
def test_views_are_averaged_by_their_number(worked: Worked, inputs: Array, hflip: bool) -> None:
    """The original divides 2(S + 1) maps by 2S: what is the same in every view comes out as 1."""

    def same(model: Any, x: Array, indices: Any = None) -> tuple[Array, Array]:
        return np.ones((len(x), 1)), np.ones((*x.shape[:3], 1))

    scores, maps = ke.methods.meta.tta(same, scales=[0.5, 2.0], hflip=hflip)(worked.path, inputs)
    assert maps.shape == (3, HEIGHT, WIDTH, 1)
    np.testing.assert_allclose(maps, 1)
    np.testing.assert_allclose(scores, 1)


def test_a_view_is_mirrored_back(worked: Worked, inputs: Array, units: Array) -> None:
    tta = ke.methods.meta.tta(ke.methods.gradient.gradients, scales=[])
    _, maps = tta(worked.path, inputs, units)
    mirrored = gradients(worked, inputs[:, :, ::-1], units)[:, :, ::-1]
    want = (gradients(worked, inputs, units) + mirrored) / 2
    np.testing.assert_allclose(maps, want, atol=1e-5)


def test_scales_need_a_model_of_any_size(
    request: pytest.FixtureRequest, worked: Worked, inputs: Array, units: Array
) -> None:
    tta = ke.methods.meta.tta(ke.methods.cams.cam, scales=[2.0], hflip=False)
    if "any size" not in request.node.name:
        with pytest.raises(UsageError, match=r"tta: the model cannot be run at .*give scales=\[\]"):
            tta(worked.path, inputs, units)
        return
    _, maps = tta(worked.path, inputs, units)
    double = resized(inputs, (2 * HEIGHT, 2 * WIDTH))
    views = [cam(worked, x, units) for x in (inputs, double)]
    want = np.mean([resized(view, (HEIGHT, WIDTH)) for view in views], 0)
    np.testing.assert_allclose(maps, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"indices": [0, 3, 1]}, UsageError, r"give \(3, 1\)"),
        ({"indices": [[0], [3]]}, UsageError, r"of the shape \(2, 1\) for 3 inputs"),
        ({"indices": [[0.5], [1], [2]]}, UsageError, "float64"),
        ({"indices": [[0], [5], [1]]}, UsageError, "no unit 5; the model has 5"),
        ({"indices_axis": 0}, UsageError, "indices_axis 0"),
        ({"spatial_axis": (1, 2, 3)}, UsageError, "spatial_axis"),
        ({"inputs": np.zeros((6, 8, 3))}, PictureRefused, r"shape \[6, 8, 3\]; give \(n, height"),
        ({"inputs": np.zeros((1, 8, 3, 6))}, PictureRefused, "x: inputs of 6 channels at 8 × 3"),
    ],
)
@pytest.mark.parametrize("name", ["gradients", "full_gradients", "cam"])
def test_wrong_shapes_are_refused(
    worked: Worked,
    inputs: Array,
    name: str,
    change: dict[str, Any],
    error: type[Exception],
    says: str,
) -> None:
    given = {"inputs": inputs, "indices": None, **change}
    with pytest.raises(error, match=says):
        ORACLES[name][0](worked.path, **given)
