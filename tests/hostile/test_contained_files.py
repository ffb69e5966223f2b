"""Audits, pictures, lists and tables of others: nothing hangs, nothing leads elsewhere."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image
from typer.testing import CliRunner

from leap_audit.cli import app
from leap_audit.config import DeclaredPreprocessing
from leap_audit.errors import InputRefused, LeapAuditError, ModelRefused, PictureRefused
from leap_audit.files import open_regular, read_regular
from leap_audit.ingest.audits import open_audit
from leap_audit.ingest.classes.sandboxed import read_classes_in_child, read_ground_truth_in_child
from leap_audit.ingest.files.hashing import read_hashed
from leap_audit.ingest.loading import load, read_source
from leap_audit.ingest.pictures.images import find_pictures
from leap_audit.ingest.pictures.sandboxed import read_preprocessing_in_child, require_no_links
from leap_audit.ingest.sandbox.config_files import read_table_in_child
from tests.builders.audits import make_audit, with_pictures
from tests.builders.corpus import network
from tools.fuzz import pictures_in

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="makes links and pipes")
SECRET = b"the secret of the reader"


def run(*words: str) -> Any:
    return CliRunner().invoke(app, list(words), env={"NO_COLOR": "1", "COLUMNS": "80"})


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    """Return the folder of an audit as somebody else hands it over."""
    folder = tmp_path / "their-audit"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(SECRET)
    made = make_audit(with_pictures(folder))
    made = made.model_copy(update={"files": _digests(folder)})
    made.write(folder)
    for name in ("report.pdf", "report.html", "results.csv"):
        (folder / name).write_bytes(b"%PDF-1.7 a view")
    return folder


def _digests(folder: Path) -> dict[str, str]:
    from leap_audit.digests import sha256_of

    return {f"images/{p.name}": sha256_of(p) for p in sorted((folder / "images").iterdir())}


def link(place: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / place).unlink()
        (folder / place).symlink_to(folder.parent / "secret")

    return change


def pipe(place: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / place).unlink()
        os.mkfifo(folder / place)

    return change


def linked_folder(folder: Path) -> None:
    (folder / "images").rename(folder.parent / "elsewhere")
    (folder / "images").symlink_to(folder.parent / "elsewhere")


def other_picture(folder: Path) -> None:
    first = min((folder / "images").iterdir())
    Image.new("RGB", (8, 8), "red").save(first, "PNG")


def more_pictures(folder: Path) -> None:
    Image.new("RGB", (8, 8), "red").save(folder / "images" / "planted.png", "PNG")


def fewer_pictures(folder: Path) -> None:
    min((folder / "images").iterdir()).unlink()


def enormous(folder: Path) -> None:
    Image.new("1", (9000, 9000)).save(min((folder / "images").iterdir()), "PNG")


FOLDERS = {
    "a link as report": link("report.pdf"),
    "a link as audit": link("audit.json"),
    "a pipe as audit": pipe("audit.json"),
    "a pipe as report": pipe("report.pdf"),
    "a folder elsewhere": linked_folder,
    "another picture": other_picture,
    "more pictures": more_pictures,
    "fewer pictures": fewer_pictures,
    "an enormous picture": enormous,
}
OF_PICTURES = [name for name in FOLDERS if "report" not in name]


@pytest.mark.parametrize("name", FOLDERS)
def test_attach_carries_nothing_of_the_reader(audit: Path, name: str, tmp_path: Path) -> None:
    FOLDERS[name](audit)
    result = run("attach", str(audit), str(tmp_path / "README.md"))
    assert result.exit_code == 3, result.output
    assert "itself failed" not in result.output
    assert not any(
        SECRET in p.read_bytes() for p in (tmp_path / "leap-audit").rglob("*") if p.is_file()
    )


@pytest.mark.parametrize("command", ["report", "compare"])
@pytest.mark.parametrize("name", OF_PICTURES)
def test_report_and_compare(audit: Path, tmp_path: Path, command: str, name: str) -> None:
    FOLDERS[name](audit)
    words = [str(audit)] * (2 if command == "compare" else 1)
    result = run(command, *words, "--out", str(tmp_path / "out"))
    assert result.exit_code == 3, result.output
    assert "itself failed" not in result.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.usefixtures("without_pdf")
def test_verify_says_so(audit: Path, name: str) -> None:
    FOLDERS[name](audit)
    result = run("verify", str(audit))
    assert result.exit_code in (1, 3), result.output
    assert "itself failed" not in result.output


def deep(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = {"a": value}
    return value


FORGED: dict[str, Callable[[Any], None]] = {
    "large numbers": lambda a: a["prototypes"][0].update(logit=1e308),
    "small numbers": lambda a: a["samples"][0]["isolations"][0].update(prob=-1e308),
    "half a letter": lambda a: a["model"].update(file="\ud800.onnx"),
    "depth": lambda a: a.update(config=deep(900)),
    "a long curve": lambda a: a["prototypes"][0].update(curve=[[i, 0.0] for i in range(10**5)]),
    "a class that is none": lambda a: a["prototypes"][0].update(target=[10**6]),
    "a negative class": lambda a: a["samples"][0]["predicted"][0].update({"class": -1}),
    "no date": lambda a: a["environment"].update(started="yesterday"),
    "a year before all": lambda a: a["environment"].update(started="0001-01-01T00:00:00+00:00"),
    "long text": lambda a: a.update(notes=["x" * 10**6]),
    "many digits": lambda a: a["environment"].update(seed=10**30),
    "a list as name": lambda a: a.update(classes=[["x"]]),
    "a picture elsewhere": lambda a: a["prototypes"][0].update(image="../secret"),
    "a picture of the system": lambda a: a["prototypes"][0].update(image="/etc/passwd"),
    "no name of a picture": lambda a: a["prototypes"][0].update(image="images/\x00.png"),
    "a target of nothing": lambda a: a["prototypes"][0].update(target=[]),
}


@pytest.mark.parametrize("command", ["report", "compare", "attach", "verify"])
@pytest.mark.parametrize("name", FORGED)
def test_a_forged_record(audit: Path, tmp_path: Path, command: str, name: str) -> None:
    record = json.loads((audit / "audit.json").read_text())
    FORGED[name](record)
    (audit / "audit.json").write_text(json.dumps(record))
    words = {
        "report": ["--out", str(tmp_path / "out")],
        "compare": [str(audit), "--out", str(tmp_path / "out")],
        "attach": [str(tmp_path / "README.md")],
        "verify": [],
    }[command]
    begun = time.monotonic()
    result = run(command, str(audit), *words)
    assert time.monotonic() - begun < 60
    assert "itself failed" not in result.output, result.output
    assert result.exit_code in (1, 3) or name == "a target of nothing", result.output


@pytest.mark.parametrize("data", [b'{"a": NaN}', b"[" * 100_000, b'{"schema": 1e999}', b"\xff"])
def test_a_record_that_is_none(audit: Path, data: bytes) -> None:
    (audit / "audit.json").write_bytes(data)
    with pytest.raises(LeapAuditError):
        open_audit(audit)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/random", "/dev/tty", "a pipe", "a folder"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, device: str) -> None:
    place = Path(device) if device.startswith("/") else tmp_path / "it"
    if device == "a pipe":
        os.mkfifo(place)
    elif device == "a folder":
        place.mkdir()
    words: list[Callable[[], object]] = [
        lambda: read_classes_in_child(place),
        lambda: read_table_in_child(place),
        lambda: read_preprocessing_in_child(place),
        lambda: pictures_in([place]),
        lambda: open_audit(place),
        lambda: read_source(place),
        lambda: read_ground_truth_in_child([place], ["a"], place),
    ]
    begun = time.monotonic()
    for ask in words:
        with pytest.raises(LeapAuditError):
            ask()
    with pytest.raises(OSError, match=r"regular|directory|denied|No such"):
        open_regular(place)
    assert time.monotonic() - begun < 20


def test_reading_stops_at_the_bound(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 10)
    assert read_regular(tmp_path / "a", 10) == b"x" * 10
    with pytest.raises(OSError, match="above 0 kB"):
        read_regular(tmp_path / "a", 9)


def test_what_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_text("cat\ndog\n")

    def read() -> str:
        text = path.read_text()
        path.write_text("cat\nwolf\n")
        return text

    with pytest.raises(InputRefused, match="changed while it was read"):
        read_hashed(path, read, InputRefused)


def test_a_list_that_is_gone_after_it_was_read(tmp_path: Path, sample_models: Path) -> None:
    names, digest = read_classes_in_child(sample_models / "digits.txt")
    assert len(names) == 10
    assert len(digest) == 64


def test_links_among_photographs(tmp_path: Path) -> None:
    folder, other = tmp_path / "photos", tmp_path / "private"
    folder.mkdir()
    other.mkdir()
    Image.new("RGB", (8, 8)).save(other / "p.png")
    Image.new("RGB", (8, 8)).save(folder / "own.png")
    (folder / "inside.png").symlink_to("own.png")
    require_no_links(find_pictures([folder]), [folder])
    for name, make in (
        ("folder", lambda: (folder / "link").symlink_to(other)),
        ("file", lambda: (folder / "link").symlink_to(other / "p.png")),
        ("hard", lambda: os.link(other / "p.png", folder / "link.png")),
    ):
        make()
        place = folder / ("link.png" if name == "hard" else "link")
        if name == "file":
            place = place.rename(folder / "link.png")
        with pytest.raises(PictureRefused, match="--follow-links"):
            require_no_links(find_pictures([folder]), [folder])
        place.unlink()
    link_given = tmp_path / "given.png"
    link_given.symlink_to(other / "p.png")
    require_no_links(find_pictures([link_given]), [link_given])


def test_a_head_of_fifty_megabytes(tmp_path: Path) -> None:
    path = tmp_path / "p.ppm"
    path.write_bytes(b"P6\n# " + b"x" * 50_000_000 + b"\n1 1\n255\n\0\0\0")
    with pytest.raises(PictureRefused, match="its head is longer than 64 kB"):
        pictures_in([path])
    path.write_bytes(b"P6\n# made by hand\n1 1\n255\n\0\0\0")
    ((picture, digest),) = pictures_in([path])
    assert picture.shape == (3, 8, 8)
    assert len(digest) == 64


def test_large_pictures_are_decoded_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource

    monkeypatch.delenv("LEAP_AUDIT_CONTAINED")
    path = tmp_path / "p.png"
    Image.new("L", (9000, 9000)).save(path, "PNG", compress_level=1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for picture, _ in pictures_in([path, path]):
        assert np.asarray(picture).nbytes < 10_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000


def test_a_key_of_thirty_thousand_parts(tmp_path: Path) -> None:
    begun = time.monotonic()
    for number, text in enumerate(["a." * 31_000 + "a = 1", "[" + "a." * 31_000 + "a]\nb = 1"]):
        path = tmp_path / f"{number}.toml"
        path.write_text(text)
        with pytest.raises(LeapAuditError, match="nested too deeply"):
            read_table_in_child(path)
    assert time.monotonic() - begun < 5


def test_metadata_without_end(tmp_path: Path) -> None:
    model = network()
    model.metadata_props.add(key="names", value="x" * 17_000_000)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelRefused, match="17 MB of metadata"):
        load(tmp_path / "m.onnx", DeclaredPreprocessing())


def test_dimensions_without_end(tmp_path: Path) -> None:
    model = network()
    model.graph.initializer.append(
        onnx.helper.make_tensor("many", onnx.TensorProto.FLOAT, [1] * 100_000, [1.0])
    )
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelRefused, match="has 100,000 dimensions"):
        load(tmp_path / "m.onnx", DeclaredPreprocessing())


def test_a_model_that_links_to_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEAP_AUDIT_CONTAINED")
    (tmp_path / "m.onnx").symlink_to("m.onnx")
    with pytest.raises(ModelRefused, match="cannot be read"):
        read_source(tmp_path / "m.onnx")


def test_a_cell_of_ten_megabytes(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text('file,class\n"' + "x" * 10_000_000 + '",a\n')
    with pytest.raises(PictureRefused, match="is not a table"):
        read_ground_truth_in_child([tmp_path / "p.png"], ["a"], tmp_path / "l.csv")
