"""A whole audit of DICOM files by the command: no byte that is written names the patient."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from leap_audit.artifacts import Audit
from leap_audit.cli import app
from tests.builders.dicoms import PLANTED, write_dicom

pytest.importorskip("pydicom", reason="the extra medical is not installed")
QUICK = "[prototype]\nsteps = 2\n[isolation]\nsteps = 2\ngrid = 4\nper_prototype = 1\n"


def run(*words: object, folder: Path) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-m", "leap_audit", *map(str, words)],
        cwd=folder,
        capture_output=True,
        check=False,
    )


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "Zweig^Ottokar_19370211"
    ramp = np.random.default_rng(0).integers(0, 4096, (40, 40)).astype(np.uint16)
    for name, extra in (
        ("QXJ77/Zweig_Ottokar.dcm", {"WindowCenter": 2000, "WindowWidth": 3000}),
        ("QXJ77/9988776655", {"BurnedInAnnotation": "YES", "BitsStored": 12}),
    ):
        write_dicom(folder / name, ramp, **extra)
    Image.fromarray(ramp.astype(np.uint8)).save(folder / "Ottokar_photo.png")
    (folder / "Klinikum.csv").write_text("file,class\nZweig_Ottokar.dcm,3\n9988776655,1\n")
    return folder


def words_in(data: bytes) -> list[str]:
    text = data.decode("latin-1")
    return [word for word in PLANTED if word.casefold() in text.casefold()]


def test_no_byte_names_the_patient(patients: Path, sample_models: Path, tmp_path: Path) -> None:
    (tmp_path / "quick.toml").write_text(QUICK)
    done = run(
        sample_models / "digits_clean.onnx",
        "--classes",
        sample_models / "digits.txt",
        "--config",
        "quick.toml",
        "--samples",
        patients,
        "--labels",
        patients / "Klinikum.csv",
        *("--targets", "3", "--seeds", "1", "--threads", "1", "--out", "audit"),
        *("--junit", "junit.xml", "--debug", "--json"),
        folder=tmp_path,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert words_in(done.stdout + done.stderr) == []
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in written} >= {"audit.json", "report.pdf", "report.html"}
    for path in written:
        assert words_in(path.read_bytes()) == [], path
        assert words_in(str(path.relative_to(tmp_path)).encode()) == []
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert image.info == {}
    text = subprocess.run(
        ["pdftotext", tmp_path / "audit/report.pdf", "-"], capture_output=True, check=False
    )
    assert text.returncode == 0
    assert words_in(text.stdout) == []
    record = Audit.read(tmp_path / "audit")
    names = [sample.file for sample in record.samples]
    assert names == ["photograph-0001", "dicom-0002", "dicom-0003"]
    assert [sample.known for sample in record.samples] == [None, 1, 3]
    assert record.environment.command == "(withheld)"
    assert (record.config["samples"], record.config["labels"]) == (["(withheld)"], "(withheld)")
    assert any("its window (1)" in note for note in record.notes)
    assert any("burned into the pixels" in note for note in record.notes)

    verify = [
        "verify",
        str(tmp_path / "audit"),
        "--model",
        str(sample_models / "digits_clean.onnx"),
    ]
    verify += ["--classes", str(sample_models / "digits.txt")]
    again = CliRunner().invoke(app, [*verify, "--samples", str(patients)])
    assert words_in(again.output_bytes) == []
    assert "3 of 3" in again.stdout, again.output
    rerun = CliRunner().invoke(app, [*verify, "--rerun"])
    assert "pass --samples. Their paths were withheld." in " ".join(rerun.stderr.split())


@pytest.mark.parametrize("labels", ["file,class\nZweig.dcm,Ottokar\n", "file,class\nx.png,3\n"])
def test_a_refusal_names_nobody(
    sample_models: Path, tmp_path: Path, labels: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "Zweig_Ottokar"
    write_dicom(folder / "Zweig.dcm", BitsStored=12)
    (folder / "Klinikum.csv").write_text(labels)
    words = ["audit", sample_models / "digits_clean.onnx", "--samples", folder, "--json", "--debug"]
    words += ["--labels", folder / "Klinikum.csv", "--targets", "3", "--junit", "junit.xml"]
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == 3
    said = json.loads(done.stdout)["error"]
    assert said.startswith("the table of --labels: ")
    assert words_in(done.output_bytes + (tmp_path / "junit.xml").read_bytes()) == []
