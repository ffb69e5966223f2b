"""Identify what a file or an object holds, and say what to pass instead where it is no model."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from leap_audit.config import DeclaredPreprocessing
from leap_audit.errors import EngineFallback, ModelRefused
from leap_audit.ingest import load
from leap_audit.ingest.loading import autograd_model, read_source
from leap_audit.ingest.outputs.answer import OneLogit
from leap_audit.measure.run import Run

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from torch import nn  # noqa: E402

SIZE = DeclaredPreprocessing(input_size=(12, 12))


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(6, 4)

    def forward(self, x: Any) -> Any:
        return self.last(torch.tanh(self.first(x)).mean((2, 3)))


class Choosing(Plain):
    """The same, by a way that depends on the values of each picture: no graph can be traced."""

    def forward(self, x: Any) -> Any:
        rows = [super(Choosing, self).forward(row[None]) for row in x]
        return torch.cat([row if row.sum().item() > 1e9 else 1 * row for row in rows])


def refusal(given: Any, declared: DeclaredPreprocessing = SIZE) -> str:
    with pytest.raises(ModelRefused) as caught:
        load(given, declared)
    return str(caught.value)


def test_an_onnx_file_under_any_name(sample_models: Path, tmp_path: Path) -> None:
    other = tmp_path / "model.bin"
    other.write_bytes((sample_models / "digits_clean.onnx").read_bytes())
    model = load(other)
    assert (model.classes, model.identity.file, model.identity.converted) == (10, "model.bin", "")
    assert load(onnx.load(other)).identity.sha256 != ""


def test_weights_alone(tmp_path: Path) -> None:
    torch.save(Plain().state_dict(), tmp_path / "weights.pth")
    torch.save(Plain().state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for name in ("weights.pth", "old.pth"):
        assert "holds weights without the network" in refusal(tmp_path / name)
        assert "torch.export.save" in refusal(tmp_path / name)


class Planted:
    """What runs when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return Path.touch, (self.place,)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_pickles_are_never_opened(tmp_path: Path, protocol: int) -> None:
    planted = Planted(tmp_path / "it ran")
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(planted, protocol=protocol))
    torch.save(planted, tmp_path / "model.pt")
    torch.save(Plain(), tmp_path / "module.pt")
    for name in ("model.pkl", "model.pt", "module.pt"):
        assert "is a Python pickle, which could run any code" in refusal(tmp_path / name)
    assert not (tmp_path / "it ran").exists()


def program(folder: Path, change: dict[str, tuple[str, str]]) -> Path:
    """A program's file in which texts of an entry are exchanged."""
    free = ({0: torch.export.Dim("batch")},)
    made = torch.export.export(Plain(), (torch.rand(2, 3, 12, 12),), dynamic_shapes=free)
    torch.export.save(made, folder / "good.pt2")
    bad = folder / "bad.pt2"
    with zipfile.ZipFile(folder / "good.pt2") as old, zipfile.ZipFile(bad, "w") as new:
        for entry in old.infolist():
            data = old.read(entry)
            for end, (text, other) in change.items():
                if entry.filename.endswith(end):
                    assert text.encode() in data
                    data = data.replace(text.encode(), other.encode())
            new.writestr(entry.filename, data)
        for name in [end for end in change if end.startswith("+")]:
            new.writestr(f"bad/data/{name[1:]}", b"x")
    return bad


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model.json": ("torch.ops.aten.tanh.default", "torch.os.system")}, "no operator on"),
        ({"model.json": ("torch.ops.aten.tanh.default", "torch.ops.aten.from_file.default")}, "no"),
        (
            {"model.json": ("Symbol('s", "__import__('os').system('touch ran')+Symbol('s")},
            "as a size, which is no arithmetic",
        ),
        ({"model.json": ('{"', "{{")}, "is damaged"),
        ({"+aotinductor/model/a.so": ("", "")}, "compiled code or a pickled object"),
        ({"+constants/custom_obj_0": ("", "")}, "compiled code or a pickled object"),
    ],
)
def test_a_program_that_calls_more_than_operators(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert says in refusal(program(tmp_path, change))
    assert not (tmp_path / "ran").exists()


def test_a_script_that_reads_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:
        archive.writestr("script/data.pkl", b"\x80\x02}.")
        archive.writestr("script/code/__torch__.py", "x = torch.from_file('/etc/passwd')")
    assert "'torch.from_file', which is no operator" in refusal(tmp_path / "script.pt")


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.zip", None, "without a model in it that is known here"),
        ("cut.pt2", b"PK\x03\x04 and nothing more", "its archive is damaged"),
        ("page.onnx", b"<!DOCTYPE html><html>", "a web page"),
        ("empty.onnx", b"", "holds no ONNX graph"),
    ],
)
def test_what_is_no_model(tmp_path: Path, name: str, data: bytes | None, says: str) -> None:
    if data is None:
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("readme.txt", "nothing")
    else:
        (tmp_path / name).write_bytes(data)
    assert says in refusal(tmp_path / name)


