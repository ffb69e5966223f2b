"""Which test imports what of another: builders and fixtures, never a test."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"


def wrong(source: str, file: str) -> list[str]:
    """Return a sentence for each import of a test module, or of another folder's conftest.py.

    file: where the source stands, relative to the checkout.
    """
    own = Path(file).parent
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            *folders, module = name.split(".")
            inside = folders[:1] == ["tests"]
            if inside and module.startswith("test_") and (ROOT / Path(*folders)).is_dir():
                found.append(f"{file}:{node.lineno}: imports the tests of {name}")
            elif inside and module == "conftest" and not own.is_relative_to(Path(*folders)):
                found.append(f"{file}:{node.lineno}: imports the fixtures of another folder")
    return found


def files() -> list[str]:
    folders = ("tests", "tools", "benchmarks")
    paths = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return sorted(path.relative_to(ROOT).as_posix() for path in paths)


def test_no_module_imports_a_test() -> None:
    found = [each for file in files() for each in wrong((ROOT / file).read_text("utf-8"), file)]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "from tests.ingest.test_model import plain",
        "from tests.ingest import test_model",
        "import tests.ingest.test_model",
        "def f():\n    from tests.ingest.test_model import plain",
        "from tests.pipeline.conftest import finished",
    ],
)
def test_an_import_of_a_test_is_noticed(source: str) -> None:
    assert wrong(source, "tests/ingest/test_source.py")


@pytest.mark.parametrize(
    "source",
    [
        "from tests.builders.audits import make_audit",
        "from tests.conftest import ROOT",
        "from tests.ingest.conftest import model",
    ],
)
def test_builders_and_own_fixtures_may_be_imported(source: str) -> None:
    assert wrong(source, "tests/ingest/test_source.py") == []


def test_builders_hold_no_tests() -> None:
    assert not list((TESTS / "builders").glob("test_*"))
