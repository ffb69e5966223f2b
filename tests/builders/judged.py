"""Audits for each check of a policy: one that passes, one that fails, one without its data."""

from pathlib import Path
from typing import Any

from leap_audit.artifacts import (
    Audit,
    ClassSuspicion,
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
from tests.builders.audits import make_audit

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


def stability(similarity: float, agreement: float = 1.0) -> Stability:
    return Stability(images=("y.png",), logits=(9, 9), similarity=similarity, agreement=agreement)


def sample(known: int | None, answer: int, *parts: Isolation) -> Sample:
    predicted = (Prediction(class_=answer, name=CLASSES[answer], prob=0.9),)
    return Sample(
        file="p.png", sha256="", image="", predicted=predicted, known=known, isolations=parts
    )


def finding(name: str, severity: Any, *classes: int) -> Finding:
    return Finding(id=name, severity=severity, title="T", evidence="", limits="", classes=classes)


def audit(**changes: Any) -> Audit:
    """Return an audit that measured nothing yet, with these changes."""
    empty = {"prototypes": (), "samples": (), "findings": (), "classes": CLASSES}
    made = make_audit(Path(), prototypes=0, samples=0, classes=CLASSES)
    return made.model_copy(update=empty | changes)


def assumed(**fields: str) -> Audit:
    made = audit()
    asked = made.model.preprocessing.model_copy(update={"assumed": fields})
    return made.model_copy(update={"model": made.model.model_copy(update={"preprocessing": asked})})


def readings(right: int, other: int, p: float) -> Readings:
    return Readings(photographs=20, right=right, others=(OtherReading(text="o", right=other, p=p),))


def covered(audited: int) -> Audit:
    made = audit()
    coverage = made.coverage.model_copy(update={"classes_audited": audited, "classes_in_all": 4})
    return made.model_copy(update={"coverage": coverage})


def seen(*parts: Isolation) -> tuple[Sample, ...]:
    return tuple(sample(None, 0, part) for part in parts)


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


NOTHING = audit()
TWO = (prototype(0), prototype(1))
CORNER = finding("one-corner:0:upper-left", "high", 0)
BORDER = finding("border:0", "medium", 0)
THREE = seen(isolation(), isolation(), isolation())

# Check -> (audit, value) of a good one and of a bad one, and an audit that it cannot judge.
CASES: dict[str, tuple[tuple[Audit, float], tuple[Audit, float], Audit | None]] = {
    "classes-audited": ((covered(4), 1.0), (covered(1), 0.25), None),
    "classes-reached": (
        (audit(prototypes=TWO), 1.0),
        (audit(prototypes=(TWO[0], prototype(1, rank=2))), 0.5),
        NOTHING,
    ),
    "prototypes-converged": (
        (audit(prototypes=TWO), 1.0),
        (audit(prototypes=(TWO[0], prototype(1, converged=False))), 0.5),
        NOTHING,
    ),
    "prototypes-stable": (
        (audit(prototypes=(prototype(stability=stability(0.9)),)), 0.9),
        (
            audit(
                prototypes=(
                    prototype(stability=stability(0.9)),
                    prototype(1, stability=stability(-0.2)),
                )
            ),
            -0.2,
        ),
        audit(prototypes=TWO),
    ),
    "entanglement-stable": (
        (audit(prototypes=(prototype(stability=stability(0.9)),)), 1.0),
        (
            audit(
                prototypes=(
                    prototype(stability=stability(0.9, 1.0)),
                    prototype(1, stability=stability(0.9, 0.5)),
                )
            ),
            0.75,
        ),
        audit(prototypes=TWO),
    ),
    "entanglement-max": (
        (audit(prototypes=TWO), 0.2),
        (audit(prototypes=(TWO[0], prototype(1, other=0.6))), 1.2),
        audit(prototypes=(prototype(rank=600),)),
    ),
    "isolations-enough": (
        (audit(samples=THREE), 1.0),
        (audit(samples=(*THREE, *seen(isolation(enough=False, prob_keep=0.2)))), 0.75),
        audit(samples=seen(*[isolation(prob=0.01)] * 5)),
    ),
    "isolations-kept": (
        (audit(samples=seen(*[isolation(prob_keep=0.99)] * 3)), 1.0),
        (audit(samples=seen(*[isolation(prob_keep=0.2)] * 3)), 0.25),
        audit(samples=THREE[:2]),
    ),
    "isolations-erased": (
        (audit(samples=THREE), 0.0),
        (audit(samples=seen(*[isolation(prob_delete=0.4)] * 3)), 0.5),
        audit(samples=seen(*[isolation(enough=False)] * 5)),
    ),
    "classes-in-a-corner": (
        (audit(samples=THREE), 0),
        (audit(samples=THREE, findings=(CORNER,)), 1),
        audit(samples=THREE[:2], findings=(CORNER,)),
    ),
    "classes-at-the-border": (
        (audit(samples=THREE, findings=(CORNER,)), 0),
        (audit(samples=THREE, findings=(BORDER,)), 1),
        audit(samples=THREE[:2]),
    ),
    "shortcuts-confirmed": (
        (audit(suspicion=(suspected(0, 0.2),)), 0),
        (audit(suspicion=(suspected(0, 0.9, confirmed=True), suspected(1, 0.1))), 1),
        audit(suspicion=(ClassSuspicion(class_=0, score=0.0),)),
    ),
    "largest-flip": (
        (audit(suspicion=(suspected(0, 0.1), suspected(1, 0.25))), 0.25),
        (audit(suspicion=(suspected(0, 0.75),)), 0.75),
        NOTHING,
    ),
    "background-share": (
        (audit(experiments=(trial(0, 0.25, "background"), trial(1, -0.5, "background"))), 0.25),
        (audit(experiments=(trial(0, 0.75, "background"),)), 0.75),
        audit(experiments=(trial(0, 0.75),)),
    ),
    "findings-high": (
        (audit(samples=THREE, findings=(BORDER,)), 0),
        (audit(samples=THREE, findings=(CORNER,)), 1),
        NOTHING,
    ),
    "findings-medium": (
        (audit(samples=THREE, findings=(CORNER,)), 0),
        (audit(samples=THREE, findings=(BORDER,)), 1),
        NOTHING,
    ),
    "findings-low": (
        (audit(samples=THREE, findings=(CORNER,)), 0),
        (audit(samples=THREE, findings=(finding("x", "low"),)), 1),
        NOTHING,
    ),
    "photographs": ((audit(samples=THREE), 3), (NOTHING, 0), None),
    "accuracy": (
        (audit(samples=(sample(1, 1),) * 4), 1.0),
        (audit(samples=(sample(1, 1), sample(1, 0), sample(None, 2))), 0.5),
        audit(samples=(sample(None, 1),)),
    ),
    "preprocessing-assumed": (
        (assumed(layout="it shows"), 0),
        (assumed(mean="nobody said", resize="usual", channel_order="usual"), 3),
        None,
    ),
    "preprocessing-doubted": (
        (audit(readings=readings(10, 18, 0.5)), 0.0),
        (audit(readings=readings(10, 18, 0.001)), 0.4),
        NOTHING,
    ),
}
