"""Whether photographs of known classes are read better with another preprocessing."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from leap_audit.artifacts import ChannelOrder, OtherReading, Preprocessing, Readings
from leap_audit.ingest.pictures.presets import IMAGENET_MEAN, IMAGENET_STD, KERAS_MODES
from leap_audit.measure.run import Run
from leap_audit.run.session import Array
from leap_audit.statistics import sign_test

__all__ = ["compare_readings"]

MOST = 100
"""Photographs that are compared: more would cost time and tell nothing new."""


_Convention = tuple[str, tuple[float, float], tuple[float, ...], tuple[float, ...]]
"""What it is called, range, mean and deviation, red first."""


@dataclass(frozen=True)
class _Reading:
    """A preprocessing as x = gain * pixel + shift for each channel of the model."""

    text: str
    order: ChannelOrder
    gain: Array
    shift: Array

    @staticmethod
    def of(
        text: str,
        order: ChannelOrder,
        low_high: Sequence[float],
        mean: Sequence[float],
        std: Sequence[float],
    ) -> "_Reading":
        low, high = low_high
        deviation = np.asarray(std, np.float64)
        return _Reading(text, order, (high - low) / deviation, (low - np.asarray(mean)) / deviation)

    def same(self, other: "_Reading") -> bool:
        numbers = [(self.gain, other.gain), (self.shift, other.shift)]
        return self.order == other.order and all(np.allclose(a, b) for a, b in numbers)

    def read(self, pictures: Array) -> Array:
        """Pixels -> the model's input, channels first."""
        return _turned(pictures, self.order) * _wide(self.gain) + _wide(self.shift)

    def pixels(self, x: Array) -> Array:
        """The model's input -> the pixels that this reading makes it of."""
        return _turned((x - _wide(self.shift)) / _wide(self.gain), self.order)


def compare_readings(
    run: Run, pictures: Sequence[Array], ground_truth: Sequence[int | None]
) -> Readings | None:
    """Return how often the model is right as it is shown photographs, and as it might be.

    pictures: (channels, height, width) in 0..1 each; ground_truth: the class of each, None
    where it is not known. The other readings are the conventions of image models: other ranges,
    means and deviations, and red and blue exchanged. `p` of one is the probability that it would
    gain so much by chance (an exact sign test over the photographs that the two readings answer
    differently, times the number of readings tried).

    None where no photograph of a known class is given, or the model takes bands.
    """
    own = _own(run.model.preprocessing)
    chosen = [i for i, class_ in enumerate(ground_truth) if class_ is not None]
    if not chosen or own.order == "BANDS":
        return None
    chosen = chosen[:: math.ceil(len(chosen) / MOST)]
    shown = np.stack([pictures[i] for i in chosen])
    wanted = np.array([ground_truth[i] for i in chosen])
    right = run.logits(shown).argmax(1) == wanted
    every = [other for other in _conventions(own) if not other.same(own)]
    others = []
    for other in every:
        # The model keeps its preprocessing; the pixels are such that it gives the other's input.
        also = run.logits(own.pixels(other.read(shown))).argmax(1) == wanted
        gained, lost = int((also & ~right).sum()), int((right & ~also).sum())
        chance = min(1.0, sign_test(gained, lost) * len(every))
        others.append(OtherReading(text=other.text, right=int(also.sum()), p=chance))
    others.sort(key=lambda each: (-each.right, each.text))
    return Readings(photographs=len(chosen), right=int(right.sum()), others=tuple(others))


def _own(p: Preprocessing) -> _Reading:
    return _Reading.of("as it is shown them", p.channel_order, p.range, p.mean, p.std)


def _conventions(own: _Reading) -> Iterator[_Reading]:
    """How image models take their pictures; means and deviations red first."""
    one = (1.0,)
    plain: list[_Convention] = [
        ("pixels from 0 to 1", (0.0, 1.0), (0.0,), one),
        ("pixels from −1 to 1", (-1.0, 1.0), (0.0,), one),
        ("pixels from 0 to 255", (0.0, 255.0), (0.0,), one),
    ]
    if own.order == "GRAY":
        for text, (low, high), mean, std in plain:
            yield _Reading.of(text, "GRAY", (low, high), mean, std)
            exchanged = f"{text}, black and white exchanged"
            yield _Reading.of(exchanged, "GRAY", (high, low), mean, std)
        return
    caffe = KERAS_MODES["caffe"]["mean"][::-1]
    imagenet = "pixels from 0 to 1, with ImageNet's mean and deviation"
    plain.append((imagenet, (0.0, 1.0), IMAGENET_MEAN, IMAGENET_STD))
    plain.append(("pixels from 0 to 255, less ImageNet's mean", (0.0, 255.0), caffe, one))
    orders: tuple[tuple[ChannelOrder, str], ...] = (("RGB", "red"), ("BGR", "blue"))
    for order, first in orders:
        for text, low_high, mean, std in plain:
            step = 1 if order == "RGB" else -1
            yield _Reading.of(f"{text}, {first} first", order, low_high, mean[::step], std[::step])
    other: ChannelOrder = "BGR" if own.order == "RGB" else "RGB"
    yield _Reading("red and blue exchanged", other, own.gain[::-1], own.shift[::-1])


def _turned(pictures: Array, order: ChannelOrder) -> Array:
    return pictures[:, ::-1] if order == "BGR" else pictures


def _wide(numbers: Array) -> Array:
    return np.reshape(numbers, (1, -1, 1, 1))
