"""What `leap-audit explain` explains of each picture, and the flags of detectors that say so."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from leap_audit.cli import flags
from leap_audit.cli.flags import of_field, option

__all__: list[str] = []  # used as targets.Detector, targets.targets, ...

_WHAT = "What is audited"
_EXPLAIN = "What is explained"

Detector = Annotated[str | None, option("--detector", _WHAT, of_field("detector"), "FORMAT")]
Threshold = Annotated[
    float | None, option("--threshold", _WHAT, of_field("threshold"), "0..1", min=0, max=1)
]
Overlap = Annotated[
    float | None, option("--overlap", _WHAT, of_field("overlap"), "0..1", min=0, max=1)
]
Which = Annotated[
    str | None,
    option(
        "--detections",
        _EXPLAIN,
        "Detections to explain in each picture, by number from 0 on, the most confident first: "
        "0,2 or all (default 0).",
        "NUMBERS",
    ),
]
Part = Annotated[
    Literal["class", "box", "left", "top", "right", "bottom"] | None,
    option(
        "--part",
        _EXPLAIN,
        "What to explain of a detection: its class, all sides of its box, or one side (default "
        "class).",
        "class|box|left|top|right|bottom",
    ),
]


def numbers(ctx: Any, text: str | None) -> tuple[int, ...] | None:
    """Return the numbers that `--detections` names, () for all of them; None: it is left out."""
    if text is None:
        return None
    if text.strip() == "all":
        return ()
    found = [word.strip() for word in text.split(",")]
    if not all(word.isdigit() for word in found):
        raise flags.bad(ctx, "--detections", f"{text!r}: give numbers from 0 on, as 0,2, or all")
    return tuple(map(int, dict.fromkeys(found)))


Targets = Callable[[Any, str], list[tuple[Any, str]]]
"""(picture, its name) -> what is explained of it, each with its name for the page."""


def targets(run: Any, wanted: Any, labels: Any, terminal: Any, *, follow: bool) -> Targets:
    """What is explained of each picture."""
    from leap_audit.errors import UsageError

    given = wanted.dimension is not None or wanted.similar_to is not None
    detector = run.model.identity.task == "detection"
    if detector and wanted.target is None and not given:
        return _of_detections(run, labels, wanted.detections, wanted.part, terminal)
    if wanted.detections is not None or wanted.part is not None:
        raise UsageError(
            f"--detections and --part are for detectors; this model was taken for "
            f"{run.model.identity.task} (--detector FORMAT says otherwise)."
        )
    target = _target(run, wanted, labels, terminal, follow=follow)
    return lambda _, __: [target]


def _target(run: Any, wanted: Any, labels: Any, terminal: Any, *, follow: bool) -> tuple[Any, str]:
    """What is explained, and its name for the page; empty: that of a class."""
    from leap_audit.config import AuditOptions
    from leap_audit.errors import UsageError
    from leap_audit.measure.targets import DimensionTarget, SimilarityTarget
    from leap_audit.pipeline.photographs import read_album
    from leap_audit.text.filenames import legible

    text = wanted.target
    if wanted.dimension is not None:
        return DimensionTarget(wanted.dimension), f"dimension {wanted.dimension}"
    if wanted.similar_to is not None:
        values = {"samples": (str(wanted.similar_to),), "follow_links": follow}
        album = read_album(
            AuditOptions.parse(values, "explain"), labels, run.model.preprocessing, terminal
        )
        if len(album.pictures) != 1:
            raise UsageError(
                f"--similar-to: {wanted.similar_to} holds {len(album.pictures)} pictures; name one."
            )
        return SimilarityTarget(album.pictures[0]), f"similarity to {legible(album.names[0])}"
    if text is None and run.model.identity.task == "embedding":
        return None, "the model's vector"
    return (int(text) if text is not None and text.isdigit() else text), ""


def _of_detections(
    run: Any, labels: Any, which: tuple[int, ...] | None, part: str | None, terminal: Any
) -> Targets:
    """Return what is explained of each picture, and say what the detector finds in it."""
    from leap_audit.errors import UsageError
    from leap_audit.measure.detections import boxes_of, most_confident

    def of(picture: Any, name: str) -> list[tuple[Any, str]]:
        found = boxes_of(run, picture, labels)
        for number, box in enumerate(found):
            terminal.note(f"{name}: detection {number}, {in_words(box)}")
        if not found:
            least = run.model.answer.threshold
            if which:
                raise UsageError(
                    f"{name}: no detection has a confidence of {least:g} or more, so there is none "
                    "to name with --detections; lower --threshold."
                )
            best = most_confident(run, picture, labels)
            terminal.note(
                f"{name}: no detection has a confidence of {least:g} or more; explained is the "
                f"most confident row, {in_words(best)}"
            )
            label = f"{best.name} {best.confidence:.2f}, below the threshold"
            return [(best.target(part or "class"), label)]  # type: ignore[arg-type]
        chosen = range(len(found)) if which == () else which or (0,)
        beyond = [number for number in chosen if number >= len(found)]
        if beyond:
            raise UsageError(
                f"{name}: there is no detection {beyond[0]}; the picture has {len(found)}, from 0 "
                "on. Lower --threshold for more."
            )
        return [
            (
                found[number].target(part or "class"),  # type: ignore[arg-type]
                f"detection {number}, {in_words(found[number])}"
                + (f"; {PARTS[part]}" if part not in (None, "class") else ""),
            )
            for number in chosen
        ]

    return of


PARTS = {
    "box": "how far the box reaches",
    **{side: f"the {side} side of the box" for side in ("left", "top", "right", "bottom")},
}


def in_words(box: Any) -> str:
    """Return a detection in words: its class, confidence and box."""
    left, top, right, bottom = (f"{100 * side:.0f}" for side in box.box)
    return f"{box.name} {box.confidence:.2f}, {left}..{right} % across and {top}..{bottom} % down"
