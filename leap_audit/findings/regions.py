"""The rules that look at the isolations' own checks: is the region enough, and is it needed?"""

from collections.abc import Iterator, Sequence

from leap_audit.artifacts import EvidencePicture
from leap_audit.findings.evidence import Measurements, Seen
from leap_audit.findings.suspicion import Suspicion, evidence_pictures
from leap_audit.text.numbers import count, listed, percent

__all__ = ["erasing_changes_little", "isolation_not_enough"]

ERASED_SHARE = 0.5


def isolation_not_enough(measured: Measurements) -> Iterator[Suspicion]:
    seen = list(measured.isolations())
    failed = [each for each in seen if not each.isolation.enough]
    if failed:
        yield Suspicion(
            classes=_classes(failed),
            title=f"{count(len(failed), 'isolation fails its', 'isolations fail their')} own check",
            evidence=f"On {len(failed)} of {count(len(seen), 'isolation')}, no region of at most "
            f"60\u00a0% of the picture kept enough of the class's probability: "
            f"{_where(measured, failed)}.",
            sure="Sure: measured on each picture.",
            confirm="More steps, or photographs in which the object is smaller, would tell.",
            limits="These pictures must not be used to explain the answer. The class may be "
            "spread over the whole picture, or the search may have missed its region.",
            pictures=_pictures(measured, failed),
            figures={"failed": len(failed), "isolations": len(seen)},
        )


def erasing_changes_little(measured: Measurements) -> Iterator[Suspicion]:
    seen = [each for each in measured.isolations() if each.isolation.enough]
    failed = [
        each for each in seen if each.isolation.prob_delete >= ERASED_SHARE * each.isolation.prob
    ]
    if failed:
        yield Suspicion(
            classes=_classes(failed),
            title=f"{count(len(failed), 'isolation')} can be erased without losing the class",
            evidence=f"On {len(failed)} of {count(len(seen), 'isolation')} that passed the first "
            f"check, the class keeps at least half of its probability when the region is erased: "
            f"{_where(measured, failed)}.",
            sure="Sure: measured on each picture.",
            confirm="Covering the other parts that carry the class, by hand, would show them.",
            limits="The region is sufficient but not necessary: other parts of the picture carry "
            "the class as well, and the isolation does not show them.",
            pictures=_pictures(measured, failed),
            figures={"failed": len(failed), "isolations": len(seen)},
        )


def _where(measured: Measurements, seen: Sequence[Seen]) -> str:
    return listed([f"‘{measured.labels[e.isolation.class_]}’ on {e.picture}" for e in seen])


def _classes(seen: Sequence[Seen]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(each.isolation.class_ for each in seen))


def _pictures(measured: Measurements, seen: Sequence[Seen]) -> tuple[EvidencePicture, ...]:
    shown = [
        (
            each.isolation.image,
            f"‘{measured.labels[each.isolation.class_]}’ on {each.picture}: "
            f"{percent(each.isolation.prob_keep)} kept alone, "
            f"{percent(each.isolation.prob_delete)} erased",
        )
        for each in seen
    ]
    return evidence_pictures(shown)
