"""What a prototype is painted with: a cosine basis, natural colours, pixels in 0..1."""

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from leap_audit.config import PrototypeOptions
from leap_audit.gradient import Emitter, backpropagate
from leap_audit.graph.shapes import static_shape
from leap_audit.measure.prototype.image import paint
from tests.builders.emitted import numbers, start

# Olah et al. 2017, lucid: the root of the colour covariance, scaled to a largest column norm of 1.
ROOT = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
SHAPES = [(2, 1, 6, 6), (1, 3, 5, 8)]


def colours(op: Emitter, coefficients: ir.Value, background: float) -> ir.Value:
    options = PrototypeOptions(background=background)
    return paint(op, coefficients, static_shape(coefficients)[1], options).colour


def painted(z: NDArray[np.float64], background: float) -> NDArray[np.float64]:
    """sigmoid(C · Dᵀ (S ⊙ z) D + start), written out pixel by pixel."""
    height, width = z.shape[2:]
    plain = np.zeros(z.shape)
    for y in range(height):
        for x in range(width):
            for ky in range(height):
                for kx in range(width):
                    f = np.sqrt((ky / (2 * height)) ** 2 + (kx / (2 * width)) ** 2)
                    s = 1 / (2 * max(f, 1 / (2 * max(height, width))))
                    down = np.sqrt((1 if ky == 0 else 2) / height)
                    along = np.sqrt((1 if kx == 0 else 2) / width)
                    wave = np.cos(np.pi * ky * (2 * y + 1) / (2 * height))
                    wave *= np.cos(np.pi * kx * (2 * x + 1) / (2 * width))
                    plain[:, :, y, x] += z[:, :, ky, kx] * s * down * along * wave
    if z.shape[1] == 3:
        root = ROOT / max(np.sqrt((ROOT[:, k] ** 2).sum()) for k in range(3))
        plain = np.einsum("ij,bjyx->biyx", root, plain)
    return np.asarray(1 / (1 + np.exp(-(plain + np.log(background / (1 - background))))))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("background", [0.5, 0.12])
def test_equals_the_formula(shape: tuple[int, ...], background: float) -> None:
    op, (coefficients,) = start(z=shape)
    z = np.random.default_rng(0).standard_normal(shape) * 0.3
    (picture,) = numbers(op, [colours(op, coefficients, background)], {"z": z})
    np.testing.assert_allclose(picture, painted(z, background), atol=2e-5)


@pytest.mark.parametrize("background", [0.0, 0.12, 0.5, 1.0])
def test_nothing_gives_the_background(background: float) -> None:
    op, (coefficients,) = start(z=(1, 3, 4, 4))
    picture = colours(op, coefficients, background)
    (found,) = numbers(op, [picture], {"z": np.zeros((1, 3, 4, 4))})
    np.testing.assert_allclose(found, background, atol=2e-3)
    assert np.isfinite(found).all()


def test_pixels_lie_between_black_and_white() -> None:
    op, (coefficients,) = start(z=(1, 3, 8, 8))
    z = np.random.default_rng(0).standard_normal((1, 3, 8, 8)) * 100
    (picture,) = numbers(op, [colours(op, coefficients, 0.5)], {"z": z})
    assert picture.min() >= 0
    assert picture.max() <= 1
    assert picture.max() - picture.min() > 0.9


@pytest.mark.parametrize("shape", SHAPES)
def test_gradient_agrees_with_central_differences(shape: tuple[int, ...]) -> None:
    op, (coefficients,) = start(z=shape)
    rng = np.random.default_rng(0)
    z, weights, direction = (rng.standard_normal(shape) for _ in range(3))
    picture = colours(op, coefficients, 0.3)
    slope = backpropagate(op, {picture: op.constant(weights)}, [coefficients])
    (dz,) = numbers(op, slope, {"z": z})
    step = 1e-5
    ahead, behind = (painted(z + s * direction, 0.3) for s in (step, -step))
    quotient = float((weights * (ahead - behind)).sum()) / (2 * step)
    assert float((dz * direction).sum()) == pytest.approx(quotient, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize(("background", "ground"), [(0.12, 0.0), (0.9, 1.0)])
def test_a_hold_pulls_the_outer_part_to_the_ground(background: float, ground: float) -> None:
    shape = (1, 1, 20, 10)
    op, (coefficients,) = start(z=shape)
    options = PrototypeOptions(background=background, hold=4.0)
    colour = paint(op, coefficients, 1, options).colour
    (held,) = numbers(op, [colour], {"z": np.zeros(shape)})
    logits = np.log(held / (1 - held)) - np.log(background / (1 - background))
    pull = np.zeros((20, 10))
    for y in range(20):
        for x in range(10):
            far = max(abs(y - 9.5) / 10, abs(x - 4.5) / 5)
            pull[y, x] = 4.0 * max(0.0, (far - 0.7) / 0.3) * (2 * ground - 1)
    np.testing.assert_allclose(logits[0, 0], pull, atol=1e-3)
