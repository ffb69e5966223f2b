"""A policy decides how a command ends: 1 where a check failed, 3 where an audit is incomplete."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from leap_audit.artifacts import Audit
from leap_audit.cli import app
from leap_audit.errors import AuditIncomplete, ConfigRefused, OutputRefused
from leap_audit.pipeline import audit
from tests.builders.running import TINY, Interrupted

MUST_FAIL = "[checks.classes-audited]\nfail_below = 1\n[checks.photographs]\nwarn_below = 9\n"


pytestmark = pytest.mark.usefixtures("without_pdf")


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "release.toml"
    path.write_text(MUST_FAIL)
    return path


def test_a_policy_that_must_fail_ends_with_1(
    sample_models: Path, tmp_path: Path, policy: Path
) -> None:
    options = tmp_path / "o.toml"
    options.write_text("seeds = 1\nthreads = 1\n[isolation]\nsteps = 1\nper_prototype = 0\n")
    junit, out = tmp_path / "junit.xml", tmp_path / "out"
    words = [
        sample_models / "digits_clean.onnx",
        "--policy",
        policy,
        "--junit",
        junit,
        "--out",
        out,
    ]
    words += ["--targets", "8", "--steps", "2", "--config", options]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 1
    assert "Verdict: FAIL." in result.stderr
    assert "FAIL: classes-audited: 1 of 10 classes." in result.stderr
    assert "WARN: photographs: 0 photographs." in result.stderr
    record = Audit.read(out)
    assert (record.verdict, record.status) == ("FAIL", "complete")
    assert record.policy is not None
    assert (record.policy.name, record.policy.file) == ("release", "release.toml")
    text = junit.read_text(encoding="utf-8")
    assert 'name="classes-audited"' in text
    assert 'failures="1" errors="0"' in text


def test_an_interrupted_audit_passes_nothing(
    sample_models: Path, tmp_path: Path, policy: Path
) -> None:
    junit, out = tmp_path / "junit.xml", tmp_path / "out"
    with pytest.raises(AuditIncomplete) as ended:
        audit(
            sample_models / "digits_clean.onnx",
            out=out,
            policy=policy,
            junit=junit,
            progress=Interrupted("Prototypes", 5),
            targets="0-3",
            batch=2,
            **{**TINY, "seeds": 1},
        )
    assert ended.value.exit_code == 3
    record = Audit.read(out)
    assert (record.status, record.verdict) == ("incomplete", "NOT ASSESSED")
    assert {check.status for check in record.checks} == {"NOT ASSESSED"}
    assert "so far 2 of 10 classes" in record.checks[0].measured
    assert 'failures="0" errors="3"' in junit.read_text(encoding="utf-8")
    assert "INCOMPLETE" in (out / "report.html").read_text(encoding="utf-8").upper()


def test_what_is_wrong_is_refused_before_any_work(sample_models: Path, tmp_path: Path) -> None:
    model, out = sample_models / "digits_clean.onnx", tmp_path / "out"
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[checks.classes-reached]\nfail_below = 1\nclasses = ['nein']\n")
    names = sample_models / "digits.txt"
    with pytest.raises(ConfigRefused, match="nine"):
        audit(model, names, out=out, policy=wrong)
    with pytest.raises(ConfigRefused, match="no such policy"):
        audit(model, out=out, policy="none")
    with pytest.raises(OutputRefused, match=r"\.xml"):
        audit(model, out=out, junit=tmp_path / "junit.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.toml"]
