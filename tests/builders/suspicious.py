"""Measurements that raise each finding, and rankings that lie in a corner or along the edge."""

from collections.abc import Callable
from typing import Any

import numpy as np

from leap_audit.artifacts import (
    Entanglement,
    Finding,
    HubPicture,
    Isolation,
    Opinion,
    OtherReading,
    Prediction,
    Prototype,
    Readings,
    Sample,
)
from leap_audit.findings import Evidence, find
from leap_audit.findings.evidence import Ranking
from tests.builders import records
from tests.builders.audits import a_model
from tests.builders.records import detected, suspected, trial
from tests.builders.vectors import PICTURE, changed, copies, linked, mislabelled, vectors

CLASSES = tuple(f"class-{letter}" for letter in "abcdefgh")
Case = tuple[Any, ...]
SIDE = 40
"""Of a picture, in pixels: its core has 80, a corner 10 a side, the frame a width of 5."""


def isolation(mask: str = "centre.png", *, delete: float = 0.02, enough: bool = True) -> Isolation:
    return records.isolation(
        name=CLASSES[0],
        image="x.png",
        mask=mask,
        prob=0.9,
        prob_keep=0.85,
        prob_delete=delete,
        enough=enough,
    )


def prototype(
    *,
    other: float = 0.1,
    found: Isolation | None = None,
    similarity: float = 0.9,
    **changes: Any,
) -> Prototype:
    made = records.prototype(
        name=CLASSES[0],
        isolations=(found or isolation(),),
        stability=records.stability(similarity, 0.7),
        **changes,
    )
    overlaps = tuple(
        Entanglement(class_=index, name=CLASSES[index], entanglement=value, logit=1, prob=0.01)
        for index, value in enumerate([0.5, other])
    )
    return made.model_copy(update={"entanglements": overlaps})


def samples(*masks: str) -> list[Sample]:
    return [
        Sample(file=f"{n}.png", sha256="", image="x.png", predicted=(), isolations=(each,))
        for n, each in enumerate(map(isolation, masks))
    ]


def opinions(number: int, **figures: float) -> list[Sample]:
    """Photographs with an isolation, and with one other method that has these figures."""
    usual = {"agreement": 0.6, "other_class": 0.2, "other_weights": 0.0}
    opinion = Opinion(
        method="occlusion", class_=0, name=CLASSES[0], map="map.png", **usual | figures
    )
    return [
        each.model_copy(update={"opinions": (opinion,)})
        for each in samples(*["centre.png"] * number)
    ]


def read(right: int, other: int, p: float) -> Readings:
    """How often the model is right on 20 photographs, and with another preprocessing."""
    return Readings(
        photographs=20, right=right, others=(OtherReading(text="another", right=other, p=p),)
    )


def answered(*answers: int, known: tuple[int, ...], prob: float = 0.8) -> list[Sample]:
    """Photographs with one answer each, of known classes."""
    return [
        Sample(
            file=f"{n}.png",
            sha256="",
            image="x.png",
            predicted=(Prediction(class_=answer, name=CLASSES[answer], prob=prob),),
            known=shown,
        )
        for n, (answer, shown) in enumerate(zip(answers, known, strict=True))
    ]


def cropped(whole: float = 0.02, kept: float = 0.55) -> Isolation:
    """A part of a picture that alone gives a class which the whole picture hardly has."""
    figures = isolation().model_dump(exclude={"outcome"})
    return Isolation(**figures | {"prob": whole, "prob_keep": kept})


def encoded(**differing: Any) -> Case:
    """The vectors of an encoder, with these figures."""
    return [], [], None, None, (), (), vectors(**differing)


def sure(right: int, of: int, prob: float) -> Case:
    return (), answered(*[0] * of, known=(*[0] * right, *[1] * (of - right)), prob=prob)


CONSTANT = a_model().model_copy(
    update={"constant": True, "meaning": "On 10 pictures its numbers lie in 1..1: the same."}
)
DETECTOR = a_model().model_copy(update={"task": "detection"})
BOX = 0.4, 0.4, 0.6, 0.6


def beside_their_boxes() -> list[Sample]:
    """Photographs whose key pixels lie in a corner, outside of the box of the object."""
    made = samples(*["corner.png"] * 3)
    boxed = [tuple(i.model_copy(update={"box": BOX}) for i in each.isolations) for each in made]
    return [
        each.model_copy(update={"isolations": parts, "detections": detected(0).detections})
        for each, parts in zip(made, boxed, strict=True)
    ]


