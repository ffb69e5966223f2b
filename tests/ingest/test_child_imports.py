"""A child process imports no library of the report: those read files that the sandbox denies."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "leap_audit"
KEPT_OUT = ("jinja2", "pandas", "rich", "typer", "weasyprint")


def _first_argument(node: ast.AST) -> str | None:
    """Return the name of the function that a call sends to a child process."""
    match node:
        case ast.Call(
            func=ast.Name(id="run_in_child")
            | ast.Attribute(value=ast.Name(id="child"), attr="call"),
            args=[ast.Name(id=name), *_],
        ):
            return name
    return None


def _origin(tree: ast.Module, module: str, name: str) -> str:
    """Return the module in which a name of `module` is defined."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and name in [each.name for each in node.names]:
            return str(node.module)
    return module


def sent() -> Iterator[str]:
    """Yield the module of each function that runs in a child process."""
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "run_in_child" not in text and "child.call" not in text:  # parsing all takes seconds
            continue
        tree = ast.parse(text)
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for node in ast.walk(tree):
            if (name := _first_argument(node)) is not None and name != "function":
                yield _origin(tree, module, name)


MODULES = sorted(set(sent()))


def test_the_modules_are_found() -> None:
    assert {"leap_audit.ingest.audits", "leap_audit.pipeline.graphs"} <= set(MODULES)
    assert len(MODULES) >= 8


@pytest.mark.parametrize("module", MODULES)
def test_the_module_of_a_child_loads_nothing_of_the_report(module: str) -> None:
    code = f"import {module}, sys; print(*sorted(set(sys.modules) & set({KEPT_OUT!r})))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == []
