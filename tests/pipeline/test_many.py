"""Audits of a list of models."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from leap_audit.cli import app
from leap_audit.errors import ConfigRefused
from leap_audit.pipeline import flow, many
from leap_audit.pipeline.many import audit_many, list_of_files, list_of_table
from tests.builders.running import TINY, Interrupted

OPTIONS = {**TINY, "targets": ["0-1"], "seeds": 1}


@pytest.fixture
def two(sample_models: Path) -> tuple[Path, Path]:
    return sample_models / "digits_clean.onnx", sample_models / "digits_shortcut.onnx"


def test_each_has_its_folder(two: tuple[Path, Path], tmp_path: Path, unprinted: None) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    listed = list_of_files((two[0], broken, two[1]), tmp_path / "audits", OPTIONS)
    found = audit_many(listed)
    assert [each.name for each in found] == ["digits_clean", "broken", "digits_shortcut"]
    assert [each.audit is not None for each in found] == [True, False, True]
    assert "broken.onnx" in found[1].reason
    for each in (found[0], found[2]):
        assert each.audit is not None
        assert each.audit.config["seeds"] == 1
        assert (each.folder / "audit.json").is_file()
    names = ["digits_clean", "digits_shortcut"]
    assert sorted(path.name for path in (tmp_path / "audits").iterdir()) == names


def test_what_was_stopped_goes_on(
    two: tuple[Path, Path], tmp_path: Path, unprinted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = list_of_files(two, tmp_path / "audits", OPTIONS)
    with pytest.raises(KeyboardInterrupt):  # each has two targets of two steps: in the second
        audit_many(listed, progress=Interrupted("Prototypes", 6))
    made: list[Path] = []
    audit = flow.audit

    def recorded(model: Path, *rest: Any, **more: Any) -> Any:
        made.append(model)
        return audit(model, *rest, **more)

    monkeypatch.setattr(many, "audit", recorded)
    found = audit_many(listed)
    assert made == [two[1]]
    assert [each.audit.status for each in found if each.audit] == ["complete", "complete"]
    audit_many(listed)  # all were finished: from the first again
    assert made == [two[1], *two]


def test_other_options_are_another_audit(
    two: tuple[Path, Path], tmp_path: Path, unprinted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        audit_many(
            list_of_files(two, tmp_path / "audits", OPTIONS), progress=Interrupted("Prototypes", 6)
        )
    monkeypatch.setattr(many, "_audited", lambda *_, **__: pytest.fail("made again"))
    with pytest.raises(pytest.fail.Exception, match="made again"):
        audit_many(list_of_files(two, tmp_path / "audits", {**OPTIONS, "seed": 1}))


def test_a_list_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("")
    table = tomllib.loads(
        'policy = "mine.toml"\n[options]\nseeds = 2\nsamples = "photos"\n'
        '[[models]]\nmodel = "a.onnx"\nclasses = "a.txt"\n'
        '[[models]]\nmodel = "a.onnx"\nname = "b"\npolicy = "release"\n'
        'options = { seeds = 1, labels = "l.csv" }\n'
    )
    listed = list_of_table(table, tmp_path / "models.toml")
    assert listed.out == tmp_path / "audits"
    assert listed.policy == str(tmp_path / "mine.toml")
    assert listed.options == {"seeds": 2, "samples": [str(tmp_path / "photos")]}
    first, second = listed.models
    assert (first.model, first.classes) == (tmp_path / "a.onnx", tmp_path / "a.txt")
    assert (second.name, second.policy) == ("b", "release")
    assert second.options == {"seeds": 1, "labels": str(tmp_path / "l.csv")}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"models": []}, "lists no model"),
        ({"models": [{"model": "a.onnx"}, {"model": "x/a.onnx"}]}, "would be called 'a'"),
        ({"models": [{"model": "a.onnx", "options": {"sed": 1}}]}, "did you mean 'seed'"),
        ({"models": [{"model": "a.onnx", "clases": "x"}]}, "unknown option"),
        ({"options": {"seeds": 0}, "models": [{"model": "a.onnx"}]}, "seeds"),
    ],
)
def test_a_wrong_list_is_refused(table: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigRefused, match=said):
        list_of_table(table, tmp_path / "models.toml")


def test_the_command(
    two: tuple[Path, Path], tmp_path: Path, unprinted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models.toml").write_text(
        '[options]\ntargets = ["0"]\nseeds = 1\nthreads = 1\nprototype = { steps = 2 }\n'
        "isolation = { steps = 2, grid = 4 }\n"
        f'[[models]]\nmodel = "{two[0]}"\n[[models]]\nmodel = "none.onnx"\n'
    )
    done = CliRunner().invoke(app, ["many", "models.toml", "--quiet"])
    assert done.exit_code == 3, done.output
    lines = done.stdout.splitlines()
    assert lines[-3].split() == ["model", "status", "verdict", "high", "medium", "report"]
    assert lines[-2].startswith("digits_clean  complete  NOT ASSESSED  ")
    assert lines[-1].startswith("none ")
    assert "refused" in lines[-1]
    done = CliRunner().invoke(app, ["many", str(two[0]), "--effort", "quick", "--dry"])
    assert done.exit_code == 2
