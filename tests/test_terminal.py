"""What the terminal shows: bars where they can move, plain lines elsewhere, harmless text."""

import pytest

from leap_audit.terminal import Terminal, duration, remaining
from leap_audit.text.filenames import clean


def test_lines_where_nothing_can_be_animated(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    terminal = Terminal(animated=False, clock=lambda: now)
    terminal.note("[b]note[/b]\x07")
    with terminal.stage("Prototypes", 100) as advance:
        for _ in range(100):
            now += 1
            advance()
    told = capsys.readouterr()
    assert told.out == ""
    lines = told.err.splitlines()
    assert lines[:3] == [
        r"[b]note[/b]\x07",
        "Prototypes ...",
        "Prototypes: 10 of 100, about 1 min 30 s left",
    ]
    assert lines[-1] == "Prototypes: done in 1 min 40 s"
    assert len(lines) == 12


def test_what_comes_before_the_first_unit_does_not_count_for_the_rest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Experiments make their pictures first: 1 of 100 after 40 s does not mean 4000 s."""
    now = 0.0
    terminal = Terminal(animated=False, clock=lambda: now)
    with terminal.stage("Experiments", 100) as advance:
        now = 40.0
        advance()
        for _ in range(20):
            now += 1
            advance()
    lines = capsys.readouterr().err.splitlines()
    assert lines[:3] == [
        "Experiments ...",
        "Experiments: 2 of 100, about 1 min 38 s left",
        "Experiments: 12 of 100, about 1 min 28 s left",
    ]


def test_bars_where_there_is_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(animated=True)
    with terminal.stage("Outer [b]", 2) as outer:
        with terminal.stage("Inner", 0):
            terminal.note("between")
        outer(2)
    with terminal.stage("Next", 1):
        pass
    told = capsys.readouterr().err
    for words in ("Outer [b]", "Inner", "between", "Next"):
        assert words in told


def test_quiet_leaves_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(quiet=True)
    terminal.note("a note")
    with terminal.stage("A stage", 1) as advance:
        advance()
    terminal.warn("a warning")
    assert capsys.readouterr().err == "warning: a warning\n"


def test_words_for_times_and_strange_letters() -> None:
    assert [duration(s) for s in (0.2, 59, 125, 11_400)] == [
        "less than 1 s",
        "59 s",
        "2 min 5 s",
        "3 h 10 min",
    ]
    assert [remaining(s) for s in (0.2, 59)] == ["less than 1 s left", "about 59 s left"]
    assert clean("é\n\x1b\u202e\udc80") == "é\n\\x1b\\u202e\\x80"


def test_a_space_that_no_line_breaks_at_is_a_space() -> None:
    assert clean("67\u00a0%\x1b") == "67 %\\x1b"
