"""Rules about prototypes: whether a class is reached, settled, and the same from every seed."""

from collections.abc import Iterator, Sequence

from leap_audit.artifacts import EvidencePicture, Prototype
from leap_audit.findings.evidence import REACHED_RANK, Evidence, shares_of_own
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
UNLIKE = 0.5
"""Below this mean cosine of their features, prototypes from several seeds count as unlike."""


def class_not_reached(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect the classes that no prototype reaches."""
    for target, replicates in evidence.by_target().items():
        best = min(replicates, key=lambda each: each.rank)
        if best.rank > REACHED_RANK:
            label = evidence.labels.of(target)
            yield Suspicion(
                target=target,
                classes=target,
                title=f"No picture could be found that the model calls ‘{label}’",
                evidence=f"The best of {count(len(replicates), 'prototype')} puts the class at "
                f"place {best.rank} of {len(evidence.classes)}, with a probability of "
                f"{percent(best.prob)}.",
                sure=f"Sure of this search, not of the class: {_runs(replicates)}.",
                confirm="More steps, another seed, and photographs of the class would tell.",
                limits="Either the model hardly uses this class, or the search was too short.",
                pictures=_pictures(evidence, [best]),
                figures={"rank": best.rank, "probability": best.prob},
            )


def target_not_first(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect the classes that are not the first answer on their own prototype."""
    for target, replicates in evidence.by_target().items():
        if min(each.rank for each in replicates) > REACHED_RANK:
            continue
        beaten = [each for each in replicates if each.rank > 1]
        if beaten:
            worst = max(beaten, key=lambda each: each.rank)
            label = evidence.labels.of(target)
            yield Suspicion(
                target=target,
                classes=target,
                title=f"On its own prototype, ‘{label}’ is not the model's first answer",
                evidence=f"Of the prototypes made for the class ({len(replicates)}), the model "
                f"calls {len(beaten)} something else; the class stands at place {worst.rank} "
                f"there, with a probability of {percent(worst.prob)}.{_winner(evidence, worst)}",
                sure=f"Measured on the finished pictures; {_runs(replicates)}.",
                confirm="Photographs of both classes, counted as right or wrong, would show "
                "whether the model mixes them up in use.",
                limits="A class may be a shade of another one, and then this is expected.",
                pictures=_pictures(evidence, beaten),
                figures={"rank": worst.rank, "probability": worst.prob},
            )


def prototype_not_converged(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect the prototypes whose logit still rose at the last step."""
    rising = [each for each in evidence.prototypes if not each.converged]
    if rising:
        yield Suspicion(
            classes=tuple(dict.fromkeys(k for each in rising for k in each.target)),
            title=f"{count(len(rising), 'prototype')} had not settled when the search ended",
            evidence=f"The logit was still changing at the last step for "
            f"{listed([evidence.labels.of(each.target) for each in rising])} "
            f"({len(rising)} of {len(evidence.prototypes)} prototypes).",
            sure="Sure: read off the curves of the search.",
            confirm="A run with more steps (--steps) would show whether the pictures change.",
            limits="What these pictures show may still change; their figures are lower bounds.",
            figures={"unsettled": len(rising), "prototypes": len(evidence.prototypes)},
        )


def prototype_unstable(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect the classes whose prototypes from several seeds are unlike."""
    for target, replicates in evidence.by_target().items():
        unlike = [
            (each.stability, each)
            for each in replicates
            if each.stability is not None and each.stability.similarity < UNLIKE
        ]
        if unlike:
            stability, worst = min(unlike, key=lambda pair: pair[0].similarity)
            label = evidence.labels.of(target)
            faces = [(image, f"‘{label}’ from another seed") for image in stability.images]
            yield Suspicion(
                target=target,
                classes=target,
                title=f"Another seed gives ‘{label}’ another face",
                evidence=f"The features of its prototypes from {len(stability.logits)} seeds have "
                f"a mean cosine of {decimal(stability.similarity)} (the line is drawn at "
                f"{decimal(UNLIKE)}); of the three most entangled classes, "
                f"{percent(stability.agreement)} are the same.",
                sure=f"Only {len(stability.logits)} seeds were compared.",
                confirm="More seeds (--seeds) and more steps would show whether the class has "
                "several faces or the search had not settled.",
                limits="A class may truly look like several things. What one picture shows is "
                "then a part of it, and its entanglements are those of that part.",
                pictures=evidence_pictures([*_shown(evidence, [worst]), *faces]),
                figures={"similarity": stability.similarity, "agreement": stability.agreement},
            )


def strong_entanglement(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect the classes whose prototype points almost as much to another class."""
    for target, replicates in evidence.by_target().items():
        close = _close(replicates)
        if close:
            order = sorted(close, key=lambda index: (-close[index], index))
            names = [f"‘{evidence.labels[index]}’ ({percent(close[index])})" for index in order]
            beside = [
                each for index in order for each in evidence.by_target().get((index,), [])[:1]
            ]
            several = any(e.low is not None for p in replicates for e in p.entanglements)
            yield Suspicion(
                target=target,
                classes=(*target, *order),
                title=f"‘{evidence.labels.of(target)}’ is hard to tell from "
                f"‘{evidence.labels[order[0]]}’",
                evidence=f"The prototype's features point almost as much to {listed(names)} as to "
                f"the class itself (entanglement as a share of the class's own; the line is drawn "
                f"at {percent(ENTANGLED_SHARE)}).",
                sure="The ranges over the seeds stand beside each figure."
                if several
                else "One seed only: another may give other neighbours.",
                confirm="Photographs of both classes, counted as right or wrong, would show how "
                "often they are mixed up.",
                limits="Expected between classes that look alike. Where they do not, mistakes are "
                "to be expected between them.",
                pictures=_pictures(evidence, [replicates[0], *beside]),
                figures={"share of own": close[order[0]], "classes": len(order)},
            )


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
