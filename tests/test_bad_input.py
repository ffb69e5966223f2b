"""Whatever is wrong with the input, the answer is one clear sentence, exit code 3 and no trace."""

import shutil
import struct
import subprocess
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from typer.testing import CliRunner, Result

from leap_audit.cli import app

QUICK = "[prototype]\nsteps = 2\n[isolation]\nsteps = 2\ngrid = 2\nper_prototype = 1\n"


def classifier(
    path: Path,
    *,
    outputs: int = 3,
    shape: Sequence[int | str] = (1, 3, 8, 8),
    inputs: int = 1,
    last: str = "Identity",
    bias: float = 0.0,
) -> Path:
    """Write a network of one convolution; `last` is the operator at its end."""
    rng = np.random.default_rng(0)
    weights = {
        "kernel": rng.normal(size=(4, 3, 3, 3)),
        "matrix": rng.normal(size=(4, outputs)),
        "bias": np.full(outputs, bias),
    }
    names = [f"picture{number}" for number in range(inputs)]
    whole = last == "Cast"
    nodes = [
        helper.make_node("Sum", names, ["sum"]),
        helper.make_node("Conv", ["sum", "kernel"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "matrix", "bias"], ["logits"]),
        helper.make_node(last, ["logits"], ["y"], **({"to": TensorProto.INT64} if whole else {})),
    ]
    kind = TensorProto.INT64 if whole else TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names],
        [helper.make_tensor_value_info("y", kind, [shape[0], outputs])],
        [numpy_helper.from_array(value.astype("f"), name) for name, value in weights.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def run(folder: Path, *words: str) -> Result:
    config = folder / "quick.toml"
    if "--config" not in words:
        config.write_text(QUICK)
        words = (*words, "--config", str(config))
    if "--out" not in words:
        words = (*words, "--out", str(folder / "out"))
    return CliRunner().invoke(app, list(words), env={"NO_COLOR": "1", "COLUMNS": "80"})


def refused(folder: Path, *words: str) -> str:
    """Run the command, hold that it refuses as it should, and return its sentence."""
    before = sorted(folder.rglob("*"))
    result = run(folder, *words)
    *_, last = result.stderr.splitlines()
    assert result.exit_code == 3, result.output
    assert result.stdout == ""
    assert last.startswith("error: ")
    assert result.stderr.count("error: ") == 1
    assert "Traceback" not in result.stderr
    assert "itself failed" not in result.stderr
    after = set(folder.rglob("*")) - {folder / "quick.toml"}
    assert sorted(after - set(before)) == []
    return last.removeprefix("error: ")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return classifier(tmp_path / "m.onnx")


def test_a_missing_model(tmp_path: Path) -> None:
    sentence = refused(tmp_path, str(tmp_path / "none.onnx"))
    assert "none.onnx" in sentence


@pytest.mark.parametrize("keep", [0, 0.3, 0.9])
def test_a_truncated_model(tmp_path: Path, model: Path, keep: float) -> None:
    data = model.read_bytes()
    model.write_bytes(data[: int(len(data) * keep)])
    assert "m.onnx" in refused(tmp_path, str(model))


def test_a_text_file_named_onnx(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_text("version https://git-lfs.github.com/spec/v1\n")
    assert "m.onnx" in refused(tmp_path, str(tmp_path / "m.onnx"))


def test_a_folder_named_onnx(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").mkdir()
    assert "folder" in refused(tmp_path, str(tmp_path / "m.onnx"))


@pytest.mark.parametrize(("names", "outputs"), [(9, 10), (10, 9)])
def test_the_background_class(tmp_path: Path, names: int, outputs: int) -> None:
    model = classifier(tmp_path / "m.onnx", outputs=outputs)
    classes = tmp_path / "c.txt"
    classes.write_text("".join(f"class {index}\n" for index in range(names)))
    sentence = refused(tmp_path, str(model), "--classes", str(classes))
    assert f"{names} class names for a model with {outputs} outputs" in sentence
    assert "background" in sentence


def test_an_empty_class_name(tmp_path: Path, model: Path) -> None:
    (tmp_path / "c.txt").write_text("cat\n\ndog\n")
    sentence = refused(tmp_path, str(model), "--classes", str(tmp_path / "c.txt"))
    assert "line 2 is empty" in sentence


@pytest.mark.parametrize(
    ("target", "says"), [("3", "0 to 2"), ("2-1", "backwards"), ("catt", "did you mean 'cat'")]
)
def test_a_target_that_is_none(tmp_path: Path, model: Path, target: str, says: str) -> None:
    (tmp_path / "c.txt").write_text("cat\ndog\nhen\n")
    words = ["--classes", str(tmp_path / "c.txt"), "--targets", target]
    assert says in refused(tmp_path, str(model), *words).lower()


def test_a_free_size_without_input_size(tmp_path: Path) -> None:
    model = classifier(tmp_path / "m.onnx", shape=("n", 3, "h", "w"))
    assert "--input-size" in refused(tmp_path, str(model))


def test_two_inputs(tmp_path: Path) -> None:
    model = classifier(tmp_path / "m.onnx", inputs=2)
    assert "2 inputs" in refused(tmp_path, str(model)).replace("two", "2")


def test_no_float_output(tmp_path: Path) -> None:
    assert "output" in refused(tmp_path, str(classifier(tmp_path / "m.onnx", last="Cast")))


def test_nan_outputs(tmp_path: Path) -> None:
    model = classifier(tmp_path / "m.onnx", bias=float("nan"))
    assert "NaN" in refused(tmp_path, str(model))


def _enormous_png() -> bytes:
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(b"")))
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize(
    ("data", "says"), [(b"no picture", "is not a picture"), (_enormous_png(), "million pixels")]
)
def test_a_bad_picture(tmp_path: Path, model: Path, data: bytes, says: str) -> None:
    (tmp_path / "p.png").write_bytes(data)
    sentence = refused(tmp_path, str(model), "--samples", str(tmp_path / "p.png"))
    assert "p.png" in sentence
    assert says in sentence


def test_no_pictures(tmp_path: Path, model: Path) -> None:
    (tmp_path / "photos").mkdir()
    assert "no pictures" in refused(tmp_path, str(model), "--samples", str(tmp_path / "photos"))


def test_something_in_the_way_of_the_output(tmp_path: Path, model: Path) -> None:
    (tmp_path / "out").write_text("mine")
    assert "is a file" in refused(tmp_path, str(model))
    sentence = refused(tmp_path, str(model), "--out", str(tmp_path / "out" / "deeper"))
    assert "cannot be written" in sentence
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").touch()
    sentence = refused(tmp_path, str(model), "--out", str(tmp_path / "thesis"))
    assert "holds something else" in sentence


def test_an_unknown_option(tmp_path: Path, model: Path) -> None:
    (tmp_path / "o.toml").write_text("sed = 1\n")
    sentence = refused(tmp_path, str(model), "--config", str(tmp_path / "o.toml"))
    assert "unknown option 'sed'; did you mean 'seed'" in sentence


def test_preprocessing_that_does_not_fit(tmp_path: Path, model: Path) -> None:
    assert "--layout NHWC" in refused(tmp_path, str(model), "--layout", "NHWC")
    assert "--mean has 2 numbers" in refused(tmp_path, str(model), "--mean", "1,2")


def test_the_gradient_of_what_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_text("hello")
    words = ["gradient", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "g.onnx")]
    result = CliRunner().invoke(app, words, env={"NO_COLOR": "1"})
    assert result.exit_code == 3
    assert result.stderr.startswith("error: ")
    assert not (tmp_path / "g.onnx").exists()


def test_names_full_of_html_end_up_escaped(tmp_path: Path, model: Path) -> None:
    name = "<script>alert(1)</script>"
    (tmp_path / "c.txt").write_text(f"{name}\n<b>&amp;{{{{7*7}}}}\n\"'><img src=x onerror=y>\n")
    photos = tmp_path / "photos"
    photos.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(photos / "<img src=x onerror=z>.png")
    words = ["--classes", str(tmp_path / "c.txt"), "--samples", str(photos)]
    result = run(tmp_path, str(model), *words)
    assert result.exit_code == 0, result.output
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;img src=x onerror=z&gt;.png" in page
    assert "&lt;b&gt;&amp;amp;{{7*7}}" in page
    data = (tmp_path / "out" / "report.pdf").read_bytes()
    assert b"/JavaScript" not in data
    if shutil.which("pdftotext"):
        words = ["pdftotext", "-layout", str(tmp_path / "out" / "report.pdf"), "-"]
        text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        assert "<script>alert(1)" in text
