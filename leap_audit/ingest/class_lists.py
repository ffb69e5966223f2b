"""Where names of classes are read from: lists, tables, configurations, the model itself."""

import ast
import csv
import json
import re
import stat
from collections.abc import Sequence
from pathlib import Path

import onnx

from leap_audit.errors import ClassesRefused
from leap_audit.ingest.classes import checked_names

__all__ = ["names_inside", "read_classes", "text_of"]

MAX_BYTES = 16_000_000
"""The longest list of names in use is below 1 MB; beyond this the file is something else."""
METADATA = ("classes", "class_names", "labels", "names", "id2label")
"""Keys under which exporters write the classes into an ONNX file."""
TABLES = ("id2label", "label_names", "class_names", "classes", "labels", "names")
"""Keys under which a configuration has them; the first is Hugging Face's, the second timm's."""
NAME_COLUMNS = ("name", "class", "class_name", "label", "display_name", "category")
INDEX_COLUMNS = ("index", "id", "class_id", "class_index", "mid", "label_id", "")


def read_classes(path: Path) -> tuple[str, ...]:
    """Return the names in a file, in the order of the model's outputs.

    The file is UTF-8: text with one name per line; a table (.csv, .tsv) with a column of names and
    perhaps one of their numbers; or JSON: a list of names, a map of numbers to names (or to lists
    that end in the name, as ImageNet's class index), or a configuration that has one as id2label
    (Hugging Face) or label_names (timm). Space around a name and blank lines at the end are
    dropped.

    Raises ClassesRefused: the file is missing, not text, has an empty name, or numbers that do not
    run from 0 to their count.
    """
    text = text_of(path)
    suffix = path.suffix.lower()
    if suffix == ".json" or text.lstrip().startswith(("[", "{")):
        names = _of_json(text, path)
        if names is not None:
            return checked_names(names, "entry", str(path))
    if suffix in (".csv", ".tsv"):
        return checked_names(_of_table(text, suffix, path), "row", str(path))
    # Not splitlines(): it also splits at form feeds and Unicode separators inside a name.
    lines = [line.strip() for line in re.split(r"\r\n|\n|\r", text)]
    while lines and not lines[-1]:
        lines.pop()
    return checked_names(lines, "line", str(path))


def names_inside(model: onnx.ModelProto, outputs: int) -> tuple[list[str], str] | None:
    """Return the names that an exporter wrote into the file, if they fit its outputs; their key."""
    for entry in model.metadata_props:
        if entry.key.lower() in METADATA:
            names = _of_metadata(entry.value)
            if names is not None and len(names) == outputs:
                return names, entry.key
    return None


def text_of(path: Path) -> str:
    """Return the text of a small file. Raises ClassesRefused: missing, not text, too large."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ClassesRefused(f"{path}: is not a file; give a text file, one class per line.")
        with path.open("rb") as file:
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
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ClassesRefused(
            f"{path}: is not UTF-8 text; give a text file with one class per line."
        )
    return text


def _of_json(text: str, path: Path) -> list[str] | None:
    """The names of a JSON file; None for text that only begins like one."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        if path.suffix.lower() != ".json":
            return None
        reason = error if isinstance(error, ValueError) else "nested too deeply"
        raise ClassesRefused(f"{path}: is not valid JSON ({reason}).") from None
    names = _of_value(_table_in(value), str(path))
    if names is None:
        raise ClassesRefused(
            f'{path}: is not a JSON list of names, such as ["cat", "dog"], nor a map of numbers to '
            'names, such as {"0": "cat", "1": "dog"}, nor a configuration with one as id2label.'
        )
    return names


def _table_in(value: object) -> object:
    """What a configuration has as its names; another value is itself."""
    if isinstance(value, dict):
        inner = value.get("pretrained_cfg")
        for table in (value, inner if isinstance(inner, dict) else {}):
            for key in TABLES:
                if isinstance(table.get(key), list | dict):
                    return table[key]
        if isinstance(value.get("label2id"), dict):
            return {number: name for name, number in value["label2id"].items()}
    return value


def _of_value(value: object, where: str) -> list[str] | None:
    """Names from a list or a map of numbers to names; None where it is neither."""
    if isinstance(value, dict):
        try:
            numbered = {int(key): name for key, name in value.items()}
        except (TypeError, ValueError):
            return None
        names = _in_order(numbered, where)
    elif isinstance(value, list):
        names = value
    else:
        return None
    last: list[object] = [n[-1] if isinstance(n, list) and n else n for n in names]
    text = [name.strip() for name in last if isinstance(name, str)]
    return text if len(text) == len(last) else None


def _in_order(numbered: dict[int, object], where: str) -> list[object]:
    for number in range(len(numbered)):
        if number not in numbered:
            raise ClassesRefused(
                f"{where}: has {len(numbered)} names and none for class {number}; number them from "
                "0 on, one for each output."
            )
    return [numbered[number] for number in range(len(numbered))]


def _of_table(text: str, suffix: str, path: Path) -> list[str]:
    """The names of a table with or without a head, in the order of their numbers if it has any."""
    try:
        rows = list(csv.reader(text.splitlines(), delimiter="\t" if suffix == ".tsv" else ","))
    except csv.Error as error:
        raise ClassesRefused(f"{path}: is not a table of names ({error}).") from None
    rows = [[cell.strip() for cell in row] for row in rows if any(cell.strip() for cell in row)]
    if not rows or len({len(row) for row in rows}) != 1:
        raise ClassesRefused(
            f"{path}: its rows have different numbers of cells; quote names that have a comma, or "
            "give text with one name per line."
        )
    head = [cell.casefold() for cell in rows[0]]
    named = next((head.index(name) for name in NAME_COLUMNS if name in head), None)
    numbered = next((head.index(name) for name in INDEX_COLUMNS if name in head), None)
    if named is not None:
        rows = rows[1:]
    elif len(head) == 1:
        named = 0
    else:
        numbered = next((i for i, cell in enumerate(head) if cell.isdecimal()), None)
        named = next(i for i in range(len(head)) if i != numbered)
    if numbered is None or not all(row[numbered].isdecimal() for row in rows):
        return [row[named] for row in rows]
    by_number: dict[int, object] = {int(row[numbered]): row[named] for row in rows}
    if len(by_number) != len(rows):
        raise ClassesRefused(f"{path}: numbers two names alike; number them from 0 on.")
    return [str(name) for name in _in_order(by_number, str(path))]


def _of_metadata(text: str) -> list[str] | None:
    """Names from a list or a map of numbers to names, of JSON or Python, or from lines."""
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        try:
            names = _of_value(value, "the metadata")
        except ClassesRefused:
            return None
        return names if names and all(names) else None
    lines = [line.strip() for line in text.strip().split("\n")]
    return _full([name.strip() for name in text.split(",")] if len(lines) == 1 else lines)


def _full(names: Sequence[str]) -> list[str] | None:
    return list(names) if all(names) else None
