"""The built wheel carries everything an audit needs, and needs nothing that it does not declare."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BIN = "Scripts" if os.name == "nt" else "bin"
# One worker builds the wheel and the environment for all of these.
pytestmark = pytest.mark.xdist_group("wheel")


def command(*words: str | Path, cwd: Path) -> str:
    """Return what the command printed; a failure shows all of it."""
    # An empty environment variable would still be an answer to `import leap_audit` from here.
    environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(map(str, words))}\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = ("-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    command(sys.executable, *build, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of a fresh environment with the wheel and its cpu extra alone."""
    environment = tmp_path_factory.mktemp("fresh") / "venv"
    python = environment / BIN / "python"
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    requirement = f"{wheel}[cpu]"
    if uv:
        command(uv, "venv", "--quiet", "--python", sys.executable, environment, cwd=ROOT)
        install = (uv, "pip", "install", "--quiet", "--python", python, requirement)
        command(*install, cwd=environment)
    else:
        command(sys.executable, "-m", "venv", environment, cwd=ROOT)
        command(python, "-m", "pip", "install", "--quiet", requirement, cwd=environment)
    return python


def test_wheel_holds_every_template_and_no_test(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    ours = {path.name for path in (ROOT / "templates").iterdir() if path.is_file()}
    assert {f"leap_audit/templates/{name}" for name in ours} <= inside
    assert {
        "leap_audit/py.typed",
        "leap_audit/measure/validation.toml",
        "leap_audit/policy/policies/default.toml",
    } <= inside
    assert not [name for name in inside if name.startswith(("tests/", "sample_models/"))]


def test_installed_wheel_brings_no_framework(python: Path, tmp_path: Path) -> None:
    absent = ("torch", "tensorflow", "pytest", "sklearn")
    code = f"import importlib.util as u; print([n for n in {absent} if u.find_spec(n)])"
    assert command(python, "-c", code, cwd=tmp_path).strip() == "[]"
    code = "import leap_audit; print(leap_audit.__file__)"
    assert str(python.parent.parent) in command(python, "-c", code, cwd=tmp_path)


def test_installed_wheel_audits_from_another_folder(
    python: Path, sample_models: Path, tmp_path: Path
) -> None:
    out = tmp_path / "audit"
    command(
        python.parent / "leap-audit",
        sample_models / "digits_clean.onnx",
        *("--classes", sample_models / "digits.txt"),
        *("--targets", "3", "--steps", "4", "--out", out),
        cwd=tmp_path,
    )
    for name in ("audit.json", "results.csv", "report.html", "report.pdf"):
        assert (out / name).stat().st_size > 0
    audit = json.loads((out / "audit.json").read_text(encoding="utf-8"))
    assert audit["status"] == "complete"
    assert [prototype["target"] for prototype in audit["prototypes"]] == [[3]]
    # Offline: nothing in the page is fetched.
    page = (out / "report.html").read_text(encoding="utf-8")
    assert 'src="http' not in page
