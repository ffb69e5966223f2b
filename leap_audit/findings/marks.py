"""Suspicions that an experiment with a mark confirmed, on a picture or beside an object."""

from collections.abc import Iterable

from leap_audit.artifacts import ClassSuspicion, Severity, Trial
from leap_audit.findings.evidence import Evidence
from leap_audit.findings.suspicion import Suspicion
from leap_audit.text.numbers import percent

__all__ = ["confirmed_suspicion", "tested"]

GRAVE, MEDIUM = 0.5, 0.3
"""Share of other pictures that a mark turns, beyond its control, from which it is high, and
medium."""


def tested(evidence: Evidence, class_: int) -> bool:
    """Whether experiments looked for a shortcut to a class."""
    return any(s.class_ == class_ and s.pasted is not None for s in evidence.suspicion)


def confirmed_suspicion(
    each: ClassSuspicion,
    pasted: Trial,
    *,
    title: str,
    sentences: Iterable[str],
    confirm: str,
    limits: str,
    figures: dict[str, float],
    consequence: str = "",
    action: str = "",
) -> Suspicion:
    """Return the suspicion of a class, with the trial that confirmed it and its pictures.

    sentences: what was done, empty ones left out. figures: beside those of the trial `pasted`.
    consequence, action: as of `Suspicion`.
    """
    return Suspicion(
        target=(each.class_,),
        classes=(each.class_,),
        severity=_severity(pasted),
        title=title,
        evidence=" ".join(filter(None, sentences)),
        sure=f"95\u00a0% interval of the difference: {percent(max(0.0, pasted.low))} to "
        f"{percent(pasted.high)}; by chance with a probability of {percent(pasted.q)}, "
        "corrected over all that was tried.",
        confirm=confirm,
        confirmed=True,
        limits=limits,
        pictures=tuple(picture for picture in each.pictures if picture.image),
        figures={
            "suspicion": each.score,
            "turned": pasted.changed,
            "turned by the control": pasted.control,
            "q": pasted.q,
            **figures,
        },
        consequence=consequence,
        action=action,
    )


def _severity(pasted: Trial) -> Severity:
    if pasted.effect >= GRAVE:
        return "high"
    return "medium" if pasted.effect >= MEDIUM else "low"
