"""Rules about isolations: whether they hold, and where on the picture they lie."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from leap_audit.artifacts import EvidencePicture
from leap_audit.findings.evidence import Evidence, StatedClass, core
from leap_audit.findings.suspicion import Suspicion, evidence_pictures, pattern_certainty
from leap_audit.text.numbers import count, listed, percent

__all__ = [
    "PICTURES_NEEDED",
    "border",
    "erasing_changes_little",
    "isolation_not_enough",
    "one_corner",
]

CORE_AREA = 0.05
"""At most this much of a picture, ranked first, is looked at: what the answer depends on most."""
CORNER_SIDE = 0.25
"""Of a corner, as a part of the picture's side."""
CORNER_SHARE = 0.5
"""Of the core, which must lie in a corner."""
BORDER_SIDE = 0.125
"""Width of the frame, as a part of the picture's side."""
BORDER_SHARE = 0.9
"""Of the core, which must lie in the frame."""
PICTURES_NEEDED = 3
"""Pictures of a class below which its place is not judged."""
PICTURES_SHARE = 2 / 3
"""Of the pictures of a class, on which the core must lie in one place."""


def isolation_not_enough(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect the isolations whose region does not keep enough of the class."""
    stated = list(evidence.stated_classes())
    failed = [each for each in stated if each.isolation.outcome == "not enough"]
    if failed:
        yield Suspicion(
            classes=_classes(failed),
            title=f"{count(len(failed), 'isolation fails its', 'isolations fail their')} own check",
            evidence=f"On {len(failed)} of {count(len(stated), 'isolation')}, no region of at most "
            f"60\u00a0% of the picture kept enough of the class's probability: "
            f"{_where(evidence, failed)}.",
            sure="Sure: measured on each picture.",
            confirm="More steps, or photographs in which the object is smaller, would tell.",
            limits="These pictures must not be used to explain the answer. The class may be "
            "spread over the whole picture, or the search may have missed its region.",
            pictures=_checked(evidence, failed),
            figures={"failed": len(failed), "isolations": len(stated)},
        )


def erasing_changes_little(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect the isolations whose region can be erased without losing the class."""
    enough = [e for e in evidence.stated_classes() if e.isolation.outcome != "not enough"]
    failed = [each for each in enough if each.isolation.outcome == "not needed"]
    if failed:
        yield Suspicion(
            classes=_classes(failed),
            title=f"{count(len(failed), 'isolation')} can be erased without losing the class",
            evidence=f"On {len(failed)} of {count(len(enough), 'isolation')} that passed the first "
            f"check, the class keeps at least half of its probability when the region is erased: "
            f"{_where(evidence, failed)}.",
            sure="Sure: measured on each picture.",
            confirm="Covering the other parts that carry the class, by hand, would show them.",
            limits="The region is sufficient but not necessary: other parts of the picture carry "
            "the class as well, and the isolation does not show them.",
            pictures=_checked(evidence, failed),
            figures={"failed": len(failed), "isolations": len(enough)},
        )


def one_corner(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect the classes whose isolations lie in one corner of their pictures."""
    corners = {"upper left": (0, 0), "upper right": (0, 1), "lower left": (1, 0)}
    corners["lower right"] = (1, 1)
    for target, stated in _by_class(evidence).items():
        shares: dict[str, list[float]] = {corner: [] for corner in corners}
        for each in stated:
            weights = _core(evidence, each)
            height, width = (max(1, round(side * CORNER_SIDE)) for side in weights.shape)
            for corner, (bottom, right) in corners.items():
                rows = slice(-height, None) if bottom else slice(height)
                columns = slice(-width, None) if right else slice(width)
                shares[corner].append(float(weights[rows, columns].sum()))
        for corner, of in shares.items():
            hits = sum(share >= CORNER_SHARE for share in of)
            if hits >= PICTURES_SHARE * len(stated):
                label = evidence.labels[target]
                yield Suspicion(
                    target=(target,),
                    detail=corner.replace(" ", "-"),
                    classes=(target,),
                    title=f"‘{label}’ seems to be decided in the {corner} corner",
                    evidence=f"On {hits} of {count(len(stated), 'picture')} on which the model "
                    f"said the class, at least half of the pixels ranked first lie in that corner "
                    f"(on average {percent(sum(of) / len(of))}; the corner is "
                    f"{percent(CORNER_SIDE**2)} of a picture).",
                    sure=pattern_certainty(hits, len(stated), "pictures"),
                    confirm="Pictures of the class with that corner covered, and pictures of "
                    "other classes with it pasted in, would tell.",
                    limits="A mark, logo or frame may have been learned instead of the object; "
                    "but the object itself may stand there in these pictures.",
                    pictures=_photographs_first(evidence, stated),
                    figures={"pictures": len(stated), "in the corner": hits},
                )


def border(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect the classes whose isolations lie at the edge of their pictures."""
    for target, stated in _by_class(evidence).items():
        shares = []
        for each in stated:
            weights = _core(evidence, each)
            top, left = (max(1, round(side * BORDER_SIDE)) for side in weights.shape)
            shares.append(1.0 - float(weights[top:-top, left:-left].sum()))
        hits = sum(share >= BORDER_SHARE for share in shares)
        if hits >= PICTURES_SHARE * len(stated):
            yield Suspicion(
                target=(target,),
                classes=(target,),
                title=f"‘{evidence.labels[target]}’ seems to be decided at the edge of the picture",
                evidence=f"On {hits} of {count(len(stated), 'picture')} on which the model said "
                f"the class, at least nine tenths of the pixels ranked first lie in the outer "
                f"eighth (on average {percent(sum(shares) / len(shares))}; that frame is "
                f"{percent(1 - (1 - 2 * BORDER_SIDE) ** 2)} of a picture).",
                sure=pattern_certainty(hits, len(stated), "pictures"),
                confirm="Pictures of the class with another background would tell.",
                limits="The model may go by the background, a frame or the way the pictures were "
                "cut; but in these pictures the object itself may reach the edge.",
                pictures=_photographs_first(evidence, stated),
                figures={"pictures": len(stated), "at the edge": hits},
            )


def _by_class(evidence: Evidence) -> dict[int, list[StatedClass]]:
    """The isolations of each class that was isolated on enough pictures."""
    groups: dict[int, list[StatedClass]] = {}
    for each in evidence.stated_classes():
        groups.setdefault(each.isolation.class_, []).append(each)
    return {k: of for k, of in sorted(groups.items()) if len(of) >= PICTURES_NEEDED}


def _core(evidence: Evidence, each: StatedClass) -> NDArray[np.float64]:
    isolation = each.isolation
    return core(evidence.rankings[isolation.mask], min(isolation.area, CORE_AREA))


def _classes(stated: Sequence[StatedClass]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(each.isolation.class_ for each in stated))


def _name(evidence: Evidence, each: StatedClass) -> str:
    return f"‘{evidence.labels[each.isolation.class_]}’ on {each.picture}"


def _where(evidence: Evidence, stated: Sequence[StatedClass]) -> str:
    return listed([_name(evidence, each) for each in stated])


def _photographs_first(
    evidence: Evidence, stated: Sequence[StatedClass]
) -> tuple[EvidencePicture, ...]:
    """Photographs before prototypes: what happens in use comes first."""
    order = sorted(stated, key=lambda each: not each.photograph)
    return evidence_pictures([(each.isolation.image, _name(evidence, each)) for each in order])


def _checked(evidence: Evidence, stated: Sequence[StatedClass]) -> tuple[EvidencePicture, ...]:
    """Each with the two probabilities of its check."""
    return evidence_pictures(
        [
            (
                each.isolation.image,
                f"{_name(evidence, each)}: {percent(each.isolation.prob_keep)} kept alone, "
                f"{percent(each.isolation.prob_delete)} erased",
            )
            for each in stated
        ]
    )
