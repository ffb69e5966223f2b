"""Rules about isolations: whether they hold, and where on the picture they lie."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from leap_audit.artifacts import EvidencePicture, Isolation
from leap_audit.findings.basis import PICTURES_NEEDED
from leap_audit.findings.evidence import Evidence, StatedClass, core
from leap_audit.findings.marks import tested
from leap_audit.findings.suspicion import Suspicion, evidence_pictures, pattern_certainty
from leap_audit.text.numbers import count, decimal, listed, percent

__all__ = [
    "PICTURES_SHARE",
    "border",
    "crop_gives_another",
    "erasing_changes_little",
    "isolation_not_enough",
    "key_pixels",
    "one_corner",
    "two_figures",
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
TRACE, ANOTHER = 0.05, 0.5
"""Probability below which a picture hardly has a class, and from which on a part of it does."""
PICTURES_SHARE = 2 / 3
"""Of the pictures of a class, on which the core must lie in one place."""


def isolation_not_enough(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect the isolations whose region does not keep enough of the class."""
    stated = list(evidence.stated_classes())
    failed = [each for each in stated if each.isolation.outcome == "not enough"]
    if failed:
        yield Suspicion(
            classes=_classes(failed),
            title=f"In {len(failed)} of {count(len(stated), 'explanation')} no key region is "
            f"enough for the {evidence.noun}",
            evidence=f"No region of at most 60\u00a0% of the picture keeps enough of the "
            f"{'cosine' if evidence.encoder else evidence.figure}: "
            f"{_where(evidence, failed)}.",
            sure="Confidence: high. It was measured on each picture.",
            confirm="Run more steps, or use photographs in which the object is smaller.",
            limits="The class may be spread over the whole picture, or the search may have missed "
            "its region.",
            pictures=_checked(evidence, failed),
            figures={"failed": len(failed), "isolations": len(stated)},
        )


