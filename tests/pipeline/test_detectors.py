"""The whole way for detectors: a planted context is found and confirmed, a clean one is not."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from leap_audit.artifacts import Audit
from leap_audit.cli import app
from leap_audit.pipeline import audit, flow
from leap_audit.policy import judge
from leap_audit.policy.declared import read_policy
from leap_audit.report import render_html
from tests.builders.coloured import NAMES, detector, write_pictures
from tests.builders.running import TINY

FLAGGED = 2


def audited(folder: Path, *, planted: bool) -> tuple[Audit, str]:
    """Return the audit and its page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow, "write_report", lambda record, folder: record.write(folder))
        detector(folder / "m.onnx", planted=planted)
        photographs = write_pictures(folder / "photographs")
        result = audit(
            folder / "m.onnx",
            NAMES,
            out=folder / "out",
            samples=(photographs,),
            seeds=1,
            **{**TINY, "experiments": {"hosts": 16, "carriers": 4, "search_steps": 1}},
        )
    written = json.loads((result.folder / "audit.json").read_text(encoding="utf-8"))
    assert Audit.model_validate(written) == result.audit
    return result.audit, render_html(result.audit, result.folder)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Audit, str]:
    return audited(tmp_path_factory.mktemp("planted"), planted=True)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> tuple[Audit, str]:
    return audited(tmp_path_factory.mktemp("clean"), planted=False)


def rules(record: Audit) -> list[str]:
    return [each.rule for each in record.findings]


def test_a_planted_context_is_the_gravest_finding_and_is_confirmed(
    planted: tuple[Audit, str],
) -> None:
    first = planted[0].findings[0]
    assert (first.rule, first.severity, first.target) == ("context", "high", (FLAGGED,))
    assert first.confirmed
    assert "control, a part from beside another object: 0" in first.evidence
    assert {each.role for each in first.pictures} >= {"original", "covered", "control", "pasted"}
    assert "What stands beside an object makes this model call it ‘flagged’" in planted[1]


def test_a_clean_detector_has_no_context(clean: tuple[Audit, str]) -> None:
    assert not {"context", "shortcut", "evidence-outside", "two-classes"} & set(rules(clean[0]))
    asked = {each.rule: each for each in clean[0].questions}
    assert not asked["context"].raised
    assert asked["context"].basis == "the surroundings of 2 classes"


def test_every_object_has_its_box_and_its_isolation(planted: tuple[Audit, str]) -> None:
    record, page = planted
    for sample in record.samples:
        found = {each.name for each in sample.detections}
        assert found == {each.name for each in sample.predicted}
        boxes = sorted(each.box for each in sample.isolations if each.box)
        assert boxes == sorted(each.box for each in sample.detections)
        for isolation, each in zip(
            sorted(sample.isolations, key=lambda i: i.box or ()),
            sorted(sample.detections, key=lambda d: d.box),
            strict=True,
        ):
            assert isolation.prob == pytest.approx(each.prob, abs=1e-3)
    assert len({i.image for s in record.samples for i in s.isolations}) == 16
    assert page.count("Objects found") == 8


def test_what_is_not_found_on_a_prototype_is_not_isolated(clean: tuple[Audit, str]) -> None:
    least = clean[0].model.threshold
    assert least is not None
    for prototype in clean[0].prototypes:
        assert prototype.isolations
        for each in prototype.isolations:
            assert each.class_ in prototype.target or each.prob >= least


def test_shares_are_what_boxes_cover(planted: tuple[Audit, str]) -> None:
    for sample in planted[0].samples:
        for each in sample.predicted:
            assert each.share == pytest.approx(1 / 16, abs=0.01)


def test_changes_that_lose_objects_are_one_finding(clean: tuple[Audit, str]) -> None:
    (found,) = [each for each in clean[0].findings if each.rule == "removed-by-change"]
    assert found.evidence == (
        "Contrast halved: 16 of 16 objects called ‘red’ and ‘green’ are no longer found "
        "(control: 0). So do: without colour."
    )


def test_checks_of_a_detector_have_their_figures(
    planted: tuple[Audit, str], tmp_path: Path
) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(
        'name = "d"\n[checks.objects-lost]\nfail_above = 0.5\n'
        "[checks.objects-with-two-names]\nfail_above = 0.1\n"
        "[checks.objects-found-twice]\nfail_above = 0.1\n"
        "[checks.classes-found]\nfail_below = 1\n[checks.shortcuts-confirmed]\nfail_above = 0\n"
    )
    judged = judge(planted[0], read_policy(file))
    assert {each.id: (each.status, each.value) for each in judged.checks} == {
        "objects-lost": ("FAIL", 1),
        "objects-with-two-names": ("PASS", 0),
        "objects-found-twice": ("PASS", 0),
        "classes-found": ("PASS", 1),
        "shortcuts-confirmed": ("FAIL", 1),
    }


def test_how_a_detector_is_read_can_be_said_on_the_command_line(tmp_path: Path) -> None:
    detector(tmp_path / "m.onnx")
    words = ["audit", str(tmp_path / "m.onnx"), "--dry-run", "--json", "--effort", "quick"]
    words += ["--detector", "fastestdet", "--threshold", "0.75", "--overlap", "0.3"]
    result = CliRunner().invoke(app, [*words, "--threads", "1"])
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)["model"]
    assert said["task_reason"].startswith("said with --detector fastestdet")
    assert "from a confidence of 0.75 on" in said["meaning"]
    assert "share more than 0.3 of their union" in said["meaning"]
