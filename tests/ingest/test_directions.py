"""Directions of an embedding's space as classes: what is read, what is scored, what is refused."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from typer.testing import CliRunner

from leap_audit.cli import app
from leap_audit.config import AuditOptions, DeclaredPreprocessing
from leap_audit.errors import ClassesRefused, LeapAuditError, ModelRefused
from leap_audit.ingest import load
from leap_audit.ingest.classes.directions import notes_on_directions, read_directions
from leap_audit.ingest.model import Model
from leap_audit.ingest.outputs.directions import Directions
from leap_audit.measure.run import Run
from leap_audit.pipeline.reading import read
from leap_audit.progress import Silent
from leap_audit.run.session import Array
from tests.builders.classifiers import CPU, RAW, Node, write_model

PICTURES = np.random.default_rng(2).random((3, 1, 8, 8)).astype(np.float32)
KERNEL = np.random.default_rng(3).standard_normal((6, 1, 3, 3)).astype(np.float32)
VECTORS = np.random.default_rng(4).standard_normal((3, 6)) * [[1], [5], [0.2]]
NODES: list[Node] = [
    ("Conv", ["x", "k"], "c", {"pads": [1, 1, 1, 1]}),
    ("Relu", ["c"], "r"),
    ("GlobalAveragePool", ["r"], "g"),
]
OPTIONS = AuditOptions.parse({"preprocessing": RAW}, "test")


def encoder(path: Path, more: list[Node], outputs: list[tuple[str, tuple[object, ...]]]) -> Path:
    return write_model(path, [*NODES, *more], {"k": KERNEL}, outputs=outputs)


def flat(path: Path) -> Path:
    return encoder(path, [("Flatten", ["g"], "y")], [("y", ("n", 6))])


def loaded(path: Path, directions: Directions, **said: str) -> Model:
    return load(path, DeclaredPreprocessing.model_validate(RAW), CPU, directions=directions, **said)


def wanted(path: Path, scale: float) -> Array:
    """The scores by the definition, of the encoder's own vectors."""
    raw = load(path, DeclaredPreprocessing.model_validate(RAW), CPU, task="embedding")
    found = np.stack(list(Run(raw, 3, 1).scores(PICTURES)))[:, :, 0].astype(np.float64)
    lengths = np.linalg.norm(found, axis=1)[:, None] * np.linalg.norm(VECTORS, axis=1)
    return np.asarray(scale * found @ VECTORS.T / lengths)


def test_scores_are_scaled_cosines(tmp_path: Path) -> None:
    path = flat(tmp_path / "m.onnx")
    for scale in (100.0, 10.0):
        model = loaded(path, Directions(VECTORS, scale, ("a", "b", "c"), "texts.csv"))
        assert (model.identity.task, model.classes) == ("classification", 3)
        assert model.identity.probabilities == "softmax"
        assert model.labels == ("a", "b", "c")
        assert "cosines of output 'y' and 3 directions of texts.csv" in model.identity.logits
        found = Run(model, 3, 1).logits(PICTURES)
        np.testing.assert_allclose(found, wanted(path, scale), rtol=1e-4, atol=1e-4 * scale)
        assert model.final_layer is not None
        units = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
        np.testing.assert_allclose(model.final_layer.weights, scale * units, rtol=1e-5)


def test_vectors_that_are_maps_of_one_place(tmp_path: Path) -> None:
    path = encoder(tmp_path / "m.onnx", [], [("g", ("n", 6, 1, 1))])
    found = Run(loaded(path, Directions(VECTORS, 100.0)), 3, 1).logits(PICTURES)
    same = wanted(flat(tmp_path / "flat.onnx"), 100)
    np.testing.assert_allclose(found, same, rtol=1e-4, atol=1e-2)


