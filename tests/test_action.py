"""The GitHub Action: its flags exist, and its steps do what a runner would have them do."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import typer.main
import yaml

from leap_audit.cli import app

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def action() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8")))


def step(action: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [each for each in action["runs"]["steps"] if each["name"] == name]
    return dict(found)


def test_every_flag_it_uses_exists(action: dict[str, Any]) -> None:
    command = typer.main.get_command(app).commands["audit"]  # type: ignore[attr-defined]
    known = {flag for each in command.params for flag in each.opts}
    used = set(re.findall(r"(?<=[( ])--[a-z-]+", step(action, "Audit")["run"]))
    assert {"--policy", "--junit", "--out", "--json", "--classes", "--samples"} <= used
    assert used <= known


def test_no_input_is_part_of_a_script(action: dict[str, Any]) -> None:
    """${{ }} in a script is replaced before the shell reads it: whoever names a file runs code."""
    for each in action["runs"]["steps"]:
        assert "${{" not in each.get("run", "")
    used = set(re.findall(r"inputs\.([a-z]+)", (ROOT / "action.yml").read_text()))
    assert used == set(action["inputs"])
    assert all(each["description"].endswith(".") for each in action["inputs"].values())


@pytest.mark.skipif(os.name == "nt", reason="the steps are written for bash")
@pytest.mark.parametrize(
    ("model", "policy", "code", "verdict"),
    [
        ("digits_clean.onnx", "[checks.classes-audited]\nfail_below = 1", 1, "FAIL"),
        ("none $(touch ran).onnx", "[checks.photographs]\nwarn_below = 1", 3, ""),
    ],
)
def test_its_steps_run(
    action: dict[str, Any],
    sample_models: Path,
    tmp_path: Path,
    model: str,
    policy: str,
    code: int,
    verdict: str,
) -> None:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "leap-audit"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m leap_audit "$@"\n')
    program.chmod(0o755)
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "policy.toml").write_text(policy)
    (tmp_path / "o.toml").write_text("seeds = 1\n[isolation]\nsteps = 1\nper_prototype = 0\n")
    given = {
        "MODEL": str(sample_models / model),
        "CLASSES": str(sample_models / "digits.txt"),
        "SAMPLES": "",
        "POLICY": "policy.toml",
        "ARGS": "--targets\n8\n--steps\n2\n--config\no.toml\n--quiet\n",
        "OUT": "audit",
    }
    assert set(step(action, "Audit")["env"]) == set(given)
    runner = {name: str(tmp_path / name) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    environment = os.environ | given | runner | {"RUNNER_TEMP": str(tmp_path)}
    environment["PATH"] = f"{tmp_path / 'bin'}{os.pathsep}{environment['PATH']}"
    environment["PYTHONPATH"] = str(ROOT)

    def bash(name: str, **more: str) -> int:
        words = [
            "bash",
            "--noprofile",
            "--norc",
            "-eo",
            "pipefail",
            "-c",
            step(action, name)["run"],
        ]
        return subprocess.run(words, env=environment | more, cwd=tmp_path, check=False).returncode

    assert bash("Audit") == 0
    outputs = dict(
        line.split("=", 1) for line in (tmp_path / "GITHUB_OUTPUT").read_text().splitlines()
    )
    assert outputs == {"exit-code": str(code), "verdict": verdict}
    summary = (tmp_path / "GITHUB_STEP_SUMMARY").read_text()
    assert summary.startswith(f"## leap-audit: {verdict or 'REFUSED'}\n")
    assert ("| classes-audited | failed |" in summary) == (code == 1)
    suite = ElementTree.parse(tmp_path / "audit.xml").getroot()[0]
    assert (suite.get("failures"), suite.get("errors")) == (("1", "0") if verdict else ("0", "1"))
    assert bash("End", CODE=outputs["exit-code"]) == code
    assert not (tmp_path / "ran").exists()