def test_folders(tmp_path: Path) -> None:
    assert "without a saved_model.pb; give a model file" in refusal(tmp_path)
    (tmp_path / "net.onnx").touch()
    assert "give the file in it, such as 'net.onnx'" in refusal(tmp_path)


def test_objects_that_are_no_models() -> None:
    assert "the model is a builtins.dict; give the path of an ONNX file" in refusal({})
    assert "does not say what pictures it takes" in refusal(Plain(), DeclaredPreprocessing())


def test_a_module_without_a_graph_is_run_by_pytorch() -> None:
    """It gives the numbers, and the gradient, of the same network exported."""
    with pytest.warns(EngineFallback, match="PyTorch cannot trace the module Choosing"):
        outside = load(Choosing(), SIZE)
    inside = load(Plain(), SIZE)
    assert outside.identity.converted.startswith("a torch Choosing, run by PyTorch itself")
    assert (outside.classes, outside.batchable) == (4, True)
    x = np.random.default_rng(0).random((3, 3, 12, 12), np.float32)
    want, have = (Run(model, 2, 1).logits(x) for model in (inside, outside))
    np.testing.assert_allclose(have, want, atol=1e-5)


def test_what_a_module_without_a_graph_may_give() -> None:
    class Giving(nn.Module):
        def __init__(self, shape: tuple[int, ...], softmax: bool = False) -> None:
            super().__init__()
            self.shape, self.softmax = shape, softmax
            self.gain = nn.Parameter(torch.ones(1))

        def forward(self, x: Any) -> Any:
            y = x.mean((1, 2, 3)).view(-1, *[1] * len(self.shape)) * self.gain
            y = y * torch.arange(1.0, 1 + np.prod(self.shape)).view(1, *self.shape)
            return torch.softmax(y, 1) if self.softmax else y

    with pytest.warns(EngineFallback):
        one, several, mapped, soft = (
            autograd_model(Giving(*arguments), "a test", SIZE)
            for arguments in [((1,),), ((5,),), ((3, 4, 6),), ((5,), True)]
        )
    assert (one.identity.task, one.answer) == ("binary", OneLogit())
    assert (several.identity.task, several.classes) == ("classification", 5)
    assert (mapped.identity.task, mapped.classes, mapped.answer.places) == ("segmentation", 3, 24)
    x = np.random.default_rng(0).random((2, 3, 12, 12), np.float32)
    a, b = (Run(model, 2, 1).logits(x) for model in (several, soft))
    np.testing.assert_allclose(a - a[:, :1], b - b[:, :1], atol=1e-4)  # logits, not probabilities
    with pytest.raises(ModelRefused, match=r"gives .* numbers for 3 pictures"):
        autograd_model(Giving((2, 3)), "a test", SIZE)


def test_read_source_gives_the_graph(tmp_path: Path) -> None:
    source = read_source(Plain(), SIZE)
    assert source.file == "Plain"
    assert source.converted.startswith("a torch Plain, written as ONNX by torch.onnx, PyTorch")
    assert [v.name for v in source.proto.graph.input] == ["picture"]
