"""What others rank pixels by: Grad-CAM and SmoothGrad from one gradient graph, and RISE."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from benchmarks.ranking import Probability
from leap_audit.graph.shapes import static_shape
from leap_audit.ingest.model import Model
from leap_audit.measure.attribution.smoothgrad import SmoothGradOptions, smooth_gradient
from leap_audit.measure.draws import content_key, generator
from leap_audit.measure.run import PICTURE, Run
from leap_audit.measure.smooth import enlargement
from leap_audit.run.session import Array

__all__ = ["Network", "grad_cam", "rise", "smooth_grad"]

POOLING = ("GlobalAveragePool", "AveragePool", "ReduceMean")
COPIES, NOISE = 32, 0.15
"""Noisy copies of SmoothGrad, and the noise's deviation as a share of the picture's range."""
BLUR = 8 / 224
"""Standard deviation of the blur of SmoothGrad's map, as a fraction of its side."""
MASKS, CELLS, KEPT = 300, 7, 0.5
"""Masks of RISE, their cells along a side, and the share of cells that are kept."""


class Slopes(NamedTuple):
    """Of one class's logit, for each picture."""

    features: Array
    """(n, channels, rows, columns): the last map before it is averaged."""
    features_grad: Array
    picture_grad: Array


@dataclass(frozen=True)
class Network:
    """A classifier, and the last feature map that it averages."""

    run: Run
    features: str

    @staticmethod
    def of(model: Model, batch: int = 8, threads: int = 0) -> "Network":
        """Return the network. ValueError: the model averages no feature map."""
        return Network(Run(model, batch, threads), _last_map(model.graph.graph))

    def slopes(self, pictures: Array, class_: int) -> Slopes:
        """(n, channels, height, width) in 0..1 -> the feature maps and both gradients."""
        cotangent = self.run.model.answer.cotangent((class_,))
        found = self.run.gradient(pictures, cotangent, wrt=(self.features, PICTURE))
        maps = self.run.activations(pictures, self.features)[self.features]
        return Slopes(maps, found[self.features], found[PICTURE])


def grad_cam(network: Network, picture: Array, class_: int) -> Array:
    """Return Grad-CAM at the last feature map, enlarged bilinearly: (height, width).

    Selvaraju et al. 2017: channels weighted by the mean of their gradient, then a ReLU.
    """
    slopes = network.slopes(picture[None], class_)
    weights = slopes.features_grad[0].mean((1, 2))
    cam = np.maximum(np.tensordot(weights, slopes.features[0], 1), 0)
    rows, columns = (enlargement(c, n) for c, n in zip(cam.shape, picture.shape[1:], strict=True))
    return np.asarray(rows @ cam @ columns.T)


def smooth_grad(network: Network, picture: Array, class_: int, seed: int) -> Array:
    """Return the mean square gradient over noisy copies, summed over channels and blurred.

    Smilkov et al. 2017, squared as in Hooker et al. 2019. (height, width).
    """
    options = SmoothGradOptions(copies=COPIES, noise=NOISE, kind="square", blur=BLUR)
    run = network.run.at_once(min(network.run.batch, COPIES))
    cotangent = run.model.answer.cotangent((class_,))
    rng = generator(seed, "SmoothGrad", content_key(picture), class_)

    def gradient(pictures: Array) -> Array:
        return run.gradient(pictures, cotangent)[PICTURE]

    return np.asarray(smooth_gradient(gradient, picture, options, rng, run.batch).sum(0))


def rise(probability: Probability, picture: Array, class_: int, seed: int) -> Array:
    """Return the mean mask, each weighted by the class's probability behind it: (height, width).

    Petsiuk et al. 2018: coarse random grids, enlarged bilinearly and cut out at a random shift.
    What a mask hides is the picture's mean colour.
    """
    rng = generator(seed, "RISE", content_key(picture), class_)
    masks = np.stack([_random_mask(rng, *picture.shape[1:]) for _ in range(MASKS)])
    fill = picture.mean((1, 2), keepdims=True)
    weights = [probability((fill + m * (picture - fill))[None])[0] for m in masks]
    return np.asarray(np.tensordot(weights, masks, 1) / (MASKS * KEPT))


def _random_mask(rng: np.random.Generator, height: int, width: int) -> Array:
    grid = rng.random((CELLS + 1, CELLS + 1)) < KEPT
    cell = (-(-height // CELLS), -(-width // CELLS))  # rounded up
    rows, columns = (enlargement(CELLS + 1, (CELLS + 1) * side) for side in cell)
    top, left = (int(rng.integers(0, side)) for side in cell)
    whole = rows @ grid.astype(np.float32) @ columns.T
    return np.asarray(whole[top : top + height, left : left + width])


def _last_map(graph: ir.Graph) -> str:
    """The name of the last map that is averaged over more than one pixel."""
    for node in reversed(list(graph)):
        value = node.inputs[0] if node.op_type in POOLING else None
        if value is not None and len(shape := static_shape(value)) == 4 and shape[2] * shape[3] > 1:
            return str(value.name)
    raise ValueError("the model averages no feature map, which Grad-CAM needs")
