"""The rules that look where on the picture an answer comes from."""

from collections.abc import Iterator

from leap_audit.findings.measurements import Measurements, Seen, core
from leap_audit.findings.numbers import count, percent

__all__ = ["border", "one_corner"]

CORE_AREA = 0.05
"""Only this much of a picture, ranked first, is looked at: what the answer hangs on most."""
CORNER_SIDE = 0.25
BORDER_SIDE = 0.125
PICTURES_NEEDED = 3
PICTURES_SHARE = 2 / 3
CORNER_SHARE = 0.5
BORDER_SHARE = 0.9


def one_corner(measured: Measurements) -> Iterator[tuple[str, str, str, str]]:
    corners = {"upper left": (0, 0), "upper right": (0, 1), "lower left": (1, 0)}
    corners["lower right"] = (1, 1)
    for target, seen in _by_class(measured).items():
        if len(seen) < PICTURES_NEEDED:
            continue
        shares: dict[str, list[float]] = {corner: [] for corner in corners}
        for each in seen:
            weights = core(measured.folder, each.isolation, CORE_AREA)
            height, width = (max(1, round(side * CORNER_SIDE)) for side in weights.shape)
            for corner, (bottom, right) in corners.items():
                rows = slice(-height, None) if bottom else slice(height)
                columns = slice(-width, None) if right else slice(width)
                shares[corner].append(float(weights[rows, columns].sum()))
        for corner, found in shares.items():
            hits = sum(share >= CORNER_SHARE for share in found)
            if hits >= PICTURES_SHARE * len(seen):
                label = measured.labels[target]
                yield (
                    f"{target}:{corner.replace(' ', '-')}",
                    f"‘{label}’ seems to be decided in the {corner} corner",
                    f"On {hits} of {count(len(seen), 'picture')} on which the model said the "
                    f"class, at least half of the pixels ranked first lie in that corner "
                    f"(on average {percent(sum(found) / len(found))}; the corner is "
                    f"{percent(CORNER_SIDE**2)} of a picture).",
                    "A mark, logo or frame may have been learned instead of the object; but the "
                    "object itself may stand there in these pictures. Pictures of the class with "
                    "that corner covered would tell.",
                )


def border(measured: Measurements) -> Iterator[tuple[str, str, str, str]]:
    for target, seen in _by_class(measured).items():
        if len(seen) < PICTURES_NEEDED:
            continue
        found = []
        for each in seen:
            weights = core(measured.folder, each.isolation, CORE_AREA)
            top, left = (max(1, round(side * BORDER_SIDE)) for side in weights.shape)
            found.append(1.0 - float(weights[top:-top, left:-left].sum()))
        hits = sum(share >= BORDER_SHARE for share in found)
        if hits >= PICTURES_SHARE * len(seen):
            yield (
                str(target),
                f"‘{measured.labels[target]}’ seems to be decided at the edge of the picture",
                f"On {hits} of {count(len(seen), 'picture')} on which the model said the class, "
                f"at least nine tenths of the pixels ranked first lie in the outer eighth "
                f"(on average {percent(sum(found) / len(found))}; that frame is "
                f"{percent(1 - (1 - 2 * BORDER_SIDE) ** 2)} of a picture).",
                "The model may go by the background, a frame or the way the pictures were cut. "
                "Pictures of the class with another background would tell.",
            )


def _by_class(measured: Measurements) -> dict[int, list[Seen]]:
    found: dict[int, list[Seen]] = {}
    for each in measured.isolations():
        found.setdefault(each.isolation.class_, []).append(each)
    return dict(sorted(found.items()))
