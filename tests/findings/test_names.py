import pytest

from leap_audit.text.names import ClassLabels, distinct_names, shortened, visible
from leap_audit.text.numbers import listed


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("tabby, tabby cat", "tabby, tabby cat"),
        ("été 猫 ×", "été 猫 ×"),
        ("a\x00b\nc\x1b[31m\x7f", "a[U+0000]b[U+000A]c[U+001B][31m[U+007F]"),
        ("photo\u202egnp.exe", "photo[U+202E]gnp.exe"),
        ("a\u200bb\u2028c\ufeff\udc80", "a[U+200B]b[U+2028]c[U+FEFF][U+DC80]"),
        ("x" + "\u0301" * 4, "x\u0301\u0301\u0301[U+0301]"),
    ],
)
def test_hidden_characters_are_spelt_out(raw: str, shown: str) -> None:
    assert visible(raw) == shown
    assert visible(shown) == shown or "\u0301" in raw


def test_long_names_are_cut() -> None:
    assert shortened("x" * 10_000) == "x" * 64 + "…"
    assert len(shortened("\u202e" * 64)) < 100
    assert shortened("x" * 64) == "x" * 64


def test_a_label_carries_the_index_only_where_the_name_is_not_enough() -> None:
    labels = ClassLabels(["crane", "cat", "crane", "", "y" * 90, "y" * 90])
    assert labels[1] == "cat"
    assert labels[0] == "crane (class 0)"
    assert labels[3] == "(no name)"
    assert labels[4].endswith("(class 4)")
    assert labels[99] == "class 99"
    assert labels.of([1, 2]) == "cat+crane (class 2)"


def test_lists_are_sentences() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "a"]) == "a and b"
    assert listed(list("abcdefg")) == "a, b, c, d, e and 2 more"
    assert listed([]) == ""


def test_synonyms_are_left_out_where_the_first_name_is_unique() -> None:
    labels = ClassLabels(["tench, Tinca tinca", "crane, bird", "crane, machine", ", nothing"])
    assert [labels[i] for i in range(4)] == [
        "tench",
        "crane, bird",
        "crane, machine",
        ", nothing",
    ]


def test_long_names_that_begin_alike_are_told_apart_by_their_ends() -> None:
    prompts = ["a photo of the digit one", "a photo of the digit two", "zero", "another long name"]
    assert distinct_names(prompts, 12) == ["…digit one", "…digit two", "zero", "another long…"]
    assert distinct_names(["one", "two"], 12) == ["one", "two"]


def test_prompts_that_begin_alike_show_what_tells_them_apart() -> None:
    prompts = ["a photo of an insect or spider", "a photo of a wild animal", "a photo of a dog"]
    assert distinct_names(prompts, 18) == [
        "…insect or spider",
        "…of a wild animal",
        "a photo of a dog",
    ]
    cut = ["an insect or a spider", "a wild animal at large"]
    assert distinct_names(cut, 18) == ["an insect or a spi…", "a wild animal at l…"]
    assert distinct_names(["a photo of a wild animal"], 18) == ["a photo of a wild…"]
