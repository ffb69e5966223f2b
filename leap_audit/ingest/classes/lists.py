"""Read class names from a list, a table, a configuration or the metadata of the model."""

import re
import stat
from collections.abc import Sequence
from pathlib import Path

import onnx

from leap_audit.errors import ClassesRefused, reason_of
from leap_audit.files import open_regular
from leap_audit.ingest.classes.formats import TEXT_SUFFIXES, other_format
from leap_audit.ingest.classes.lines import ClassList, read_label_map, read_lines
from leap_audit.ingest.classes.names import checked_names
from leap_audit.ingest.classes.table import looks_like_table, read_class_table
from leap_audit.ingest.classes.values import (
    Pairs,
    class_names_in,
    class_table_in,
    read_json,
    read_python,
    read_yaml,
)
from leap_audit.ingest.files.magic import HEAD, identify

__all__ = ["ClassList", "metadata_names", "read_class_list", "read_class_text", "read_classes"]

MAX_BYTES = 16_000_000
"""The longest list of names in use is below 1 MB; beyond this the file is something else."""
METADATA = ("classes", "class_names", "labels", "names", "id2label")
"""Keys under which exporters write the classes into an ONNX file."""
MEANT = "a name a line, a table (.csv) with a column name, or a JSON list"
_LABEL_MAP = re.compile(r"\s*(#.*\s+)*item\s*:?\s*\{")
_YAML = re.compile(r"^(names|class_names|classes)\s*:\s*(#.*)?(\[.*|\{.*)?$", re.M)
_DASHES = re.compile(r"-\s+\S.*")
_IN_BRACKETS = re.compile(r"\[[^\[\]{}\"',]*\]\s*")
"""A first line such as [unused], which is a name."""


def read_classes(path: Path) -> tuple[str, ...]:
    """Return the names in a file, in the order of the model's outputs: see `read_class_list`."""
    return read_class_list(path).names


def read_class_list(path: Path) -> ClassList:
    """Return the names in a file, in the order of the model's outputs, and how they were read.

    The file is UTF-8. What it is is told by its content:

    - text with one name per line, perhaps with its number or its WordNet identifier;
    - a table (.csv, .tsv) with a column of names and perhaps one of their numbers;
    - JSON, a Python literal, or YAML: a list of names, a map of numbers to names or of names to
      numbers (Keras's class_indices), ImageNet's class index, or a configuration that has one
      under a known key: id2label, label2id, label_names, names (Ultralytics's data.yaml), ...;
    - a label map of TensorFlow's object detection (.pbtxt).

    Numbers run from 0 or from 1. Space around a name and blank lines at the end are dropped.

    Raises ClassesRefused: the file is missing, not text, of another format (which is named), has
    an empty name, or numbers with a gap.
    """
    text, suffix, where = read_class_text(path), path.suffix.lower(), str(path)
    words = identify(text.encode("utf-8", "surrogatepass")[:HEAD])
    if words not in (None, "a JSON file"):
        raise ClassesRefused(f"{where}: is {words}, not a list of classes; give {MEANT}.")
    found, unit = _literal(text, suffix, where), "entry"
    if found is None and (suffix in (".pbtxt", ".pbtext") or _LABEL_MAP.match(text)):
        found = read_label_map(text, where)
    if found is None and _is_yaml(text, suffix):
        found = _of_yaml(text, where)
    if found is None and (other := other_format(text, suffix)) is not None:
        raise ClassesRefused(f"{where}: is {other}, not a list of classes; give {MEANT}.")
    if found is None and looks_like_table(text, suffix):
        found, unit = read_class_table(text, suffix, where), "row"
    if found is None:
        found, unit = read_lines(text, where), "line"
    checked_names(found.names, unit, where)
    return found


def metadata_names(model: onnx.ModelProto, outputs: int) -> tuple[list[str], str] | None:
    """Return the class names in a model's metadata and their key, if they fit its outputs."""
    for entry in model.metadata_props:
        if entry.key.lower() in METADATA:
            names = _of_metadata(entry.value)
            if names is not None and len(names) == outputs:
                return names, entry.key
    return None


