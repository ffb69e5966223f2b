"""What the options leave open, chosen by the size and kind of the input."""

from typing import Any

from leap_audit.config import PrototypeOptions
from leap_audit.errors import ConfigRefused

__all__ = ["TRANSFORMS", "settled"]

SMALL = 64
"""Short side in pixels below which a picture holds one centred object, not a scene."""
VIEWS = 2
"""Random views that a step has of a scene (docs/prototypes.md)."""
NOISE, SMALL_NOISE = 0.1, 0.02
"""Deviation of the noise that a step adds: in general, and to a small picture in colour."""
HOLD, INK = 8.0, 2.0
"""What keeps a small grey picture one object on a plain ground (see PrototypeOptions)."""
MAPPED = {"middle": 0.2, "surround": 0.42, "log_weight": 8.0}
"""Where a map shall say the class, and how much it is to be probable (docs/prototypes.md)."""
GLARE = 0.125
"""Total variation of a scene whose logit is standardised: it holds back glaring specks
(docs/prototypes.md)."""
TRANSFORMS: dict[str, tuple[tuple[float, float], float, bool]] = {
    "none": ((1.0, 1.0), 0.0, False),
    "s": ((0.92, 1.08), 0.04, False),
    "m": ((0.8, 1.25), 0.1, True),
    "l": ((0.6, 1.25), 0.14, True),
    "xl": ((0.4, 1.2), 0.18, True),
}
"""Name -> scale, shift and flip of the random views (see PrototypeOptions)."""


def settled(
    options: PrototypeOptions,
    shape: tuple[int, int, int],
    *,
    batchable: bool = True,
    mapped: bool = False,
    standardise: bool = False,
) -> PrototypeOptions:
    """Return the options with nothing left open, for pictures of (channels, height, width).

    Photographs are seen mostly from close up and far off centre, which makes a class appear at
    many sizes, and in changing light, so that no answer hangs on one shade; two views a step keep
    what the network wants of both. Small pictures hold one centred object: little movement. In
    colour they need less noise, because a network for 32 pixels reads details of one pixel, and
    a total variation that holds back saturated specks. Grey pictures are strokes on a dark
    ground: they start there, are never mirrored, as letters are not, and a light total variation
    keeps them clean. Small grey pictures are also one object on a plain ground, as digits are:
    the ground goes on beyond the border, pixels near the border are held to it, and all that
    leaves it has a price, so that what is drawn is what the logit needs. Convolutional networks
    and transformers get the same settings: no setting that follows the size of the patches did
    better (docs/prototypes.md). Of a map the class is wanted in the middle, and not near the
    border, so that an object is drawn and not a texture; and it is wanted to be probable there,
    because a logit is as high on what other classes share. batchable: whether the model can answer
    several views at once. mapped: whether it answers with a map that is fine enough.
    standardise: whether the network's logit is to be standardised over classes (see `stands_out`);
    then a light total variation holds back glaring specks.

    Raises ConfigRefused: more than one view of a model that takes one picture at a time.
    """
    if not batchable and (options.views or 1) > 1:
        raise ConfigRefused(
            f"prototype.views: this model takes one picture at a time, so a step cannot look at "
            f"{options.views} views; leave views out or give 1."
        )
    channels, height, width = shape
    small = min(height, width) < SMALL
    name = options.transform
    if name == "auto":
        name = "m" if small or channels == 1 else "xl"
    scale, shift, flip = TRANSFORMS[name]
    chosen: dict[str, Any] = {"transform": name, "scale": scale, "shift": shift}
    chosen["flip"] = flip and channels != 1
    drawing = small and channels == 1
    chosen |= {"plain_ground": drawing, "hold": HOLD * drawing, "ink": INK * drawing}
    if channels == 1:
        variation = 18.0 if drawing else 12.0
        chosen |= {"background": 0.12, "total_variation": variation, "jitter": 0.0, "views": 1}
        chosen["noise"] = NOISE
    elif small:
        chosen |= {"background": 0.5, "total_variation": 8.0, "jitter": 0.0, "views": 1}
        chosen["noise"] = SMALL_NOISE
    else:
        views = VIEWS if batchable else 1
        chosen |= {"background": 0.5, "total_variation": 0.0, "jitter": 0.25, "views": views}
        chosen["noise"] = NOISE
    chosen |= dict(zip(MAPPED, MAPPED.values() if mapped else (0.0, 0.0, 0.0), strict=True))
    chosen["objective"] = "standardised" if standardise else "logit"
    if channels != 1 and not small and (options.objective or chosen["objective"]) != "logit":
        chosen["total_variation"] = GLARE
    given = {n for n in chosen if n != "transform" and getattr(options, n) is not None}
    return options.model_copy(update={n: v for n, v in chosen.items() if n not in given})
