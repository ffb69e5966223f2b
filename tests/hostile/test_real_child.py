"""What is given beside a model (inputs, lists, photographs of every kind) is read in a child."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from leap_audit.config import DeclaredPreprocessing
from leap_audit.errors import ClassesRefused, PictureRefused, UsageError
from leap_audit.ingest import load
from leap_audit.ingest.classes.sandboxed import read_class_list_in_child
from leap_audit.ingest.inputs.selection import Inputs, read_inputs
from leap_audit.ingest.pictures.images import find_pictures
from leap_audit.ingest.pictures.photographs import photograph_names, read_photographs
from leap_audit.ingest.pictures.sandboxed import photographs_child, require_no_links
from tests.builders.dicoms import PLANTED, write_dicom
from tests.builders.preprocessings import asking

pytestmark = pytest.mark.xdist_group("tensorflow")  # its children import it, one at a time
GREY = asking(8, 8, channel_order="GRAY")


@pytest.fixture(autouse=True)
def real(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let children be started, and nothing be decoded in this process."""
    monkeypatch.delenv("LEAP_AUDIT_CONTAINED", raising=False)

    def here(*args: Any, **options: Any) -> Any:
        raise AssertionError("this process decoded what is foreign")

    monkeypatch.setattr(Image, "open", here)
    monkeypatch.setattr(np, "load", here)


def shown(paths: list[Path]) -> Any:
    with photographs_child(paths) as ask:
        names = photograph_names(paths, ask)
        return names, read_photographs(paths, names, GREY, ask=ask)


def test_dicom_files_and_deep_pictures(tmp_path: Path) -> None:
    pytest.importorskip("pydicom", reason="the extra medical is not installed")
    ramp = np.arange(64).reshape(8, 8)
    write_dicom(tmp_path / "a.dcm", (ramp * 60).astype(np.uint16))
    Image.fromarray((ramp * 10).astype(np.uint16)).save(tmp_path / "b.png")
    np.save(tmp_path / "c.npy", np.full((8, 8), 7, np.uint8))
    names, read = shown(list(find_pictures([tmp_path])))
    assert names.private
    assert names.names == ("dicom-0001", "photograph-0002", "photograph-0003")
    assert [picture.shape for picture in read.pictures] == [(1, 8, 8)] * 3
    np.testing.assert_allclose(read.pictures[0][0], ramp * 60 / 4095, atol=0.003)
    np.testing.assert_allclose(read.pictures[1][0], ramp * 10 / 4095, atol=0.003)
    assert any("0 was taken for black and 4095 for white" in note for note in read.notes)
    assert any("DICOM files among the photographs: 1." in note for note in read.notes)


PIXELS = b"\xe0\x7f\x10\x00"
"""How the element with the pixels begins."""


def _deep(data: bytes) -> bytes:
    nested = b"\x00\x52\x29\x92SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    place = data.rindex(PIXELS)
    return data[:place] + nested * 20_000 + data[place:]


def _claiming(data: bytes) -> bytes:
    place = data.rindex(PIXELS) + 8
    return data[:place] + b"\xfe\xff\xff\xff" + data[place + 4 :]


@pytest.mark.parametrize("change", [_deep, _claiming, lambda data: data[:132] + bytes(3_000_000)])
def test_dicom_files_that_nest_claim_or_hold_nothing(tmp_path: Path, change: Any) -> None:
    pytest.importorskip("pydicom", reason="the extra medical is not installed")
    folder = tmp_path / "Zweig_Ottokar"
    folder.mkdir()
    path = write_dicom(folder / "Zweig.dcm")
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(PictureRefused, match=r"^dicom-0001 \(number 1 of ") as caught:
        shown([path])
    assert "defect" not in str(caught.value)
    assert not [word for word in PLANTED if word in str(caught.value)]


