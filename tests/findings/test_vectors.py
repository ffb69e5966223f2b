"""What the rules about vectors advise, and where that changes."""

import pytest

from leap_audit.artifacts import Finding, HubPicture
from leap_audit.findings import Evidence, find
from leap_audit.policy import CHECKS
from leap_audit.policy.scope import Assessed, Scope
from tests.builders.judged import audit
from tests.builders.suspicious import CLASSES
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
