"""Rules about second opinions: whether other methods agree, and what their maps depend on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from leap_audit.artifacts import Isolation, Opinion, Sample
from leap_audit.findings.basis import PICTURES_NEEDED
from leap_audit.findings.evidence import Evidence
from leap_audit.findings.suspicion import Suspicion, evidence_pictures, pattern_certainty
from leap_audit.text.names import shortened
from leap_audit.text.numbers import count, decimal, listed, percent

__all__ = ["map_not_of_class", "map_not_of_weights", "methods_disagree"]

DISAGREE = 0.2
"""Agreement with the key region below which a method points elsewhere: twice that of chance."""
SAME = 0.9
"""Rank correlation from which on two maps of a method are the same."""


@dataclass(frozen=True)
class _Compared:
    sample: Sample
    isolation: Isolation
    opinions: dict[str, float]
    """Method in words -> its agreement with the isolation."""


def methods_disagree(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect the key regions that no other method points to."""
    every = list(_compared(evidence))
    apart = [each for each in every if max(each.opinions.values()) < DISAGREE]
    if apart:
        worst = min(apart, key=lambda each: max(each.opinions.values()))
        figures = listed([f"{name} {percent(value)}" for name, value in worst.opinions.items()])
        agree = worst.sample.opinions_agree
        among = "" if agree is None else f" With one another they have {percent(agree)} in common."
        yield Suspicion(
            classes=tuple(dict.fromkeys(each.isolation.class_ for each in apart)),
            title=f"On {len(apart)} of {count(len(every), 'photograph')}, other methods point "
            "elsewhere than the key region",
            evidence=f"On photograph {shortened(worst.sample.file)}, the highest tenth of the map "
            f"has in common with that of the key region: {figures}; by chance 10\u00a0%.{among}",
            sure="Confidence: high. It was measured on each photograph.",
            confirm="Compare more methods on these photographs with leap-audit explain --compare.",
            limits="Methods differ in what they ask. The key region passed its own check, so the "
            "others may be wrong, or the class has evidence in several places.",
            pictures=evidence_pictures(
                [
                    (each.isolation.image, f"photograph {shortened(each.sample.file)}")
                    for each in apart
                ]
            ),
            figures={
                "photographs": len(every),
                "apart": len(apart),
                "agreement": max(worst.opinions.values()),
            },
        )


def map_not_of_class(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect the methods whose maps are the same for another class."""
    for method, values in _checked(evidence, lambda each: each.other_class):
        yield _same(
            method,
            values,
            f"The maps of {_words(method)} are the same for another class",
            "the next most probable class",
            "Explain some photographs for several classes with leap-audit explain, and compare "
            "the maps.",
            "Classes that look alike may have the same evidence.",
        )


def map_not_of_weights(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect the methods whose maps are the same after all weights were shuffled."""
    for method, values in _checked(evidence, lambda each: each.other_weights):
        yield _same(
            method,
            values,
            f"The maps of {_words(method)} do not depend on what the model learned",
            "the same class after the weights of every layer were shuffled",
            "Check with leap-audit explain --check on other photographs.",
            "The weights were shuffled once. Where those of a layer are all alike, shuffling "
            "changes nothing.",
        )


def _same(
    method: str, values: list[float], title: str, other: str, confirm: str, limits: str
) -> Suspicion:
    mean = sum(values) / len(values)
    return Suspicion(
        detail=method,
        title=title,
        evidence=f"On {count(len(values), 'photograph')}, the map of {_words(method)} has a rank "
        f"correlation of {decimal(mean)} with its map for {other}, on average.",
        sure=pattern_certainty(sum(value >= SAME for value in values), len(values)),
        confirm=confirm,
        limits=limits,
        figures={"photographs": len(values), "rank correlation": mean},
    )


def _checked(
    evidence: Evidence, figure: Callable[[Opinion], float | None]
) -> Iterator[tuple[str, list[float]]]:
    """The methods whose maps are the same on average, on enough photographs, with the figures."""
    found: dict[str, list[float]] = {}
    for sample in evidence.samples:
        for each in sample.opinions:
            if (value := figure(each)) is not None:
                found.setdefault(each.method, []).append(value)
    for method, values in found.items():
        if len(values) >= PICTURES_NEEDED and sum(values) / len(values) >= SAME:
            yield method, values


def _compared(evidence: Evidence) -> Iterator[_Compared]:
    """The photographs whose key region passed its check, with the methods that have a map."""
    for sample in evidence.samples:
        for isolation in sample.isolations:
            agreed = {
                _words(each.method): each.agreement
                for each in sample.opinions
                if each.class_ == isolation.class_ and each.agreement is not None
            }
            if agreed and isolation.outcome in ("carried", "not needed"):
                yield _Compared(sample, isolation, agreed)


def _words(method: str) -> str:
    return method.replace("_", " ")
