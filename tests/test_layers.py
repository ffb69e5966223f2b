"""The architecture, read from the imports: one way through, one place for each framework."""

import ast
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "leap_audit"
LONGEST = 400

ORDER = (
    (
        *("artifacts", "config", "digests", "errors", "files", "installed", "progress", "tables"),
        *("statistics", "telemetry", "terminal", "text", "values", "walls", "watching"),
    ),
    ("run",),
    ("graph",),
    ("canonical",),
    ("ingest",),
    ("gradient",),
    ("measure",),
    ("findings",),
    ("policy",),
    ("publish",),
    ("report",),
    ("compare",),
    ("attach",),
    ("pipeline",),
    ("verify",),
    ("models", "tracking"),
    ("notebook", "engine", "keras_explainable", "foxai", "lfxai"),
    ("cli",),
)
"""The stages, each of which imports only from those before it and those beside it."""
COMMON = 1
"""Rows known to every stage; `docs/how-it-flows.md` describes the others in this order."""
STAGE = {name: level for level, names in enumerate(ORDER) for name in names}
STAGE |= {"__main__": len(ORDER), "__init__": len(ORDER)}
REGISTRIES = {"gradient/rules": "gradient", "canonical/rewrites": "canonical"}
"""Folders whose files enter themselves in a registry of the folder above: one room with it."""

KNOW_NO_STAGE = {"run/session.py", "run/providers.py"}
FRAMEWORKS = {
    "onnxruntime": lambda file: file.startswith("run/"),
    "torch": lambda file: file in {"ingest/frameworks/torch.py", "run/fallback.py", "models.py"},
    "onnx2torch": lambda file: file == "run/fallback.py",
    "tensorflow": lambda file: file == "ingest/frameworks/tf_runtime.py",
    "keras": lambda file: file == "ingest/frameworks/tf_runtime.py",
    "ray": lambda file: file in {"pipeline/connection.py", "pipeline/cluster.py"},
    "tf2onnx": lambda file: file == "ingest/frameworks/tf_runtime.py",
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


def room_of(file: str) -> str:
    """Return the folder of a module, or the module itself where it lies beside the folders."""
    folder = str(Path(file).parent)
    return REGISTRIES.get(folder, folder) if folder != "." else stage_of(file)


def rooms(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """Return for each room the other rooms that its modules import from.

    sources: module, as a path relative to the package -> its source.
    """
    places = {file.removesuffix(".py").removesuffix("/__init__"): file for file in sources}
    found: dict[str, set[str]] = {room_of(file): set() for file in sources}
    for file, source in sources.items():
        for node in ast.walk(ast.parse(source)):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith(
                "leap_audit."
            ):
                continue
            base = str(node.module).removeprefix("leap_audit.").replace(".", "/")
            for alias in node.names:
                inside = f"{base}/{alias.name}"
                other = places.get(inside, places.get(base))
                if other is not None and room_of(other) != room_of(file):
                    found[room_of(file)].add(room_of(other))
    return found


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """Return rooms that import from one another in a circle; none where there is no circle."""
    left = {room: set(others) for room, others in graph.items()}
    while free := [room for room, others in left.items() if not others & set(left)]:
        for room in free:
            del left[room]
    if not left:
        return []
    way = [next(iter(sorted(left)))]
    while way.count(way[-1]) == 1:
        way.append(min(left[way[-1]] & set(left)))
    return way[way.index(way[-1]) :]


def stage_lines() -> str:
    """Return the stages in their order, each with the first line of what it says of itself."""
    lines = []
    for names in ORDER[COMMON:]:
        for name in names:
            path = PACKAGE / name / "__init__.py"
            path = path if path.exists() else PACKAGE / f"{name}.py"
            doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            lines.append(f"    {name:<10} {doc.splitlines()[0] if doc else ''}".rstrip())
    return "\n".join(lines)


def stage_names() -> list[str]:
    return [name for names in ORDER[COMMON:] for name in names]


def modules() -> list[str]:
    return sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py"))


def sources() -> dict[str, str]:
    return {file: (PACKAGE / file).read_text(encoding="utf-8") for file in modules()}


def test_modules_import_only_from_earlier_stages() -> None:
    found = [each for file, source in sources().items() for each in violations(source, file)]
    assert found == []


def test_rooms_import_in_no_circle() -> None:
    assert circle(rooms(sources())) == []


def test_a_circle_of_rooms_is_found() -> None:
    planted = {
        "measure/a.py": "from leap_audit.measure.isolation import b",
        "measure/isolation/b.py": "def f():\n    from leap_audit.measure.attribution.c import g",
        "measure/attribution/c.py": "from leap_audit.measure.isolation.b import f",
        "gradient/table.py": "from leap_audit.gradient.rules import conv",
        "gradient/rules/conv.py": "from leap_audit.gradient.table import gradient",
    }
    found = circle(rooms(planted))
    assert set(found) == {"measure/isolation", "measure/attribution"}
    del planted["measure/attribution/c.py"]
    assert circle(rooms(planted)) == []


@pytest.mark.parametrize(
    "page", ["docs/how-it-flows.md", "docs/adr/0001-layers-and-one-way-flow.md"]
)
def test_pages_list_the_stages_in_their_order(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert stage_lines() in text, f"{page}: write the stages as\n\n{stage_lines()}"


def test_the_walk_follows_the_order() -> None:
    text = (ROOT / "docs/how-it-flows.md").read_text(encoding="utf-8")
    headings = re.findall(r"^#+ .*`leap_audit/(\w+)/`", text, re.M)
    assert headings == [name for name in stage_names() if name in headings]
    assert set(headings) == {n for n in stage_names() if (PACKAGE / n).is_dir()}


def test_modules_can_be_read_in_one_sitting() -> None:
    lines = {file: source.count("\n") for file, source in sources().items()}
    longer = {file: count for file, count in lines.items() if count > LONGEST}
    assert longer == {}, "split each by what its parts do"


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
        ("ingest/files/onnx.py", "def f():\n    from torch import nn", "imports torch"),
        ("report/html.py", "import tensorflow.keras", "imports tensorflow"),
        ("ingest/frameworks/tensorflow.py", "def f():\n    import keras", "imports keras"),
        ("ingest/frameworks/tensorflow.py", "from tf2onnx import convert", "imports tf2onnx"),
        ("pipeline/worker.py", "def f():\n    import ray", "imports ray"),
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
        ("ingest/frameworks/torch.py", "import torch"),
        ("report/html.py", "from leap_audit import __version__"),
    ],
)
def test_the_checker_lets_pass(file: str, source: str) -> None:
    assert violations(source, file) == []
