"""Examples from the files to the page, on the sample model of digits."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from PIL import Image

from leap_audit.cli import main
from leap_audit.errors import ConfigRefused, ModelRefused, OutputRefused, PictureRefused
from leap_audit.ingest.pictures.callables import Encode
from leap_audit.ingest.pictures.sandboxed import photographs_child
from leap_audit.measure.examples.gathered import Gathered
from leap_audit.measure.examples.whole_network import WholeNetwork
from leap_audit.pipeline import features
from leap_audit.pipeline.examples import examples
from leap_audit.pipeline.features import FeatureFile
from leap_audit.run.session import Array
from tests.builders.classifiers import RAW, linear
from tests.builders.encoders import glyphs, tiny_encoder, write_folders

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "sample_models/digits_clean.onnx"
CLASSES = ROOT / "sample_models/digits.txt"
PICTURES = sorted((ROOT / "sample_models/pictures/plain").rglob("*.png"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    """A small training folder, of which each class has a copy of its pictures, a little darker."""
    root = tmp_path_factory.mktemp("examples")
    for path in PICTURES[::3][:12]:
        for dark in (1.0, 0.8):
            place = root / "train" / path.parent.name
            place.mkdir(parents=True, exist_ok=True)
            values = np.asarray(Image.open(path).convert("L")) * dark
            Image.fromarray(values.astype(np.uint8)).save(place / f"{path.stem}-{dark}.png")
    return root


def ran(folder: Path, method: str, **more: Any) -> Any:
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


def test_training_pictures_with_one_vector_are_said_to_be_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Gathered] = []
    mean_cosine = Gathered.mean_cosine
    monkeypatch.setattr(Gathered, "mean_cosine", lambda of: (asked.append(of), mean_cosine(of))[1])
    shown, labels = glyphs(24, 4)
    mixed = np.random.default_rng(0).permutation(labels).tolist()
    folder = write_folders(tmp_path / "train", shown, mixed)
    result = examples(
        tiny_encoder(tmp_path / "encoder.onnx", "collapsed"),
        folder / "class-0",
        folder,
        preprocessing=RAW,
        features=tmp_path / "features",
    )
    assert result.mislabelled == ()
    (said,) = [note for note in result.notes if "nearly the same" in note]
    assert "check it. No label is judged" in said
    assert len(asked) == 1  # each reads all features


def test_a_picture_of_the_training_set_is_its_own_neighbour_and_mixture(folder: Any) -> None:
    for method in ("neighbours", "simplex"):
        result = ran(folder, method)
        (one,) = result.examples
        assert result.training.digests[one.places[0]] == result.pictures.digests[0]
        assert one.values[0] == pytest.approx(1, abs=1e-3)
    assert one.figures["residual"] < 1e-3
    assert ran(folder, "neighbours", metric="l2").examples[0].values[0] == 0


def test_a_picture_helps_itself(folder: Any) -> None:
    for method in ("tracin", "influence"):
        result = ran(folder, method)
        (one,) = result.examples
        own = result.training.digests.index(result.pictures.digests[0])
        assert own in one.places, method
        assert (np.diff(one.values) <= 0).all()


def test_all_weights_of_the_file_are_asked(folder: Any) -> None:
    stored = [
        t.name for t in onnx.load(MODEL).graph.initializer if len(t.dims) and "val" not in t.name
    ]
    whole = WholeNetwork(MODEL, stored, threads=1)
    for method in ("tracin", "influence"):
        more = {} if method == "tracin" else {"steps": 5, "damping": 1.0}
        result = ran(folder, method, weights="all", **more)
        (one,) = result.examples
        assert result.options["weights"] == "all"
        assert result.notes == ("Gradients are by all weights of the network, 46,722 numbers.",)
        encode = Encode(result.run.model.preprocessing)
        shown = result.shown(result.training, range(len(result.training.paths)))
        training = encode(np.stack(shown)), result.training.gathered.labels
        pictures = encode(np.stack(result.shown(result.pictures, [0]))), np.array(result.targets)
        if method == "tracin":
            want = whole.tracin(training, pictures)[0]
        else:
            assert set(one.figures) == {"ridge", "unsolved"}
            ridge = one.figures["ridge"]
            want = whole.influences(training, pictures, ridge, steps=5)[0][0]
        assert one.places[0] == want.argmax(), method
        np.testing.assert_allclose(one.values, want[one.places], rtol=1e-3)
    assert {p.suffix for p in (folder / "features").iterdir()} == {".f32", ".sha256"}
    twice = ran(folder, "tracin", weights="all", checkpoints=[MODEL], rates=(0.5, 0.25))
    once = ran(folder, "tracin", weights="all")
    np.testing.assert_allclose(twice.examples[0].values, 0.75 * once.examples[0].values)


def test_models_without_gradients_by_weights_are_refused(folder: Any, tmp_path: Any) -> None:
    with pytest.raises(ModelRefused, match=r"encoder.onnx: .* task is embedding"):
        examples(
            encoder(tmp_path / "encoder.onnx"),
            PICTURES[0],
            folder / "train",
            "tracin",
            features=tmp_path / "features",
            weights="all",
        )
    with pytest.raises(ConfigRefused, match="weights"):
        ran(folder, "neighbours", weights="all")


def test_checkpoints_are_summed(folder: Any) -> None:
    one = ran(folder, "tracin").examples[0]
    two = ran(folder, "tracin", checkpoints=[MODEL], rates=(0.5, 0.25)).examples[0]
    assert np.allclose(two.values, 0.75 * one.values)
    assert two.figures == {"checkpoints": 2.0}
    with pytest.raises(ConfigRefused, match="one for each"):
        ran(folder, "tracin", checkpoints=[MODEL], rates=(0.5,))
    with pytest.raises(ConfigRefused, match="one model"):
        ran(folder, "influence", checkpoints=[MODEL])


def test_checkpoints_may_have_other_features(folder: Path, tmp_path: Path) -> None:
    """Each is looked at by its own features: here its pixels."""
    weights = np.random.default_rng(0).normal(size=(10, 28 * 28)) / 28
    other = linear(tmp_path / "linear.onnx", weights, 28, 1)
    picture = sorted((folder / "train").rglob("*-1.0.png"))[0]

    def by_place(*models: Path) -> Array:
        model, *checkpoints = models
        one = examples(
            model,
            picture,
            folder / "train",
            "tracin",
            classes=CLASSES,
            features=tmp_path / "features",
            count=24,
            checkpoints=checkpoints,
            target="3",
        ).examples[0]
        found = np.zeros(24)
        found[one.places], found[one.against] = one.values, one.against_values
        return found

    apart = by_place(MODEL) + by_place(other)
    np.testing.assert_allclose(by_place(MODEL, other), apart, rtol=1e-4, atol=1e-6)


def test_features_are_computed_once(folder: Any, monkeypatch: Any) -> None:
    ran(folder, "neighbours")

    def never(*_: Any) -> None:
        raise AssertionError("features were computed again")

    monkeypatch.setattr("leap_audit.pipeline.features._rows", never)
    ran(folder, "simplex")


def test_memory_holds_a_few_pictures_of_many(folder: Any, tmp_path: Path, monkeypatch: Any) -> None:
    sizes, children = [], []
    rows, child = features._rows, photographs_child
    monkeypatch.setattr(features, "_rows", lambda run, x: (sizes.append(len(x)), rows(run, x))[1])
    monkeypatch.setattr(
        features, "photographs_child", lambda paths: (children.append(len(paths)), child(paths))[1]
    )
    monkeypatch.setattr(features, "NUMBERS", 5 * 28 * 28)
    found = examples(
        MODEL, PICTURES[0], folder / "train", classes=CLASSES, features=tmp_path / "features"
    )
    count = len(found.training.paths)
    assert sizes == [5] * (count // 5) + [count % 5] * (count % 5 > 0) + [1]
    assert children == [count, 1, count, 1]  # digests and features, of each folder
    children.clear()
    monkeypatch.setattr(features, "IN_CHILD", count - 3)
    again = examples(
        MODEL, PICTURES[0], folder / "train", classes=CLASSES, features=tmp_path / "again"
    )
    assert children == [count - 3, 3, 1, count - 3, 3, 1]
    assert again.training.digests == found.training.digests
    rows = again.training.gathered.features()
    np.testing.assert_array_equal(rows, found.training.gathered.features())


def test_bad_words_are_refused(folder: Any) -> None:
    with pytest.raises(ConfigRefused, match="there is no 'neighbors'"):
        ran(folder, "neighbors")
    with pytest.raises(PictureRefused, match="needs the class"):
        examples(MODEL, PICTURES[0], folder / "train", "tracin", features=folder / "features")


def encoder(path: Path) -> Path:
    """Features of a picture: the means of eight filters."""
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(8, 1, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["g"]),
        helper.make_node("Flatten", ["g"], ["y"]),
    ]
    float_ = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "encoder",
        [helper.make_tensor_value_info("x", float_, ["n", 1, 16, 16])],
        [helper.make_tensor_value_info("y", float_, ["n", 8])],
        [numpy_helper.from_array(kernel, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def test_an_encoder_takes_its_folders_for_classes(tmp_path: Any) -> None:
    rng = np.random.default_rng(1)
    waves = {"down": np.sin(np.arange(16) * 2)[:, None], "right": np.sin(np.arange(16) * 2)[None]}
    for name, wave in waves.items():
        for i in range(12):
            values = 128 + 60 * (wave + np.zeros((16, 16))) + 10 * rng.normal(size=(16, 16))
            # the last picture of each folder shows the pattern of the other
            place = tmp_path / "train" / (name if i < 11 else {"down": "right"}.get(name, "down"))
            place.mkdir(parents=True, exist_ok=True)
            file = place / f"{name}-{i:02d}.png"
            Image.fromarray(values.clip(0, 255).astype(np.uint8)).save(file)
    model = encoder(tmp_path / "encoder.onnx")
    picture = tmp_path / "train/down/down-00.png"
    where = {"features": tmp_path / "features", "count": 3}
    result = examples(model, picture, tmp_path / "train", "influence", **where)
    assert result.classes == ("down", "right")
    assert result.targets == (0,)
    labels = result.training.gathered.labels
    assert (labels[result.examples[0].places] == 0).all()
    names = {result.training.names[each.place] for each in result.mislabelled}
    assert names == {"down-11.png", "right-11.png"}
    near = examples(model, picture, tmp_path / "train/down", "neighbours", **where)
    assert near.classes == ()
    assert near.mislabelled == ()
    with pytest.raises(PictureRefused, match="needs the class"):
        examples(model, picture, tmp_path / "train/down", "influence", **where)


def test_classes_of_one_picture(tmp_path: Any) -> None:
    """They are examples like others; their labels are not judged, since no layer knows them."""
    shown, _ = glyphs(8, 2)
    where = {"preprocessing": RAW, "features": tmp_path / "features"}
    model = tiny_encoder(tmp_path / "encoder.onnx")
    folder = write_folders(tmp_path / "two", shown[:2], [0, 1])
    for method in ("neighbours", "simplex", "tracin", "influence"):
        result = examples(model, folder / "class-0", folder, method, **where)
        assert result.targets == (0,)
        assert result.mislabelled == ()
        said = "2 training pictures are alone in their classes: their labels are not judged."
        assert result.notes[-1] == said
    mixed = write_folders(tmp_path / "mixed", shown, [0, 0, 0, 0, 1, 1, 1, 2])
    result = examples(model, folder / "class-0", mixed, "influence", **where)
    assert result.notes[-1].startswith("1 training picture is the only one of its class")
    assert 2 not in {each.label for each in result.mislabelled}


def test_what_a_killed_process_left_is_cut_off(tmp_path: Any) -> None:
    kept = FeatureFile(tmp_path, "model", 3)
    kept.add(["ab" * 32, "cd" * 32], np.arange(6).reshape(2, 3))
    with (tmp_path / "model.f32").open("ab") as file:
        file.write(b"half a row, or more than one")
    again = FeatureFile(tmp_path, "model", 3)
    again.add(["ef" * 32], np.full((1, 3), 9))
    assert again.gathered(["ef" * 32, "cd" * 32], 2).features().tolist() == [[9, 9], [3, 4]]
    assert again.places(["01" * 32, "ab" * 32]).tolist() == [-1, 0]
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputRefused, match="cannot be kept"):
        FeatureFile(tmp_path / "file", "model", 3)


def test_digests_that_begin_alike_are_told_apart(tmp_path: Any) -> None:
    digests = [f"{'00' * 8}{number:048x}" for number in (5, 3, 9)] + ["ff" * 32]
    kept = FeatureFile(tmp_path, "model", 1)
    assert kept.places(digests).tolist() == [-1] * 4
    kept.add(digests[:2], np.zeros((2, 1)))
    kept.add(digests[3:], np.zeros((1, 1)))
    assert kept.places(digests).tolist() == [0, 1, -1, 2]
    assert FeatureFile(tmp_path, "model", 1).places(digests[::-1]).tolist() == [2, -1, 1, 0]


def test_the_command_writes_record_and_page(folder: Any, monkeypatch: Any, capsys: Any) -> None:
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


def test_the_command_reads_the_output_that_is_named(
    folder: Any, monkeypatch: Any, capsys: Any
) -> None:
    words = ["leap-audit", "examples", str(MODEL), str(PICTURES[0]), "--quiet", "--training"]
    words += [str(folder / "train"), "--features", str(folder / "features"), "--task", "embedding"]
    monkeypatch.setattr("sys.argv", [*words, "-o", str(folder / "vectors")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    record = json.loads((folder / "vectors/examples.json").read_text(encoding="utf-8"))
    assert any("The model is an encoder" in note for note in record["notes"])
    monkeypatch.setattr("sys.argv", [*words, "-o", str(folder / "none"), "--output", "nothing"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 3
    assert "no output called 'nothing'" in capsys.readouterr().err
