"""Models with several inputs: one takes the picture, the others are fixed or asked for."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import leap_audit
from leap_audit.config import AuditOptions, DeclaredPreprocessing
from leap_audit.errors import ConfigRefused, LeapAuditError, ModelRefused, UsageError
from leap_audit.ingest import load
from leap_audit.ingest.inputs.selection import Inputs, fix_inputs, read_inputs
from leap_audit.measure.run import Run
from leap_audit.run import Session, choose_provider
from tests.builders.inputs import F32, HEAD, network
from tests.builders.running import TINY

CPU = choose_provider("cpu")
RAW = DeclaredPreprocessing(range=(0, 1), mean=(0,), std=(1,))
BOOL, I64, F16 = TensorProto.BOOL, TensorProto.INT64, TensorProto.FLOAT16
PICTURE = ("z", F32, ("n", 3, 8, 8))
META = np.array([1, 2, 3, 4], np.float32)
JOINED = [
    *HEAD[:3],
    ("Add", ["features", "meta"], ["sum"]),
    ("Gemm", ["sum", "last", "bias"], ["y"], {"transB": 1}),
]
FLAG = [
    *HEAD[:-1],
    ("Gemm", ["features", "last", "bias"], ["s"], {"transB": 1}),
    ("Cast", ["flag"], ["f"], {"to": F32}),
    ("Mul", ["s", "f"], ["y"]),
]


def logits(model: onnx.ModelProto, **values: Any) -> np.ndarray:
    loaded = load(model, RAW, CPU, inputs=Inputs(values=values))
    assert loaded.batchable
    return Run(loaded, 3, 1).logits(pictures())


def pictures() -> np.ndarray:
    return np.random.default_rng(1).random((3, 3, 8, 8), np.float32)


def original(model: onnx.ModelProto, **values: Any) -> np.ndarray:
    return np.asarray(Session(model, CPU, 1).run({"z": pictures(), **values})[0])


@pytest.mark.parametrize("shape", [("n", 4), ("m", 4), (1, 4), (4,)])
@pytest.mark.parametrize("opset", [7, 17])
def test_a_vector_beside_the_picture(shape: tuple[Any, ...], opset: int) -> None:
    model = network(JOINED, [("meta", F32, shape), PICTURE], opset=opset)
    whole = np.tile(META, (3, 1)) if shape[0] == "n" else META.reshape([1, 4][-len(shape) :])
    want = original(model, meta=whole)
    for value in (META, [1, 2, 3, 4], META.reshape(1, 4)) if len(shape) == 2 else (META,):
        np.testing.assert_allclose(logits(model, meta=value), want, rtol=1e-4, atol=1e-5)


def test_a_number_fills_the_whole_input() -> None:
    model = network(JOINED, [PICTURE, ("meta", F32, ("n", 4))])
    want = original(model, meta=np.full((3, 4), 0.5, np.float32))
    np.testing.assert_allclose(logits(model, meta=0.5), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "shape", "value", "factor"),
    [
        (BOOL, (), True, 1),
        (BOOL, (1,), 1, 1),
        (BOOL, (), False, 0),
        (F32, (), 0.5, 0.5),
        (F32, (1,), 2, 2),
        (I64, (), 3, 3),
        (F16, (), 0.25, 0.25),
        (TensorProto.DOUBLE, ("n", 1), 2, 2),
    ],
)
def test_a_single_value_of_any_type(kind: int, shape: Any, value: Any, factor: float) -> None:
    model = network(FLAG, [PICTURE, ("flag", kind, shape)])
    plain = original(network(HEAD, [PICTURE]))
    np.testing.assert_allclose(logits(model, flag=value), factor * plain, rtol=1e-4, atol=1e-5)


def test_an_input_with_a_default_value_can_be_set() -> None:
    model = network(FLAG, [PICTURE, ("flag", F32, ())])
    model.graph.initializer.append(numpy_helper.from_array(np.array(3, np.float32), "flag"))
    plain = original(network(HEAD, [PICTURE]))
    np.testing.assert_allclose(logits(model), 3 * plain, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(logits(model, flag=2), 2 * plain, rtol=1e-4, atol=1e-5)


def test_an_input_that_nothing_reads_needs_no_value() -> None:
    model = network(HEAD, [("unused", F32, ("n", 3, 8, 8)), PICTURE])
    assert logits(model).shape == (3, 3)


def test_the_value_of_an_input_of_a_branch() -> None:
    one, two = (
        helper.make_graph(
            [helper.make_node("Mul", ["s", name], [f"y_{name}"])],
            name,
            [],
            [helper.make_tensor_value_info(f"y_{name}", F32, ["n", 3])],
            [numpy_helper.from_array(np.array(value, np.float32), name)],
        )
        for name, value in (("one", 1), ("two", 2))
    )
    nodes = [
        *HEAD[:-1],
        ("Gemm", ["features", "last", "bias"], ["s"], {"transB": 1}),
        ("If", ["training"], ["y"], {"then_branch": two, "else_branch": one}),
    ]
    model = network(nodes, [PICTURE, ("training", BOOL, ())])
    plain = original(network(HEAD, [PICTURE]))
    np.testing.assert_allclose(logits(model, training=False), plain, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(logits(model, training=True), 2 * plain, rtol=1e-4, atol=1e-5)


def masked() -> onnx.ModelProto:
    nodes = [("Mul", ["image", "mask"], ["z"]), *HEAD]
    shapes = ("n", 3, 8, 8), ("n", 1, 8, 8)
    return network(nodes, [("mask", F32, shapes[1]), ("image", F32, shapes[0])])


def test_two_pictures_are_told_apart_by_name_or_by_the_value() -> None:
    with pytest.raises(
        ModelRefused, match=r"'mask' \(float, n × 1 × 8 × 8\) and 'image' .*--input"
    ):
        load(masked(), RAW, CPU)
    mask = np.ones((1, 8, 8), np.float32)
    for inputs in (Inputs(values={"mask": mask}), Inputs("image", {"mask": 1})):
        model = load(masked(), RAW, CPU, inputs=inputs)
        assert (model.identity.picture, model.picture_shape) == ("image", (3, 8, 8))
    with pytest.raises(
        ModelRefused,
        match=r"beside the picture 'image' it takes 'mask' .*: pass "
        r"--set mask=FILE.npy",
    ):
        load(masked(), RAW, CPU, inputs=Inputs("image"))


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        (
            Inputs(),
            r"picture 'z' it takes 'meta' \(float, n × 4\) and 'training' \(bool, a single "
            r"value\): pass --set meta=A,B,C,D --set training=false\.$",
        ),
        (Inputs(values={"meta": 1}), r"it takes 'training' .* pass --set training=false"),
        (Inputs("nope"), "--input nope: .* no input of that name; its inputs: 'z', 'meta', 'tr"),
        (Inputs(values={"nope": 1}), "--set nope: .* no input of that name"),
        (Inputs("meta", {"meta": 1}), "this input is the picture"),
        (Inputs(values={"z": 1, "meta": 1, "training": 1}), "none is left to take the picture"),
        (Inputs(values={"meta": np.ones(5), "training": 0}), "'meta' .* does not take 5"),
        (Inputs(values={"meta": np.ones((2, 4)), "training": 0}), "does not take 2 × 4"),
        (Inputs(values={"meta": 1, "training": 2}), "takes true or false"),
        (Inputs(values={"meta": 1e39, "training": 1}), "cannot hold numbers that large"),
        (Inputs("meta", {"training": 1, "z": 0}), "2 dimensions; pictures need 4"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(inputs: Inputs, says: str) -> None:
    nodes = [
        *JOINED[:-1],
        ("Cast", ["training"], ["t"], {"to": F32}),
        ("Mul", ["sum", "t"], ["m"]),
        ("Gemm", ["m", "last", "bias"], ["y"], {"transB": 1}),
    ]
    model = network(nodes, [PICTURE, ("meta", F32, ("n", 4)), ("training", BOOL, ())])
    with pytest.raises(LeapAuditError, match=says) as caught:
        load(model, RAW, CPU, inputs=inputs)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("kind", "value"), [(I64, 0.5), (TensorProto.UINT8, 256), (I64, 1e30)])
def test_whole_numbers_are_held_to_their_type(kind: int, value: float) -> None:
    model = network(FLAG, [PICTURE, ("flag", kind, ())])
    with pytest.raises(ModelRefused, match="takes whole numbers between"):
        load(model, RAW, CPU, inputs=Inputs(values={"flag": value}))


def test_without_a_picture_every_input_is_listed() -> None:
    nodes = [("Concat", ["a", "b"], ["y"], {"axis": 1})]
    model = network(nodes, [("a", F32, ("n", 1)), ("b", F32, ("n", 2))])
    with pytest.raises(ModelRefused, match=r"of which none has the 4 dimensions .*'a' .*'b'"):
        load(model, RAW, CPU)


def test_the_values_of_files(tmp_path: Path) -> None:
    np.save(tmp_path / "meta.npy", META)
    found = read_inputs(None, {"meta": str(tmp_path / "meta.npy"), "flag": True}, None)
    np.testing.assert_array_equal(found.values["meta"], META)


def pickled(path: Path) -> None:
    np.save(path, np.array([{"a": 1}], object), allow_pickle=True)


def several(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=META, b=META)


def claiming(path: Path) -> None:
    np.save(path, META)
    path.write_bytes(path.read_bytes().replace(b"(4,), ", b"(4000000000000,), ")[:128])


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (pickled, "is no .npy file of numbers"),
        (several, "holds several arrays"),
        (claiming, "is no .npy file of numbers"),
        (lambda path: path.write_bytes(b"\x93NUMPY"), "is no .npy file of numbers"),
        (lambda path: np.save(path, np.array([np.nan])), "holds NaN or infinite"),
        (lambda path: np.save(path, np.array(["a"])), "not a number, nor an array"),
        (lambda path: np.save(path, np.zeros((0, 3))), "not a number, nor an array"),
        (lambda path: np.save(path, np.zeros(9 << 20)), "above 64 MiB"),
        (lambda path: path.mkdir(), "is not a file"),
        (lambda _: None, "there is no such file; give a number or a .npy file"),
    ],
)
def test_files_that_hold_no_value(write: Any, says: str, tmp_path: Path) -> None:
    write(tmp_path / "v.npy")
    with pytest.raises(UsageError, match=says):
        read_inputs(None, {"v": tmp_path / "v.npy"}, None)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [[1], [1, 2]], [], {"a"}])
def test_values_that_are_no_numbers(value: Any) -> None:
    with pytest.raises(UsageError, match="--set v"):
        read_inputs(None, {"v": value}, None)


def test_a_gradient_may_leave_inputs_open() -> None:
    model = network(JOINED, [PICTURE, ("meta", F32, ("n", 4))])
    flagged = network(FLAG, [PICTURE, ("flag", F32, ())])
    left, *_ = fix_inputs(flagged, Inputs(values={"flag": 2}), partly=True)
    assert [value.name for value in left.graph.input] == ["z"]
    left, *_ = fix_inputs(model, Inputs(values={}), partly=True)
    assert [value.name for value in left.graph.input] == ["z", "meta"]


def test_an_audit_records_what_was_set(tmp_path: Path, without_pdf: None) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(network(JOINED, [PICTURE, ("meta", F32, ("n", 4))]), path)
    long = np.arange(4, dtype=np.float32)
    record = leap_audit.audit(
        path,
        ["a", "b", "c"],
        out=tmp_path / "audit",
        input="z",
        set={"meta": long},
        targets="a",
        seeds=1,
        range=(0, 1),
        mean=0,
        std=1,
        **TINY,
    ).audit
    assert record.model.picture == "z"
    (fixed,) = record.model.fixed_inputs
    assert (fixed.name, fixed.shape, fixed.dtype) == ("meta", (1, 4), "float32")
    assert fixed.value == "0.0, 1.0, 2.0, 3.0"
    assert any("throughout, 'meta' is 0.0, 1.0, 2.0, 3.0." in note for note in record.notes)
    assert record.config["input"] == "z"
    assert record.config["set"] == {"meta": [0, 1, 2, 3]}
    assert [each.name for each in record.model.inputs] == ["z", "meta"]


def test_many_numbers_are_recorded_by_their_digest() -> None:
    options = AuditOptions.parse({"set": {"m": np.zeros(100), "t": True, "k": 0.5}}, "here")
    config = options.model_dump(mode="json")["set"]
    assert (config["t"], config["k"]) == (True, 0.5)
    assert config["m"]["shape"] == [100]
    assert len(config["m"]["sha256"]) == 64
    with pytest.raises(ConfigRefused, match="give the array again"):
        AuditOptions.parse({"set": config}, "the audit's config")
