"""The rules that look at the model's answers as a whole: does it answer, and is it right?"""

from collections import Counter
from collections.abc import Iterator

from leap_audit.artifacts import EvidencePicture
from leap_audit.findings.answered import Answered, answered
from leap_audit.findings.evidence import Measurements
from leap_audit.findings.readings import doubt
from leap_audit.findings.suspicion import Suspicion, evidence_pictures, seen_on
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
PHOTOGRAPHS_NEEDED = 5
FORETOLD = 3
"""Among so many most entangled classes of a prototype, a mistake counts as foretold."""


def preprocessing_doubted(measured: Measurements) -> Iterator[Suspicion]:
    readings = measured.readings
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


def constant_answer(measured: Measurements) -> Iterator[Suspicion]:
    model = measured.model
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


def scores_do_not_move(measured: Measurements) -> Iterator[Suspicion]:
    if measured.model is not None and measured.model.constant:
        return  # said by `constant_answer`
    moved = [max(p.curve) - min(p.curve) for p in measured.prototypes if len(p.curve) > 1]
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


def one_answer(measured: Measurements) -> Iterator[Suspicion]:
    known = answered(measured.samples)
    answers = {each.answer for each in known}
    shown = {each.shows for each in known}
    if len(known) >= PHOTOGRAPHS_NEEDED and len(answers) == 1 and len(shown) > 1:
        (answer,) = answers
        yield Suspicion(
            concerned=str(answer),
            classes=(answer,),
            title=f"Every photograph is answered with ‘{measured.labels[answer]}’",
            evidence=f"{count(len(known), 'photograph')} of {len(shown)} known classes all get "
            "the same answer.",
            sure=seen_on(len(known), len(known), "photographs"),
            confirm="More photographs of the other classes, through the model's own code.",
            limits="A dead model and one that is shown pictures in the wrong range look alike.",
            pictures=_pictures(measured, known),
            figures={"photographs": len(known), "known classes": len(shown)},
        )


def answers_saturated(measured: Measurements) -> Iterator[Suspicion]:
    told = [s for s in measured.samples if s.predicted and s.predicted[0].share is None]
    full = [s for s in told if s.predicted[0].prob >= SATURATED]
    if len(told) >= PHOTOGRAPHS_NEEDED and len(full) >= 0.9 * len(told):
        yield Suspicion(
            title="The model is entirely sure of almost every photograph",
            evidence=f"On {len(full)} of {count(len(told), 'photograph')}, the first answer "
            "has a probability within a millionth of 100\u00a0%.",
            sure=seen_on(len(full), len(told), "photographs"),
            confirm="Photographs that the model gets wrong: if it is as sure of those, its "
            "probabilities carry no information.",
            limits="Saturated probabilities hide differences: kept and erased regions are then "
            "better compared by their logits.",
            figures={"saturated": len(full), "photographs": len(told)},
        )


def photographs_mistaken(measured: Measurements) -> Iterator[Suspicion]:
    known = answered(measured.samples)
    wrong = [each for each in known if not each.right]
    if wrong:
        low, high = wilson(len(wrong), len(known))
        pairs = Counter((each.shows, each.answer) for each in wrong)
        said = [
            f"‘{measured.labels[shown]}’ for ‘{measured.labels[answer]}’ ({times})"
            for (shown, answer), times in sorted(pairs.items(), key=lambda each: -each[1])
        ]
        yield Suspicion(
            classes=tuple(dict.fromkeys(k for pair in pairs for k in pair)),
            title=f"{count(len(wrong), 'photograph is', 'photographs are')} answered with another "
            "class than they show"
            if len(wrong) > 1
            else "A photograph is answered with another class than it shows",
            evidence=f"{len(wrong)} of {count(len(known), 'photograph')} of known classes, taken "
            f"{listed(said)}.{_foretold(measured, pairs)}",
            sure=f"95\u00a0% interval of the share of mistakes, if the photographs are a fair "
            f"sample: {percent(low)} to {percent(high)} (Wilson).",
            confirm="A labelled test set from the place of use would give the rate.",
            limits="The photographs are those that were given, no random sample; their classes "
            "were taken as they were said.",
            pictures=_pictures(measured, wrong),
            figures={"wrong": len(wrong), "photographs": len(known)},
        )


def _foretold(measured: Measurements, pairs: Counter[tuple[int, int]]) -> str:
    """How many of the mistakes the entanglements of the prototypes had pointed at."""
    tops = {
        target[0]: {
            e.class_
            for p in replicates
            for e in [o for o in p.entanglements if o.class_ not in target][:FORETOLD]
        }
        for target, replicates in measured.replicates().items()
        if len(target) == 1
    }
    asked = {pair: times for pair, times in pairs.items() if pair[0] in tops}
    if not asked:
        return ""
    hits = sum(times for pair, times in asked.items() if pair[1] in tops[pair[0]])
    return (
        f" Of {count(sum(asked.values()), 'mistake')} in classes with a prototype, the answer was "
        f"among its {FORETOLD} most entangled classes in {hits}."
    )


def _pictures(measured: Measurements, known: list[Answered]) -> tuple[EvidencePicture, ...]:
    shown = [
        (
            each.sample.image,
            f"{shortened(each.sample.file)}: shows ‘{measured.labels[each.shows]}’, answered "
            f"‘{measured.labels[each.answer]}’ ({percent(each.prob)})",
        )
        for each in known
    ]
    return evidence_pictures(shown)
