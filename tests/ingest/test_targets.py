"""The words of --targets become class numbers, or a sentence that helps."""

import pytest

from leap_audit.errors import TargetRefused
from leap_audit.ingest.classes.targets import refuse_early, select_targets

ANIMALS = ("background", "tench, Tinca tinca", "goldfish", "crane", "hen", "crane", "<b>x</b>")


@pytest.mark.parametrize(
    ("words", "chosen"),
    [
        (["2"], (2,)),
        (["1,4", "4-6", "0"], (1, 4, 5, 6, 0)),
        ([" 1 , 3 - 4 "], (1, 3, 4)),
        (["all"], (0, 1, 2, 3, 4, 5, 6)),
        (["goldfish", "tench, Tinca tinca"], (2, 1)),
        (["hen", "4"], (4,)),
        (["<b>x</b>"], (6,)),
        (["GOLDFISH"], (2,)),
        (["Tench"], (1,)),
        (["goldfish,hen"], (2, 4)),
        (["hen, tench, Tinca tinca ,0, 2-3"], (4, 1, 0, 2, 3)),
        (["ALL"], (0, 1, 2, 3, 4, 5, 6)),
    ],
)
def test_what_words_choose(words: list[str], chosen: tuple[int, ...]) -> None:
    assert select_targets(words, ANIMALS) == chosen


def test_digits_are_numbers_even_when_names_are_digits() -> None:
    assert select_targets(["1"], ["9", "8", "1"]) == (1,)


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("7", "out of range: the model has 7 classes, 0 to 6"),
        ("2-7", "out of range"),
        ("0-999999999999999999", "out of range"),
        ("9" * 5000, "not a list of class numbers"),
        ("5-3", "backwards; write it as 3-5"),
        ("1,,2", "not a list of class numbers"),
        ("-3", "not a list of class numbers"),
        ("3-", "not a list of class numbers"),
        ("", "empty target"),
        ("crane", "the name of 2 classes; give one of the numbers 3, 5"),
        ("goldfsh", "Did you mean 'goldfish'"),
        ("tinca tinca", "Did you mean 'tench, Tinca tinca'"),
        ("goldfish,hn", "'hn' of 'goldfish,hn' is not a class. Did you mean 'hen'"),
        ("goldfish,", "is not a class"),
        ("hen,7", "out of range"),
        ("hen,Crane", "the name of 2 classes; give one of the numbers 3, 5"),
        (",".join(["hen"] * 5001), "more than 5,000 parts"),
    ],
)
def test_words_that_are_refused(word: str, says: str) -> None:
    with pytest.raises(TargetRefused, match=f"(?i){says}"):
        select_targets([word], ANIMALS)


def test_a_stricter_match_comes_first() -> None:
    names = ["Crane", "crane", "crane, a bird", "ALL", "stork, wood", "stork, white"]
    assert select_targets(["crane"], names) == (1,)
    assert select_targets(["Crane"], names) == (0,)
    assert select_targets(["all"], names) == (3,)
    for word, numbers in (("CRANE", "0, 1"), ("stork", "4, 5")):
        with pytest.raises(TargetRefused, match=f"2 classes; give one of the numbers {numbers}"):
            select_targets([word], names)


@pytest.mark.parametrize(
    ("word", "listed", "says"),
    [
        ("goldfsh", ANIMALS, "Did you mean 'goldfish'"),
        ("8", ANIMALS, "out of range"),
        ("5-3", None, "backwards"),
        ("1,,2", None, "not a list"),
    ],
)
def test_what_is_refused_before_the_model_is_read(
    word: str, listed: tuple[str, ...] | None, says: str
) -> None:
    with pytest.raises(TargetRefused, match=says):
        refuse_early([word], listed)


@pytest.mark.parametrize(
    ("word", "listed"),
    [("7", ANIMALS), ("background", ANIMALS[1:]), ("goldfsh", None), ("99", None), ("all", None)],
)
def test_what_waits_for_the_model(word: str, listed: tuple[str, ...] | None) -> None:
    """The model may have a class for the background that the list lacks, or names of its own."""
    refuse_early([word], listed)


def test_control_characters_are_escaped_in_the_message() -> None:
    with pytest.raises(TargetRefused) as refusal:
        select_targets(["\x1b[31m"], ["\x1b[0m", "cat"])
    assert "\x1b" not in str(refusal.value)


def test_the_choice_without_words() -> None:
    many = [f"c{index}" for index in range(40)]
    assert select_targets([], many[:12]) == tuple(range(12))
    assert select_targets([], many, [7, 3, 7]) == (7, 3)
    assert select_targets([], many) == tuple(range(12))
