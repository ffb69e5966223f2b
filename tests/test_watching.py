"""Progress of Python calls: lines outside a notebook, one bar within."""

import sys
from typing import Any

import pytest

import leap_audit
from leap_audit.terminal import Terminal
from leap_audit.watching import Cell, default_progress


def test_outside_a_notebook_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(default_progress(), Terminal)
    pytest.importorskip("IPython", reason="IPython is not installed")
    from IPython.core import getipython

    class Shell:
        kernel = object()

    monkeypatch.setattr(getipython, "get_ipython", Shell)
    assert isinstance(default_progress(), Cell)
    monkeypatch.delitem(sys.modules, "IPython")
    assert isinstance(default_progress(), Terminal)


def test_a_cell_is_drawn_once_and_replaced() -> None:
    shown: list[tuple[str, Any]] = []

    def show(page: str, handle: Any) -> str:
        shown.append((page, handle))
        return "handle"

    cell = Cell(show)
    cell.warn("<b>assumed</b>\x1b[31m")
    with cell.stage("Prototypes", 4) as advance:
        advance(3)
    cell.note("Done")
    assert [handle for _, handle in shown] == [None, "handle", "handle", "handle"]
    assert '<progress value="3" max="4"></progress> 3 of 4 Prototypes' in shown[2][0]
    assert "Done" in shown[3][0]
    for page, _ in shown:  # a warning stays
        assert "Warning: &lt;b&gt;assumed&lt;/b&gt;" in page
        assert "\x1b" not in page


def test_the_names_that_dir_lists() -> None:
    assert {"audit", "inspect", "AuditResult"} <= set(dir(leap_audit))
    assert all(hasattr(leap_audit, name) for name in dir(leap_audit))
