"""The architecture, read from the imports: one way through, one place for each framework."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "leap_audit"
LONGEST = 400

ORDER = (
    (
        *("errors", "artifacts", "config", "digests", "filenames", "files", "installed"),
        *("progress", "values"),
    ),
    ("run",),
    ("ingest",),
    ("gradient",),
    ("measure",),
    ("findings",),
    ("policy",),
    ("report",),
    ("compare",),
    ("attach",),
    ("pipeline",),
    ("verify",),
    ("cli",),
)
STAGE = {name: level for level, names in enumerate(ORDER) for name in names}
# What the command line calls lies beside it; the entry points stand above everything.
ABOVE = (
    "commands",
    "doctor",
    "engine",
    "notebook",
    "terminal",
)
STAGE |= dict.fromkeys(ABOVE, STAGE["cli"])
STAGE |= dict.fromkeys(("silence", "walls"), 0)
STAGE |= {"models": STAGE["ingest"], "tracking": STAGE["report"]}
STAGE |= {"__main__": len(ORDER), "__init__": len(ORDER)}

KNOW_NO_STAGE = {"run/session.py", "run/providers.py"}
FRAMEWORKS = {
    "onnxruntime": lambda file: file.startswith("run/"),
    "torch": lambda file: file in {"ingest/torch.py", "run/fallback.py", "models.py"},
    "onnx2torch": lambda file: file == "run/fallback.py",
    "tensorflow": lambda file: file == "ingest/tf_runtime.py",
    "keras": lambda file: file == "ingest/tf_runtime.py",
    "tf2onnx": lambda file: file == "ingest/tf_runtime.py",
}


def imported(source: str, file: str) -> list[tuple[int, str]]:
    """Return (line, dotted module) of every import in `source`, at any depth of the code.

    `file` is relative to the package, so that relative imports are resolved; `from leap_audit
    import x` counts as leap_audit.x.
    """
    here = ["leap_audit", *Path(file).parts[:-1]]
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module == "leap_audit":
                found += [(node.lineno, f"leap_audit.{alias.name}") for alias in node.names]
            else:
                found.append((node.lineno, module))
    return found


def stage_of(file: str) -> str:
    return Path(file).parts[0].removesuffix(".py")


def violations(source: str, file: str) -> list[str]:
    """Return a sentence for each import in `file` that the architecture forbids."""
    wrong = []
    own = stage_of(file)
    if own not in STAGE:
        return [f"{file}: no stage is called {own!r}; say in tests/test_layers.py where it stands"]
    for line, module in imported(source, file):
        root, _, rest = module.partition(".")
        where = f"{file}:{line}"
        if root in FRAMEWORKS and not FRAMEWORKS[root](file):
            wrong.append(f"{where}: imports {root}")
        if root != "leap_audit" or not rest:
            continue
        other = rest.partition(".")[0]
        if other.startswith("__") and other != "__main__":
            continue  # leap_audit.__version__ is no stage
        if STAGE.get(other, len(ORDER)) > STAGE[own]:
            wrong.append(f"{where}: {own} comes before {other}")
        if file in KNOW_NO_STAGE and STAGE.get(other, len(ORDER)) > 0 and other != "run":
            wrong.append(f"{where}: knows the stage {other}")
    return wrong


def modules() -> list[str]:
    return sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("file", modules())
def test_imports_only_from_earlier_stages(file: str) -> None:
    assert violations((PACKAGE / file).read_text(encoding="utf-8"), file) == []


@pytest.mark.parametrize("file", modules())
def test_can_be_read_in_one_sitting(file: str) -> None:
    lines = (PACKAGE / file).read_text(encoding="utf-8").count("\n")
    assert lines <= LONGEST, f"{file} has {lines} lines; split it by what its parts do"


@pytest.mark.parametrize(
    ("file", "source", "complaint"),
    [
        ("gradient/walk.py", "from leap_audit.measure import isolation", "gradient comes before"),
        ("gradient/walk.py", "from leap_audit import measure", "gradient comes before measure"),
        ("gradient/walk.py", "from ..measure.isolation import f", "gradient comes before measure"),
        (
            "measure/x.py",
            "def f():\n    import leap_audit.report.html",
            "measure comes before report",
        ),
        ("artifacts/audit.py", "import leap_audit.run.session", "artifacts comes before run"),
        ("pipeline.py", "from leap_audit.cli import main", "pipeline comes before cli"),
        ("run/session.py", "from leap_audit.ingest import load", "knows the stage ingest"),
        ("measure/x.py", "import onnxruntime as ort", "imports onnxruntime"),
        ("ingest/onnx.py", "def f():\n    from torch import nn", "imports torch"),
        ("report/html.py", "import tensorflow.keras", "imports tensorflow"),
        ("ingest/tensorflow.py", "def f():\n    import keras", "imports keras"),
        ("ingest/tensorflow.py", "from tf2onnx import convert", "imports tf2onnx"),
        ("utils.py", "", "no stage is called 'utils'"),
    ],
)
def test_the_checker_notices(file: str, source: str, complaint: str) -> None:
    assert any(complaint in sentence for sentence in violations(source, file))


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("measure/x.py", "from leap_audit.gradient import build_gradient"),
        ("gradient/rules/conv.py", "from ..table import gradient"),
        ("run/session.py", "import onnxruntime\nfrom leap_audit.errors import RuntimeMissing"),
        ("run/session.py", "from leap_audit.run.providers import choose"),
        ("ingest/torch.py", "import torch"),
        ("report/html.py", "from leap_audit import __version__"),
    ],
)
def test_the_checker_lets_pass(file: str, source: str) -> None:
    assert violations(source, file) == []
