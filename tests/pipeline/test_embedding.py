"""The audit of an encoder: planted faults become findings, a clean encoder has none."""

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from leap_audit.artifacts import EmbeddingAudit, Finding
from leap_audit.config import AuditOptions
from leap_audit.errors import ModelRefused
from leap_audit.findings import Evidence, find
from leap_audit.pipeline import AuditResult, audit
from leap_audit.pipeline.embedded import Embedded
from leap_audit.pipeline.embedding import read_audited
from leap_audit.pipeline.execution import InThisProcess, finish
from leap_audit.pipeline.reading import Understood
from leap_audit.pipeline.study import prepared
from leap_audit.pipeline.vectors import change_units, embedding_parts
from leap_audit.progress import Silent
from tests.builders.classifiers import RAW
from tests.builders.encoders import QUICK, Fault, glyphs, marked, tiny_encoder, write_folders

COUNT, CLASSES = 48, 4
MISPLACED = "005.png"
ENCODERS = {
    "vectors-alike",
    "few-directions",
    "hubs",
    "duplicates",
    "length-of-quality",
    "classes-not-apart",
    "change-loses",
    "labels-doubted",
}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four folders of twelve pictures."""
    return write_folders(tmp_path_factory.mktemp("clean"), *glyphs(COUNT, CLASSES))


@pytest.fixture
def copied(pictures: Path, tmp_path: Path) -> Path:
    """The same folders, to change."""
    return Path(shutil.copytree(pictures, tmp_path / "pictures"))


def options_of(folder: Path, **more: Any) -> AuditOptions:
    values = {"samples": [str(folder)], "preprocessing": RAW, "threads": 1, **more}
    return AuditOptions.parse(values, "test")


def opened(folder: Path, encoder: Path, **more: Any) -> tuple[Understood, Embedded]:
    understood, embedded = read_audited(encoder, None, options_of(folder, **more), Silent(), {})
    assert embedded is not None
    return understood, embedded


def looked_at(
    folder: Path, tmp_path: Path, fault: Fault = "none", **more: Any
) -> tuple[EmbeddingAudit, dict[str, Finding]]:
    """What is measured of an encoder on the pictures of a folder, and the findings by rule."""
    understood, embedded = opened(folder, tiny_encoder(tmp_path / "encoder.onnx", fault), **more)
    model, names = understood.model, understood.names
    study, loaded = prepared(model, names, options_of(folder, **more), {}, embedded=embedded)
    parts: dict[str, object] = {}
    finish(change_units(study, embedded).values(), InThisProcess(loaded), parts)
    record = embedding_parts(study, embedded, parts).record
    found = find(Evidence(names, embedding=record))
    return record, {each.rule: each for each in found if each.rule in ENCODERS}


def test_a_clean_encoder_raises_nothing(pictures: Path, tmp_path: Path) -> None:
    record, found = looked_at(pictures, tmp_path)
    assert found == {}
    assert (record.pictures, record.dimensions) == (COUNT, 64)
    assert record.directions == "the centroids of 4 classes"
    assert record.agreement == 1
    assert (record.lengths, record.duplicates, record.far) == ((), (), ())
    assert record.effective_rank > 10
    assert {each.name for each in record.by_class} == {f"class-{k}" for k in range(4)}


def test_a_collapsed_encoder(pictures: Path, tmp_path: Path) -> None:
    record, found = looked_at(pictures, tmp_path, "collapsed")
    assert record.mean_cosine > 0.999
    finding = found["vectors-alike"]
    assert (finding.severity, finding.confirmed) == ("high", True)
    assert "few-directions" not in found
    assert "change-loses" not in found


def test_an_encoder_that_uses_few_directions(pictures: Path, tmp_path: Path) -> None:
    record, found = looked_at(pictures, tmp_path, "flat")
    assert record.effective_rank < 4
    assert record.still >= 48
    assert "few-directions" in found


def test_lengths_that_follow_contrast(pictures: Path, tmp_path: Path) -> None:
    record, found = looked_at(pictures, tmp_path, "unequal")
    assert {each.quality for each in record.lengths} == {"sharpness", "contrast"}
    finding = found["length-of-quality"]
    assert finding.severity == "info"
    assert finding.confirmed


def test_a_picture_in_two_folders(copied: Path, tmp_path: Path) -> None:
    picture = Image.open(copied / "class-0" / "000.png")
    picture.save(copied / "class-1" / "again.jpg", quality=90)
    record, found = looked_at(copied, tmp_path)
    (pair,) = record.duplicates
    assert {pair.first.file, pair.second.file} == {"000.png", "again.jpg"}
    assert pair.across
    assert pair.classes_differ
    assert not pair.equal
    finding = found["duplicates"]
    assert (finding.detail, finding.severity) == ("two-classes", "medium")
    assert finding.confirmed
    assert len(finding.pictures) == 2
    assert set(found) == {"duplicates"}


def test_a_leak_between_training_and_test_folders(copied: Path, tmp_path: Path) -> None:
    root = tmp_path / "sets"
    shutil.copytree(copied, root / "train")
    for label in range(CLASSES):
        (root / "test" / f"class-{label}").mkdir(parents=True)
        for file in sorted((root / "train" / f"class-{label}").iterdir())[:3]:
            shutil.move(file, root / "test" / f"class-{label}" / file.name)
    shutil.copy(root / "train" / "class-2" / "014.png", root / "test" / "class-2" / "copy.png")
    record, found = looked_at(root, tmp_path)
    (pair,) = record.duplicates
    assert pair.across
    assert pair.equal
    assert not pair.classes_differ
    assert found["duplicates"].detail == "two-folders"
    assert "learned by heart" in found["duplicates"].consequence
    assert len(record.by_class) == CLASSES


def test_a_picture_twice_in_one_folder_is_of_low_severity(copied: Path, tmp_path: Path) -> None:
    shutil.copy(copied / "class-3" / "003.png", copied / "class-3" / "twice.png")
    _, found = looked_at(copied, tmp_path)
    assert (found["duplicates"].detail, found["duplicates"].severity) == ("one-folder", "low")


def test_folders_that_say_nothing_of_the_vectors(tmp_path: Path) -> None:
    shown, _ = glyphs(COUNT, CLASSES)
    labels = np.random.default_rng(1).permutation(np.arange(COUNT) % 3).tolist()
    folder = write_folders(tmp_path / "mixed", shown, labels)
    record, found = looked_at(folder, tmp_path)
    assert record.agreement is not None
    assert record.agreement_chance is not None
    assert record.agreement <= record.agreement_chance
    assert "classes-not-apart" in found


def test_without_classes_the_principal_directions_stand_for_them(tmp_path: Path) -> None:
    shown, _ = glyphs(COUNT, CLASSES)
    folder = write_folders(tmp_path / "one", shown, [0] * COUNT)
    understood, embedded = opened(folder, tiny_encoder(tmp_path / "encoder.onnx"))
    assert understood.names == tuple(f"direction {i}{way}" for i in (1, 2, 3) for way in "+−")
    assert set(embedded.album.known) == {None}
    assert embedded.kind == "principal"


def test_parts_of_a_data_set_are_no_classes(tmp_path: Path) -> None:
    shown, _ = glyphs(COUNT, CLASSES)
    folder = write_folders(tmp_path / "sets", shown, [i % 2 for i in range(COUNT)])
    (folder / "class-0").rename(folder / "Train")
    (folder / "class-1").rename(folder / "val")
    understood, _ = opened(folder, tiny_encoder(tmp_path / "encoder.onnx"))
    assert understood.names[0] == "direction 1+"


def test_an_encoder_without_enough_pictures_is_refused(pictures: Path, tmp_path: Path) -> None:
    encoder = tiny_encoder(tmp_path / "encoder.onnx")
    for samples in ([], [str(pictures / "class-0" / "000.png")]):
        options = AuditOptions.parse({"samples": samples, "preprocessing": RAW}, "test")
        with pytest.raises(ModelRefused, match="--samples"):
            read_audited(encoder, None, options, Silent(), {})


def test_vectors_are_kept_for_a_later_run(pictures: Path, tmp_path: Path) -> None:
    encoder = tiny_encoder(tmp_path / "encoder.onnx")
    options = options_of(pictures)
    parts: dict[str, object] = {}
    _, first = read_audited(encoder, None, options, Silent(), parts)
    assert first is not None
    for key, value in parts.items():
        if isinstance(value, np.ndarray):
            parts[key] = 2 * value
    _, again = read_audited(encoder, None, options, Silent(), parts)
    assert again is not None
    assert np.array_equal(again.vectors, 2 * first.vectors)


@pytest.fixture(scope="module")
def planted(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> AuditResult:
    """A whole audit of an encoder that weighs a corner, where one class has a mark.

    A picture of class-1 lies in the folder of class-3.
    """
    root = tmp_path_factory.mktemp("planted")
    shown, labels = glyphs(COUNT, CLASSES)
    folder = write_folders(root / "pictures", marked(shown, labels, 2), labels)
    shutil.move(folder / "class-1" / MISPLACED, folder / "class-3" / MISPLACED)
    encoder = tiny_encoder(root / "encoder.onnx", "corner")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("leap_audit.report.render_pdf", lambda *_: b"%PDF-")
        return audit(encoder, samples=[str(folder)], out=root / "audit", progress=Silent(), **QUICK)


def test_a_whole_audit_of_a_clean_encoder_raises_no_concern(
    pictures: Path, tmp_path: Path, unprinted: None
) -> None:
    """Its search is too short to reach a class: that is said, and is no fault of the encoder."""
    result = audit(
        tiny_encoder(tmp_path / "encoder.onnx"),
        samples=[str(pictures)],
        out=tmp_path / "audit",
        progress=Silent(),
        **{**QUICK, "prototype": {}},
    )
    findings = result.audit.findings
    assert [each.title for each in findings if each.severity in ("high", "medium")] == []
    assert "prototype-not-converged:photographs" in {each.id for each in findings}


def test_a_class_with_a_mark_is_a_finding_of_the_whole_audit(planted: AuditResult) -> None:
    found = {each.rule: each for each in planted.audit.findings}
    assert "shortcut" in found, [each.title for each in planted.audit.findings]
    assert found["shortcut"].confirmed
    assert planted.audit.classes[found["shortcut"].target[0]] == "class-2"


def test_a_picture_in_the_wrong_folder_looks_mislabelled(planted: AuditResult) -> None:
    record = planted.audit
    (doubted,) = record.doubted
    assert doubted.picture.file == MISPLACED
    assert record.classes[doubted.known] == "class-3"
    assert record.classes[doubted.suggested] == "class-1"
    assert doubted.q <= 0.01
    assert record.judged == COUNT
    finding = next(each for each in record.findings if each.rule == "labels-doubted")
    assert finding.title == "1 photograph looks mislabelled"
    assert finding.figures == {"doubted": 1, "judged": COUNT}
    assert "Labels that look wrong" in planted.report.read_text(encoding="utf-8")
    assert record.embedding is not None
    assert [each.picture.file for each in record.embedding.far] == [MISPLACED]


def test_a_short_row_of_pictures_is_filled_up(planted: AuditResult) -> None:
    """Print stretches the cells of a row over the page."""
    page = planted.report.read_text(encoding="utf-8")
    for title in ("Pictures nearer to another class than to their own", "Labels that look wrong"):
        _, _, after = page.partition(f"{title}</h3>")
        row = after.partition('<div class="strip">')[2].partition("</div>\n</div>")[0]
        assert (row.count('class="thumbnail"'), row.count("<div></div>")) == (1, 7), title


def test_the_record_and_the_report_show_the_vectors(planted: AuditResult) -> None:
    record = planted.audit
    assert record.embedding is not None
    assert record.embedding.pictures == len(record.samples) == COUNT
    assert record.classes == tuple(f"class-{k}" for k in range(CLASSES))
    wrong = [each.file for each in record.samples if each.known != each.predicted[0].class_]
    assert wrong == [MISPLACED]
    page = planted.report.read_text(encoding="utf-8")
    assert '<h2 id="vectors">Vectors</h2>' in page
    assert "Nearest pictures" in page
    assert "Changes of whole pictures" in page
    asked = {each.rule for each in record.questions}
    assert asked >= ENCODERS


def test_named_directions_and_no_photographs_shown(
    pictures: Path, tmp_path: Path, unprinted: None
) -> None:
    encoder = tiny_encoder(tmp_path / "encoder.onnx")
    _, embedded = opened(pictures, encoder)
    known = np.array(embedded.album.known)
    with (tmp_path / "texts.csv").open("w", newline="", encoding="utf-8") as file:
        for k in range(CLASSES):
            centroid = embedded.vectors[known == k].mean(0)
            csv.writer(file).writerow([f"class-{k}", *map(float, centroid)])
    result = audit(
        encoder,
        samples=[str(pictures)],
        directions=str(tmp_path / "texts.csv"),
        photographs=False,
        out=tmp_path / "audit",
        progress=Silent(),
        **{**QUICK, "effort": "standard", "targets": "0"},
    )
    record = result.audit.embedding
    assert record is not None
    assert (result.audit.judged, result.audit.doubted) == (COUNT, ())
    assert (record.directions, record.scale) == ("texts.csv", 100)
    assert record.agreement == 1
    assert record.alike
    assert all(each.image == "" == each.picture.image for each in record.alike)
    assert not list((result.folder / "images").glob("sample-*[0-9].png"))
    assert not list((result.folder / "images").glob("alike-*-first.png"))
    assert [each.rule for each in result.audit.findings if each.rule in ENCODERS] == []
