"""Records of an audit with usual figures, each to be changed by a test."""

from typing import Any

from leap_audit.artifacts import (
    ClassSuspicion,
    Coincident,
    Detection,
    Entanglement,
    Finding,
    Isolation,
    OtherReading,
    Prediction,
    Prototype,
    Readings,
    Sample,
    Stability,
    Trial,
)

CLASSES = ("cat", "dog", "owl", "fox")


def isolation(class_: int = 0, **changes: Any) -> Isolation:
    given: dict[str, Any] = {
        "class_": class_,
        "name": CLASSES[class_],
        "image": "",
        "mask": "m.png",
        "area": 0.1,
        "prob": 0.8,
        "prob_keep": 0.8,
        "prob_delete": 0.0,
        "enough": True,
    }
    return Isolation(**given | changes)


def prototype(class_: int = 0, other: float = 0.1, **changes: Any) -> Prototype:
    shared = {class_: 0.5, (class_ + 1) % len(CLASSES): other}
    given: dict[str, Any] = {
        "target": (class_,),
        "name": CLASSES[class_],
        "replicate": 0,
        "image": "x.png",
        "logit": 9.0,
        "prob": 0.9,
        "rank": 1,
        "steps": 4,
        "converged": True,
        "entanglements": tuple(
            Entanglement(class_=k, name=CLASSES[k], entanglement=value, logit=1, prob=0.1)
            for k, value in shared.items()
        ),
    }
    return Prototype(**given | changes)


def stability(similarity: float | None, agreement: float = 1.0) -> Stability:
    return Stability(images=("y.png",), logits=(9, 9), similarity=similarity, agreement=agreement)


def sample(known: int | None, answer: int, *parts: Isolation) -> Sample:
    predicted = (Prediction(class_=answer, name=CLASSES[answer], prob=0.9),)
    return Sample(
        file="p.png", sha256="", image="", predicted=predicted, known=known, isolations=parts
    )


def detected(*classes: int, **how: bool) -> Sample:
    """Return a photograph on which a detector finds one object of each class, all at one place.

    how: held and covered of the first two, if any.
    """
    box = 0.25, 0.25, 0.75, 0.75
    found = tuple(Detection(class_=k, name=CLASSES[k], prob=0.9, box=box) for k in classes)
    pairs = (Coincident(first=0, second=1, **{"held": False, "covered": False} | how),)
    made = sample(None, classes[0])
    return made.model_copy(update={"detections": found, "coincident": pairs if how else ()})


def finding(name: str, severity: Any, *classes: int) -> Finding:
    return Finding(id=name, severity=severity, title="T", evidence="", limits="", classes=classes)


def readings(right: int, other: int, p: float) -> Readings:
    return Readings(photographs=20, right=right, others=(OtherReading(text="o", right=other, p=p),))


def trial(class_: int, effect: float, experiment: Any = "paste") -> Trial:
    """Return a trial on twenty pictures, of which its control changed five."""
    return Trial(
        class_=class_,
        experiment=experiment,
        kind="region",
        pictures=20,
        changed=round(20 * effect) + 5,
        control=5,
        effect=effect,
        low=effect - 0.1,
        high=effect + 0.1,
        p=0.01,
        q=0.02,
    )


def suspected(class_: int, effect: float, **changes: Any) -> ClassSuspicion:
    given: dict[str, Any] = {
        "class_": class_,
        "score": effect,
        "kind": "region",
        "tried_on": "photographs",
        "pasted": trial(class_, effect),
    }
    return ClassSuspicion(**given | changes)
