"""Files are told apart by how they begin, and a model is none of them."""

import gzip
import io
import json
import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leap_audit.ingest.files.magic import HEAD, identify


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("model.onnx", "x")
    return file.getvalue()


def _array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


def _picture(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (2, 2)).save(file, kind)
    return file.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n"
FILES = {
    "a ZIP archive": _zip(),
    "a gzip archive": gzip.compress(b"x"),
    "a NumPy array": _array(),
    "a PNG picture": _picture("PNG"),
    "a JPEG picture": _picture("JPEG"),
    "a GIF picture": _picture("GIF"),
    "a WebP picture": _picture("WEBP"),
    "a web page": b"\n<!-- saved --> <!DOCTYPE html><html></html>",
    "an SVG picture": b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "a script": b"#!/bin/sh\n",
    "a JSON file": json.dumps({"error": "no such file"}).encode(),
    "a Git LFS pointer (git lfs pull brings the file)": LFS,
    "a TensorFlow Lite model": b"\x20\x00\x00\x00TFL3",
}


@pytest.mark.parametrize("words", FILES)
def test_a_file_is_told_by_its_beginning(words: str) -> None:
    assert identify(FILES[words][:HEAD]) == words


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("value", [{"a": 1}, [1], "x", (1, 2), 3, 1.5, Path("a")], ids=str)
def test_pickles(protocol: int, value: object) -> None:
    assert identify(pickle.dumps(value, protocol)) == "a Python pickle"


@pytest.mark.skipif(sys.platform != "linux", reason="Python is an ELF executable on Linux")
def test_an_executable() -> None:
    with Path(sys.executable).open("rb") as file:
        assert identify(file.read(HEAD)) == "an ELF executable"


def test_models_and_text_are_none_of_these(sample_models: Path) -> None:
    for model in sample_models.glob("*.onnx"):
        assert identify(model.read_bytes()[:HEAD]) is None
    assert identify(b"") is None
    assert identify(b"cat\ndog\n") is None
