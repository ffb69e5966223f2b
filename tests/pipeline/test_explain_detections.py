"""`leap-audit explain` on a detector, and what it says of FastestDet's clear detections."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image
from typer.testing import CliRunner

import leap_audit
from leap_audit.cli import app
from leap_audit.errors import UsageError
from leap_audit.measure.run import Run
from leap_audit.pipeline.explain import opened
from leap_audit.report.overlay import BOX, with_box
from tests.builders.detectors import NETS, SIDE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector, a picture of another size, and the names of its classes."""
    place = tmp_path_factory.mktemp("detector")
    onnx.save(NETS["yolo8"](), place / "m.onnx")
    levels = np.random.default_rng(0).integers(0, 256, (48, 96, 3), np.uint8)
    Image.fromarray(levels).save(place / "one.png")
    (place / "names.txt").write_text("\n".join("abcde"), encoding="utf-8")
    return place


def explained(folder: Path, out: Path, *words: str) -> tuple[int, str]:
    start = ["explain", str(folder / "m.onnx"), str(folder / "one.png"), "--threads", "1"]
    start += ["--classes", str(folder / "names.txt"), "-o", str(out)]
    result = CliRunner().invoke(app, [*start, *words])
    return result.exit_code, " ".join(result.output.split())


def test_detections_are_explained_by_their_numbers(folder: Path, tmp_path: Path) -> None:
    code, said = explained(folder, tmp_path / "out", "--detections", "0,2", "-m", "saliency")
    assert code == 0, said
    record = json.loads((tmp_path / "out" / "explain.json").read_text(encoding="utf-8"))
    run, names = opened(folder / "m.onnx", folder / "names.txt", threads=1)
    found = leap_audit.detections(run, folder / "one.png")
    assert len(found) > 2
    targets = [row["target"] for row in record["pictures"]]
    for number, target in zip((0, 2), targets, strict=True):
        box = found[number]
        words = f"detection {number}, {names[box.class_]} {box.confidence:.2f}, "
        assert target.startswith(words)
        left, right = round(100 * box.box[0]), round(100 * box.box[2])
        assert f"{left}..{right} % across" in target
        own = leap_audit.explain(run, folder / "one.png", box.target(), "saliency")
        row = record["pictures"][(0, 2).index(number)]
        assert row["maps"][0]["score"] == pytest.approx(own.score, rel=1e-5)


def line_of(file: Path) -> np.ndarray:
    """(height, width) bool: where a picture has the line of a box."""
    with Image.open(file) as picture:
        return np.asarray((np.asarray(picture.convert("RGB")) == np.rint(255 * BOX)).all(2))


def test_the_box_is_drawn_on_the_picture_and_on_every_map(folder: Path, tmp_path: Path) -> None:
    words = ["--detections", "0,2", "-m", "saliency,gradcam", "--part", "left"]
    code, said = explained(folder, tmp_path / "out", *words)
    assert code == 0, said
    record = json.loads((tmp_path / "out" / "explain.json").read_text(encoding="utf-8"))
    run, _ = opened(folder / "m.onnx", threads=1)
    found = leap_audit.detections(run, folder / "one.png")
    for number, row in zip((0, 2), record["pictures"], strict=True):
        assert row["box"] == pytest.approx(found[number].box, abs=1e-5)
        blank = with_box(np.zeros((3, SIDE, SIDE)), row["box"], "left")
        expected = (blank == BOX[:, None, None]).all(0)
        assert expected.any()
        for file in (row["boxed"], *(each["overlay"] for each in row["maps"])):
            np.testing.assert_array_equal(line_of(tmp_path / "out" / file), expected)
        assert not line_of(tmp_path / "out" / row["picture"]).any()
    page = (tmp_path / "out" / "explain.html").read_text(encoding="utf-8")
    assert page.count("with the box of the detection") == 6
    assert "yellow line" in page


def test_a_class_of_a_detector_has_no_box(folder: Path, tmp_path: Path) -> None:
    code, said = explained(folder, tmp_path / "out", "--target", "1", "-m", "saliency")
    assert code == 0, said
    record = json.loads((tmp_path / "out" / "explain.json").read_text(encoding="utf-8"))
    assert (record["pictures"][0]["box"], record["pictures"][0]["boxed"]) == (None, None)
    page = (tmp_path / "out" / "explain.html").read_text(encoding="utf-8")
    assert "yellow line" not in page
    assert not (tmp_path / "out" / "images" / "0-box.png").exists()


