"""From inside the child: what hostile code would do, tried, and denied by the system."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from leap_audit.errors import ModelRefused, PictureRefused
from leap_audit.ingest.sandbox.parent import GIB, Child, Limits
from leap_audit.walls import missing_walls
from tests.walls import attacks

LIMITS = Limits(memory=GIB, seconds=60)
MISSING = missing_walls()
walled = pytest.mark.skipif(bool(MISSING), reason=f"no walls on this machine: {MISSING}")


@pytest.fixture(autouse=True)
def _in_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LEAP_AUDIT_CONTAINED", "LEAP_AUDIT_MEMORY", "LEAP_AUDIT_SECONDS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a file that the child is given; the home folder lies elsewhere."""
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "m.onnx").write_text("a model")
    return folder / "m.onnx"


@pytest.fixture(scope="module")
def shared_child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Child, Path]]:
    folder = tmp_path_factory.mktemp("models")
    (folder / "m.onnx").write_text("a model")
    with Child(Limits(GIB, 60, answers=100), [folder / "m.onnx"], alone=False) as child:
        yield child, folder / "m.onnx"


ALLOWED = {
    "secrets",
    "home",
    "reads_what_it_was_given",
    "writes_where_it_may",
    "starts_threads",
    "walls_that_are_missing",
}
LASTING = {
    "ten_gigabytes",
    "ten_gigabytes_in_pieces",
    "ten_gigabytes_of_native_memory",
    "a_large_file",
    "many_files",
    "loop",
    "loop_in_native_code",
}
ELSEWHERE = {"read_a_file", "list_a_folder"}
TRIED = sorted(
    name
    for name, found in vars(attacks).items()
    if callable(found) and getattr(found, "__module__", "") == attacks.__name__
    if not name.startswith("_") and name not in ALLOWED | LASTING | ELSEWHERE
)


@walled
@pytest.mark.parametrize("name", TRIED)
def test_it_is_denied(shared_child: tuple[Child, Path], name: str) -> None:
    child, model = shared_child
    before = sorted(model.parent.rglob("*"))
    with pytest.raises(ModelRefused, match=r"(Error|gaierror): ") as caught:
        child.call(getattr(attacks, name), model)
    said = str(caught.value)
    denied = (
        "not permitted",
        "ermission denied",
        "not implemented",
        "did not start",
        "cross-device",
    )
    denied += ("Too many open files", "limit", "prctl", "name resolution", "Name or service")
    assert any(words in said for words in denied), said
    assert sorted(model.parent.rglob("*")) == before
    assert model.read_text() == "a model"


@walled
def test_files_of_the_home_folder_are_denied(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "id").write_text("a secret")
    (home / "letter").write_text("a letter")
    monkeypatch.setenv("HOME", str(home))
    places = [home / ".ssh" / "id", home / "letter", Path("/etc/passwd"), tmp_path / "other"]
    (tmp_path / "other").write_text("of somebody else")
    for place in places:
        with pytest.raises(ModelRefused, match="PermissionError"), Child(LIMITS, [model]) as child:
            child.call(attacks.read_a_file, model, str(place))
    with pytest.raises(ModelRefused, match="PermissionError"), Child(LIMITS, [model]) as child:
        child.call(attacks.list_a_folder, model, str(home))


@walled
def test_a_model_in_the_home_folder_does_not_open_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".netrc").write_text("a password")
    (tmp_path / ".ssh" / "id").write_text("a secret")
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "letter").write_text("a letter")
    (tmp_path / "m.onnx").write_text("a model")
    (tmp_path / "m.data").write_text("its weights")
    monkeypatch.setenv("HOME", str(tmp_path))
    model = tmp_path / "m.onnx"
    with Child(LIMITS, [model], alone=False) as child:
        assert child.call(attacks.read_a_file, model, str(tmp_path / "m.data")) == "its weights"
        for name in (".netrc", ".ssh/id", "documents/letter"):
            with pytest.raises(ModelRefused, match="PermissionError"):
                child.call(attacks.read_a_file, model, str(tmp_path / name))


