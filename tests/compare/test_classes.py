"""Classes are the same by name, and what could not be matched is said."""

import pytest

from leap_audit.compare.classes import match


def test_by_name_wherever_they_stand() -> None:
    found = match(("cat", "dog", "owl"), ("owl", "cat", "fox"))
    assert found.to_new == {0: 1, 2: 0}
    matching = found.matching
    assert (matching.by, matching.matched, matching.moved) == ("name", 2, 2)
    assert (matching.removed, matching.added) == (("dog",), ("fox",))
    assert found.target((0, 2)) == (1, 0)
    assert found.target((0, 1)) is None


def test_names_that_are_spelt_differently_are_the_same() -> None:
    found = match(("Golden_Retriever", "owl"), ("golden retriever", "owl"))
    assert found.to_new == {0: 0, 1: 1}
    assert found.matching.respelt == (("Golden_Retriever", "golden retriever"),)


def test_another_name_at_the_same_place_is_not_compared() -> None:
    found = match(("cat", "dog"), ("cat", "wolf"))
    assert found.to_new == {0: 0}
    assert found.matching.replaced == (("dog", "wolf"),)
    assert found.matching.added == found.matching.removed == ()


def test_of_two_classes_with_one_name_the_first_is_the_first() -> None:
    assert match(("crane", "owl", "crane"), ("crane", "crane", "owl")).to_new == {0: 0, 1: 2, 2: 1}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (("0", "1", "2"), ("cat", "dog", "owl"), "no names of classes"),
        (("cat", "dog", "owl"), ("Katze", "Hund", "Eule"), "No class has the same name"),
        (("0", "1"), ("0", "1", "2"), "have no names"),
    ],
)
def test_by_number_where_names_cannot_tell(
    old: tuple[str, ...], new: tuple[str, ...], says: str
) -> None:
    found = match(old, new)
    assert found.to_new == {i: i for i in range(len(old))}
    assert found.matching.by == "index"
    assert says in found.matching.said