def test_a_part_of_a_box_and_a_lower_threshold(folder: Path, tmp_path: Path) -> None:
    words = ["--part", "left", "-m", "saliency", "--threshold", "0.01", "--overlap", "0.9"]
    code, said = explained(folder, tmp_path / "out", *words)
    assert code == 0, said
    record = json.loads((tmp_path / "out" / "explain.json").read_text(encoding="utf-8"))
    (row,) = record["pictures"]
    assert row["target"].endswith("; the left side of the box")
    run, _ = opened(folder / "m.onnx", more={"threshold": 0.01, "overlap": 0.9}, threads=1)
    found = leap_audit.detections(run, folder / "one.png")
    assert row["maps"][0]["score"] == pytest.approx(found[0].box[0], abs=1e-5)
    sure, _ = opened(folder / "m.onnx", more={"threshold": 0.9, "overlap": 0.3}, threads=1)
    few = leap_audit.detections(sure, folder / "one.png")
    assert len(found) > len(few)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--detections", "x"], "give numbers from 0 on"),
        (["--detections", "99"], "there is no detection 99; the picture has"),
        (["--detections", "0", "--target", "1"], "each say what is explained; give one"),
        (["--threshold", "1", "--detections", "1"], "no detection has a confidence of 1 or more"),
        (["--task", "classification", "--detections", "0"], "are for detectors|does not fit"),
        (["--detector", "yolox"], "--detector yolox does not fit"),
    ],
)
def test_what_cannot_be_is_refused(
    folder: Path, tmp_path: Path, words: list[str], says: str
) -> None:
    code, said = explained(folder, tmp_path / "out", *words, "-m", "saliency")
    assert code in (2, 3), said
    assert any(each in said for each in says.split("|")), said
    assert not (tmp_path / "out").exists()


def test_a_picture_without_detections_explains_its_best_row(folder: Path, tmp_path: Path) -> None:
    code, said = explained(folder, tmp_path / "out", "--threshold", "1", "-m", "saliency")
    assert code == 0, said
    record = json.loads((tmp_path / "out" / "explain.json").read_text(encoding="utf-8"))
    assert record["pictures"][0]["target"].endswith(", below the threshold")


def test_photographs_are_letterboxed_for_yolo(folder: Path) -> None:
    run, _ = opened(folder / "m.onnx", threads=1)
    picture = leap_audit.explain(run, folder / "one.png", method="saliency").subject.picture
    grey = 114 / 255
    np.testing.assert_allclose(picture[:, : SIDE // 4], grey, atol=1e-6)
    np.testing.assert_allclose(picture[:, -SIDE // 4 :], grey, atol=1e-6)
    assert np.ptp(picture[:, SIDE // 4]) > 0.2
    assert np.ptp(picture[:, SIDE // 4 * 3 - 1]) > 0.2


def test_clear_detections_lie_in_their_boxes(shared: Path) -> None:
    """FastestDet on three photographs of one clear animal each."""
    names = ("n01560419_bulbul", "n02012849_crane", "n02106662_German_shepherd")
    run, _ = opened(shared / "models" / "fastestdet_coco.onnx", threads=1)
    for name in names:
        path = shared / "images" / "imagenet" / f"{name}.JPEG"
        (best, *_) = leap_audit.detections(run, path)
        assert best.confidence > 0.9
        found = leap_audit.explain(run, path, best.target(), method="auto")
        assert found.method == "elementwise"
        rows, columns = (np.arange(352) + 0.5) / 352, (np.arange(352) + 0.5) / 352
        left, top, right, bottom = best.box
        down, across = (rows > top) & (rows < bottom), (columns > left) & (columns < right)
        inside = found.map[down][:, across].sum() / found.map.sum()
        assert inside > 0.9
        assert down.mean() * across.mean() < 0.3


def test_a_detection_is_isolated_where_pictures_go_through_one_by_one(tmp_path: Path) -> None:
    onnx.save(NETS["fastestdet"](), tmp_path / "m.onnx")
    together, _ = opened(tmp_path / "m.onnx", batch=2, threads=1)
    apart = Run(replace(together.model, batchable=False), 2, 1)
    picture = np.random.default_rng(1).random((3, SIDE, SIDE), np.float32)
    best = leap_audit.detections(together, picture)[0]
    first, second = (
        leap_audit.explain(run, picture, best.target(), "isolation_ranking", steps=3)
        for run in (together, apart)
    )
    np.testing.assert_allclose(second.map, first.map, atol=1e-3)
    with pytest.raises(UsageError, match="the probability of a class alone"):
        leap_audit.explain(apart, picture, best.target("left"), "isolation_ranking")
