"""The rules that look where on the picture an answer comes from."""

from collections.abc import Iterator

from leap_audit.artifacts import EvidencePicture
from leap_audit.findings.evidence import Measurements, Seen, core
from leap_audit.findings.suspicion import Suspicion, evidence_pictures, seen_on
from leap_audit.text.numbers import count, percent

__all__ = ["border", "one_corner"]

CORE_AREA = 0.05
"""Only this much of a picture, ranked first, is looked at: what the answer hangs on most."""
CORNER_SIDE = 0.25
BORDER_SIDE = 0.125
PICTURES_NEEDED = 3
PICTURES_SHARE = 2 / 3
CORNER_SHARE = 0.5
BORDER_SHARE = 0.9


def one_corner(measured: Measurements) -> Iterator[Suspicion]:
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
                yield Suspicion(
                    concerned=f"{target}:{corner.replace(' ', '-')}",
                    classes=(target,),
                    title=f"‘{label}’ seems to be decided in the {corner} corner",
                    evidence=f"On {hits} of {count(len(seen), 'picture')} on which the model said "
                    f"the class, at least half of the pixels ranked first lie in that corner "
                    f"(on average {percent(sum(found) / len(found))}; the corner is "
                    f"{percent(CORNER_SIDE**2)} of a picture).",
                    sure=seen_on(hits, len(seen), "pictures"),
                    confirm="Pictures of the class with that corner covered, and pictures of "
                    "other classes with it pasted in, would tell.",
                    limits="A mark, logo or frame may have been learned instead of the object; "
                    "but the object itself may stand there in these pictures.",
                    pictures=_pictures(measured, seen),
                    figures={"pictures": len(seen), "in the corner": hits},
                )


def border(measured: Measurements) -> Iterator[Suspicion]:
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
            yield Suspicion(
                concerned=str(target),
                classes=(target,),
                title=f"‘{measured.labels[target]}’ seems to be decided at the edge of the picture",
                evidence=f"On {hits} of {count(len(seen), 'picture')} on which the model said the "
                f"class, at least nine tenths of the pixels ranked first lie in the outer eighth "
                f"(on average {percent(sum(found) / len(found))}; that frame is "
                f"{percent(1 - (1 - 2 * BORDER_SIDE) ** 2)} of a picture).",
                sure=seen_on(hits, len(seen), "pictures"),
                confirm="Pictures of the class with another background would tell.",
                limits="The model may go by the background, a frame or the way the pictures were "
                "cut; but in these pictures the object itself may reach the edge.",
                pictures=_pictures(measured, seen),
                figures={"pictures": len(seen), "at the edge": hits},
            )


def _pictures(measured: Measurements, seen: list[Seen]) -> tuple[EvidencePicture, ...]:
    """Photographs before prototypes: what happens in use comes first."""
    order = sorted(seen, key=lambda each: not each.photograph)
    return evidence_pictures(
        [
            (e.isolation.image, f"‘{measured.labels[e.isolation.class_]}’ on {e.picture}")
            for e in order
        ]
    )


def _by_class(measured: Measurements) -> dict[int, list[Seen]]:
    found: dict[int, list[Seen]] = {}
    for each in measured.isolations():
        found.setdefault(each.isolation.class_, []).append(each)
    return dict(sorted(found.items()))