LOUD: dict[str, Callable[[], Case]] = {
    "scores-do-not-move": lambda: (
        [prototype().model_copy(update={"curve": (1.0, 1.0005, 1.0002)})],
        [],
    ),
    "constant-answer": lambda: ([], [], None, CONSTANT),
    "one-answer": lambda: ([], answered(3, 3, 3, 3, 3, known=(0, 1, 2, 3, 3))),
    "class-not-reached": lambda: ([prototype(rank=7)], []),
    "preprocessing-doubted": lambda: ([], [], read(right=4, other=18, p=1e-4)),
    "shortcut": lambda: ([], [], None, None, (suspected(0, 0.75, confirmed=True),)),
    "context": lambda: (
        *([], [], None, DETECTOR),
        (suspected(0, 0.75, confirmed=True, kind="context"),),
    ),
    "evidence-outside": lambda: ([], beside_their_boxes(), None, DETECTOR),
    "removed-by-change": lambda: ([], [], None, DETECTOR, (), (trial(2, 0.5, "removal"),)),
    "two-classes": lambda: ([], [detected(0, 1, held=True)] * 2, None, DETECTOR),
    "found-twice": lambda: ([], [detected(0, 0, covered=True)] * 2, None, DETECTOR),
    "class-not-found": lambda: ([prototype()], [detected(1)], None, DETECTOR),
    "change-sways": lambda: ([], [], None, None, (), (trial(2, 0.5, "global"),)),
    "one-corner": lambda: ([], samples(*["corner.png"] * 3)),
    "overconfident": lambda: ([], answered(*[0] * 12, known=(0, 1) * 6, prob=0.98)),
    "crop-gives-another": lambda: ([prototype(found=cropped())], []),
    "border": lambda: ([], samples(*["frame.png"] * 3)),
    "photographs-mistaken": lambda: ([prototype()], answered(0, 1, 2, known=(0, 0, 2))),
    "target-not-first": lambda: ([prototype(rank=2)], []),
    "strong-entanglement": lambda: ([prototype(other=0.45)], []),
    "prototype-unstable": lambda: ([prototype(similarity=0.1)], []),
    "answers-saturated": lambda: (
        [],
        answered(0, 1, 0, 1, 2, known=(0, 1, 0, 1, 2), prob=1 - 1e-9),
    ),
    "isolation-not-enough": lambda: ([prototype(found=isolation(enough=False))], []),
    "erasing-changes-little": lambda: ([prototype(found=isolation(delete=0.8))], []),
    "methods-disagree": lambda: ([], opinions(1, agreement=0.1)),
    "map-not-of-class": lambda: ([], opinions(3, other_class=0.95)),
    "map-not-of-weights": lambda: ([], opinions(3, other_weights=0.95)),
    "prototype-not-converged": lambda: ([prototype(converged=False)], []),
    "vectors-alike": lambda: encoded(mean_cosine=0.99, changes=(changed(found=4),)),
    "duplicates": lambda: encoded(duplicates=(copies(),)),
    "labels-doubted": lambda: ([], [], None, None, (), (), None, (mislabelled(),), 60),
    "few-directions": lambda: encoded(effective_rank=2.0),
    "classes-not-apart": lambda: encoded(agreement=0.5),
    "change-loses": lambda: encoded(changes=(changed(), changed("darker by 0.2", 10))),
    "hubs": lambda: encoded(hubness=3.0, hubs=(HubPicture(picture=PICTURE, times=50),)),
    "length-of-quality": lambda: encoded(lengths=(linked(),)),
}


def _ordered(score: Any) -> Ranking:
    ranking = np.asarray(score).ravel().argsort().argsort().reshape(np.shape(score))
    return (ranking * 255 // ranking.max()).astype(np.uint8)


ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE]
EDGE = np.minimum.reduce([ROWS, COLUMNS, SIDE - 1 - ROWS, SIDE - 1 - COLUMNS])
"""Distance of each pixel from the edge."""
UPPER_LEFT = np.maximum(ROWS, COLUMNS)
"""Distance of each pixel from the upper left corner."""
RANKINGS = {
    "centre.png": _ordered(-np.hypot(ROWS - 20, COLUMNS - 20)),
    "corner.png": _ordered(-np.hypot(ROWS - 37, COLUMNS - 37)),
    "frame.png": _ordered(-EDGE),
}


def core_of(distances: Any, inside: int, within: int, beside: int) -> Ranking:
    """A ranking whose 80 first pixels lie `inside` the place, at its inner rim, or else beside it.

    within: the first distance that is no more of the place. beside: of the other pixels, how many
    lie next to the place; the rest lie in the centre and rank before all others.
    """
    ranking = np.zeros((SIDE, SIDE), np.uint8)
    rim = sorted(zip(*np.where(distances < within), strict=True), key=lambda at: -distances[at])
    outer = list(zip(*np.where(distances == within), strict=True))
    centre = [(r, c) for r in range(16, 24) for c in range(14, 26)]
    for level, cells in (
        (255, centre[: 80 - inside - beside]),
        (254, [*rim[:inside], *outer[:beside]]),
    ):
        for at in cells:
            ranking[at] = level
    return ranking


def findings(
    prototypes: Any = (),
    pictures: Any = (),
    *rest: Any,
    classes: tuple[str, ...] = CLASSES,
    rankings: dict[str, Ranking] = RANKINGS,
) -> tuple[Finding, ...]:
    return find(Evidence(classes, prototypes, pictures, rankings, *rest))
