"""What the rules about vectors advise, and where that changes."""

import pytest

from leap_audit.artifacts import Finding, HubPicture
from leap_audit.findings import Evidence, find, questions
from leap_audit.policy import CHECKS
from leap_audit.policy.scope import Assessed, Scope
from tests.builders.judged import audit
from tests.builders.suspicious import CLASSES, answered
from tests.builders.vectors import PICTURE, changed, copies, vectors


def hub(centred: float) -> Finding:
    hubs = (HubPicture(picture=PICTURE, times=50),)
    record = vectors(hubness=3.0, hubness_centred=centred, hubs=hubs)
    (found,) = find(Evidence(CLASSES, embedding=record))
    return found


def test_the_mean_is_taken_off_where_that_halves_the_skewness() -> None:
    advice = "Subtract the mean vector before you search."
    assert hub(1.49).action == advice
    assert hub(1.5).action != advice


def value_of(name: str, **differing: object) -> float:
    found = CHECKS[name].answer(Scope(audit(embedding=vectors(**differing))))
    assert isinstance(found, Assessed)
    return found.value


def test_a_rank_is_at_most_the_possible_one() -> None:
    assert value_of("embedding-rank", effective_rank=9.5, possible_rank=9) == 1


def test_a_pair_under_two_classes_counts_wherever_it_lies() -> None:
    under_two = copies(across=False, classes_differ=True)
    assert value_of("embedding-duplicates", duplicates=(under_two, copies(across=False))) == 1


def test_the_worst_of_the_mild_changes_counts() -> None:
    changes = (changed(found=38), changed("darker by 0.2", 30), changed("upside down", 2))
    assert value_of("embedding-found-again", changes=changes) == pytest.approx(0.75)


def test_centroids_of_the_photographs_say_nothing_of_confidence() -> None:
    """Classes and factor are made of the photographs, so that the probabilities fit them."""
    right = (0, 1) * 20
    for kind, raised in (("named", True), ("classes", False)):
        samples = tuple(answered(*right, known=right, prob=0.8))
        evidence = Evidence(CLASSES, samples=samples, embedding=vectors(kind=kind))
        assert any(each.rule == "overconfident" for each in find(evidence)) is raised
        asked = {each.rule: each for each in questions(evidence, ())}
        assert bool(asked["overconfident"].reason) is not raised
        made = "40 labelled photographs, which the centroids were made of"
        assert (asked["photographs-mistaken"].basis == made) is not raised


def test_mistakes_of_centroids_are_not_called_the_model_s() -> None:
    samples = tuple(answered(1, 0, 1, known=(0, 0, 1)))
    for kind, title in (
        ("named", "The model got 1 of 3 labelled photographs wrong"),
        ("classes", "1 of 3 labelled photographs are nearer to the centroid of another class"),
    ):
        evidence = Evidence(CLASSES, samples=samples, embedding=vectors(kind=kind))
        assert title in {each.title for each in find(evidence)}
