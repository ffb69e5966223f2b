"""The GitHub Action: its flags exist, and its steps do what a runner would have them do."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree

import pytest
import typer.main
import yaml

from leap_audit.cli import app
from leap_audit.cli.flags import FailOn
from tools.action_summary import annotations, read, summary

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def action() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8")))


def step(action: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [each for each in action["runs"]["steps"] if each["name"] == name]
    return dict(found)


def test_every_flag_it_uses_exists(action: dict[str, Any]) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    script = step(action, "Audit")["run"]
    compared = "".join(re.findall(r"leap-audit compare .*", script))
    for name, text in (("compare", compared), ("audit", script.replace(compared, ""))):
        known = {flag for each in commands[name].params for flag in each.opts}
        used = set(re.findall(r"(?<=[( ])--[a-z-]+", text))
        assert len(used) >= 3
        assert used <= known, name
    assert {"--policy", "--junit", "--classes", "--samples", "--preprocessing"} <= set(
        re.findall(r"--[a-z-]+", script)
    )
    choices = get_args(get_args(FailOn)[0])
    assert action["inputs"]["fail-on"]["default"] in choices


def test_foreign_actions_are_pinned(action: dict[str, Any]) -> None:
    """A tag can be moved to other code; a commit cannot. Readers copy docs/ci.md: it pins too."""
    pinned = re.compile(r"[a-z-]+/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    for file in ("action.yml", "docs/ci.md", "docs/releasing.md"):
        text = (ROOT / file).read_text(encoding="utf-8")
        used = [each for each in re.findall(r"uses: (.*)", text) if "leap-audit@" not in each]
        assert used, file
        assert all(pinned.fullmatch(each) for each in used), file


def test_no_input_is_part_of_a_script(action: dict[str, Any]) -> None:
    """${{ }} in a script is replaced before the shell reads it: whoever names a file runs code."""
    for each in action["runs"]["steps"]:
        assert "${{" not in each.get("run", "")
    used = set(re.findall(r"inputs\.([a-z-]+)", (ROOT / "action.yml").read_text()))
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
        "PREPROCESSING": "",
        "BASELINE": "",
        "FAIL_ON": "worse",
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
    script = str(ROOT / "tools" / "action_summary.py")
    assert bash("Summary", SCRIPT=script, PICTURES="https://a.b/c", ARTIFACT="https://a.b/d") == 0
    outputs = dict(
        line.split("=", 1) for line in (tmp_path / "GITHUB_OUTPUT").read_text().splitlines()
    )
    assert (outputs["exit-code"], outputs["verdict"]) == (str(code), verdict)
    summary = (tmp_path / "GITHUB_STEP_SUMMARY").read_text()
    assert f" leap-audit: {verdict or 'REFUSED'}\n" in summary.splitlines(keepends=True)[0]
    assert ("FAIL | classes-audited | 1 of 10 classes. | At least" in summary) == (code == 1)
    assert ('<img src="https://a.b/c/images/' in summary) == (code == 1)
    assert "(https://a.b/d)" in summary
    suite = ElementTree.parse(tmp_path / "audit.xml").getroot()[0]
    assert (suite.get("failures"), suite.get("errors")) == (("1", "0") if verdict else ("0", "1"))
    assert bash("End", CODE=outputs["exit-code"]) == code
    assert not (tmp_path / "ran").exists()


TOLD: dict[str, Any] = {
    "status": "complete",
    "verdict": "FAIL",
    "concern": "high",
    "policy": "release",
    "classes_audited": 1,
    "classes_in_all": 2,
    "samples": 3,
    "reports": {"json": "none"},
    "checks": [
        {
            "id": "a",
            "status": "PASS",
            "measured": "1.",
            "threshold": "At least 1.",
            "value": 1.0,
            "required": False,
        },
        {
            "id": "b",
            "status": "FAIL",
            "measured": "50 %,\nof 2.",
            "threshold": "At least 90 %.",
            "value": 0.5,
            "required": True,
        },
    ],
    "findings": [
        {"severity": "high", "title": "[x](javascript:1) | @you <b>'", "action": "Do it."},
        {"severity": "low", "title": "Small", "action": ""},
    ],
}
COMPARED: dict[str, Any] = {
    "status": "complete",
    "verdict": {"old": "PASS", "new": "FAIL"},
    "worse": ["check b: PASS → FAIL"],
    "changes": [{"severity": "high", "direction": "worse", "title": "A mark decides"}],
}


def test_the_summary_has_values_thresholds_findings_and_changes() -> None:
    text = summary(TOLD, COMPARED)
    lines = text.splitlines()
    failed, passed = (
        next(index for index, line in enumerate(lines) if f"| {name} |" in line) for name in "ba"
    )
    assert failed < passed
    assert "| b | 50 %, of 2. | At least 90 %. |" in lines[failed]
    assert "overall concern: high; policy release." in text
    assert "Do it." in text
    assert "Verdict: PASS → FAIL." in text
    assert "A mark decides" in text
    assert "<img" not in text
    for sign in ("<b>", "@you", "](java", "|  |"):
        assert sign not in text
    assert "&#91;x&#93;(javascript:1) &#124; &#64;you &lt;b&gt;&#x27;" in text


def test_annotations_are_workflow_commands() -> None:
    made = annotations(TOLD, COMPARED)
    assert made[0] == "::error title=leap-audit%3A b::50 %25,%0Aof 2. Threshold: At least 90 %25."
    assert made[1].startswith("::error title=leap-audit%3A high finding::[x](javascript:1)")
    assert made[2].startswith("::notice ")
    assert made[3] == "::warning title=leap-audit%3A worse than the baseline::check b: PASS → FAIL"
    calm = TOLD | {"checks": TOLD["checks"][:1]}
    assert annotations(calm, None)[0].startswith("::warning ")
    assert annotations(read(ROOT / "none.json"), None) == [
        "::error title=leap-audit::The command line was refused; see the log."
    ]


@pytest.mark.skipif(os.name == "nt", reason="the steps are written for bash")
@pytest.mark.parametrize(("audit", "compare", "ends"), [(0, 1, 1), (1, 0, 1), (0, 3, 3), (3, 0, 3)])
def test_a_baseline_is_compared(
    action: dict[str, Any], tmp_path: Path, audit: int, compare: int, ends: int
) -> None:
    (tmp_path / "leap-audit").write_text(
        f'#!/bin/sh\necho "$@" >> words\n[ "$1" = audit ] && exit {audit}\nexit {compare}\n'
    )
    (tmp_path / "leap-audit").chmod(0o755)
    given = dict.fromkeys(step(action, "Audit")["env"], "")
    given |= {"MODEL": "-m.onnx", "OUT": "new", "BASELINE": "old", "FAIL_ON": "high"}
    given |= {"PREPROCESSING": "keras.tf", "RUNNER_TEMP": str(tmp_path)}
    given |= {"GITHUB_OUTPUT": str(tmp_path / "out"), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    words = ["bash", "-eo", "pipefail", "-c", step(action, "Audit")["run"]]
    assert subprocess.run(words, env=os.environ | given, cwd=tmp_path, check=False).returncode == 0
    lines = (tmp_path / "words").read_text().splitlines()
    assert "--preprocessing keras.tf" in lines[0]
    assert lines[0].endswith("-- -m.onnx")
    if audit <= 1:
        assert lines[1] == "compare --fail-on high --out new-compare --json -- old new"
    assert len(lines) == (2 if audit <= 1 else 1)
    assert (tmp_path / "out").read_text() == f"exit-code={ends}\n"
