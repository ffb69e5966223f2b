"""What the options leave open, chosen by the size and kind of the input."""

from leap_audit.config import PrototypeOptions

__all__ = ["settled"]

SMALL = 64
"""Short side in pixels below which a picture holds one centred object, not a scene."""


def settled(options: PrototypeOptions, shape: tuple[int, int, int]) -> PrototypeOptions:
    """Return the options with nothing left open, for pictures of (channels, height, width).

    Photographs are seen mostly from close up and far off centre, which makes a class appear at
    many sizes. Small pictures hold one centred object: little movement. Grey ones are strokes on
    a dark ground: they start there, and a light total variation keeps them clean.
    """
    channels, height, width = shape
    if channels == 1:
        chosen = {
            "scale": (0.8, 1.25),
            "shift": 0.1,
            "flip": False,
            "background": 0.12,
            "total_variation": 12.0,
        }
    elif min(height, width) < SMALL:
        chosen = {
            "scale": (0.8, 1.2),
            "shift": 0.12,
            "flip": True,
            "background": 0.5,
            "total_variation": 0.1,
        }
    else:
        chosen = {
            "scale": (0.4, 1.2),
            "shift": 0.18,
            "flip": True,
            "background": 0.5,
            "total_variation": 0.0,
        }
    open_fields = {name: value for name, value in chosen.items() if getattr(options, name) is None}
    return options.model_copy(update=open_fields)