@walled
def test_a_file_that_holds_its_whole_model_opens_nothing_beside_it(model: Path) -> None:
    archive = model.with_name("m.pt2")
    archive.write_bytes(b"PK\x03\x04 an archive")
    with Child(LIMITS, [archive], alone=False) as child:
        assert child.call(attacks.reads_what_it_was_given, archive).startswith("PK")
        with pytest.raises(ModelRefused, match="PermissionError"):
            child.call(attacks.read_a_file, archive, str(model))


@walled
def test_what_a_library_needs_is_allowed(model: Path) -> None:
    with Child(Limits(GIB, 60, answers=9), [model]) as child:
        assert child.call(attacks.walls_that_are_missing) == {}
        assert child.call(attacks.reads_what_it_was_given, model) == "a model"
        assert child.call(attacks.writes_where_it_may, model) == "mine"
        assert child.call(attacks.starts_threads, model) == 8
        scratch = Path(child.call(attacks.home, model))
        assert scratch.is_dir()
    assert not scratch.exists()


def test_keys_and_tokens_stay_outside(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN"):
        monkeypatch.setenv(name, "secret")
    with Child(LIMITS, [model]) as child:
        found = child.call(attacks.secrets, model)
    assert "secret" not in found.values()
    assert found["ORT_DISABLE_TELEMETRY"] == "1"


@walled
@pytest.mark.parametrize(
    "name", ["ten_gigabytes", "ten_gigabytes_in_pieces", "ten_gigabytes_of_native_memory"]
)
def test_ten_gigabytes(model: Path, name: str) -> None:
    with (
        pytest.raises(ModelRefused, match=r"needed more memory than it may have \(1.0 GiB\)"),
        Child(LIMITS, [model]) as child,
    ):
        child.call(getattr(attacks, name), model)


@walled
def test_a_large_file(model: Path) -> None:
    limits = Limits(GIB, 60, written=32 << 20)
    with pytest.raises(ModelRefused, match="File too large"), Child(limits, [model]) as child:
        child.call(attacks.a_large_file, model)


@walled
def test_many_files(model: Path) -> None:
    limits = Limits(GIB, 60, written=32 << 20)
    with (
        pytest.raises(ModelRefused, match=r"wrote more than 0\.0 GiB"),
        Child(limits, [model]) as c,
    ):
        c.call(attacks.many_files, model)


@pytest.mark.parametrize("name", ["loop", "loop_in_native_code"])
def test_an_endless_loop(model: Path, name: str) -> None:
    begun = time.monotonic()
    with (
        pytest.raises(PictureRefused, match="took longer than 1 s"),
        Child(Limits(GIB, 1), [model], refusal=PictureRefused) as child,
    ):
        child.call(getattr(attacks, name), model)
    assert time.monotonic() - begun < 20


@walled
def test_a_child_whose_parent_is_stopped_ends_all_the_same(model: Path) -> None:
    limits = Limits(GIB, 60)
    assert limits.processor <= 60 + 60 * (os.cpu_count() or 1)


@walled
def test_one_child_answers_many_questions(tmp_path: Path) -> None:
    files = [tmp_path / str(i) for i in range(5)]
    for file in files:
        file.write_text(file.name)
    with Child(LIMITS, files) as child:
        assert [child.call(attacks.reads_what_it_was_given, f) for f in files] == list("01234")


@pytest.mark.skipif(sys.platform != "linux", reason="sends SIGKILL")
def test_who_is_killed_from_outside_is_not_called_hostile(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import signal
    import threading

    with Child(LIMITS, [model]) as child:
        child.call(attacks.home, model)
        process = child._process
        assert process is not None
        threading.Timer(0.5, lambda: process.send_signal(signal.SIGKILL)).start()
        with pytest.raises(ModelRefused, match="was ended from outside") as caught:
            child.call(attacks.loop, model)
    assert "hostile" not in str(caught.value)
    assert "LEAP_AUDIT_MEMORY" in str(caught.value)
