"""Every bad model file: one sentence, exit code 3, nothing written, nothing read elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from leap_audit.cli import app
from leap_audit.errors import ModelRefused
from leap_audit.ingest.files.onnx import model_of, read_onnx
from tests.builders.corpus import CANARY, MODELS, network, with_data

LONGEST = 1000
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="makes links and pipes")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder for a model, beside which lies a file that it may not read."""
    (tmp_path / "canary").write_bytes(CANARY)
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def require_one_sentence(said: str) -> str:
    """Return the last line of what was said, which is all of it that is an error."""
    *_, last = said.splitlines()
    assert sum(line.startswith("error: ") for line in said.splitlines()) == 1
    assert last.startswith("error: ")
    assert "Traceback" not in said
    assert "itself failed" not in said
    assert "canary: the content" not in said
    assert len(last) < LONGEST
    assert last.isprintable()
    assert last.endswith((".", ")"))
    return last


@pytest.mark.parametrize("name", MODELS)
def test_a_bad_model_is_refused(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, says = MODELS[name]
    monkeypatch.chdir(folder.parent)
    (folder / "m.onnx").write_bytes(make(folder))
    before = sorted(folder.parent.rglob("*"))
    words = ["models/m.onnx", "--out", "out"]
    result = CliRunner().invoke(app, words, env={"NO_COLOR": "1", "COLUMNS": "80"})
    assert result.exit_code == 3, result.output
    assert result.stdout == ""
    assert says in require_one_sentence(result.stderr)
    assert sorted(folder.parent.rglob("*")) == before
    if sys.platform == "linux":
        assert "evil.so" not in Path("/proc/self/maps").read_text()


def test_data_beside_the_model_is_read(folder: Path) -> None:
    (folder / "data").write_bytes(b"\0" * 8 + numpy_helper.from_array(NUMBERS).raw_data)
    (folder / "m.onnx").write_bytes(with_data("data", offset=8, length=32))
    assert _numbers(folder / "m.onnx") == NUMBERS.tolist()


def test_the_cache_of_a_model_hub_is_read(folder: Path) -> None:
    """There, the model and its data are links to files whose names are their hashes."""
    blobs, snapshot = folder / "blobs", folder / "snapshots" / "1" / "onnx"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    (blobs / "ab").write_bytes(with_data("m.onnx_data"))
    (blobs / "cd").write_bytes(numpy_helper.from_array(NUMBERS).raw_data)
    (snapshot / "m.onnx").symlink_to("../../../blobs/ab")
    (snapshot / "m.onnx_data").symlink_to("../../../blobs/cd")
    assert _numbers(snapshot / "m.onnx") == NUMBERS.tolist()
    (snapshot / "m.onnx_data").unlink()
    (snapshot / "m.onnx_data").symlink_to("../../../../canary")
    with pytest.raises(ModelRefused, match="leads out of the model's folder"):
        read_onnx(snapshot / "m.onnx")


def test_a_model_in_memory_has_its_data_with_it() -> None:
    with pytest.raises(ModelRefused, match="load it with its external data"):
        model_of(onnx.ModelProto.FromString(with_data("canary")))


def test_data_of_an_attribute_is_looked_at_too(folder: Path) -> None:
    tensor = onnx.ModelProto.FromString(with_data("../canary")).graph.initializer[-1]
    constant = helper.make_node("Constant", [], ["w"], value=tensor)
    model = network([constant, helper.make_node("Add", ["x", "w"], ["h"])])
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelRefused, match="leads out of the model's folder"):
        read_onnx(folder / "m.onnx")


def test_a_pipe_is_no_model(folder: Path) -> None:
    os.mkfifo(folder / "m.onnx")
    with pytest.raises(ModelRefused, match="is not a file"):
        read_onnx(folder / "m.onnx")


def _swelling() -> bytes:
    """A network of a kilobyte that computes with a tensor of 64 GiB."""
    nodes = [
        helper.make_node("Constant", [], ["s"], value_ints=[4096, 4096, 1024]),
        helper.make_node("ConstantOfShape", ["s"], ["e"]),
        helper.make_node("ReduceMean", ["e"], ["m"], keepdims=0),
        helper.make_node("Add", ["x", "m"], ["h"]),
    ]
    return network(nodes).SerializeToString()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (with_data("../canary"), "leads out of the model's folder"),
        (_swelling(), "needed more memory than it may have (1.0 GiB)"),
    ],
    ids=["escaping", "swelling"],
)
def test_the_command_itself(folder: Path, data: bytes, says: str) -> None:
    (folder / "m.onnx").write_bytes(data)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "NO_COLOR": "1"}
    environment |= {"LEAP_AUDIT_CONTAINED": "1", "LEAP_AUDIT_MEMORY": "1"}
    words = [sys.executable, "-m", "leap_audit", "operators", "m.onnx"]
    result = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 3, result.stderr
    assert result.stdout == ""
    assert says in require_one_sentence(result.stderr)


NUMBERS = numpy_helper.to_array(helper.make_tensor("n", TensorProto.FLOAT, [8], range(8)))


def _numbers(path: Path) -> list[float]:
    found: list[float] = numpy_helper.to_array(read_onnx(path).graph.initializer[-1]).tolist()
    return found
