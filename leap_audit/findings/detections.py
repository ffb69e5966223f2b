"""Rules about detectors: what stands beside objects, objects counted twice, objects lost."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from leap_audit.artifacts import ClassSuspicion, Detection, EvidencePicture, Trial
from leap_audit.findings.basis import PICTURES_NEEDED
from leap_audit.findings.evidence import Evidence, StatedClass
from leap_audit.findings.isolations import PICTURES_SHARE, key_pixels
from leap_audit.findings.marks import confirmed_suspicion, tested
from leap_audit.findings.objects import Pair, pairs_of, removals
from leap_audit.findings.suspicion import Suspicion, evidence_pictures, pattern_certainty
from leap_audit.statistics import wilson
from leap_audit.text.names import shortened
from leap_audit.text.numbers import count, listed, percent

__all__ = [
    "ALONE",
    "class_not_found",
    "context",
    "evidence_outside",
    "removed_by_change",
    "twice_found",
    "two_classes",
]

ALONE = "object without its surroundings"
"""The kind of the trial that pastes objects elsewhere."""
OUTSIDE = 0.5
"""Share of the pixels that a detection needs first, outside of its box, from which on it hits."""
NAMED = 3
"""Classes up to which they are named in a sentence."""
REMOVED = 0.5
"""Share of the objects that a usual change loses, from which on it is suspected."""
CONFUSED, DOUBLED = 2, 2
"""Times that two classes, or two boxes of one class, are at one place before it is suspected."""


def context(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect the classes that are called by what stands beside their objects, where confirmed."""
    for each in evidence.suspicion:
        if each.kind != "context" or not each.confirmed or each.pasted is None:
            continue
        label, pasted, covered = evidence.labels[each.class_], each.pasted, each.covered
        figures: dict[str, float] = {"pasted beside": pasted.pictures}
        if covered is not None:
            figures |= {"covered on": covered.pictures, "detections lost": covered.changed}
        alone = _alone(evidence, each)
        if alone is not None:
            figures |= {"pasted alone": alone.pictures, "lost alone": alone.changed}
        yield confirmed_suspicion(
            each,
            pasted,
            title=f"What stands beside an object makes this model call it ‘{label}’",
            sentences=[_pasted(each, label), _covered(each), _moved(alone)],
            confirm="More photographs of the objects in other surroundings would give the rate in "
            "use.",
            limits="Tried on the photographs of this audit, with parts that have straight edges; "
            "how often objects in use have such surroundings is not known.",
            figures=figures,
        )


