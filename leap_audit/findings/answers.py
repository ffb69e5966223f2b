"""Rules about the model's answers as a whole: whether it answers, and whether it is right."""

from collections import Counter
from collections.abc import Iterator

from leap_audit.artifacts import EvidencePicture
from leap_audit.findings.evidence import Evidence, LabelledAnswer, doubt, labelled_answers
from leap_audit.findings.suspicion import Suspicion, evidence_pictures, pattern_certainty
from leap_audit.ingest.outputs.trial import TRIAL_PICTURES
from leap_audit.text.names import shortened
from leap_audit.text.numbers import count, decimal, listed, percent, wilson

__all__ = [
    "answers_saturated",
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
PHOTOGRAPHS_NEEDED = 5
"""Photographs below which the answers as a whole are not judged."""
PREDICTED = 3
"""A mistake counts as predicted if it is among so many most entangled classes."""


def preprocessing_doubted(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect the preprocessing if the model is right more often with another one."""
    readings = evidence.readings
    if readings is not None and (better := doubt(readings)) is not None:
        yield Suspicion(
            title="The preprocessing may be wrong",
            evidence=f"Of {count(readings.photographs, 'photograph')} of known classes, the model "
            f"answers {readings.right} with their class as this audit shows them, and "
            f"{better.right} with {better.text}.",
            sure=f"By chance that happens with a probability of {percent(better.p)} (sign test).",
            confirm="The model's own evaluation code would tell; then run the audit again.",
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
            sure="Sure for the pictures that were tried: black, white, a colour, noise of several "
            "sizes, a ramp.",
            confirm="The end of the network. A Softmax over one class always says 1: a single "
            "score needs a Sigmoid, or the export is to stop before the Softmax. Else photographs "
            "through the model's own code: if its answers differ there, the preprocessing is "
            "wrong.",
            limits="Prototypes, entanglements and isolations of a model that does not answer show "
            "nothing. A dead model and one that is shown pictures in the wrong range look alike.",
            figures={"pictures": TRIAL_PICTURES},
        )


def scores_do_not_move(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect a model whose logits no search for a prototype could move."""
    if evidence.model is not None and evidence.model.constant:
        return  # said by `constant_answer`
    moved = [max(p.curve) - min(p.curve) for p in evidence.prototypes if len(p.curve) > 1]
    if moved and max(moved) <= FLAT:
        yield Suspicion(
            title="The model's scores do not move, whatever it is shown",
            evidence=f"In {count(len(moved), 'search', 'searches')} for a prototype, no logit "
            f"changed by more than {decimal(max(moved), 6)}.",
            sure="Sure for the pictures that were tried.",
            confirm="Photographs through the model's own code: if its answers differ there, the "
            "preprocessing is wrong; if not, the model is dead.",
            limits="A dead model and one that is shown pictures in the wrong range look alike.",
            figures={"largest change": max(moved)},
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
            title=f"Every photograph is answered with ‘{evidence.labels[answer]}’",
            evidence=f"{count(len(known), 'photograph')} of {len(shown)} known classes all get "
            "the same answer.",
            sure=pattern_certainty(len(known), len(known), "photographs"),
            confirm="More photographs of the other classes, through the model's own code.",
            limits="A dead model and one that is shown pictures in the wrong range look alike.",
            pictures=_pictures(evidence, known),
            figures={"photographs": len(known), "known classes": len(shown)},
        )


def answers_saturated(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect a model that is entirely sure of almost every photograph."""
    measured = [s for s in evidence.samples if s.predicted and s.predicted[0].share is None]
    full = [s for s in measured if s.predicted[0].prob >= SATURATED]
    if len(measured) >= PHOTOGRAPHS_NEEDED and len(full) >= SATURATED_SHARE * len(measured):
        yield Suspicion(
            title="The model is entirely sure of almost every photograph",
            evidence=f"On {len(full)} of {count(len(measured), 'photograph')}, the first answer "
            "has a probability within a millionth of 100\u00a0%.",
            sure=pattern_certainty(len(full), len(measured), "photographs"),
            confirm="Photographs that the model gets wrong: if it is as sure of those, its "
            "probabilities carry no information.",
            limits="Saturated probabilities hide differences: kept and erased regions are then "
            "better compared by their logits.",
            figures={"saturated": len(full), "photographs": len(measured)},
        )


def photographs_mistaken(evidence: Evidence) -> Iterator[Suspicion]:
    """Suspect the classes of photographs that get another answer than they show."""
    known = labelled_answers(evidence.samples)
    wrong = [each for each in known if not each.right]
    if wrong:
        low, high = wilson(len(wrong), len(known))
        pairs = Counter((each.shows, each.answer) for each in wrong)
        said = [
            f"‘{evidence.labels[shown]}’ for ‘{evidence.labels[answer]}’ ({times})"
            for (shown, answer), times in sorted(pairs.items(), key=lambda each: -each[1])
        ]
        yield Suspicion(
            classes=tuple(dict.fromkeys(k for pair in pairs for k in pair)),
            title=f"{count(len(wrong), 'photograph is', 'photographs are')} answered with another "
            "class than they show"
            if len(wrong) > 1
            else "A photograph is answered with another class than it shows",
            evidence=f"{len(wrong)} of {count(len(known), 'photograph')} of known classes, taken "
            f"{listed(said)}.{_predicted(evidence, pairs)}",
            sure=f"95\u00a0% interval of the share of mistakes, if the photographs are a fair "
            f"sample: {percent(low)} to {percent(high)} (Wilson).",
            confirm="A labelled test set from the place of use would give the rate.",
            limits="The photographs are those that were given, no random sample; their classes "
            "were taken as they were said.",
            pictures=_pictures(evidence, wrong),
            figures={"wrong": len(wrong), "photographs": len(known)},
        )


def _predicted(evidence: Evidence, pairs: Counter[tuple[int, int]]) -> str:
    """How many of the mistakes the entanglements of the prototypes had pointed at."""
    tops = {
        target[0]: {
            e.class_
            for p in replicates
            for e in [o for o in p.entanglements if o.class_ not in target][:PREDICTED]
        }
        for target, replicates in evidence.by_target().items()
        if len(target) == 1
    }
    with_prototype = {pair: times for pair, times in pairs.items() if pair[0] in tops}
    if not with_prototype:
        return ""
    hits = sum(times for pair, times in with_prototype.items() if pair[1] in tops[pair[0]])
    return (
        f" Of {count(sum(with_prototype.values()), 'mistake')} in classes with a prototype, the "
        f"answer was among its {PREDICTED} most entangled classes in {hits}."
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
