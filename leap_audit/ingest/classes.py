"""The names of a model's classes: read from a file, checked against the model's outputs."""

import json
import re
import stat
from collections.abc import Sequence
from pathlib import Path

from leap_audit.errors import ClassesRefused

__all__ = ["display_name", "match_classes", "quoted", "read_classes"]

MAX_BYTES = 16_000_000
"""The longest list of names in use is below 1 MB; beyond this the file is something else."""


def quoted(name: str) -> str:
    """Return `name` in quotes for a message: shortened, with control characters escaped."""
    return repr(name if len(name) <= 60 else f"{name[:57]}...")


def read_classes(path: Path) -> tuple[str, ...]:
    """Return the names in a file, in the order of the model's outputs.

    The file is UTF-8 text with one name per line, or a JSON list of names. Space around a name
    and blank lines at the end are dropped.

    Raises ClassesRefused: the file is missing, not text, or has an empty name.
    """
    text = _text(path)
    if path.suffix.lower() == ".json" or text.lstrip().startswith("["):
        names = _json_names(text, path)
        if names is not None:
            return _checked(names, "entry", str(path))
    # Not splitlines(): it also splits at form feeds and Unicode separators inside a name.
    lines = [line.strip() for line in re.split(r"\r\n|\n|\r", text)]
    while lines and not lines[-1]:
        lines.pop()
    return _checked(lines, "line", str(path))


def match_classes(
    names: Sequence[str] | None, outputs: int, *, single: bool = False
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return one name per output of the model, and notes on what the reader should know of them.

    Without names the classes are called by their numbers. Duplicates exist in real lists: they
    are kept, and noted with their numbers. single: one score stands for two classes, and a
    single name names the second, which its sigmoid is the probability of.

    Raises ClassesRefused: there are more or fewer names than outputs, or an empty one.
    """
    if names is None:
        note = "No class names were given: the classes are called by their numbers."
        return tuple(str(index) for index in range(outputs)), (note,)
    checked = _checked(names, "entry", "the list of classes")
    if single and len(checked) == 1:
        note = f"One class was named, {quoted(checked[0])}: the other is called its opposite."
        return (f"not {checked[0]}", checked[0]), (note,)
    if len(checked) != outputs:
        raise ClassesRefused(_mismatch(len(checked), outputs))
    return checked, _duplicates(checked)


def display_name(classes: Sequence[str], index: int) -> str:
    """Return the name of a class, with its number where another class has the same name."""
    name = classes[index]
    return f"{name} [{index}]" if classes.count(name) > 1 else name


def _text(path: Path) -> str:
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


def _json_names(text: str, path: Path) -> list[str] | None:
    """Return the names of a JSON list; None for text that only begins like one."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        if path.suffix.lower() != ".json":
            return None
        reason = error if isinstance(error, ValueError) else "nested too deeply"
        raise ClassesRefused(f"{path}: is not valid JSON ({reason}).") from None
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ClassesRefused(f'{path}: is not a JSON list of names, such as ["cat", "dog"].')
    return [name.strip() for name in value]


def _checked(names: Sequence[str], unit: str, where: str) -> tuple[str, ...]:
    if not names:
        raise ClassesRefused(f"{where}: holds no class names.")
    for number, name in enumerate(names, 1):
        if not isinstance(name, str):
            raise ClassesRefused(f"{where}: {unit} {number} is {name!r}, not a name.")
        if not name.strip():
            raise ClassesRefused(
                f"{where}: {unit} {number} is empty; every class needs a name, "
                f"'unused' for one that stands for nothing."
            )
        if any("\ud800" <= letter <= "\udfff" for letter in name):
            raise ClassesRefused(f"{where}: {unit} {number} is not valid Unicode text.")
    return tuple(names)


def _mismatch(names: int, outputs: int) -> str:
    sentence = f"{names} class names for a model with {outputs} outputs"
    if names + 1 == outputs:
        hint = "a 'background' entry probably belongs at the top of the list"
        if outputs != 1001:
            hint = "one name is missing, perhaps a 'background' entry at the top"
        return f"{sentence}; {hint}."
    if names == outputs + 1:
        hint = "the 'background' entry at the top of the list probably has to go"
        if names != 1001:
            hint = "one name is too many, perhaps a 'background' entry at the top"
        return f"{sentence}; {hint}."
    return f"{sentence}; the list needs one name per output, in the order of the outputs."


def _duplicates(names: tuple[str, ...]) -> tuple[str, ...]:
    places: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        places.setdefault(name, []).append(index)
    shared = [
        f"{quoted(name)} ({_listed([str(index) for index in indices], ', ')})"
        for name, indices in places.items()
        if len(indices) > 1
    ]
    if not shared:
        return ()
    return (f"Names that several classes bear, told apart by number: {_listed(shared, '; ')}.",)


def _listed(items: list[str], separator: str, limit: int = 12) -> str:
    more = f"{separator}and {len(items) - limit} more" if len(items) > limit else ""
    return separator.join(items[:limit]) + more
