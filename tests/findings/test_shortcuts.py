"""The findings that experiments make."""

from typing import Any

import pytest

from leap_audit.artifacts import EvidencePicture, Finding, Sample
from leap_audit.findings import Evidence, find, questions
from leap_audit.findings.basis import experiments
from leap_audit.text.places import place_in_words
from tests.builders.records import CLASSES, suspected, trial


def found(**given: Any) -> list[Finding]:
    rules = ("shortcut", "change-sways", "one-corner", "border")
    return [each for each in find(Evidence(CLASSES, **given)) if each.rule in rules]


def test_a_confirmed_shortcut_says_what_was_done() -> None:
    pasted = trial(1, 0.75).model_copy(update={"pictures": 18, "changed": 18, "control": 0})
    pictures = tuple(
        EvidencePicture(image=f"images/{role}.png", caption=role, role=role)
        for role in ("original", "covered", "pasted")
    )
    row = suspected(
        1, 0.75, confirmed=True, pasted=pasted, covered=trial(1, 0.5, "cover"), wrong=20,
        corrected=20, where="in the upper-left corner", pictures=pictures,
    )  # fmt: skip
    (finding,) = found(suspicion=(row,))
    assert finding.title == "A mark in the upper-left corner makes this model answer ‘dog’"
    assert "Covering it corrected 20 of 20 wrong answers." in finding.evidence
    assert (
        "Pasting it turned 18 of 18 other photographs into ‘dog’ (control: 0)" in finding.evidence
    )
    assert finding.severity == "high"
    assert finding.confirmed
    assert finding.target == (1,)
    assert [each.role for each in finding.pictures] == ["original", "covered", "pasted"]


@pytest.mark.parametrize(
    ("effect", "severity"), [(0.5, "high"), (0.49, "medium"), (0.3, "medium"), (0.29, "low")]
)
def test_the_severity_follows_the_effect(effect: float, severity: str) -> None:
    (finding,) = found(suspicion=(suspected(0, effect, confirmed=True),))
    assert finding.severity == severity


def test_without_confirmation_there_is_no_finding() -> None:
    assert not found(suspicion=(suspected(0, 0.9),))


@pytest.mark.parametrize(
    ("effect", "q", "raised"), [(0.5, 0.05, 1), (0.49, 0.01, 0), (0.9, 0.06, 0)]
)
def test_a_change_that_sways_most_pictures(effect: float, q: float, raised: int) -> None:
    swayed = trial(2, effect, "global").model_copy(update={"q": q, "kind": "a white grid"})
    findings = found(trials=(swayed,))
    assert len(findings) == raised
    if findings:
        assert findings[0].severity == "medium"
        assert "A white grid" in findings[0].evidence
        assert "on generated pictures" in findings[0].limits
        photograph = Sample(file="a.png", sha256="", image="a.png", predicted=())
        (tried,) = found(trials=(swayed,), samples=[photograph])
        assert "generated" not in tried.limits


@pytest.mark.parametrize(
    ("down", "right", "words"),
    [
        (0.1, 0.1, "in the upper-left corner"),
        (0.9, 0.4, "at the bottom"),
        (0.5, 0.9, "at the right side"),
        (0.5, 0.5, "in the middle"),
        (1.0, 1.0, "in the lower-right corner"),
    ],
)
def test_places_in_words(down: float, right: float, words: str) -> None:
    assert place_in_words(down, right) == words


@pytest.mark.parametrize(("pictures", "enough"), [(8, False), (9, True)])
def test_trials_on_too_few_pictures_are_said_to_be_too_few(pictures: int, *, enough: bool) -> None:
    """Of 20 trials one must reach .05 / 20 by itself: 2 to the -9 does."""
    few = trial(1, 0.5).model_copy(update={"pictures": pictures})
    many = trial(0, 0.5).model_copy(update={"pictures": 20})
    rows = (suspected(0, 0.5, pasted=many), suspected(1, 0.5, pasted=few))
    searched = trial(0, 0.5, "search"), trial(1, 0.5, "search")
    said = experiments(Evidence(CLASSES, suspicion=rows, trials=(*searched, *(few,) * 18)))
    assert said.startswith("2 classes")
    assert (said == "2 classes") is enough
    assert ("1 of them on too few pictures" in said) is not enough


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ((), "2 classes; no search for a trigger"),
        ((1,), "2 classes; a trigger was searched for 1 of them"),
        ((0, 1), "2 classes"),
    ],
)
def test_it_is_said_for_how_many_classes_a_trigger_was_searched(
    classes: tuple[int, ...], words: str
) -> None:
    pasted = trial(0, 0.5).model_copy(update={"pictures": 20})
    rows = suspected(0, 0.5, pasted=pasted), suspected(1, 0.5, pasted=pasted)
    trials = tuple(trial(class_, 0.5, "search") for class_ in classes)
    assert experiments(Evidence(CLASSES, suspicion=rows, trials=trials)) == words


@pytest.mark.parametrize(
    ("kind", "title"),
    [
        ("trigger", "A pattern on 2\u00a0% of the picture in the middle makes this model answer"),
        ("moved trigger", "A pattern on 2\u00a0% of the picture, wherever it lies, makes this"),
        ("colour map", "A change of the colours of the whole picture makes this"),
        ("convolution", "A change of the fine detail of the whole picture makes this"),
        ("texture", "The texture of the picture alone makes this"),
    ],
)
def test_each_kind_of_mark_has_its_words(kind: str, title: str) -> None:
    row = suspected(1, 0.9, confirmed=True, kind=kind, area=0.02, where="in the middle")
    (finding,) = found(suspicion=(row,))
    assert finding.title.startswith(title)


@pytest.mark.parametrize("kind", ["colour", "texture", "detail", "colour map", "convolution"])
@pytest.mark.parametrize("tried_on", ["photographs", "prototypes"])
def test_what_is_of_the_whole_picture_is_no_mark(kind: str, tried_on: str) -> None:
    """Nothing is covered or pasted, and nobody would find a mark in the training pictures."""
    covered = trial(1, 0.5, "cover")
    row = suspected(1, 0.9, confirmed=True, kind=kind, covered=covered, tried_on=tried_on)
    (finding,) = found(suspicion=(row,))
    parts = (finding.evidence, finding.consequence, finding.action, finding.confirm, finding.limits)
    words = " ".join(parts).lower()
    assert not [word for word in ("mark", "pasting", "covering") if word in words]
    assert words.count("such" if kind in ("colour", "texture", "detail") else "changed so") == 6


def test_marks_on_too_few_pictures_are_not_assessed() -> None:
    few = suspected(0, 0.2, pasted=trial(0, 0.2).model_copy(update={"pictures": 3}))
    evidence = Evidence(CLASSES, suspicion=(few,), trials=(trial(0, 0.2),) * 18)
    (asked,) = [each for each in questions(evidence, ()) if each.rule == "shortcut"]
    assert asked.reason == "every class was tried on too few pictures to tell a mark from chance"
    sure = few.model_copy(update={"confirmed": True})
    assert experiments(Evidence(CLASSES, suspicion=(sure,), trials=evidence.trials))
