"""Every sentence that a reader of reports, messages and the command line meets is plain."""

from tools.readability import MOST_GRADE, grade, sentences


def test_no_sentence_is_harder_than_the_grade_allows() -> None:
    every = list(sentences())
    assert len(every) > 1000
    hard = [(name, text) for name, text in every if grade(text) > MOST_GRADE]
    assert not hard


def test_a_hard_sentence_has_a_high_grade() -> None:
    assert grade("The cat sat on the mat and looked at me.") < 4
    hard = (
        "Heterogeneous representational considerations notwithstanding, interpretability requires"
    )
    assert grade(f"{hard} comprehensive characterisation of intermediate activations.") > MOST_GRADE


def test_names_do_not_count() -> None:
    plain = "It reads this and writes it for you."
    assert grade("It reads SavedModel and writes MODEL.grad.onnx for you.") <= grade(plain) + 0.5
