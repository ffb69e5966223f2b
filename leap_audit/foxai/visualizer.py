"""FoXAI's pictures of attributions. They need matplotlib, which returns its own figures."""

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from leap_audit.errors import RuntimeMissing, UsageError
from leap_audit.foxai.array_utils import (
    convert_standardized_float_to_uint8,
    normalize_attributes,
    resize_attributes,
    retain_only_positive,
    standardize_array,
    transpose_color_last_in_array_np,
)
from leap_audit.foxai.arrays import numbers_of
from leap_audit.run.session import Array

__all__ = [
    "draw_image",
    "generate_figure",
    "mean_channels_visualization",
    "single_channel_visualization",
    "visualize_metric",
]

Size = tuple[int, int]


def draw_image(image: Any, title: str = "", ax: Any = None, figsize: Size = (8, 8)) -> Any:
    """Return a figure of an image, (channels, height, width), brought to its whole range."""
    axes = _axes(ax, figsize)
    axes.set_title(title)
    _without_ticks(axes)
    axes.imshow(_shown(image))
    return axes.get_figure()


def generate_figure(
    attributions: Array,
    transformed_img: Array,
    title: str = "",
    figsize: Size = (8, 8),
    alpha: float = 0.5,
    ax: Any = None,
) -> Any:
    """Return a figure of a map in 0..1, (height, width), over an image of channels last."""
    axes = _axes(ax, figsize)
    axes.imshow(transformed_img)
    heat = axes.imshow(attributions, cmap="jet", vmin=0, vmax=1, alpha=alpha)
    axes.figure.colorbar(heat, label="Pixel relevance")
    _without_ticks(axes)
    axes.set_title(title)
    return axes.get_figure()


def mean_channels_visualization(
    attributions: Any,
    transformed_img: Any,
    title: str = "",
    figsize: Size = (8, 8),
    alpha: float = 0.5,
    only_positive_attr: bool = True,
    ax: Any = None,
) -> Any:
    """Return a figure of the mean over the channels of one input's attributions, over the image."""
    shape = numbers_of(transformed_img).shape
    whole = heatmap(numbers_of(attributions), shape, only_positive=only_positive_attr)
    return generate_figure(whole, _shown(transformed_img), title, figsize, alpha, ax)


def single_channel_visualization(
    attributions: Any,
    transformed_img: Any,
    selected_channel: int,
    title: str = "",
    figsize: Size = (8, 8),
    alpha: float = 0.5,
    only_positive_attr: bool = True,
    ax: Any = None,
) -> Any:
    """Return a figure of one channel of one input's attributions. Raises UsageError: no such."""
    values = numbers_of(attributions)
    if not 0 <= selected_channel < len(values):
        raise UsageError(
            f"selected_channel: there is no channel {selected_channel}; there are {len(values)}, "
            "from 0 on."
        )
    return mean_channels_visualization(
        values[selected_channel], transformed_img, title, figsize, alpha, only_positive_attr, ax
    )


def visualize_metric(
    importance_list: Sequence[tuple[float, float]],
    metric_result: float,
    metric_type: str = "Deletion",
) -> None:
    """Show the probability of the class by the share of the picture that is removed or shown."""
    plt = _matplotlib("pyplot")
    plt.plot(*zip(*importance_list, strict=True))
    plt.ylim((0, 1))
    plt.xlim((0, 1))
    plt.title(f"{metric_type}: {metric_result}")
    plt.ylabel("Probability of the class")
    plt.xlabel(f"Share of the image {'removed' if metric_type == 'Deletion' else 'revealed'}")
    plt.show()


def heatmap(attributions: Array, shape: tuple[int, ...], *, only_positive: bool) -> Array:
    """Return attributions as (height, width) in 0..1: mean over channels, enlarged to an image."""
    values = normalize_attributes(attributions)
    values = retain_only_positive(values) if only_positive else values
    return standardize_array(resize_attributes(values, shape[-1], shape[-2]))


def _shown(image: Any) -> Array:
    values = numbers_of(image)
    whole = convert_standardized_float_to_uint8(standardize_array(values))
    if whole.ndim == 3:
        whole = transpose_color_last_in_array_np(whole)
    return np.repeat(whole, 3, -1) if whole.ndim == 3 and whole.shape[-1] == 1 else whole


def _axes(ax: Any, figsize: Size) -> Any:
    return ax if ax is not None else _matplotlib("figure").Figure(figsize=figsize).subplots()


def _without_ticks(axes: Any) -> None:
    axes.get_xaxis().set_visible(False)
    axes.get_yaxis().set_visible(False)


def _matplotlib(part: str) -> Any:
    try:
        return importlib.import_module(f"matplotlib.{part}")
    except ImportError:
        raise RuntimeMissing("figures need matplotlib: pip install matplotlib.") from None
