"""Examples from the files to the page, on the sample model of digits."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leap_audit.cli import main
from leap_audit.errors import ConfigRefused, OutputRefused, PictureRefused
from leap_audit.pipeline.examples import examples
from leap_audit.pipeline.features import FeatureFile

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "sample_models/digits_clean.onnx"
CLASSES = ROOT / "sample_models/digits.txt"
PICTURES = sorted((ROOT / "sample_models/pictures/plain").rglob("*.png"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A small training folder, of which each class has a copy of its pictures, a little darker."""
    root = tmp_path_factory.mktemp("examples")
    for path in PICTURES[::3][:12]:
        for dark in (1.0, 0.8):
            place = root / "train" / path.parent.name
            place.mkdir(parents=True, exist_ok=True)
            values = np.asarray(Image.open(path).convert("L")) * dark
            Image.fromarray(values.astype(np.uint8)).save(place / f"{path.stem}-{dark}.png")
    return root


def ran(folder: Path, method: str, **more):
    picture = sorted((folder / "train").rglob("*-1.0.png"))[0]
    return examples(
        MODEL,
        picture,
        folder / "train",
        method,
        classes=CLASSES,
        features=folder / "features",
        count=3,
        **more,
    )


def test_a_picture_of_the_training_set_is_its_own_neighbour_and_mixture(folder):
    for method in ("neighbours", "simplex"):
        result = ran(folder, method)
        (one,) = result.examples
        assert result.training.digests[one.places[0]] == result.pictures.digests[0]
        assert one.values[0] == pytest.approx(1, abs=1e-3)
    assert one.figures["residual"] < 1e-3
    assert ran(folder, "neighbours", metric="l2").examples[0].values[0] == 0


def test_a_picture_helps_itself(folder):
    for method in ("tracin", "influence"):
        result = ran(folder, method)
        (one,) = result.examples
        own = result.training.digests.index(result.pictures.digests[0])
        assert own in one.places, method
        assert (np.diff(one.values) <= 0).all()


def test_checkpoints_are_summed(folder):
    one = ran(folder, "tracin").examples[0]
    two = ran(folder, "tracin", checkpoints=[MODEL], rates=(0.5, 0.25)).examples[0]
    assert np.allclose(two.values, 0.75 * one.values)
    assert two.figures == {"checkpoints": 2.0}
    with pytest.raises(ConfigRefused, match="one for each"):
        ran(folder, "tracin", checkpoints=[MODEL], rates=(0.5,))
    with pytest.raises(ConfigRefused, match="one model"):
        ran(folder, "influence", checkpoints=[MODEL])


def test_features_are_computed_once(folder, monkeypatch):
    ran(folder, "neighbours")

    def never(*_):
        raise AssertionError("features were computed again")

    monkeypatch.setattr("leap_audit.pipeline.features._rows", never)
    ran(folder, "simplex")


def test_bad_words_are_refused(folder):
    with pytest.raises(ConfigRefused, match="there is no 'neighbors'"):
        ran(folder, "neighbors")
    with pytest.raises(PictureRefused, match="needs the class"):
        examples(MODEL, PICTURES[0], folder / "train", "tracin", features=folder / "features")


def test_what_a_killed_process_left_is_cut_off(tmp_path):
    kept = FeatureFile(tmp_path, "model", 3)
    kept.add(["ab" * 32, "cd" * 32], np.arange(6).reshape(2, 3))
    with (tmp_path / "model.f32").open("ab") as file:
        file.write(b"half a row, or more than one")
    again = FeatureFile(tmp_path, "model", 3)
    again.add(["ef" * 32], np.full((1, 3), 9))
    assert again.gathered(["ef" * 32, "cd" * 32], 2).features().tolist() == [[9, 9], [3, 4]]
    assert "01" * 32 not in again
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputRefused, match="cannot be kept"):
        FeatureFile(tmp_path / "file", "model", 3)


def test_the_command_writes_record_and_page(folder, monkeypatch, capsys):
    out = folder / "out"
    words = ["leap-audit", "examples", str(MODEL), str(PICTURES[0]), "--training"]
    words += [str(folder / "train"), "--classes", str(CLASSES), "-m", "influence", "-o", str(out)]
    monkeypatch.setattr("sys.argv", [*words, "--features", str(folder / "features"), "--quiet"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert capsys.readouterr().out.strip() == str(out / "examples.html")
    record = json.loads((out / "examples.json").read_text(encoding="utf-8"))
    assert record["method"]["name"] == "influence"
    assert record["training"] == len(list((folder / "train").rglob("*.png")))
    (row,) = record["pictures"]
    assert all((out / each["picture"]).is_file() for each in (*row["examples"], *row["against"]))
    page = (out / "examples.html").read_text(encoding="utf-8")
    assert page.count("<figure>") == 1 + len(row["examples"]) + len(row["against"]) + len(
        record["mislabelled"]
    )
