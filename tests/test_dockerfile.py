"""The Dockerfile: linted, its files are there, its wheel builds; built and run where Docker is."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
STAGES = dict(re.findall(r"^FROM \S+ AS (\w+)\n(.*?)(?=^FROM |\Z)", TEXT, re.DOTALL | re.MULTILINE))
COPIED = [
    word for line in re.findall(r"^COPY (.*)$", TEXT, re.MULTILINE) for word in line.split()[:-1]
]


def test_its_stages() -> None:
    assert list(STAGES) == ["wheel", "cpu", "gpu"]
    for name in ("cpu", "gpu"):
        assert f"[{name}]" in STAGES[name]
        assert "USER 1000" in STAGES[name]
        assert 'ENTRYPOINT ["leap-audit"]' in STAGES[name]
    guide = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert set(re.findall(r"docker build --target (\w+)", guide)) == {"cpu", "gpu"}


def test_the_libraries_are_those_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (line,) = re.findall(r"^WEASYPRINT_LIBRARIES := (.*)$", makefile, re.MULTILINE)
    for name in ("cpu", "gpu"):
        assert set(line.split()) <= set(STAGES[name].split())


def test_what_it_copies_reaches_the_builder() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignored[0] == "*"
    for name in COPIED:
        assert (ROOT / name).exists()
        assert f"!{name.removeprefix('./')}" in ignored


def test_the_copied_files_are_enough_for_the_wheel(tmp_path: Path) -> None:
    """Runs the build step of the stage `wheel` on what the stage copies, and nothing else."""
    pytest.importorskip("build", reason="build is not installed")
    (words,) = re.findall(r"python -m (build [^\\\n]*)", STAGES["wheel"])
    source = tmp_path / "source"
    source.mkdir()
    for name in COPIED:
        path = ROOT / name
        hidden = shutil.ignore_patterns("__pycache__")
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=hidden)
        else:
            shutil.copy(path, source / name)
    step = [word.replace("/dist", str(tmp_path / "dist")) for word in words.split()]
    subprocess.run([sys.executable, "-m", *step], cwd=source, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("leap_audit-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "leap_audit/templates/report.html.j2" in names
    assert "leap_audit/policy/policies/first-week.toml" in names


def test_the_linter_has_nothing_to_say() -> None:
    beside = Path(sys.executable).parent / "hadolint"
    program = str(beside) if beside.exists() else shutil.which("hadolint")
    if program is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run(
        [program, "--no-color", str(ROOT / "Dockerfile")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_runs() -> None:
    if shutil.which("docker") is None:
        pytest.skip("Docker is not installed")
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no Docker daemon is running")
    build = ["docker", "build", "--target", "cpu", "-t", "leap-audit:test", str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    run = ["docker", "run", "--rm", "--network", "none", "leap-audit:test", "--version"]
    told = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    assert told.startswith("leap-audit ")
