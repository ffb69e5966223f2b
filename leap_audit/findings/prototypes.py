"""Rules about prototypes: whether a class is reached, settled, and the same from every seed."""

from collections.abc import Iterator, Sequence

from leap_audit.artifacts import ALIKE, EvidencePicture, Prototype
from leap_audit.findings.evidence import (
    REACHED_RANK,
    Evidence,
    prob_on_photographs,
    shares_of_own,
)
from leap_audit.findings.suspicion import Suspicion, evidence_pictures
from leap_audit.text.numbers import count, decimal, listed, percent

__all__ = [
    "class_not_reached",
    "prototype_not_converged",
    "prototype_unstable",
    "strong_entanglement",
    "target_not_first",
]

ENTANGLED_SHARE = 0.8
"""Of a class's own entanglement: from here on, another class is hard to tell from it."""


def class_not_reached(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect the classes that no prototype reaches.

    A search that was still improving when it ended says little about the class: severity low.
    """
    for target, replicates in evidence.by_target().items():
        best = min(replicates, key=lambda each: each.rank)
        if best.rank > REACHED_RANK:
            label = evidence.labels.of(target)
            what = "object" if evidence.detector else "picture"
            settled = any(each.converged for each in replicates)
            yield Suspicion(
                severity=None if settled else "low",
                target=target,
                classes=target,
                title=f"The search found no {what} that the model calls ‘{label}’",
                evidence=f"On the best prototype, the class is in place {best.rank:,} of "
                f"{len(evidence.classes):,}, with a probability of {percent(best.prob)}.",
                sure=f"Confidence: {'medium' if settled else 'low'} ({_runs(replicates)}"
                f"{'' if settled else ', still improving at the end'}).",
                confirm="Run more steps and other seeds, and test photographs of the class.",
                limits="The model may hardly use this class, or the search was too short.",
                pictures=_pictures(evidence, [best]),
                figures={"rank": best.rank, "probability": best.prob},
            )


def target_not_first(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect the classes that are not the first answer on their own prototype."""
    for target, replicates in evidence.by_target().items():
        if min(each.rank for each in replicates) > REACHED_RANK:
            continue
        beaten = [each for each in _reached(evidence, replicates) if each.rank > 1]
        if beaten:
            worst = max(beaten, key=lambda each: each.rank)
            label = evidence.labels.of(target)
            yield Suspicion(
                target=target,
                classes=target,
                title=f"On its own prototype, ‘{label}’ is not the model's first "
                f"{'class' if evidence.detector else 'answer'}",
                evidence=f"The class is in place {worst.rank}, with a probability of "
                f"{percent(worst.prob)}.{_winner(evidence, worst)}",
                sure=f"Confidence: high for these pictures ({_runs(replicates)}).",
                confirm="Test photographs of both classes, and count the mistakes.",
                limits="This is expected where one class is a kind of the other.",
                pictures=_pictures(evidence, beaten),
                figures={"rank": worst.rank, "probability": worst.prob},
            )


def prototype_not_converged(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect the prototypes whose logit still rose at the last step."""
    rising = [each for each in evidence.prototypes if not each.converged]
    if rising:
        yield Suspicion(
            classes=tuple(dict.fromkeys(k for each in rising for k in each.target)),
            title=f"{count(len(rising), 'prototype was', 'prototypes were')} still improving when "
            "the search stopped",
            evidence=f"{len(rising)} of {count(len(evidence.prototypes), 'prototype')}: "
            f"{listed([evidence.labels.of(each.target) for each in rising])}.",
            sure="Confidence: high. The curves of the search show it.",
            confirm="Run more steps (--steps), and look whether the pictures change.",
            limits="The logits of these prototypes are lower bounds.",
            figures={"unsettled": len(rising), "prototypes": len(evidence.prototypes)},
        )
    short = [(e, prob_on_photographs(evidence, e)) for e in evidence.prototypes]
    if below := [(each, usual) for each, usual in short if usual is not None]:
        yield Suspicion(
            severity="info",
            detail="photographs",
            classes=tuple(dict.fromkeys(k for each, _ in below for k in each.target)),
            title=f"{count(len(below), 'prototype falls', 'prototypes fall')} short of the "
            "photographs of the class",
            evidence="Probability of the class on its prototype, and on half of its photographs or "
            "more: "
            + listed(
                [
                    f"‘{evidence.labels.of(each.target)}’ {percent(each.prob)}, {percent(usual)}"
                    for each, usual in below
                ]
            )
            + ".",
            sure="Confidence: high. It was measured.",
            confirm="Run more steps and seeds (--steps, --seeds), and look whether it is reached.",
            limits="These photographs are told apart from those of other classes.",
            consequence="The search did not reach the class: these pictures foretell no confusion.",
            figures={"short": len(below), "prototypes": len(evidence.prototypes)},
        )


def prototype_unstable(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect the classes whose prototypes from several seeds are unlike."""
    for target, replicates in evidence.by_target().items():
        unlike = [
            (each.stability.similarity, each.stability, each)
            for each in replicates
            if each.stability is not None
            and each.stability.faces is None  # else a search made them unlike on purpose
            and each.stability.similarity is not None
            and each.stability.similarity < ALIKE
        ]
        if unlike:
            similarity, stability, worst = min(unlike, key=lambda each: each[0])
            label = evidence.labels.of(target)
            repeats = [(image, f"‘{label}’, another run") for image in stability.images]
            yield Suspicion(
                target=target,
                classes=target,
                title=f"Repeated runs give ‘{label}’ different prototypes",
                evidence=f"{len(stability.logits)} runs give a mean feature similarity of "
                f"{decimal(similarity)} (threshold {decimal(ALIKE)}). They agree on "
                f"{percent(stability.agreement)} of the three most related classes.",
                sure=f"Confidence: low. Only {len(stability.logits)} runs were compared.",
                confirm="Run more seeds (--seeds) and more steps, and push them apart "
                "(prototype.diversity): then the report says how many faces the class has.",
                limits="A class may look like several things. One picture then shows a part of it.",
                pictures=evidence_pictures([*_shown(evidence, [worst]), *repeats]),
                figures={"similarity": similarity, "agreement": stability.agreement},
            )


def strong_entanglement(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect the classes whose prototype points almost as much to another class."""
    for target, replicates in evidence.by_target().items():
        close = _close(_reached(evidence, replicates))
        if close:
            order = sorted(close, key=lambda index: (-close[index], index))
            names = [f"‘{evidence.labels[index]}’ ({percent(close[index])})" for index in order]
            beside = [
                each for index in order for each in evidence.by_target().get((index,), [])[:1]
            ]
            several = any(e.low is not None for p in replicates for e in p.entanglements)
            label, other = evidence.labels.of(target), evidence.labels[order[0]]
            yield Suspicion(
                target=target,
                classes=(*target, *order),
                title=f"The model may confuse ‘{label}’ with ‘{other}’",
                evidence=f"The prototype of ‘{label}’ points to {listed(names)} beside its own "
                f"class (100\u00a0%). The threshold is {percent(ENTANGLED_SHARE)}.",
                sure="Confidence: medium. The range over repeated runs is beside each figure."
                if several
                else "Confidence: low. Only one seed was run.",
                confirm="Test photographs of both classes, and count how often they are confused.",
                limits="This is expected between classes that look alike.",
                pictures=_pictures(evidence, [replicates[0], *beside]),
                figures={"share of own": close[order[0]], "classes": len(order)},
            )


def _reached(evidence: Evidence, replicates: Sequence[Prototype]) -> list[Prototype]:
    """Those that do not fall short of photographs of their class, which then say more."""
    return [each for each in replicates if prob_on_photographs(evidence, each) is None]


def _close(replicates: Sequence[Prototype]) -> dict[int, float]:
    """The classes whose entanglement is near the target's own, as a share of it."""
    close: dict[int, float] = {}
    for prototype in replicates:
        for class_, share in (shares_of_own(prototype) or {}).items():
            if share >= ENTANGLED_SHARE:
                close[class_] = max(close.get(class_, 0.0), share)
    return close


def _winner(evidence: Evidence, prototype: Prototype) -> str:
    others = [e for e in prototype.entanglements if e.class_ not in prototype.target]
    if not others:
        return ""
    first = max(others, key=lambda each: each.logit)
    if first.logit <= prototype.logit:
        return ""
    return f" Ahead of it: ‘{evidence.labels[first.class_]}’ ({percent(first.prob)})."


def _pictures(evidence: Evidence, prototypes: Sequence[Prototype]) -> tuple[EvidencePicture, ...]:
    return evidence_pictures(_shown(evidence, prototypes))


def _shown(evidence: Evidence, prototypes: Sequence[Prototype]) -> list[tuple[str, str]]:
    return [(p.image, f"Prototype of ‘{evidence.labels.of(p.target)}’") for p in prototypes]


def _runs(replicates: Sequence[Prototype]) -> str:
    seeds = sum(len(p.stability.logits) if p.stability else 1 for p in replicates)
    return f"{count(seeds, 'run')} of {count(replicates[0].steps, 'step')}"
