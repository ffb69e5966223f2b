"""What a detector finds in a picture."""

from typing import Annotated

from pydantic import Field

from leap_audit.artifacts.frozen import Frozen

__all__ = ["Coincident", "Detection"]


class Detection(Frozen):
    """An object that a detector finds in a picture."""

    class_: Annotated[int, Field(alias="class")]
    name: str
    prob: float
    """The detector's confidence, 0..1."""
    box: tuple[float, float, float, float]
    """Left, top, right and bottom, as fractions of the picture that the model sees; a box may reach
    beyond it."""


class Coincident(Frozen):
    """Two detections at one place of a picture: of two classes, or of one class twice."""

    first: int
    """Its place among the detections of the picture."""
    second: int
    held: bool
    """Whether both are still found on the mirrored picture."""
    covered: bool
    """Whether covering what the boxes share loses both."""
