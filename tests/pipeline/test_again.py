"""`leap-audit report`: the same audit gives the same bytes, another policy another verdict."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from leap_audit.artifacts import Audit
from leap_audit.cli import app
from leap_audit.report import write_report
from tests.builders.audits import make_audit, with_pictures

FAILS = "name = 'strict'\n[checks.classes-audited]\nfail_below = 1\n"


def report(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["report", *map(str, words)], env={"NO_COLOR": "1"})


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a whole audit but for its PDF, which is none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("leap_audit.report.render_pdf", lambda *_: b"%PDF-")
        return written(tmp_path_factory.mktemp("once") / "audit")


@pytest.fixture
def folder(once: Path, tmp_path: Path, without_pdf: None) -> Path:
    """Return a copy of it, to change."""
    return Path(shutil.copytree(once, tmp_path / "audit"))


def written(place: Path, **changes: Any) -> Path:
    """Return the folder of a whole audit."""
    place.mkdir()
    write_report(make_audit(with_pictures(place), **changes), place)
    return place


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def changed(folder: Path, **fields: Any) -> Path:
    """Alter the audit.json in the folder, as somebody might."""
    path = folder / "audit.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return folder


def test_rendered_again_every_byte_is_the_same(tmp_path: Path) -> None:
    folder = written(tmp_path / "audit")
    before = content(folder)
    result = report(folder)
    assert (result.exit_code, result.stdout) == (0, f"{folder / 'report.html'}\n")
    assert content(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["audit"]


def test_another_policy_is_another_verdict(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "p.toml").write_text(FAILS)
    junit = tmp_path / "j.xml"
    result = report(folder, "--policy", tmp_path / "p.toml", "--junit", junit, "--json")
    assert result.exit_code == 1
    summary = json.loads(result.stdout)
    assert (summary["verdict"], summary["policy"]) == ("FAIL", "strict")
    (check,) = summary["checks"]
    assert (check["id"], check["status"], check["measured"]) == (
        "classes-audited",
        "FAIL",
        "2 of 3 classes.",
    )
    assert check["value"] == pytest.approx(2 / 3)
    assert check["threshold"].startswith("At least ")
    assert "FAIL: classes-audited: 2 of 3 classes." in result.stderr
    audit = Audit.read(folder)
    assert audit.verdict == "FAIL"
    assert audit.policy is not None
    assert "<failure" in junit.read_text()
    assert 'name="classes-audited"' in junit.read_text()
    assert report(folder / "audit.json").exit_code == 1  # it keeps the verdict it has


def test_elsewhere_the_first_stays_as_it_is(tmp_path: Path, folder: Path) -> None:
    before = content(folder)
    result = report(folder, "--out", tmp_path / "judged", "--policy", "default")
    assert result.exit_code == 0
    assert "Verdict: WARN" in result.stderr
    assert content(folder) == before
    assert set(content(tmp_path / "judged")) == set(before)


def test_what_is_incomplete_stays_so(tmp_path: Path, without_pdf: None) -> None:
    folder = written(tmp_path / "audit", status="incomplete")
    result = report(folder, "--policy", "default", "--junit", tmp_path / "j.xml")
    assert result.exit_code == 3
    assert Audit.read(folder).verdict == "NOT ASSESSED"
    assert "INCOMPLETE" in (folder / "report.html").read_text().upper()
    assert 'errors="0"' not in (tmp_path / "j.xml").read_text()
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["audit", "j.xml"]


def test_what_a_policy_could_not_assess_is_no_success(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "p.toml").write_text("[checks.accuracy]\nfail_below = 0.5\nrequired = true\n")
    result = report(folder, "--policy", tmp_path / "p.toml")
    assert result.exit_code == 3
    assert "NOT ASSESSED: accuracy: No photograph's class is known" in result.stderr


def refused(folder: Path, *words: str | Path) -> str:
    """Return the sentence of a refusal that left the folder, and everything around, as it was."""
    before = content(folder.parent)
    result = report(folder, *words)
    assert result.exit_code == 3
    assert result.stdout == ""
    assert "itself failed" not in result.stderr
    assert content(folder.parent) == before
    return " ".join(result.stderr.split())


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "images/none.png", "\x00"])
def test_a_picture_that_is_not_the_audits_is_refused(
    tmp_path: Path, folder: Path, name: str
) -> None:
    (tmp_path / "secret.png").write_bytes((folder / "images" / "small.png").read_bytes())
    prototypes = json.loads((folder / "audit.json").read_text())["prototypes"]
    prototypes[0]["image"] = name
    said = refused(changed(folder, prototypes=prototypes))
    assert "the audit" in said


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n" + b"\x00" * 40])
def test_a_corrupt_picture_is_one_sentence(tmp_path: Path, folder: Path, data: bytes) -> None:
    (folder / "images" / "small.png").write_bytes(data)
    said = refused(folder)
    assert said.count("error:") == 1
    assert "images/small.png" in said


def test_a_link_in_place_of_a_picture_is_refused(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "secret.png").write_bytes((folder / "images" / "small.png").read_bytes())
    (folder / "images" / "small.png").unlink()
    (folder / "images" / "small.png").symlink_to(tmp_path / "secret.png")
    assert "is a link" in refused(folder)
    assert "is a link" in refused(folder, "--out", tmp_path / "elsewhere")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_in_place_of_a_picture_does_not_hold_it_up(tmp_path: Path, folder: Path) -> None:
    picture = folder / "images" / "small.png"
    picture.unlink()
    os.mkfifo(picture)
    result = report(folder, "--out", tmp_path / "elsewhere")
    assert result.exit_code == 3
    assert "no plain file" in " ".join(result.stderr.split())


def test_what_a_file_manager_left_is_no_hindrance(tmp_path: Path, folder: Path) -> None:
    for place in (folder, folder / "images"):
        (place / ".DS_Store").write_bytes(b"Bud1")
    assert report(folder).exit_code == 0
    assert not [path for path in content(folder) if path.endswith(".DS_Store")]


def test_what_lies_beside_is_never_lost(tmp_path: Path, folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    assert "'notes.txt'" in refused(folder)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"schema": "x"}, "leap-audit/1"),
        ({"status": "perfect"}, "is not a whole audit"),
        ({"verdict": "SIGNED"}, "is not a whole audit"),
    ],
)
def test_an_altered_audit_is_refused(
    tmp_path: Path, folder: Path, fields: dict[str, str], says: str
) -> None:
    assert says in refused(changed(folder, **fields))


def test_no_audit_is_an_error_in_junit_too(tmp_path: Path) -> None:
    (tmp_path / "j.xml").write_text("<testsuites/>")
    result = report(tmp_path / "none", "--junit", tmp_path / "j.xml")
    assert result.exit_code == 3
    assert "<error" in (tmp_path / "j.xml").read_text()
    assert "there is no audit" in (tmp_path / "j.xml").read_text()


def test_a_bad_place_for_junit_changes_nothing(tmp_path: Path, folder: Path) -> None:
    assert "replaced as a whole" in refused(folder, "--junit", folder / "j.xml")
    assert "is not called .xml" in refused(folder, "--junit", folder / "audit.json")
