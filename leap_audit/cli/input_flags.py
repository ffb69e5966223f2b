"""The flags of what stands around a model: values of its inputs, directions behind its output."""

from pathlib import Path
from typing import Annotated, Any

import typer

from leap_audit.cli.flags import bad, of_field, option

__all__: list[str] = []  # used as input_flags.Input, input_flags.values, ...

_WHAT = "What is audited"

Input = Annotated[
    str | None,
    option("--input", _WHAT, of_field("input"), "NAME"),
]
Set = Annotated[
    list[str] | None,
    option(
        "--set",
        _WHAT,
        of_field("set"),
        "NAME=VALUE|FILE",
    ),
]
Signature = Annotated[
    str | None,
    option("--signature", _WHAT, of_field("signature"), "NAME"),
]
Directions = Annotated[
    Path | None,
    option("--directions", _WHAT, of_field("directions"), "FILE"),
]
DirectionsScale = Annotated[
    float | None,
    option("--directions-scale", _WHAT, of_field("directions_scale"), "NUMBER"),
]


GradientInput = Annotated[
    str | None, option("--input", "Options", "The input that stays, beside those of --set.", "NAME")
]
GradientSet = Annotated[
    list[str] | None,
    option(
        "--set", "Options", "Value that another input always gets; repeatable.", "NAME=VALUE|FILE"
    ),
]
GradientSignature = Annotated[
    str | None,
    option("--signature", "Options", "Which function of a SavedModel (the one it serves).", "NAME"),
]


def values(ctx: typer.Context, texts: list[str] | None) -> dict[str, Any]:
    """Return input name -> value from `NAME=0.5`, `NAME=true`, `NAME=1,2,3` or `NAME=FILE.npy`."""
    found: dict[str, Any] = {}
    for text in texts or []:
        name, sign, value = text.partition("=")
        if not (name and sign and value):
            raise bad(ctx, "--set", f"{text!r} is not a name and a value, such as training=false.")
        if name in found:
            raise bad(ctx, "--set", f"{name!r} has two values; give one.")
        found[name] = _value(value)
    return found


def _value(text: str) -> Any:
    """A truth value, a number, several, or the path of a file."""
    words = {"true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    try:
        numbers = [
            int(part) if part.strip("+- ").isdigit() else float(part) for part in text.split(",")
        ]
    except ValueError:
        return text
    return numbers if "," in text else numbers[0]
