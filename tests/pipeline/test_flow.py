"""The whole way, from a file to a report."""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import leap_audit
from leap_audit.artifacts import Audit, Prototype, Sample
from leap_audit.config import AuditOptions, ExperimentOptions
from leap_audit.errors import ConfigRefused, TargetRefused
from leap_audit.ingest.pictures import images
from leap_audit.ingest.pictures.photographs import file_labels
from leap_audit.measure.experiments.changes import CHANGES
from leap_audit.measure.experiments.study import class_work
from leap_audit.pipeline import AuditResult, assembly, audit
from leap_audit.progress import Advance, Silent
from tests.builders.classifiers import RAW, one_at_a_time
from tests.builders.running import TINY, Watching


def record_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "audit.json").read_text(encoding="utf-8")))


def test_everything_is_there(finished: AuditResult) -> None:
    names = {path.name for path in finished.folder.iterdir()}
    assert names == {"audit.json", "images", "report.html", "report.pdf", "results.csv"}
    assert (finished.folder / "report.pdf").read_bytes().startswith(b"%PDF")
    with (finished.folder / "results.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.reader(file))) > 3


def test_audit_json_holds_the_audit(finished: AuditResult, sample_models: Path) -> None:
    record = Audit.model_validate(record_of(finished.folder))
    assert record == finished.audit
    assert (record.status, record.verdict) == ("complete", "NOT ASSESSED")
    assert record.model.file == "digits_clean.onnx"
    assert record.model.classes_file == "digits.txt"
    names = (sample_models / "digits.txt").read_text(encoding="utf-8").split()
    assert record.classes == tuple(names)
    assert (record.coverage.classes_audited, record.coverage.classes_in_all) == (3, 10)
    assert set(record.methods) >= {"prototype", "entanglement", "isolation"}
    assert record.methods["prototype"]["light"] == "unchanged"  # small and grey
    assert AuditOptions.model_validate(record.config).prototype.scale is not None


def test_prototypes(finished: AuditResult) -> None:
    record = finished.audit
    assert [p.target for p in record.prototypes] == [(1,), (8,), (9,)]
    for each in record.prototypes:
        (target,) = each.target
        assert each.name == record.classes[target]
        assert 1 <= each.rank <= 10
        assert 0 <= each.prob <= 1
        first, *others = each.entanglements
        assert first.class_ == target
        cosines = [e.entanglement for e in others]
        assert cosines == sorted(cosines, reverse=True)
        assert {i.class_ for i in each.isolations} == {target, others[0].class_}
        probs = [i.prob for i in each.isolations]
        assert probs == sorted(probs, reverse=True)
        assert len(set(probs)) == 2


@pytest.mark.parametrize("weight", [1.0, -1.0])
def test_of_several_seeds_the_one_that_reached_most_is_shown(
    sample_models: Path, tmp_path: Path, unprinted: None, weight: float
) -> None:
    strong = {**TINY, "prototype": {"steps": 2, "objective_weight": weight}, "seeds": 4}
    names = sample_models / "digits.txt"
    model = sample_models / "digits_clean.onnx"
    made = audit(model, names, out=tmp_path / "audit", targets="0,3,7", **strong).audit
    assert made.methods["prototype"]["prototypes per class"].startswith("4; the one with the ")
    for each in made.prototypes:
        own, *others = each.stability.logits if each.stability else ()
        assert own == each.logit
        assert len(others) == 3
        assert weight * own >= max(weight * logit for logit in others)
        (entangled,) = [e for e in each.entanglements if e.class_ in each.target]
        assert entangled.logit == pytest.approx(own)
        assert each.image not in each.stability.images
        assert each.isolations
        assert all(i.image.startswith(each.image.removesuffix(".png")) for i in each.isolations)
    assert any(not each.image.endswith("-0.png") for each in made.prototypes)


def test_photographs_are_isolated_for_their_first_classes(finished: AuditResult) -> None:
    record = finished.audit
    assert [s.file for s in record.samples] == ["picture 0.png", "picture 1.png"]
    least = AuditOptions().isolation.least
    for sample in record.samples:
        assert len(sample.predicted) == 2
        first, second = sample.predicted
        expected = {first.class_} | ({second.class_} if second.prob >= least else set())
        assert {i.class_ for i in sample.isolations} == expected
        for listed in (sample.predicted, sample.isolations):
            probs = [each.prob for each in listed]
            assert probs == sorted(probs, reverse=True)
        shown = {p.class_: p.prob for p in sample.predicted}
        for each in sample.isolations:
            assert each.prob == pytest.approx(shown[each.class_], abs=1e-4)


def test_pictures_are_relative_and_exist(finished: AuditResult) -> None:
    record = finished.audit
    owners: list[Prototype | Sample] = [*record.prototypes, *record.samples]
    isolations = [i for each in owners for i in each.isolations]
    pictures = [each.image for each in (*owners, *isolations)]
    pictures += [image for each in record.prototypes for image in each.stability.images]
    masks = [each.mask for each in isolations]
    masks += [each.map for sample in record.samples for each in sample.opinions]
    assert len(set(pictures + masks)) == len(pictures) + len(masks)
    for name in pictures + masks:
        assert not Path(name).is_absolute()
        assert ".." not in Path(name).parts
        with Image.open(finished.folder / name) as image:
            assert image.size == (28, 28)
            assert image.mode == ("L" if name in masks else "RGB")
    on_disk = {f"images/{path.name}" for path in (finished.folder / "images").iterdir()}
    assert on_disk == set(pictures + masks)


def test_the_same_seed_gives_the_same_audit(
    finished: AuditResult, sample_models: Path, photos: Path, tmp_path: Path, unprinted: None
) -> None:
    again = audit(
        sample_models / "digits_clean.onnx",
        sample_models / "digits.txt",
        out=tmp_path / "again",
        command="another",
        targets="1,8-9",
        samples=(photos,),
        top_classes=2,
        **TINY,
    )
    first, second = record_of(finished.folder), record_of(again.folder)
    for record in (first, second):
        for key in ("started", "seconds", "runs", "command"):
            record["environment"].pop(key)
    assert first == second
    for picture in (finished.folder / "images").iterdir():
        assert picture.read_bytes() == (again.folder / "images" / picture.name).read_bytes()


NAMES = ["nil", "one, single", "two", "hen", "hen", "5", "six", "seven", "eight", "nine"]


@pytest.mark.parametrize(
    ("targets", "want"),
    [
        ("2,0", [2, 0]),
        ("one, single", [1]),
        (["nine", "5"], [9, 5]),
        ("all", list(range(10))),
        ((), list(range(10))),
    ],
)
def test_targets(
    sample_models: Path, tmp_path: Path, unprinted: None, targets: Any, want: list[int]
) -> None:
    settings = {**TINY, "isolation": {"steps": 1, "grid": 2, "per_prototype": 0}, "seeds": 1}
    path = sample_models / "digits_clean.onnx"
    record = audit(path, NAMES, out=tmp_path / "out", targets=targets, **settings).audit
    assert [p.target for p in record.prototypes] == [(k,) for k in want]
    assert any("hen" in note for note in record.notes)


def test_an_ambiguous_name_is_refused(sample_models: Path, tmp_path: Path) -> None:
    with pytest.raises(TargetRefused, match="3, 4"):
        audit(sample_models / "digits_clean.onnx", NAMES, out=tmp_path / "out", targets="hen")
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_target_is_refused_before_any_work(
    sample_models: Path, photos: Path, tmp_path: Path
) -> None:
    stages: list[str] = []

    class Listener(Silent):
        @contextmanager
        def stage(self, name: str, total: int) -> Iterator[Advance]:
            stages.append(name)
            with super().stage(name, total) as advance:
                yield advance

    with pytest.raises(TargetRefused, match="0 to 9"):
        audit(
            sample_models / "digits_clean.onnx",
            out=tmp_path / "out",
            targets="10",
            samples=(photos,),
            progress=Listener(),
        )
    assert stages == ["Reading the model"]


def test_experiments_count_their_marks_and_changes(
    sample_models: Path, tmp_path: Path, unprinted: None
) -> None:
    totals: dict[str, int] = {}

    class Listener(Watching):
        @contextmanager
        def stage(self, name: str, total: int) -> Iterator[Advance]:
            totals[name] = total
            with super().stage(name, total) as advance:
                yield advance

    told = Listener()
    path, settings = sample_models / "digits_clean.onnx", {**TINY, "targets": "1,2"}
    record = audit(path, out=tmp_path / "out", progress=told, **settings).audit
    options = ExperimentOptions.model_validate(record.config["experiments"])
    assert totals["Experiments"] == 2 * class_work(options) + len(CHANGES) * options.hosts
    assert told.left["Experiments"] == 0


def test_settings_are_added_to_options(
    sample_models: Path, tmp_path: Path, unprinted: None
) -> None:
    options = AuditOptions.parse({**TINY, "targets": "4", "prototype": {"steps": 3}}, "here")
    path = sample_models / "digits_clean.onnx"
    record = audit(path, out=tmp_path / "out", options=options, prototype={"lr": 0.2}, seed=7).audit
    assert record.config["prototype"]["lr"] == 0.2
    assert record.config["prototype"]["steps"] == 3
    assert record.prototypes[0].steps == 3
    assert record.environment.seed == 7


def test_the_call_in_python(sample_models: Path, tmp_path: Path, unprinted: None) -> None:
    result = leap_audit.audit(
        sample_models / "digits_clean.onnx",
        classes=[f"digit {k}" for k in range(10)],
        out=tmp_path / "out",
        targets="1,2",
        **TINY,
    )
    assert isinstance(result, leap_audit.AuditResult)
    assert [p.name for p in result.audit.prototypes] == ["digit 1", "digit 2"]
    with pytest.raises(ConfigRefused, match="unknown option 'sed'; did you mean 'seed'"):
        leap_audit.audit(sample_models / "digits_clean.onnx", out=tmp_path / "b", sed=1)


def test_one_picture_at_a_time_gives_isolations(tmp_path: Path, unprinted: None) -> None:
    path = one_at_a_time(tmp_path / "m.onnx")
    record = audit(path, out=tmp_path / "out", preprocessing=RAW, **TINY).audit
    assert record.status == "complete"
    assert len(record.prototypes) == 3
    assert all(p.isolations for p in record.prototypes)
    assert set(record.coverage.batch.values()) == {1}


def test_prototypes_are_measured_once_however_many(
    sample_models: Path, tmp_path: Path, unprinted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []
    write = images.write_picture

    def counted(path: Path, picture: Any) -> None:
        written.append(path)
        write(path, picture)

    monkeypatch.setattr(assembly, "write_picture", counted)
    settings = {**TINY, "isolation": {"steps": 1, "grid": 2, "per_prototype": 0}, "batch": 2}
    audit(sample_models / "digits_clean.onnx", out=tmp_path / "out", targets="all", **settings)
    assert len(written) == len(set(written))
    prototypes = [path for path in written if path.name.startswith("prototype-")]
    assert len(prototypes) == 30  # ten classes from three seeds


def test_photographs_kept_out_of_the_report(
    sample_models: Path, tmp_path: Path, without_pdf: None
) -> None:
    """Neither they nor what shows parts of them are in any file; what they carry along never is."""
    folder = tmp_path / "photos" / "eight"
    folder.mkdir(parents=True)
    picture = Image.open(next(sample_models.glob("pictures/plain/eight/*.png"))).convert("RGB")
    exif = Image.Exif()
    exif[0x010E] = "SECRET description"
    exif.get_ifd(0x8825)[1] = "SECRET GPS"
    picture.save(folder / "0.jpg", exif=exif, quality=95)
    for shown in (True, False):
        result = audit(
            sample_models / "digits_clean.onnx",
            sample_models / "digits.txt",
            out=tmp_path / f"audit-{shown}",
            targets="8",
            samples=(tmp_path / "photos",),
            top_classes=1,
            photographs=shown,
            seeds=1,
            **TINY,
        )
        (sample,) = result.audit.samples
        assert sample.known == 8
        assert (sample.image == "") == (not shown)
        images = {path.name for path in (result.folder / "images").iterdir()}
        of_sample = {name for name in images if name.startswith("sample")}
        maps = {Path(each.map).name for each in sample.opinions}
        assert len(maps) == 2
        assert len(of_sample - maps) == (3 if shown else 1)  # a mask and blurred maps show no photo
        assert all(b"SECRET" not in p.read_bytes() for p in result.folder.rglob("*") if p.is_file())
        html = (result.folder / "report.html").read_text()
        assert ("kept out of this report" in html) == (not shown)
        assert "label: eight" in html


def test_a_photograph_is_named_by_as_many_folders_as_tell_it_apart() -> None:
    paths = [Path("s/a/x/1.png"), Path("s/b/x/1.png"), Path("s/b/2.png"), Path("s/c/2.png")]
    assert file_labels(paths) == ["a/x/1.png", "b/x/1.png", "b/2.png", "c/2.png"]
    assert file_labels([Path("1.png"), Path("a/1.png"), Path("3.png")]) == [
        "1.png",
        "a/1.png",
        "3.png",
    ]


def test_the_module_is_the_command() -> None:
    words = [sys.executable, "-m", "leap_audit", "--version"]
    found = subprocess.run(words, capture_output=True, text=True, check=True)
    assert leap_audit.__version__ in found.stdout