def erasing_changes_little(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect the isolations whose region can be erased without losing the class.

    Of an encoder that says nothing: see `basis.erased_isolations`.
    """
    stated = [] if evidence.encoder else list(evidence.stated_classes())
    failed = [each for each in stated if each.isolation.outcome == "not needed"]
    if failed:
        yield Suspicion(
            classes=_classes(failed),
            title=f"In {len(failed)} of {count(len(stated), 'explanation')} the highlighted area "
            "is not the only evidence",
            evidence="With the key region erased, the "
            f"{'object' if evidence.detector else 'class'} keeps at least 50\u00a0% of its "
            f"{evidence.figure}: {_where(evidence, failed)}.",
            sure="Confidence: high. It was measured on each picture.",
            confirm="Cover the other parts of the picture as well, and look when the "
            f"{evidence.noun} changes.",
            limits="Other parts of the picture carry the class too. The key region does not show "
            "them.",
            pictures=_checked(evidence, failed),
            figures={"failed": len(failed), "isolations": len(stated)},
        )


def crop_gives_another(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect the pictures of which a part alone gives a class that the whole hardly has."""
    parts = [
        StatedClass(where, isolation, photograph)
        for where, isolation, photograph in evidence.every_isolation()
        if isolation.outcome == "trace"
        and isolation.prob < TRACE
        and isolation.prob_keep >= ANOTHER
    ]
    if parts:
        strongest = sorted(parts, key=lambda each: -each.isolation.prob_keep)
        first = strongest[0].isolation
        yield Suspicion(
            classes=_classes(parts),
            title=f"A part of a picture alone changes the {evidence.noun}"
            if len(parts) == 1
            else f"In {len(parts)} cases, a part of the picture alone changes the {evidence.noun}",
            evidence=f"On {strongest[0].picture}, the model gives "
            f"‘{evidence.labels[first.class_]}’ {percent(first.prob)}. With only "
            f"{percent(first.area)} of it kept, it gives the class {percent(first.prob_keep)}.",
            sure="Confidence: high. It was measured on each picture.",
            confirm=f"Crop such pictures in the same way, and look at the {evidence.noun}s.",
            limits="The rest is blurred in this test. A real crop may give another "
            f"{evidence.noun}.",
            pictures=_checked(evidence, strongest),
            figures={"parts": len(parts), "probability": first.prob_keep},
        )


def two_figures(isolation: Isolation) -> str:
    """Return what the class has with only the region, and what without it."""
    if isolation.cosines is None:
        keep, delete = percent(isolation.prob_keep), percent(isolation.prob_delete)
        return f"{keep} alone, {delete} without it"
    keep, delete = decimal(isolation.cosines.keep, 3), decimal(isolation.cosines.delete, 3)
    return f"cosine {keep} alone, {delete} without it"


def one_corner(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect the classes whose isolations lie in one corner of their pictures."""
    corners = {"upper left": (0, 0), "upper right": (0, 1), "lower left": (1, 0)}
    corners["lower right"] = (1, 1)
    for target, stated in _by_class(evidence).items():
        if tested(evidence, target):
            continue  # the experiment says whether it is a shortcut
        shares: dict[str, list[float]] = {corner: [] for corner in corners}
        for each in stated:
            weights = key_pixels(evidence, each)
            height, width = (max(1, round(side * CORNER_SIDE)) for side in weights.shape)
            for corner, (bottom, right) in corners.items():
                rows = slice(-height, None) if bottom else slice(height)
                columns = slice(-width, None) if right else slice(width)
                shares[corner].append(float(weights[rows, columns].sum()))
        for corner, of in shares.items():
            hits = sum(share >= CORNER_SHARE for share in of)
            if hits >= PICTURES_SHARE * len(stated):
                label = evidence.labels[target]
                place = corner.replace(" ", "-")
                yield Suspicion(
                    target=(target,),
                    detail=place,
                    classes=(target,),
                    title=f"The {evidence.noun} ‘{label}’ seems to depend on the {place} corner",
                    evidence=f"In {hits} of {_with(evidence, stated)} ‘{label}’, most of the key "
                    f"pixels are in the {place} corner. The corner is "
                    f"{percent(CORNER_SIDE**2)} of the picture and holds "
                    f"{percent(sum(of) / len(of))} of the key pixels on average.",
                    sure=pattern_certainty(hits, len(stated)),
                    confirm=f"Cover that corner in pictures with the {evidence.noun} ‘{label}’. "
                    "Paste it into pictures of other classes. Look whether the "
                    f"{evidence.noun} follows it.",
                    limits="The object itself may be in that corner in these pictures.",
                    pictures=_by_strength(evidence, stated, of, CORNER_SHARE),
                    figures={"pictures": len(stated), "in the corner": hits},
                )


def border(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect the classes whose isolations lie at the edge of their pictures."""
    for target, stated in _by_class(evidence).items():
        if tested(evidence, target):
            continue
        shares = []
        for each in stated:
            weights = key_pixels(evidence, each)
            top, left = (max(1, round(side * BORDER_SIDE)) for side in weights.shape)
            whole = 1.0 if each.isolation.box is None else float(weights.sum())
            shares.append(whole - float(weights[top:-top, left:-left].sum()))
        hits = sum(share >= BORDER_SHARE for share in shares)
        if hits >= PICTURES_SHARE * len(stated):
            label = evidence.labels[target]
            yield Suspicion(
                target=(target,),
                classes=(target,),
                title=f"The {evidence.noun} ‘{label}’ seems to depend on the edge of the picture",
                evidence=f"In {hits} of {_with(evidence, stated)} ‘{label}’, nearly all key pixels "
                f"are in the outer eighth. That frame is "
                f"{percent(1 - (1 - 2 * BORDER_SIDE) ** 2)} of the picture and holds "
                f"{percent(sum(shares) / len(shares))} of the key pixels on average.",
                sure=pattern_certainty(hits, len(stated)),
                confirm="Test pictures of the class with another background.",
                limits="The object itself may reach the edge in these pictures.",
                pictures=_by_strength(evidence, stated, shares, BORDER_SHARE),
                figures={"pictures": len(stated), "at the edge": hits},
            )


def _with(evidence: Evidence, stated: Sequence[StatedClass]) -> str:
    """How many pictures with an answer there are; a detector has several on a picture."""
    several = count(len(stated), "explanation" if evidence.detector else "picture")
    return f"{several} with the {evidence.noun}"


def _by_class(evidence: Evidence) -> dict[int, list[StatedClass]]:
    """The isolations of each class that was isolated on enough pictures."""
    groups: dict[int, list[StatedClass]] = {}
    for each in evidence.stated_classes():
        groups.setdefault(each.isolation.class_, []).append(each)
    return {k: of for k, of in sorted(groups.items()) if len(of) >= PICTURES_NEEDED}


def key_pixels(evidence: Evidence, each: StatedClass) -> NDArray[np.float64]:
    """Return the pixels that an answer needs first as weights, (height, width), that sum to 1.

    Of an object those inside its box are 0, since it may lie anywhere: what counts is beside it.
    """
    isolation = each.isolation
    weights = core(evidence.rankings[isolation.mask], min(isolation.area, CORE_AREA))
    if isolation.box is not None:
        height, width = weights.shape
        left, top, right, bottom = (max(0.0, side) for side in isolation.box)
        rows = slice(round(top * height), round(bottom * height))
        weights[rows, round(left * width) : round(right * width)] = 0
    return weights


def _classes(stated: Sequence[StatedClass]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(each.isolation.class_ for each in stated))


def _name(evidence: Evidence, each: StatedClass) -> str:
    return f"‘{evidence.labels[each.isolation.class_]}’ on {each.picture}"


def _where(evidence: Evidence, stated: Sequence[StatedClass]) -> str:
    return listed([_name(evidence, each) for each in stated])


def _by_strength(
    evidence: Evidence, stated: Sequence[StatedClass], shares: Sequence[float], least: float
) -> tuple[EvidencePicture, ...]:
    """Pictures that show the pattern, the strongest first; those that do not, as counter-examples.

    Photographs before prototypes: what happens in use comes first.
    """
    order = sorted(
        zip(stated, shares, strict=True), key=lambda pair: (not pair[0].photograph, -pair[1])
    )
    hits = [each for each, share in order if share >= least]
    misses = [each for each, share in reversed(order) if share < least]
    return (
        *evidence_pictures([(h.isolation.image, _name(evidence, h)) for h in hits]),
        *evidence_pictures(
            [(m.isolation.image, _name(evidence, m)) for m in misses], "counter-example"
        ),
    )


def _checked(evidence: Evidence, stated: Sequence[StatedClass]) -> tuple[EvidencePicture, ...]:
    """Each with the two figures of its check."""
    return evidence_pictures(
        [
            (
                each.isolation.image,
                f"{_name(evidence, each)}: {two_figures(each.isolation)}",
            )
            for each in stated
        ]
    )
