"""Audits for each check of a policy: one that passes, one that fails, one without its data."""

from pathlib import Path
from typing import Any

from leap_audit.artifacts import Audit, ClassSuspicion, Isolation, Sample
from tests.builders.audits import make_audit
from tests.builders.records import (
    CLASSES,
    detected,
    finding,
    isolation,
    prototype,
    readings,
    sample,
    stability,
    suspected,
    trial,
)
from tests.builders.vectors import changed, copies, mislabelled, vectors


def audit(**changes: Any) -> Audit:
    """Return an audit that measured nothing yet, with these changes."""
    empty = {"prototypes": (), "samples": (), "findings": (), "classes": CLASSES}
    made = make_audit(Path(), prototypes=0, samples=0, classes=CLASSES)
    return made.model_copy(update=empty | changes)


def assumed(**fields: str) -> Audit:
    made = audit()
    asked = made.model.preprocessing.model_copy(update={"assumed": fields})
    return made.model_copy(update={"model": made.model.model_copy(update={"preprocessing": asked})})


def covered(audited: int) -> Audit:
    made = audit()
    coverage = made.coverage.model_copy(update={"classes_audited": audited, "classes_in_all": 4})
    return made.model_copy(update={"coverage": coverage})


def seen(*parts: Isolation) -> tuple[Sample, ...]:
    return tuple(sample(None, 0, part) for part in parts)


NOTHING = audit()
TWO = (prototype(0), prototype(1))
CORNER = finding("one-corner:0:upper-left", "high", 0)
BORDER = finding("border:0", "medium", 0)
THREE = seen(isolation(), isolation(), isolation())


def a_detector(*photographs: Sample) -> Audit:
    """Return the audit of two classes of a detector."""
    made = audit(prototypes=TWO, samples=photographs)
    return made.model_copy(update={"model": made.model.model_copy(update={"task": "detection"})})


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
    "objects-lost": (
        (audit(experiments=(trial(0, -0.25, "removal"), trial(1, 0.25, "removal"))), 0.25),
        (audit(experiments=(trial(0, 0.5, "removal"),)), 0.75),
        audit(experiments=(trial(0, 0.75),)),
    ),
    "objects-with-two-names": (
        (audit(samples=(detected(0, 1, held=False), detected(0, 0, held=True))), 0.0),
        (audit(samples=(detected(0, 1, held=True), detected(1, 0))), 0.25),
        audit(samples=THREE),
    ),
    "objects-found-twice": (
        (audit(samples=(detected(0, 0, held=True), detected(0, 1, covered=True))), 0.0),
        (audit(samples=(detected(0, 0, covered=True),)), 0.5),
        audit(samples=THREE),
    ),
    "classes-found": (
        (a_detector(detected(0, 1)), 1.0),
        (a_detector(detected(0)), 0.5),
        audit(prototypes=TWO, samples=(detected(0, 1),)),
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
    "labels-doubted": (
        (audit(judged=50), 0.0),
        (audit(judged=50, doubted=(mislabelled(),)), 0.02),
        NOTHING,
    ),
    "embedding-cosine": (
        (audit(embedding=vectors()), 0.4),
        (audit(embedding=vectors(mean_cosine=0.99)), 0.99),
        NOTHING,
    ),
    "embedding-rank": (
        (audit(embedding=vectors()), 20 / 39),
        (audit(embedding=vectors(effective_rank=3.9)), 0.1),
        NOTHING,
    ),
    "embedding-found-again": (
        (audit(embedding=vectors()), 0.95),
        (audit(embedding=vectors(changes=(changed(found=10),))), 0.25),
        NOTHING,
    ),
    "embedding-duplicates": (
        (audit(embedding=vectors(duplicates=(copies(across=False),))), 0),
        (audit(embedding=vectors(duplicates=(copies(), copies(across=False)))), 1),
        NOTHING,
    ),
}
