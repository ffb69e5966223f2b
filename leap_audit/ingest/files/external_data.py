"""Read the external data of tensors, and refuse a path that leaves the folder of the model."""

import math
import re
import stat
from pathlib import Path

import onnx

from leap_audit.errors import ModelRefused
from leap_audit.graph.protos import every_tensor

__all__ = [
    "quoted_tensor",
    "read_external",
    "size_of",
]

LEAST_CLAIM = 1 << 30
MOST_SHARED = 8
"""How often the bytes of a file may be claimed by several tensors; tied weights are twice."""


def read_external(model: onnx.ModelProto, path: Path) -> None:
    """Read external data into the tensors of a model.

    Before anything is read: every file lies in the model's folder, or, where the model's file is
    a symbolic link as in the caches of model hubs, in the folder of what it leads to; it is a
    regular file without a second name; and it has the bytes that the tensor claims. Raises
    ModelRefused.
    """
    found = [t for t in every_tensor(model) if t.data_location == onnx.TensorProto.EXTERNAL]
    places = [_place(tensor, path) for tensor in found]
    claimed = sum(size for _, size in places)
    there = sum(file.stat().st_size for file in {file for file, _ in places})
    if claimed > LEAST_CLAIM and claimed > MOST_SHARED * there:
        raise ModelRefused(
            f"{path}: its tensors claim {claimed / 2**30:.1f} GiB of files that have "
            f"{there / 2**30:.1f}; the file is damaged or hostile."
        )
    for tensor, (file, size) in zip(found, places, strict=True):
        offset = _entries(tensor).get("offset", "0")
        del tensor.external_data[:]
        # As onnx reads it: it refuses links once more, at the moment that it opens the file.
        for key, value in (("location", file.name), ("offset", offset), ("length", str(size))):
            tensor.external_data.add(key=key, value=value)
        onnx.external_data_helper.load_external_data_for_tensor(tensor, str(file.parent))


def size_of(tensor: onnx.TensorProto) -> int:
    """Return the size in bytes that a tensor declares. Raises ModelRefused: it is negative."""
    if any(size < 0 for size in tensor.dims):
        raise ModelRefused(
            f"the tensor {quoted_tensor(tensor)} has a negative size; export it again."
        )
    bits = _bits(tensor.data_type)
    return (math.prod(tensor.dims) * bits + 7) // 8


def quoted_tensor(tensor: onnx.TensorProto) -> str:
    """Return a tensor's name for a message: in quotes, shortened, control characters escaped."""
    return repr(tensor.name if len(tensor.name) <= 60 else f"{tensor.name[:57]}...")


def _bits(kind: int) -> int:
    """The bits of a number of this type; 0 for text, whose length is its own."""
    if kind in (onnx.TensorProto.STRING, onnx.TensorProto.UNDEFINED):
        return 0
    try:
        name = onnx.TensorProto.DataType.Name(kind)
    except ValueError:
        raise ModelRefused(f"there is no type of tensors {kind}; export the model again.") from None
    digits = re.search(r"\d+", name)  # FLOAT8E4M3FN
    return int(digits[0]) if digits else {"FLOAT": 32, "DOUBLE": 64, "BOOL": 8}[name]


def _entries(tensor: onnx.TensorProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in tensor.external_data}


def _place(tensor: onnx.TensorProto, path: Path) -> tuple[Path, int]:
    """Return the real file that has a tensor's numbers, and how many bytes it is to give."""
    entries = _entries(tensor)
    location = entries.get("location", "")
    label = (
        f"{path}: tensor {quoted_tensor(tensor)} has its external data in {location[:200]!r}, which"
    )
    if not location or "\0" in location or Path(location).is_absolute():
        raise ModelRefused(f"{label} is no place in the model's folder; export the model again.")
    folders = [path.parent.resolve(), path.resolve().parent]
    try:
        file = next(f for folder in folders if (f := (folder / location).resolve()).exists())
        status = file.stat()
    except (StopIteration, OSError, RuntimeError):  # RuntimeError: links in a circle
        raise ModelRefused(f"{label} is missing; put it beside the model.") from None
    if not any(file.is_relative_to(folder) for folder in folders):
        raise ModelRefused(f"{label} leads out of the model's folder; put the file itself there.")
    if not stat.S_ISREG(status.st_mode):
        raise ModelRefused(f"{label} is no file; put the file itself there.")
    if status.st_nlink > 1:
        raise ModelRefused(
            f"{label} has several names (hard links), perhaps one outside the model's folder; put "
            "a copy of it there."
        )
    return file, _length(tensor, entries, status.st_size, label)


def _length(tensor: onnx.TensorProto, entries: dict[str, str], there: int, label: str) -> int:
    size = size_of(tensor)
    try:
        offset, length = int(entries.get("offset", "0")), int(entries.get("length", size))
    except ValueError:
        offset, length = -1, -1
    if offset < 0 or length != size or offset + size > there:
        raise ModelRefused(
            f"{label} has {there} bytes, but the tensor claims {size} from {offset} on; the file "
            "is damaged, or of another model."
        )
    return size
