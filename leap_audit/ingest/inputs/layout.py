"""Where the channels of an input stand, and what is asked for where the model leaves it free."""

from collections.abc import Sequence

from leap_audit.artifacts import Layout
from leap_audit.config import DeclaredPreprocessing
from leap_audit.errors import PreprocessingRefused

__all__ = ["layout_of", "require_known"]

CHANNELS = frozenset({"c", "ch", "channel", "channels", "num_channels", "n_channels", "chan"})
HEIGHTS = frozenset({"h", "height", "rows", "img_height", "image_height", "in_height", "input_h"})
WIDTHS = frozenset({"w", "width", "cols", "img_width", "image_width", "in_width", "input_w"})
"""What exporters call the sides of a picture, in small letters."""


def require_known(
    declared: DeclaredPreprocessing,
    sides: tuple[int | None, ...],
    named: tuple[str, ...],
    label: str,
) -> None:
    """Raise PreprocessingRefused where something is neither declared nor said by the model.

    One sentence names all of it, so that nobody is asked twice.
    """
    free, flags = [], []
    layout = declared.layout or _inferred_layout(sides, named)
    spatial = sides[1:3] if layout == "NHWC" else sides[2:] if layout == "NCHW" else sides[1:]
    channels = None if layout is None else sides[1 if layout == "NCHW" else 3]
    if layout is None:
        flags.append("--layout NCHW or --layout NHWC")
        if None not in sides[1:]:
            flags.append("--channel-order BANDS")
    bands = declared.channel_order == "BANDS" and layout is not None and channels is None
    if bands and max(len(declared.mean or ()), len(declared.std or ())) < 2:
        free.append("number of bands")
        flags.append("--mean with a number for each band")
    if declared.input_size is None and None in spatial:
        sizes = zip(("height", "width"), spatial, strict=layout is not None)
        free += [word for word, side in sizes if side is None or layout is None]
        flags.append("--input-size HEIGHT,WIDTH, such as --input-size 224,224")
    if not flags:
        return
    left = f"leaves its {' and '.join(free)} free" if free else ""
    if layout is None:
        left = f"{left}, and is" if left else "is"
        left += f" {_shown(sides)}, which does not say where the channels of a picture are"
    raise PreprocessingRefused(f"{label} {left}; pass {', and '.join(flags)}.")


def _shown(sides: Sequence[int | None]) -> str:
    return " × ".join("free" if side is None else str(side) for side in sides)


def _inferred_layout(sides: tuple[int | None, ...], named: tuple[str, ...]) -> Layout | None:
    """The layout that the sizes show, or the names of the free sides; None where neither does."""
    if 3 in (sides[1], sides[3]):
        return "NCHW" if sides[1] == 3 else "NHWC"
    if 1 in (sides[1], sides[3]):
        return "NCHW" if sides[1] == 1 else "NHWC"
    first, last = named[1] in CHANNELS, named[3] in CHANNELS
    if first != last:
        return "NCHW" if first else "NHWC"
    if named[2] in HEIGHTS and named[3] in WIDTHS:
        return "NCHW"
    if named[1] in HEIGHTS and named[2] in WIDTHS:
        return "NHWC"
    if _fewer(sides[1], sides[2], sides[3]):
        return "NCHW"
    if _fewer(sides[3], sides[1], sides[2]):
        return "NHWC"
    # The only known side beside free ones is that of the channels.
    if sides[1] is not None and sides[2] is None and sides[3] is None:
        return "NCHW"
    if sides[3] is not None and sides[1] is None and sides[2] is None:
        return "NHWC"
    return None


def layout_of(
    declared: DeclaredPreprocessing,
    sides: tuple[int | None, ...],
    named: tuple[str, ...],
    assumed: dict[str, str],
) -> Layout:
    if declared.layout is not None:
        found = sides[1 if declared.layout == "NCHW" else 3]
        other = sides[3 if declared.layout == "NCHW" else 1]
        bands = declared.channel_order == "BANDS" or _fewer(found, other, sides[2])
        if found not in (1, 3, None) and not bands:
            raise PreprocessingRefused(
                f"--layout {declared.layout} does not fit an input of {_shown(sides)}: it finds "
                f"{found} channels; if these are bands, pass --channel-order BANDS."
            )
        return declared.layout
    layout = _inferred_layout(sides, named)
    assert layout is not None  # require_known has asked for it
    names = [name or _shown([side]) for name, side in zip(named, sides, strict=True)]
    assumed["layout"] = f"the input is {' × '.join(names)}"
    return layout


def _fewer(channels: int | None, *sides: int | None) -> bool:
    """Whether a dimension can only be the channels: it is smaller than both sides."""
    return channels is not None and all(s is not None and channels < s for s in sides)
