"""The output folder appears whole or not at all, and nothing of the user's is lost."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from leap_audit.artifacts import SCHEMA
from leap_audit.errors import OutputRefused
from leap_audit.publish.folder import AuditFolder, default_folder, write_file


def write_audit(folder: Path, word: str, status: str = "complete") -> None:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "images" / f"{word}.png").touch()
    (folder / "audit.json").write_text(
        json.dumps({"schema": SCHEMA, "status": status, "word": word})
    )


def word_of(folder: Path) -> str:
    return str(json.loads((folder / "audit.json").read_text())["word"])


def publish(out: Path, word: str, complete: bool = True) -> Path:
    with AuditFolder.open(out) as folder:
        write_audit(folder.staging, word, "complete" if complete else "incomplete")
        return folder.publish(complete)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_an_audit_appears_when_it_is_published(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "er" / "out"
    with AuditFolder.open(out) as folder:
        assert (folder.staging / "images").is_dir()
        assert folder.staging.parent == out.parent
        write_audit(folder.staging, "first")
        assert not out.exists()
        assert folder.publish(complete=True) == out
    assert names(out) == ["audit.json", "images"]
    assert names(out.parent) == ["out"]
    assert out.stat().st_mode == out.parent.stat().st_mode


def test_what_is_not_published_leaves_no_trace(tmp_path: Path) -> None:
    with AuditFolder.open(tmp_path / "deep" / "er" / "out"):
        pass
    assert names(tmp_path) == []
    write_audit(tmp_path / "out", "first")
    with pytest.raises(ZeroDivisionError), AuditFolder.open(tmp_path / "out"):
        raise ZeroDivisionError
    assert names(tmp_path) == ["out"]
    assert word_of(tmp_path / "out") == "first"


@pytest.mark.parametrize(
    ("there", "complete", "where", "left"),
    [
        (None, True, "out", ["out"]),
        (None, False, "out", ["out"]),
        ("empty", True, "out", ["out"]),
        ("empty", False, "out", ["out"]),
        ("complete", True, "out", ["out"]),
        ("incomplete", True, "out", ["out"]),
        ("incomplete", False, "out", ["out"]),
        ("complete", False, "out-incomplete", ["out", "out-incomplete"]),
    ],
)
def test_what_replaces_what(
    tmp_path: Path, there: str | None, complete: bool, where: str, left: list[str]
) -> None:
    out = tmp_path / "out"
    if there == "empty":
        out.mkdir()
        (out / ".DS_Store").touch()
    elif there:
        write_audit(out, "first", there)
    assert publish(out, "second", complete) == tmp_path / where
    assert word_of(tmp_path / where) == "second"
    assert names(tmp_path) == left
    assert names(tmp_path / where / "images") == ["second.png"]


def test_where_incomplete_audits_go_when_their_place_is_taken(tmp_path: Path) -> None:
    write_audit(tmp_path / "out", "first")
    (tmp_path / "out-incomplete").touch()
    assert publish(tmp_path / "out", "second", complete=False).name == "out-incomplete-2"
    assert publish(tmp_path / "out", "third", complete=False).name == "out-incomplete-2"
    assert word_of(tmp_path / "out-incomplete-2") == "third"


def test_what_comes_in_the_way_meanwhile_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with AuditFolder.open(out) as folder:
        write_audit(folder.staging, "mine")
        out.write_text("something of the user's")
        assert folder.publish(complete=True).name == "out-2"
    assert out.read_text() == "something of the user's"
    assert word_of(tmp_path / "out-2") == "mine"


def _file(out: Path) -> None:
    out.touch()


def _folder(out: Path) -> None:
    out.mkdir()
    (out / "thesis.tex").touch()


def _link(out: Path) -> None:
    (out.parent / "target").mkdir()
    out.symlink_to(out.parent / "target")


def _dangling(out: Path) -> None:
    out.symlink_to(out.parent / "nowhere")


def _other_schema(out: Path) -> None:
    out.mkdir()
    (out / "audit.json").write_text('{"schema": "npm-audit"}')


def _not_json(out: Path) -> None:
    out.mkdir()
    (out / "audit.json").write_text("[" * 100_000)


def _signed(out: Path) -> None:
    write_audit(out, "first")
    (out / "signed.pdf").touch()


def _strange_image(out: Path) -> None:
    write_audit(out, "first")
    (out / "images" / "notes").mkdir()


def _images_elsewhere(out: Path) -> None:
    write_audit(out.parent / "other", "first")
    out.mkdir()
    (out / "audit.json").write_text(json.dumps({"schema": SCHEMA}))
    (out / "images").symlink_to(out.parent / "other" / "images")


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (_file, "is a file"),
        (_folder, "holds something else"),
        (_link, "is a link"),
        (_dangling, "is a link"),
        (_other_schema, "holds something else"),
        (_not_json, "holds something else"),
        (_signed, "holds 'signed.pdf' beside an earlier audit"),
        (_strange_image, "holds 'images/notes'"),
        (_images_elsewhere, "holds 'images'"),
    ],
)
def test_what_is_in_the_way_is_refused_and_kept(tmp_path: Path, prepare: object, says: str) -> None:
    assert callable(prepare)
    prepare(tmp_path / "out")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputRefused, match=says):
        AuditFolder.open(tmp_path / "out")
    assert sorted(tmp_path.rglob("*")) == before


def test_places_where_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    monkeypatch.chdir(tmp_path)
    for out in ("file/out", "new/" + "x" * 300, "a/out", "/proc/out"):
        with pytest.raises(OutputRefused, match="cannot be written"):
            AuditFolder.open(Path(out))
    for out in ("..", "/"):
        with pytest.raises(OutputRefused, match="cannot be replaced"):
            AuditFolder.open(Path(out))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(OutputRefused, match="folder you are in"):
        AuditFolder.open(Path())
    assert names(tmp_path) == ["a", "b", "file", "here"]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputRefused, match="Permission denied"):
        AuditFolder.open(tmp_path / "out")


def test_a_swap_that_fails_restores_the_earlier_audit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    write_audit(out, "first")
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.name.endswith(".writing") and target == out:
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with AuditFolder.open(out) as folder:
        write_audit(folder.staging, "second")
        with pytest.raises(OutputRefused, match=r"Input/output error.*the audit is in") as error:
            folder.publish(complete=True)
    assert word_of(out) == "first"
    kept = next(entry for entry in tmp_path.iterdir() if entry.name.endswith(".kept"))
    assert str(kept) in str(error.value)
    assert word_of(kept) == "second"


def test_an_audit_is_published_once_and_holds_what_is_known(tmp_path: Path) -> None:
    with AuditFolder.open(tmp_path / "out") as folder:
        (folder.staging / "surprise.txt").touch()
        with pytest.raises(ValueError, match=r"surprise\.txt"):
            folder.publish(complete=True)
        (folder.staging / "surprise.txt").unlink()
        folder.publish(complete=True)
        with pytest.raises(ValueError, match="before"):
            folder.publish(complete=True)


def test_what_a_killed_process_left_is_cleaned_and_what_a_living_one_writes_is_not(
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    killed = (
        "import os, sys, pathlib\n"
        "from leap_audit.publish.folder import AuditFolder\n"
        "folder = AuditFolder.open(pathlib.Path(sys.argv[1]))\n"
        "os._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", killed, out], check=False).returncode == 9
    assert len(names(tmp_path)) == 1
    with AuditFolder.open(out) as living:
        assert names(tmp_path) == [living.staging.name]
        with AuditFolder.open(out) as other:
            assert names(tmp_path) == sorted([living.staging.name, other.staging.name])
    assert names(tmp_path) == []


def test_a_swap_that_was_cut_short_is_undone(tmp_path: Path) -> None:
    write_audit(tmp_path / ".out.0123abcd.replaced", "first")
    write_audit(tmp_path / ".out.kept.replaced", "not ours")
    AuditFolder.open(tmp_path / "out").discard()
    assert word_of(tmp_path / "out") == "first"
    write_audit(tmp_path / ".out.0123abcd.replaced", "older")
    AuditFolder.open(tmp_path / "out").discard()
    assert names(tmp_path) == [".out.kept.replaced", "out"]
    assert word_of(tmp_path / "out") == "first"


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    write_file(tmp_path / "a.onnx", b"one")
    write_file(tmp_path / "a.onnx", b"two")
    assert (tmp_path / "a.onnx").read_bytes() == b"two"
    with pytest.raises(OutputRefused, match="is a folder"):
        write_file(tmp_path, b"")
    with pytest.raises(OutputRefused, match="No such file"):
        write_file(tmp_path / "none" / "a.onnx", b"")
    assert names(tmp_path) == ["a.onnx"]


def test_the_default_folder() -> None:
    assert default_folder(Path("models/net.v2.onnx")) == Path("net.v2-audit")
