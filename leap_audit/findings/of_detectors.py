"""What rules ask of a detector in other words than of a classifier: it finds objects."""

from typing import NamedTuple

__all__ = ["OF_DETECTORS", "RuleWords"]


class RuleWords(NamedTuple):
    """The words of a rule, as those of a `FindingRule`; empty: its own."""

    question: str
    consequence: str = ""
    action: str = ""


OF_DETECTORS: dict[str, RuleWords] = {
    "constant-answer": RuleWords(
        "Does the detector give other numbers on other pictures?",
        "The detector does not look at its input, so what it finds means nothing.",
    ),
    "scores-do-not-move": RuleWords(
        "Do the scores change with the picture?",
        "The detector does not react to its input, so what it finds means nothing.",
    ),
    "one-corner": RuleWords(
        "Does any detection depend on one corner?",
        action="Test it: cover the corner, and paste it into pictures without such objects.",
    ),
    "border": RuleWords("Does any detection depend on the edge of the picture?"),
    "class-not-reached": RuleWords(
        "Does a prototype of each class reach it?",
        "The detector may never find an object of this class.",
    ),
    "photographs-mistaken": RuleWords(
        "Is an object of the labelled class found on every labelled photograph?",
        action="Look at these photographs, then count on pictures whose objects are labelled.",
    ),
    "target-not-first": RuleWords(
        "Is each class the most confident on its own prototype?",
        "The detector may give objects of this class another name.",
    ),
    "crop-gives-another": RuleWords(
        "Is the same found when only a part of the picture is shown?",
        "What is found may change with the crop of the photograph.",
        "Test several crops of each photograph, and compare what is found.",
    ),
    "isolation-not-enough": RuleWords(
        "Is each key region enough for its detection?",
        "Such a picture does not explain the detection.",
    ),
    "erasing-changes-little": RuleWords(
        "Is an object lost when its key region is erased?",
        "The key region explains only a part of the detection.",
    ),
    "methods-disagree": RuleWords(
        "Do other methods point to the key region?",
        "It is not settled what these detections depend on.",
    ),
    "map-not-of-class": RuleWords(
        "Do the maps of other methods depend on the class?",
        "These maps do not show why the detector gave this class and no other.",
        "Do not read these maps as the reason for the detection.",
    ),
}
"""Rule -> its words, of the rules whose own speak of the answer to a picture."""