def read_class_text(path: Path) -> str:
    """Return the text of a small file. Raises ClassesRefused: missing, not text, too large."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ClassesRefused(f"{path}: is not a file; give a text file, one class per line.")
        with open_regular(path) as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or error
        raise ClassesRefused(f"{path}: the classes cannot be read ({reason}).") from None
    if len(data) > MAX_BYTES:
        raise ClassesRefused(
            f"{path}: is larger than {MAX_BYTES // 1_000_000} MB, which no list of classes is."
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ClassesRefused(f"{path}: {_undecoded(data, error)}") from None
    if "\0" in text:
        raise ClassesRefused(f"{path}: {_undecoded(data, None)}")
    return text


def _undecoded(data: bytes, error: UnicodeDecodeError | None) -> str:
    """Say why bytes are not UTF-8."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "is UTF-16 text, and is not UTF-8 text; save it as UTF-8."
    if words := identify(data[:HEAD]):
        return f"is {words}, and is not UTF-8 text; give {MEANT}."
    if error is None or b"\0" in data:
        return f"is not UTF-8 text; give {MEANT}."
    line = data[: error.start].count(b"\n") + 1
    return (
        f"is not UTF-8 text: line {line} has the byte 0x{data[error.start]:02X}, as Latin-1 or "
        "Windows-1252 write letters with accents; save it as UTF-8."
    )


def _literal(text: str, suffix: str, where: str) -> ClassList | None:
    """The names of JSON or of a Python literal; None for text that only begins like one."""
    begins = text.lstrip()[:1]
    if suffix != ".json" and begins not in ("[", "{", "("):
        return None
    try:
        return _of_value(read_json(text), where, "JSON")
    except (ValueError, RecursionError) as error:
        reason = reason_of(error) if isinstance(error, ValueError) else "nested too deeply"
    if begins in ("[", "{", "("):
        try:
            return _of_value(read_python(text, where), where, "Python")
        except ValueError as error:
            said = reason_of(error)
    if other_format(text, "") == "JSON Lines":
        return None
    if suffix == ".json":
        raise ClassesRefused(f"{where}: is not valid JSON ({reason}).")
    if begins == "{" or (begins == "[" and not _IN_BRACKETS.fullmatch(_first_line(text))):
        raise ClassesRefused(
            f"{where}: begins like a list or map of JSON or Python, and is neither (as JSON: "
            f"{reason}; as Python: {said})."
        )
    return None


def _first_line(text: str) -> str:
    return text.lstrip().splitlines()[0]


def _is_yaml(text: str, suffix: str) -> bool:
    lines = [line for line in text.splitlines() if line.strip()]
    dashes = len(lines) > 1 and all(_DASHES.fullmatch(line) for line in lines)
    return suffix in (".yaml", ".yml") or (
        suffix not in TEXT_SUFFIXES and (dashes or bool(_YAML.search(text)))
    )


def _of_yaml(text: str, where: str) -> ClassList:
    try:
        value = read_yaml(text)
    except ValueError as error:
        raise ClassesRefused(f"{where}: is not valid YAML ({error}).") from None
    return _of_value(value, where, "YAML")


def _of_value(value: object, where: str, kind: str) -> ClassList:
    inside, key = class_table_in(value)
    found = class_names_in(inside, where)
    if found is None:
        raise ClassesRefused(
            f'{where}: is not a {kind} list of names, such as ["cat", "dog"], nor a map of numbers '
            'to names, such as {"0": "cat", "1": "dog"}, or of names to numbers, nor a '
            "configuration with one as id2label, names or class_indices."
        )
    names, from_one = found
    count = value.get("nc") if isinstance(value, Pairs) else None
    if count is not None and str(count) != str(len(names)):
        raise ClassesRefused(f"{where}: says nc: {count}, and has {len(names)} names; mend one.")
    notes = [f"The names are what the file has as {key}."] if key else []
    if from_one:
        notes.append("The file numbers its classes from 1: number 1 is the model's first output.")
    return ClassList(tuple(names), tuple(notes), from_one)


def _of_metadata(text: str) -> list[str] | None:
    """Names from a list or a map of numbers to names, of JSON or Python, or from lines."""
    for read in (read_json, lambda text: read_python(text, "the metadata")):
        try:
            found = class_names_in(read(text), "the metadata")
        except (ValueError, RecursionError):
            continue
        except ClassesRefused:
            return None
        return list(found[0]) if found and found[0] and all(found[0]) else None
    lines = [line.strip() for line in text.strip().split("\n")]
    return _full([name.strip() for name in text.split(",")] if len(lines) == 1 else lines)


def _full(names: Sequence[str]) -> list[str] | None:
    return list(names) if all(names) else None