def evidence_outside(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect the classes whose detections depend on pixels outside of their boxes.

    Not where an experiment confirmed or denied it.
    """
    for class_, stated in _isolated(evidence).items():
        if tested(evidence, class_):
            continue
        shares = [float(key_pixels(evidence, each).sum()) for each in stated]
        hits = sum(share >= OUTSIDE for share in shares)
        if hits < PICTURES_SHARE * len(stated):
            continue
        label = evidence.labels[class_]
        order = np.argsort([-share for share in shares], kind="stable")
        yield Suspicion(
            target=(class_,),
            classes=(class_,),
            title=f"Detections of ‘{label}’ seem to depend on what lies outside of their boxes",
            evidence=f"Of {count(len(stated), 'object')} called ‘{label}’, {hits} have most of "
            "their key pixels outside of the box. On average "
            f"{percent(sum(shares) / len(shares))} of them are.",
            sure=pattern_certainty(hits, len(stated)),
            confirm="Six or more objects of other classes among the photographs, so that the audit "
            "can try it.",
            limits="The box may be too small for the object, and some of what is outside belong to "
            "it.",
            pictures=evidence_pictures(
                [(stated[i].isolation.image, f"‘{label}’ on {stated[i].picture}") for i in order]
            ),
            figures={"objects": len(stated), "outside": hits},
        )


def two_classes(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect the pairs of classes that are found at one place, on the mirrored picture too."""
    found = [pair for pair in pairs_of(evidence.samples) if pair.two and pair.how.held]
    by_pair: dict[tuple[int, int], list[int]] = {}
    for i, pair in enumerate(found):
        a, b = sorted((pair.first.class_, pair.second.class_))
        by_pair.setdefault((a, b), []).append(i)
    for classes, several in sorted(by_pair.items()):
        if len(several) < CONFUSED:
            continue
        one, other = (evidence.labels[k] for k in classes)
        each = [found[i] for i in several]
        both = len(_objects(evidence, classes))
        photographs = len({pair.file for pair in each})
        yield Suspicion(
            target=classes,
            classes=classes,
            title=f"‘{one}’ and ‘{other}’ are found at one place",
            evidence=f"{len(each)} times on {count(photographs, 'photograph')}, boxes of both "
            f"overlap by 60\u00a0% or more, and again on the mirrored picture. The model found "
            f"{count(both, 'object')} of the two classes.",
            sure="Confidence: high. It was measured on each picture, and on its mirror image.",
            confirm="Count on labelled pictures how often one of the two is wrong.",
            limits="Two objects may lie one before the other, and some things have two names.",
            pictures=_photographs(each),
            figures={"times": len(each), "photographs": photographs},
        )


def twice_found(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect classes of which one object is found twice: covering the shared part loses both."""
    found = [pair for pair in pairs_of(evidence.samples) if not pair.two and pair.how.covered]
    times = Counter(pair.first.class_ for pair in found)
    for class_, number in sorted(times.items()):
        if number < DOUBLED:
            continue
        label, every = evidence.labels[class_], len(_objects(evidence, (class_,)))
        each = [pair for pair in found if pair.first.class_ == class_]
        yield Suspicion(
            target=(class_,),
            classes=(class_,),
            title=f"One object is found twice as ‘{label}’",
            evidence=f"{number} times, of {count(every, 'detection')} of the class, one box lies "
            "in another, and covering what they share loses both.",
            sure="Confidence: medium. It was tried on each picture; that both are lost does not "
            "prove that they are of one object.",
            confirm="Look at the pictures, and count on labelled ones.",
            limits="Objects that lie close together are told from one object by a person alone.",
            pictures=_photographs(each),
            figures={"times": number, "detections": every},
        )


def removed_by_change(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect the usual changes of the picture that lose half of the objects, in one finding."""
    lost = removals(evidence.trials)
    grave = [each for each in lost if each.share >= REMOVED and each.changed > each.control]
    if not grave:
        return
    worst = max(grave, key=lambda each: each.share)
    low, high = wilson(worst.changed, worst.objects)
    others = [each.kind for each in grave if each is not worst]
    also = f" So do: {listed(others)}." if others else ""
    labels = [f"‘{evidence.labels[k]}’" for k in worst.classes]
    called = f"called {listed(labels)}" if len(labels) <= NAMED else f"of {len(labels)} classes"
    yield Suspicion(
        classes=worst.classes,
        title=f"A changed picture loses most detections: {worst.kind}",
        evidence=f"{worst.kind.capitalize()}: {worst.changed} of {count(worst.objects, 'object')} "
        f"{called} are no longer found (control: {worst.control}).{also}",
        sure=f"95\u00a0% interval: {percent(low)} to {percent(high)}.",
        confirm="Photographs taken under such conditions, with their objects counted.",
        limits="Tried on the photographs of this audit; lost are detections whose score falls "
        "below half of what it was.",
        figures={"objects": worst.objects, "lost": worst.changed, "changes": len(grave)},
    )


def class_not_found(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect the classes that are found on no photograph, and on no prototype of theirs."""
    on_photographs = {each.class_ for s in evidence.samples for each in s.detections}
    never = [
        target[0]
        for target, made in evidence.by_target().items()
        if len(target) == 1
        and target[0] not in on_photographs
        and all(each.class_ != target[0] for p in made for each in p.detections)
    ]
    if never:
        labels = [f"‘{evidence.labels[k]}’" for k in never]
        made = sum(len(evidence.by_target()[(k,)]) for k in never)
        yield Suspicion(
            target=tuple(never) if len(never) == 1 else (),
            classes=tuple(never),
            title=f"{listed(labels)} {'is' if len(never) == 1 else 'are'} never found",
            evidence=f"On {count(len(evidence.samples), 'photograph')} and on the "
            f"{count(made, 'prototype')} that were made to show it, the detector finds no object "
            "of the class.",
            sure="Confidence: medium. Another search may make a prototype that it finds.",
            confirm="Photographs of the class, and a prototype with more steps (--steps).",
            limits="A prototype that is not found may be the fault of the search.",
            pictures=evidence_pictures(
                [
                    (p.image, f"the prototype of ‘{evidence.labels.of(p.target)}’")
                    for k in never
                    for p in evidence.by_target()[(k,)]
                ]
            ),
            figures={"classes": len(never)},
        )


def _pasted(each: ClassSuspicion, label: str) -> str:
    assert each.pasted is not None
    return (
        f"A part of what stands beside such objects was pasted beside {each.pasted.pictures} "
        f"objects of other classes. It turned {each.pasted.changed} of them into ‘{label}’ "
        f"(control, a part from beside another object: {each.pasted.control})."
    )


def _covered(each: ClassSuspicion) -> str:
    if each.covered is None:
        return ""
    return (
        f"Covering it, with the object as it is, lost {each.covered.changed} of "
        f"{count(each.covered.pictures, 'detection')} (control, another part: "
        f"{each.covered.control})."
    )


def _moved(alone: Trial | None) -> str:
    if alone is None:
        return ""
    return (
        f"Pasted into other pictures without it, {alone.changed} of "
        f"{count(alone.pictures, 'object')} were lost; with it, {alone.control}."
    )


def _alone(evidence: Evidence, each: ClassSuspicion) -> Trial | None:
    return next((t for t in evidence.trials if t.class_ == each.class_ and t.kind == ALONE), None)


def _isolated(evidence: Evidence) -> dict[int, list[StatedClass]]:
    """The isolations of the objects of each class, of classes with enough of them."""
    found: dict[int, list[StatedClass]] = {}
    for each in evidence.stated_classes():
        if each.photograph and each.isolation.box is not None:
            found.setdefault(each.isolation.class_, []).append(each)
    return {k: several for k, several in sorted(found.items()) if len(several) >= PICTURES_NEEDED}


def _photographs(pairs: Sequence[Pair]) -> tuple[EvidencePicture, ...]:
    """The photographs of pairs, each once."""
    shown = dict.fromkeys((each.image, f"photograph {shortened(each.file)}") for each in pairs)
    return evidence_pictures(list(shown))


def _objects(evidence: Evidence, classes: tuple[int, ...]) -> list[Detection]:
    return [each for s in evidence.samples for each in s.detections if each.class_ in classes]
