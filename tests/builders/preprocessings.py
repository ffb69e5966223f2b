"""What a model does to its pictures: preprocessing that leaves values as they are."""

from typing import Any

from leap_audit.artifacts import Preprocessing


def asking(height: int, width: int, **changes: Any) -> Preprocessing:
    fields: dict[str, Any] = {
        "layout": "NCHW",
        "channel_order": "RGB",
        "range": (0, 1),
        "mean": (0,),
        "std": (1,),
        "resize": "crop",
        "input_size": (height, width),
    }
    return Preprocessing(**fields | changes)


def bands(height: int, width: int, count: int = 7, **changes: Any) -> Preprocessing:
    given = {"channel_order": "BANDS", "mean": (0,) * count, "std": (1,) * count}
    return asking(height, width, **(given | changes))
