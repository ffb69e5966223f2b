"""Insertion and deletion (Petsiuk et al. 2018), with FoXAI's parameters."""

from typing import Any

import numpy as np

from leap_audit.errors import PictureRefused
from leap_audit.foxai.array_utils import normalize_attributes, resize_attributes
from leap_audit.foxai.arrays import numbers_of
from leap_audit.foxai.base_explainer import classes_of, network_of_model
from leap_audit.measure.faithfulness.ranking import erasure_curves, fill_of
from leap_audit.measure.smooth import blur_matrix
from leap_audit.pipeline.explain import subject_of
from leap_audit.run.session import Array

__all__ = ["deletion", "insertion"]

STEPS = 30
Curve = list[tuple[float, float]]


def deletion(
    attributions: Any, transformed_img: Any, model: Any, chosen_class: Any
) -> tuple[float, Curve]:
    """Return the mean probability of a class while pixels are removed, and the curve of it.

    attributions: of one input, (channels, rows, columns) or (rows, columns); the highest first.
    transformed_img: the input, (channels, height, width). What is removed becomes the mean of its
    channel. The curve: (share removed, probability), from none to all, in 30 steps.
    """
    picture = _picture(transformed_img)
    _, deleted = _curves(attributions, picture, model, chosen_class, fill_of(picture, "mean"))
    return _result(deleted)


def insertion(
    attributions: Any,
    transformed_img: Any,
    model: Any,
    chosen_class: Any,
    kernel: tuple[int, int] | None = None,
) -> tuple[float, Curve]:
    """Return the mean probability of a class while pixels are shown, and the curve of it.

    kernel: (width, height) in pixels of the Gaussian blur that stands for what is not shown yet;
    None: a standard deviation of a twelfth of the height. Others: as of `deletion`.
    """
    picture = _picture(transformed_img)
    fill = fill_of(picture, "blur") if kernel is None else _blurred(picture, kernel)
    inserted, _ = _curves(attributions, picture, model, chosen_class, fill)
    return _result(inserted)


def _picture(image: Any) -> Array:
    picture = np.asarray(numbers_of(image), np.float32)
    if picture.ndim != 3:
        raise PictureRefused(
            f"transformed_img: the shape {list(picture.shape)}; give one input, (channels, height, "
            "width)."
        )
    return picture


def _curves(
    attributions: Any, picture: Array, model: Any, chosen_class: Any, fill: Array
) -> tuple[Array, Array]:
    channels, height, width = picture.shape
    run = network_of_model(model).run((channels, height, width))
    (class_,) = classes_of(chosen_class, 1, run.model.classes)
    names = tuple(map(str, range(run.model.classes)))
    subject, answer = subject_of(run, picture, names, class_), run.model.answer

    def probabilities(pictures: Array) -> Array:
        each = map(answer.probabilities, run.scores(pictures))
        return np.array([found[subject.class_] @ subject.where for found in each])

    values = resize_attributes(normalize_attributes(numbers_of(attributions)), width, height)
    return erasure_curves(probabilities, picture, values, fill, STEPS)


def _result(probabilities: Array) -> tuple[float, Curve]:
    shares = np.linspace(0, 1, len(probabilities))
    curve = [(float(a), float(b)) for a, b in zip(shares, probabilities, strict=True)]
    return round(float(probabilities.mean()), 4), curve


def _blurred(picture: Array, kernel: tuple[int, int]) -> Array:
    """Blurred by kernels of so many pixels, of the deviation that torchvision gives them."""
    across, down = (0.3 * ((side - 1) * 0.5 - 1) + 0.8 for side in kernel)
    rows, columns = blur_matrix(picture.shape[1], down), blur_matrix(picture.shape[2], across)
    return np.asarray(rows @ picture @ columns.T)
