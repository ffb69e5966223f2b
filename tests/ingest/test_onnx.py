"""What is not an ONNX model is refused with a sentence."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from leap_audit.errors import ModelRefused
from leap_audit.graph.protos import parameters, real_inputs, tensor_info
from leap_audit.ingest.files.onnx import read_onnx


@pytest.fixture
def model() -> onnx.ModelProto:
    weight = numpy_helper.from_array(np.array([[1, 2, 3]], np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["y"])],
        "test",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3]),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, [1, 3]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [weight],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_model_is_read_whatever_its_name(tmp_path: Path, model: onnx.ModelProto) -> None:
    for name in ("model.onnx", "model", "model.json", "model.onnxtxt"):
        path = tmp_path / name
        path.write_bytes(model.SerializeToString())
        assert read_onnx(path) == model


@pytest.mark.parametrize("name", ["model.onnx", "model.json", "model.txt", "model.onnxtxt"])
@pytest.mark.parametrize("content", ["goldfish\nhen\n", "{}", "not a model " * 100])
def test_text_is_refused(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ModelRefused, match=name):
        read_onnx(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="there is no such file"):
        read_onnx(tmp_path / "model.onnx")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="is a folder"):
        read_onnx(tmp_path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.touch()
    with pytest.raises(ModelRefused, match="holds no ONNX graph"):
        read_onnx(path)


def test_a_truncated_file_is_refused_wherever_it_was_cut(
    tmp_path: Path, model: onnx.ModelProto
) -> None:
    whole = model.SerializeToString()
    path = tmp_path / "model.onnx"
    for length in range(0, len(whole), 5):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelRefused):
            read_onnx(path)


def test_missing_external_data_is_refused(tmp_path: Path, model: onnx.ModelProto) -> None:
    onnx.save(
        model,
        tmp_path / "model.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ModelRefused, match="external data"):
        read_onnx(tmp_path / "model.onnx")


def test_initializers_listed_as_inputs_are_not_inputs(model: onnx.ModelProto) -> None:
    (value,) = real_inputs(model)
    info = tensor_info(value)
    assert (info.name, info.dtype, info.shape) == ("x", "float", ("n", 3))
    assert parameters(model) == 3