def test_a_child_that_is_ended_names_no_patient(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEAP_AUDIT_SECONDS", "0.01")
    folder = tmp_path / "Zweig_Ottokar"
    folder.mkdir()
    write_dicom(folder / "Zweig.dcm")
    Image.new("L", (8, 8)).save(folder / "Zweig.png")
    with pytest.raises(PictureRefused, match="took longer than") as caught:
        shown(list(find_pictures([folder])))
    assert not [word for word in PLANTED if word in str(caught.value)]


@pytest.mark.skipif(sys.platform == "win32", reason="makes links")
def test_links_among_dicom_files_name_no_patient(tmp_path: Path) -> None:
    folder = tmp_path / "Zweig_Ottokar"
    folder.mkdir()
    write_dicom(tmp_path / "other.dcm")
    (folder / "Zweig.dcm").symlink_to(tmp_path / "other.dcm")
    with pytest.raises(PictureRefused, match=r"^photograph number 1, .* leads out") as caught:
        require_no_links(find_pictures([folder]), [folder], private=True)
    assert not [word for word in PLANTED if word in str(caught.value)]


def test_a_photograph_that_changes_after_it_was_hashed(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("L", (8, 8)).save(path)
    with photographs_child([path]) as ask:
        names = photograph_names([path], ask)
        Image.new("L", (8, 8), 255).save(path)
        with pytest.raises(PictureRefused, match="changed while it was read"):
            read_photographs([path], names, GREY, ask=ask)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("data.yaml", "nc: 2\nnames:\n  1: cat\n  2: dog\n"),
        ("class_indices.json", '{"cat": 1, "dog": 2}'),
    ],
)
def test_lists_of_classes_come_whole(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / file).write_text(text)
    found, digest = read_class_list_in_child(tmp_path / file)
    assert found.names == ("cat", "dog")
    assert found.from_one
    assert found.notes
    assert len(digest) == 64
    (tmp_path / file).write_bytes(b"\xff" + text.encode())
    with pytest.raises(ClassesRefused, match="is not UTF-8 text"):
        read_class_list_in_child(tmp_path / file)


def test_the_value_of_an_input(tmp_path: Path) -> None:
    numbers = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.save(tmp_path / "v.npy", numbers)
    inputs = read_inputs("x", {"age": tmp_path / "v.npy", "on": True}, None)
    np.testing.assert_array_equal(np.asarray(inputs.values["age"]), numbers)
    (tmp_path / "v.npy").write_bytes(b"\x93NUMPY\x01\0\x76\0{'descr': __import__('os')" + b" " * 90)
    with pytest.raises(UsageError, match=r"is no \.npy file of numbers"):
        read_inputs("x", {"age": tmp_path / "v.npy"}, None)
    (tmp_path / "pipe").mkdir()
    with pytest.raises(UsageError, match="pipe: "):
        read_inputs("x", {"age": tmp_path / "pipe"}, None)


def test_an_onnx_model_of_two_inputs(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 9, opset_import: ["" : 17]>
        two (float[N,3,8,8] x, float[N,4] age) => (float[N,4] y)
        <float[4,3] w = {1,2,3,4,5,6,7,8,9,10,11,12}>
        {
            m = GlobalAveragePool (x)
            f = Flatten (m)
            t = Transpose (w)
            s = MatMul (f, t)
            y = Add (s, age)
        }"""
    )
    onnx.save(model, tmp_path / "two.onnx")
    inputs = Inputs("x", {"age": np.ones(4, np.float32)})
    found = load(tmp_path / "two.onnx", DeclaredPreprocessing(), inputs=inputs)
    assert found.identity.picture == "x"
    assert [each.name for each in found.identity.fixed_inputs] == ["age"]


def test_a_program_of_pytorch_with_two_inputs(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Two(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(3, 4)

        def forward(self, x: Any, age: Any) -> Any:
            return self.layer(x.mean((2, 3))) + age

    args = (torch.rand(2, 3, 8, 8), torch.rand(2, 4))
    batch = torch.export.Dim("batch")
    program = torch.export.export(Two().eval(), args, dynamic_shapes=({0: batch}, {0: batch}))
    torch.export.save(program, tmp_path / "two.pt2")
    inputs = Inputs("x", {"age": np.ones((1, 4), np.float32)})
    declared = DeclaredPreprocessing(input_size=(8, 8))
    found = load(tmp_path / "two.pt2", declared, inputs=inputs)
    assert found.classes == 4
    assert [each.name for each in found.identity.fixed_inputs] == ["age"]