def test_the_output_is_the_one_whose_vectors_fit(tmp_path: Path) -> None:
    outputs: list[tuple[str, tuple[object, ...]]] = [("r", ("n", 6, 8, 8)), ("y", ("n", 6))]
    path = encoder(tmp_path / "m.onnx", [("Flatten", ["g"], "y")], outputs)
    assert "output 'y'" in loaded(path, Directions(VECTORS, 100.0)).identity.logits
    both: list[tuple[str, tuple[object, ...]]] = [("y", ("n", 6)), ("z", ("n", 6))]
    again: list[Node] = [("Flatten", ["g"], "y"), ("Neg", ["y"], "z")]
    two = encoder(tmp_path / "two.onnx", again, both)
    with pytest.raises(ModelRefused, match=r"several outputs hold .*'y' 6, 'z' 6.*--output"):
        loaded(two, Directions(VECTORS, 100.0))
    found = Run(loaded(two, Directions(VECTORS, 100.0), output="z"), 3, 1).logits(PICTURES)
    np.testing.assert_allclose(found, -wanted(flat(tmp_path / "m.onnx"), 100), rtol=1e-3, atol=0.02)


def test_directions_of_another_length(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match=r"have 5 numbers each, and no output holds .*'y' 6"):
        loaded(flat(tmp_path / "m.onnx"), Directions(VECTORS[:, :5], 100.0))


def test_an_audit_reads_the_file(tmp_path: Path) -> None:
    """The names of a table are those of the classes; an array's are numbers, or of --classes."""
    path, table = flat(tmp_path / "m.onnx"), tmp_path / "texts.csv"
    rows = [
        ",".join([name, *map(repr, map(float, row))])
        for name, row in zip("abc", VECTORS, strict=True)
    ]
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    values = OPTIONS.model_dump(exclude_unset=True) | {"directions": str(table)}
    options = AuditOptions.parse(values, "test")
    assert options.directions_scale == 100
    understood = read(path, None, options, Silent())
    assert understood.names == ("a", "b", "c")
    digest = hashlib.sha256(table.read_bytes()).hexdigest()
    assert understood.model.identity.directions_sha256 == digest
    np.testing.assert_allclose(
        Run(understood.model, 3, 1).logits(PICTURES), wanted(path, 100), rtol=1e-4, atol=1e-2
    )
    np.save(tmp_path / "texts.npy", VECTORS)
    array = options.model_copy(update={"directions": tmp_path / "texts.npy"})
    assert read(path, ("x", "y", "z"), array, Silent()).names == ("x", "y", "z")
    assert read(path, None, array, Silent()).model.classes == 3


def test_an_encoder_of_half_precision(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["x"], ["g"]),
            helper.make_node("Flatten", ["g"], ["f"]),
            helper.make_node("Cast", ["f"], ["y"], to=onnx.TensorProto.FLOAT16),
        ],
        "half",
        [value("x", onnx.TensorProto.FLOAT, ("n", 3, 8, 8))],
        [value("y", onnx.TensorProto.FLOAT16, ("n", 3))],
    )
    path = tmp_path / "m.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    model = load(path, None, CPU, directions=Directions(np.eye(3), 100.0))
    picture = np.zeros((1, 3, 8, 8), np.float32)
    picture[0, 1] = 1
    assert Run(model, 1, 1).logits(picture).argmax() == 1


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", "a,1,2\nb,1\n", "row 2 has 1 numbers, and row 1 2"),
        ("a.csv", "a,1,2\nb,1,x\n", "row 2: holds something else than numbers"),
        ("a.csv", "a,1,2\nb,2,2\n\na,2,1\n", "row 4 has the name of row 1, 'a'; give"),
        ("a.csv", "a,1,2\n ,2,1\n", "row 2 has no name"),
        ("a.csv", "0.5,1,2\n-1.5,2,1\n", "holds numbers alone; put a name before"),
        ("a.csv", "1,0,0\n0,1,0\n0,0,1\n", "holds numbers alone"),
        ("a.tsv", "0,5\t1\n0,7\t2\n", "holds numbers alone"),
        ("a.csv", "name,0,1,2\na,1,2,3\n", "row 1 numbers the columns; leave this head out"),
        ("a.csv", "name,x,y\na,1,2\n", "row 1: holds something else than numbers"),
        ("a.csv", "a,1,2\n\nb,0,0\n", "row 3 is zero"),
        ("a.csv", 'a,1,2\n"' + "b" * 200_000, "is not a table"),
        ("a.csv", "a,1,2\nb,0,0\n", "row 2 is zero or not finite"),
        ("a.csv", "a,1,2\nb,nan,0\n", "row 2 is zero or not finite"),
        ("a.csv", "a,1,2\n", "at least two directions"),
        ("a.csv", "", "at least two directions"),
        ("a.csv", "a\nb\n", "row 1 has 0 numbers"),
        ("a.npy", "nothing", "is no .npy file of numbers"),
    ],
)
def test_what_is_no_file_of_directions(tmp_path: Path, name: str, content: str, says: str) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ClassesRefused, match=says):
        read_directions(path, 100.0)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "one, two;1;-2.5\nb;3;4\n"),
        ("a.csv", "one, two;1;-2,5\nb;3;4,0\n"),
        ("a.csv", "one, two\t1\t-2.5\nb\t3\t4\n"),
        ("a.TSV", "one, two\t1\t-2,5\r\nb\t3\t4\r\n"),
        ("a.csv", '"one, two",1,-2.5\nb,3,4\n'),
    ],
)
def test_tables_with_any_mark(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode())
    found = read_directions(path, 1.0)
    assert found.names == ("one, two", "b")
    np.testing.assert_array_equal(found.vectors, [[1, -2.5], [3, 4]])


