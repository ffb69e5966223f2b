"""Rules about the model's answers as a whole: whether it answers, and whether it is right."""

from collections import Counter
from collections.abc import Iterator

from leap_audit.artifacts import EvidencePicture
from leap_audit.findings.basis import CALIBRATION_NEEDS, PHOTOGRAPHS_NEEDED
from leap_audit.findings.evidence import (
    Evidence,
    LabelledAnswer,
    doubt,
    labelled_answers,
    overlapping,
)
from leap_audit.findings.suspicion import Suspicion, evidence_pictures, pattern_certainty
from leap_audit.ingest.outputs.trial import TRIAL_PICTURES
from leap_audit.statistics import wilson
from leap_audit.text.names import shortened
from leap_audit.text.numbers import count, decimal, listed, percent

__all__ = [
    "answers_saturated",
    "confidence_unjustified",
    "constant_answer",
    "one_answer",
    "photographs_mistaken",
    "preprocessing_doubted",
    "scores_do_not_move",
]

FLAT = 1e-3
"""Logits: a search that moves its class by less moved nothing."""
SATURATED = 1 - 1e-6
"""From this probability on, an answer is entirely sure."""
SATURATED_SHARE = 0.9
"""Of the photographs, which must be answered entirely sure."""
PREDICTED = 3
"""A mistake counts as predicted if it is among so many most entangled classes."""
MANY_WRONG = 0.25
"""Share of wrong answers above which the severity is high."""
DEAD_OR_DARK = (
    "A model that ignores its input and a wrong range of pixel values look the same here."
)


