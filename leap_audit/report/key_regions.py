"""What an isolation shows, in words: its key region and the figures of its check."""

from leap_audit.artifacts import Cosines, Isolation, Outcome
from leap_audit.findings.isolations import two_figures
from leap_audit.text.numbers import decimal, percent

__all__ = ["bars", "isolation_check", "of_figures", "reading", "region", "two_figures"]

_CHIPS: dict[Outcome, str] = {
    "carried": "confirmed",
    "not needed": "not the only evidence",
    "not enough": "no region is enough",
    "nothing to isolate": "nothing to show",
    "trace": "a trace only",
}
SAYS = 0.5
"""From this probability on, the model says a class; below it gives the class some probability."""


def isolation_check(isolation: Isolation) -> str:
    """Return in two or three words how the isolation did in its own check."""
    return _CHIPS[isolation.outcome]


def region(isolation: Isolation) -> str:
    """Return what the outlined region is: the key region, or one that is not enough."""
    name = "Tried region" if isolation.outcome == "not enough" else "Key region"
    return f"{name}, {percent(isolation.area)}"


def reading(isolation: Isolation, label: str) -> str:
    """Return what the figures of an isolation mean."""
    if isolation.cosines is not None:
        return _of_cosines(isolation, isolation.cosines, label)
    area, whole = percent(isolation.area), percent(isolation.prob)
    keep, delete = percent(isolation.prob_keep), percent(isolation.prob_delete)
    if isolation.box is not None and isolation.outcome in ("carried", "not needed"):
        return (
            f"With the outlined {area} of the picture alone, the detector still gives this "
            f"‘{label}’ a score of {keep} (before: {whole}). {_without(isolation, delete)}"
        )
    if isolation.outcome == "trace":
        return (
            f"The whole picture gives ‘{label}’ only {whole}; the outlined {area} alone gives "
            f"{keep}. This shows a trace, not an answer."
        )
    if isolation.outcome == "nothing to isolate":
        return (
            f"The model gives ‘{label}’ {whole} on this picture, and as much when all of it is "
            "erased. No part of the picture carries the class."
        )
    if isolation.outcome == "not enough":
        return (
            f"No region of up to 60\u00a0% is enough. With {area} of the picture alone, ‘{label}’ "
            f"falls from {whole} to {keep}. Do not use this picture as an explanation."
        )
    verb = "still answers" if isolation.prob_keep >= SAYS else "still gives"
    return (
        f"With the outlined {area} of the picture alone, the model {verb} ‘{label}’ ({keep}). "
        f"{_without(isolation, delete)}"
    )


def _of_cosines(isolation: Isolation, cosines: Cosines, label: str) -> str:
    """What the cosines of an encoder's isolation mean."""
    area, of = percent(isolation.area), f"the cosine with ‘{label}’"
    whole, keep, delete, erased = (
        decimal(each, 3) for each in (cosines.whole, cosines.keep, cosines.delete, cosines.erased)
    )
    if isolation.outcome == "trace":
        return (
            f"The whole picture gives ‘{label}’ only {percent(isolation.prob)}: {of} is {whole}, "
            f"and {keep} with the outlined {area} alone. This shows a trace, not an answer."
        )
    if isolation.outcome == "nothing to isolate":
        return (
            f"{of[:1].upper()}{of[1:]} is {whole}, and {erased} when all of the picture is "
            "blurred: what a blur leaves is enough, and no part can be singled out."
        )
    if isolation.outcome == "not enough":
        return (
            f"No region of up to 60\u00a0% is enough. With {area} of the picture alone, {of} falls "
            f"from {whole} to {keep}; with all erased it is {erased}. Do not use this picture as "
            "an explanation."
        )
    return (
        f"With the outlined {area} of the picture alone, {of} is {keep} (whole picture: {whole}, "
        f"all erased: {erased}). {_without(isolation, delete)}"
    )


def _without(isolation: Isolation, left: str) -> str:
    """What is left of a class where its region, which is enough, is erased."""
    also = ": other parts of the picture are evidence too" * (isolation.outcome == "not needed")
    return f"Without it, {left} is left{also}."


def bars(isolation: Isolation) -> tuple[tuple[str, float, str], ...]:
    """Return the figures of the check: what each is of, its share for a bar, and its text.

    A bar of cosines is the share of what the picture adds; where it adds nothing, the cosine.
    """
    names = ("whole picture", "region alone", "without it")
    cosines = isolation.cosines
    if cosines is None:
        probs = (isolation.prob, isolation.prob_keep, isolation.prob_delete)
        return tuple((name, p, percent(p)) for name, p in zip(names, probs, strict=True))
    several = (cosines.whole, cosines.keep, cosines.delete)
    adds = isolation.outcome != "nothing to isolate"
    shares = [cosines.share(c) if adds else max(0.0, c) for c in several]
    return tuple(
        (name, share, decimal(c, 3)) for name, share, c in zip(names, shares, several, strict=True)
    )


def of_figures(isolation: Isolation) -> str:
    """Return what the figures of the check are."""
    if isolation.cosines is not None:
        return "Cosine with the direction of the class"
    return "Score of the object" if isolation.box else "Probability of the class"
