"""The table of options in the docs is the one in the source."""

from leap_audit.engine.settings import Settings
from tools.options_page import PAGE, THEIRS, page, table


def test_the_page_is_as_the_source_has_it() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text, "run: python -m tools.options_page"


def test_every_option_of_leap_ie_is_there() -> None:
    assert set(THEIRS) <= set(Settings.model_fields)
    assert all(f"| `{name}` |" in table() for name in Settings.model_fields)


def test_the_page_keeps_what_stands_around_the_table() -> None:
    made = page("a\n\n## Options\n\nb\n\n| option | old |\n|---|\n\nc\n")
    assert made.startswith("a\n\n## Options\n\nb\n\n| option | default |")
    assert made.endswith("|\n\nc\n")
