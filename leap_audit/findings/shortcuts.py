"""Rules about experiments: whether a mark alone brings forth a class."""

from collections.abc import Iterator

from leap_audit.artifacts import ClassSuspicion, Trial
from leap_audit.findings.evidence import Evidence
from leap_audit.findings.marks import confirmed_suspicion
from leap_audit.findings.suspicion import Suspicion
from leap_audit.text.numbers import count, percent

__all__ = ["change_sways", "shortcut"]

SWAYED, CHANCE = 0.5, 0.05
"""Share of pictures that a change of the whole picture turns into one class, and its largest
corrected probability."""


def shortcut(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect the classes that a mark calls up, where the experiment confirmed it."""
    for each in evidence.suspicion:
        if not each.confirmed or each.pasted is None or each.kind in (None, "context"):
            continue
        label = evidence.labels[each.class_]
        what, verb = _what(each)
        pasted, covered = each.pasted, each.covered
        figures: dict[str, float] = {"pasted into": pasted.pictures}
        if covered is not None:
            figures |= {"covered on": covered.pictures, "answers lost": covered.changed}
        consequence, action = _of_whole(each)
        if each.wrong:
            figures |= {"wrong answers": each.wrong, "corrected": each.corrected}
        yield confirmed_suspicion(
            each,
            pasted,
            title=f"{what} {verb} this model answer ‘{label}’",
            sentences=[_covering(each), _pasting(each, label)],
            confirm=_confirm(each),
            limits=_limits(each),
            figures=figures,
            consequence=consequence,
            action=action,
        )


def change_sways(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect the changes of whole pictures that turn most of them into one class."""
    strong = [
        t
        for t in evidence.trials
        if t.experiment == "global" and t.effect >= SWAYED and t.q <= CHANCE
    ]
    by_class: dict[int, list[Trial]] = {}
    for each in strong:
        by_class.setdefault(each.class_, []).append(each)
    for class_, trials in sorted(by_class.items()):
        worst = max(trials, key=lambda t: t.effect)
        label = evidence.labels[class_]
        yield Suspicion(
            target=(class_,),
            classes=(class_,),
            title=f"A change of the whole picture pushes answers to ‘{label}’",
            evidence=f"{worst.kind.capitalize()}: {worst.changed} of "
            f"{count(worst.pictures, 'picture')} of other answers became ‘{label}’"
            + (f"; so did most with {len(trials) - 1} other changes." if len(trials) > 1 else "."),
            sure=f"95\u00a0% interval: {percent(max(0.0, worst.low))} to {percent(worst.high)}.",
            confirm="Photographs taken under such conditions, counted as right or wrong.",
            limits="Such a change can take away what the other classes are told by; it shows where "
            "the model goes then, not that the class is defined by it."
            + ("" if evidence.samples else " Tried without photographs, on generated pictures."),
            figures={"pictures": worst.pictures, "turned": worst.changed},
        )


WHOLE = {
    "colour": "such colours",
    "texture": "such a texture",
    "detail": "such fine detail",
    "colour map": "colours changed so",
    "convolution": "fine detail changed so",
}
"""Kinds that are of the whole picture, where nothing is covered or pasted."""


def _such(each: ClassSuspicion) -> str:
    """What the whole picture has; empty: it is a mark in a part of it."""
    return WHOLE.get(str(each.kind), "")


def _of_whole(each: ClassSuspicion) -> tuple[str, str]:
    """What follows and what to do, where no mark is at fault; empty: where one is."""
    if not (such := _such(each)):
        return "", ""
    return (
        f"Pictures with {such} get this answer whatever they show.",
        f"Look whether pictures of the class have {such} in the training, and others have not. "
        "Train again with pictures of all classes changed in this way, and repeat the audit.",
    )


def _what(each: ClassSuspicion) -> tuple[str, str]:
    """The mark as the subject of a sentence, and its verb."""
    where = f" {each.where}" if each.where else ""
    names = {
        "region": f"A mark{where}",
        "moved region": "A small mark, wherever it lies,",
        "frame": "A frame around the picture",
        "pattern": "A pattern over the whole picture",
        "trigger": f"A pattern on {percent(each.area)} of the picture{where}",
        "moved trigger": f"A pattern on {percent(each.area)} of the picture, wherever it lies,",
        "colour map": "A change of the colours of the whole picture",
        "convolution": "A change of the fine detail of the whole picture",
    }
    if each.kind == "colour":
        return "The colours of the picture alone", "make"
    if each.kind == "texture":
        return "The texture of the picture alone", "makes"
    if each.kind == "detail":
        return "The fine detail of the picture alone", "makes"
    return names.get(str(each.kind), "A mark"), "makes"


def _covering(each: ClassSuspicion) -> str:
    such = _such(each)
    done = f"Taking {such} away" if such else "Covering it"
    if each.wrong:
        return f"{done} corrected {each.corrected} of {count(each.wrong, 'wrong answer')}."
    if each.covered is None:
        return ""
    return (
        f"{done} took the answer away on {each.covered.changed} of "
        f"{count(each.covered.pictures, 'picture')} (control: {each.covered.control})."
    )


def _pasting(each: ClassSuspicion, label: str) -> str:
    assert each.pasted is not None
    thing = "other photograph" if each.tried_on == "photographs" else "picture of other classes"
    several = "other photographs" if each.tried_on == "photographs" else "pictures of other classes"
    such = _such(each)
    done = f"Giving others {such}" if such else "Pasting it"
    return (
        f"{done} turned {each.pasted.changed} of "
        f"{count(each.pasted.pictures, thing, several)} into ‘{label}’ "
        f"(control: {each.pasted.control})."
    )


def _confirm(each: ClassSuspicion) -> str:
    such = _such(each)
    if each.tried_on == "photographs":
        return (
            f"More photographs with {such or 'the mark'}, and without, would give the rate in use."
        )
    return (
        f"Photographs with {such or 'such a mark'}, and without, would show whether the model "
        "answers so on them."
    )


def _limits(each: ClassSuspicion) -> str:
    such = _such(each)
    if each.tried_on == "photographs":
        return (
            "Tried on the photographs of this audit; how often pictures in use have "
            f"{such or 'the mark'} is not known."
        )
    return (
        "Tried without photographs, on generated pictures, several of which may show the same "
        f"prototype; photographs that have {such or 'the mark'}, and others, would show what it "
        "does in use."
    )