def test_names_that_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "digits.csv"
    path.write_text("0,1,2\n1,2,1\n", encoding="utf-8")
    assert read_directions(path, 1.0).names == ("0", "1")


def test_directions_that_are_nearly_the_same(tmp_path: Path) -> None:
    """They take answers from each other: the audit says so, naming both."""
    path, table = flat(tmp_path / "m.onnx"), tmp_path / "texts.npy"
    np.save(table, np.concatenate([VECTORS, VECTORS[1:2] * 3 + 1e-3]))
    values = OPTIONS.model_dump(exclude_unset=True) | {"directions": str(table)}
    understood = read(path, ("a", "b", "c", "d"), AuditOptions.parse(values, "test"), Silent())
    assert understood.notes[-1] == (
        "Classes whose directions are nearly the same, so that they take answers from each other: "
        "'b' and 'd' (cosine 1.0000)."
    )
    np.save(table, VECTORS)
    apart = read(path, ("a", "b", "c"), AuditOptions.parse(values, "test"), Silent())
    assert not any("nearly the same" in note for note in apart.notes)
    alike = Directions(np.ones((5, 2)), 1.0)
    (note,) = notes_on_directions(alike, "abcde", several=True)
    assert "get the same answers: 'a' and 'b'" in note
    assert note.endswith("; and 4 more pairs.")


def test_arrays_that_are_no_directions(tmp_path: Path) -> None:
    for values in (np.zeros((2, 3)), np.ones(3), np.ones((2, 3)) > 0, np.ones((1, 3))):
        np.save(tmp_path / "a.npy", values)
        with pytest.raises(ClassesRefused):
            read_directions(tmp_path / "a.npy", 100.0)
    with pytest.raises(LeapAuditError, match=r"(?i)no such file"):
        read_directions(tmp_path / "none.npy", 100.0)


def test_the_command_takes_directions(tmp_path: Path) -> None:
    path, table = flat(tmp_path / "m.onnx"), tmp_path / "texts.npy"
    np.save(table, VECTORS)
    words = ["audit", str(path), "--dry-run", "--json", "--threads", "1"]
    words += ["--range", "0,1", "--mean", "0", "--std", "1"]
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 3, refused.output
    assert "name directions that stand for classes with --directions" in refused.output
    result = CliRunner().invoke(
        app, [*words, "--directions", str(table), "--directions-scale", "20"]
    )
    assert result.exit_code == 0, result.output
    assert "3 directions of texts.npy, times 20" in result.output
    wrong = CliRunner().invoke(app, [*words, "--directions", str(table), "--directions-scale", "0"])
    assert wrong.exit_code == 3, wrong.output
    assert "directions_scale: Input should be greater than 0" in wrong.output