def preprocessing_doubted(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect the preprocessing if the model is right more often with another one."""
    readings = evidence.readings
    if readings is not None and (better := doubt(readings)) is not None:
        yield Suspicion(
            title="The preprocessing may be wrong",
            evidence=f"With the preprocessing of this audit, the model is right on "
            f"{readings.right} of {count(readings.photographs, 'labelled photograph')}. With "
            f"{better.text}, it is right on {better.right}.",
            sure=f"Confidence: high (p = {decimal(better.p, 4)}, sign test).",
            confirm="Compare with the evaluation code of the model. Then run the audit again.",
            limits="Everything else in this report was measured with the doubtful preprocessing.",
            figures={"right": readings.right, "right otherwise": better.right, "p": better.p},
        )


def constant_answer(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect a model that gives one answer to all trial pictures."""
    model = evidence.model
    if model is not None and model.constant:
        yield Suspicion(
            title="The model gives the same answer to every picture",
            evidence=model.meaning,
            sure="Confidence: high. Tried: black, white, one colour, noise of several sizes, and a "
            "ramp.",
            confirm="Check the end of the network. A Softmax over one class always gives 1; a "
            "single score needs a Sigmoid. Then run photographs through the model's own code.",
            limits=f"Prototypes and isolations of such a model show nothing. {DEAD_OR_DARK}",
            figures={"pictures": TRIAL_PICTURES},
            confirmed=True,
        )


def scores_do_not_move(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect a model whose logits no search for a prototype could move."""
    if evidence.model is not None and evidence.model.constant:
        return  # said by `constant_answer`
    moved = [max(p.curve) - min(p.curve) for p in evidence.prototypes if len(p.curve) > 1]
    if moved and max(moved) <= FLAT:
        yield Suspicion(
            title="The model's scores do not change with the picture",
            evidence=f"In {count(len(moved), 'search', 'searches')} for a prototype, no logit "
            f"changed by more than {decimal(max(moved), 6)}.",
            sure="Confidence: high for the pictures that were tried.",
            confirm="Run photographs through the model's own code. If its answers differ there, "
            "the preprocessing is wrong. If not, the model ignores its input.",
            limits=DEAD_OR_DARK,
            figures={"largest change": max(moved)},
            confirmed=True,
        )


def one_answer(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect a model that gives one answer to photographs of several classes."""
    known = labelled_answers(evidence.samples)
    answers = {each.answer for each in known}
    shown = {each.shows for each in known}
    if len(known) >= PHOTOGRAPHS_NEEDED and len(answers) == 1 and len(shown) > 1:
        (answer,) = answers
        yield Suspicion(
            target=(answer,),
            classes=(answer,),
            title=f"The model answers every photograph with ‘{evidence.labels[answer]}’",
            evidence=f"The photographs ({len(known)}) show {len(shown)} different classes. All get "
            "the same answer.",
            sure=pattern_certainty(len(known), len(known)),
            confirm="Run more photographs of the other classes through the model's own code.",
            limits=DEAD_OR_DARK,
            pictures=_pictures(evidence, known),
            figures={"photographs": len(known), "known classes": len(shown)},
        )


def answers_saturated(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect a model that is entirely sure of almost every photograph."""
    measured = [s for s in evidence.samples if s.predicted and s.predicted[0].share is None]
    full = [s for s in measured if s.predicted[0].prob >= SATURATED]
    if len(measured) >= PHOTOGRAPHS_NEEDED and len(full) >= SATURATED_SHARE * len(measured):
        encoder = evidence.encoder
        yield Suspicion(
            title="The factor of the cosines makes the answer to almost every photograph certain"
            if encoder
            else "The model is fully certain of almost every photograph",
            evidence=f"On {len(full)} of {count(len(measured), 'photograph')}, the first answer "
            "has a probability within a millionth of 100\u00a0%.",
            sure=pattern_certainty(len(full), len(measured)),
            confirm="Look at photographs that the model gets wrong. If it is as sure of those, its "
            "probabilities carry no information.",
            limits="The cosines, by which key regions are read, do not depend on the factor."
            if encoder
            else "Such probabilities hide differences: compare regions by their logits instead.",
            action="Declare the factor that the encoder was trained with, with --directions-scale."
            if encoder
            else "",
            figures={"saturated": len(full), "photographs": len(measured)},
        )


def confidence_unjustified(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect probabilities whose mean lies outside the interval of the accuracy."""
    model = evidence.model
    if model is not None and (model.independent or model.places != (1, 1)):
        return
    known = labelled_answers(evidence.samples)
    if len(known) < CALIBRATION_NEEDS or evidence.centroids:
        return
    right = sum(each.right for each in known)
    sure = sum(each.prob for each in known) / len(known)
    low, high = wilson(right, len(known))
    if low <= sure <= high:
        return
    wrong = [each for each in known if not each.right]
    over = sure > high
    yield Suspicion(
        detail="" if over else "under",
        severity=None if over else "low",
        classes=tuple(dict.fromkeys(each.answer for each in wrong)) if over else (),
        title=f"The model is {percent(sure)} sure on average, and right on "
        f"{percent(right / len(known))}",
        evidence=f"It is right on {right} of {count(len(known), 'labelled photograph')} (95\u00a0% "
        f"interval {percent(low)} to {percent(high)}). Its mean probability is {percent(sure)}, "
        f"{'above' if over else 'below'} that interval.",
        consequence="" if over else "The model is right more often than its probabilities suggest.",
        sure=f"Confidence: high. The mean lies outside the 95\u00a0% interval of {len(known)} "
        "photographs.",
        confirm="Measure calibration on a larger labelled test set from the place of use.",
        limits="It holds for these photographs, which are no random sample.",
        figures={"mean probability": sure, "right": right, "photographs": len(known)},
        answered=tuple(dict.fromkeys(each.answer for each in wrong)),
    )


def photographs_mistaken(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect a model that answers photographs with another class than they show.

    It is about the classes that half of the mistakes show or name; where mistakes are spread over
    the classes, about none: then it says nothing of a single one.
    """
    known = labelled_answers(evidence.samples)
    wrong = [each for each in known if not each.right]
    if not wrong:
        return
    low, high = wilson(len(wrong), len(known))
    pairs = Counter((each.shows, each.answer) for each in wrong)
    answers = Counter(each.answer for each in wrong)
    involved = Counter(k for each in wrong for k in (each.shows, each.answer))
    many = len(known) >= PHOTOGRAPHS_NEEDED and len(wrong) > MANY_WRONG * len(known)
    of_all = f"{len(wrong)} of {count(len(known), 'labelled photograph')}"
    title, sure = f"The model got {of_all} wrong", "if the photographs are a fair sample."
    if evidence.centroids:
        title = f"{of_all} are nearer to the centroid of another class"
        sure = "of centroids made of these photographs; of others it may be higher."
    yield Suspicion(
        severity="high" if many else None,
        classes=tuple(k for k, times in involved.items() if 2 * times >= len(wrong)),
        title=title,
        evidence=f"{_pattern(evidence, answers, pairs)}{_predicted(evidence, pairs)}",
        sure="95\u00a0% interval of the error rate: "
        f"{percent(low)} to {percent(high)} (Wilson), {sure}",
        confirm="Measure the error rate on a labelled test set from the place of use.",
        limits="Labels supplied by the user; not verified. The photographs are no random sample.",
        pictures=_pictures(evidence, sorted(wrong, key=lambda each: -each.prob)),
        figures={"wrong": len(wrong), "photographs": len(known)},
        answered=tuple(answers),
    )


def _pattern(evidence: Evidence, answers: Counter[int], pairs: Counter[tuple[int, int]]) -> str:
    """Say what the wrong answers have in common, or list the pairs."""
    total = sum(answers.values())
    first, times = answers.most_common(1)[0]
    if total > 1 and times == total:
        shown = len({pair[0] for pair in pairs})
        return (
            f"Every wrong answer was ‘{evidence.labels[first]}’. The photographs show "
            f"{count(shown, 'other class', 'other classes')}."
        )
    said = [
        f"‘{evidence.labels[shown]}’ as ‘{evidence.labels[answer]}’ ({number})"
        for (shown, answer), number in sorted(pairs.items(), key=lambda each: -each[1])
    ]
    most = f"{times} of the {total} wrong answers were ‘{evidence.labels[first]}’. "
    return f"{most if total > 2 and 2 * times > total else ''}Mistaken: {listed(said)}."


def _predicted(evidence: Evidence, pairs: Counter[tuple[int, int]]) -> str:
    """How many of the mistakes the entanglements of the prototypes had pointed at."""
    tops = {
        target[0]: {e.class_ for p in replicates for e in overlapping(p)[:PREDICTED]}
        for target, replicates in evidence.by_target().items()
        if len(target) == 1
    }
    with_prototype = {pair: times for pair, times in pairs.items() if pair[0] in tops}
    if not with_prototype:
        return ""
    hits = sum(times for pair, times in with_prototype.items() if pair[1] in tops[pair[0]])
    if not hits:
        return ""
    return (
        f" The class overlap of the prototypes pointed to {hits} of "
        f"{count(sum(with_prototype.values()), 'mistake')}."
    )


def _pictures(evidence: Evidence, known: list[LabelledAnswer]) -> tuple[EvidencePicture, ...]:
    shown = [
        (
            each.sample.image,
            f"{shortened(each.sample.file)}: shows ‘{evidence.labels[each.shows]}’, answered "
            f"‘{evidence.labels[each.answer]}’ ({percent(each.prob)})",
        )
        for each in known
    ]
    return evidence_pictures(shown)
