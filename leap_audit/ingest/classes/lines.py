"""Read class names from lines of text, and from label maps of TensorFlow's object detection.

A line holds one name, with a number or a WordNet identifier beside it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from leap_audit.errors import ClassesRefused, reason_of
from leap_audit.ingest.classes.values import in_order

__all__ = ["ClassList", "read_label_map", "read_lines"]

_NUMBER_FIRST = re.compile(r"(\d{1,9})(?:\s*[:=,;|\t]\s*|[.)]\s*|\s+-\s+|\s+)(\S.*)")
_NUMBER_LAST = re.compile(r"(\S.*?)(?:\s*[:=,;|\t]\s*|\s+)(\d{1,9})")
_SYNSET = re.compile(r"(n\d{8})[\s,:;]+(\S.*)")
_BELOW = re.compile(r"-\d+[\s:=,]+\S")
_SIGNED = re.compile(r"-?\d+[\s:=,]+\S")
_REST = re.compile(r"""(['"]).*\1\s*,?""")
_COMMENT = re.compile(r"(#|//)\s")
PLAIN = "If the numbers are part of the names, give them as a JSON list."


@dataclass(frozen=True)
class ClassList:
    """The names in a file, in the order of the model's outputs, and how they were read."""

    names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """A sentence for each thing that was not simply a name a line."""
    from_one: bool = False
    """Whether the file numbers them from 1: number 0, where there is one, is the background."""


def read_lines(text: str, where: str) -> ClassList:
    """Return the names of a text with one a line.

    Every line may have a number (`0 tench`, `0: tench`, `tench 0`) or the identifier of a WordNet
    synset (`n01440764 tench`), which are taken off. Numbers say the order, from 0 or from 1.

    Raises ClassesRefused: numbers with a gap or twice, a comment, several names on one line; it
    names the line.
    """
    # Not splitlines(): it also splits at form feeds and Unicode separators inside a name.
    lines = [line.strip() for line in re.split(r"\r\n|\n|\r", text)]
    while lines and not lines[-1]:
        lines.pop()
    _refuse_comments(lines, where)
    if len(lines) == 1 and re.search(r"[^,;\s]\s*[,;]\s*\S", lines[0]):
        raise ClassesRefused(
            f"{where}: has one line with several names; write one name a line, or a JSON list."
        )
    notes = []
    synsets = [_SYNSET.fullmatch(line) for line in lines]
    if lines and all(synsets):
        lines = [match[2] for match in synsets if match]
        notes.append("The WordNet identifiers before the names were taken off.")
    numbered = _numbered(lines)
    if numbered is None:
        _refuse_half_numbered(lines, where)
        return ClassList(tuple(lines), tuple(notes))
    try:
        names, from_one = in_order(numbered, where)
    except ClassesRefused as error:
        raise ClassesRefused(f"{error} {PLAIN}") from None
    quoted = next((place for _, name, place in numbered if _REST.fullmatch(name)), None)
    if quoted is not None:
        raise ClassesRefused(
            f"{where}: {quoted} is an entry of a Python dict, which needs its braces; write them, "
            "or give a name a line."
        )
    notes.append(
        f"The numbers beside the names, from {int(from_one)} to {len(names) - 1 + from_one}, were "
        "taken for those of the model's outputs"
        + (", the first of which is number 1." if from_one else ".")
    )
    return ClassList(tuple(names), tuple(notes), from_one)


def _refuse_comments(lines: Sequence[str], where: str) -> None:
    comments = [number for number, line in enumerate(lines, 1) if _COMMENT.match(line)]
    if comments and len(comments) < len(lines):
        raise ClassesRefused(
            f"{where}: line {comments[0]} begins like a comment; take it out, or, if it is a name, "
            "give the names as a JSON list."
        )


def _refuse_half_numbered(lines: Sequence[str], where: str) -> None:
    """Refuse a line above numbered ones, which is a head, and numbers below 0."""
    found = _numbered(lines[1:]) if len(lines) > 2 else None
    if found is not None and not lines[0].isdecimal():
        raise ClassesRefused(
            f"{where}: line 1 has no number, and all others have one: if it is the head of a "
            f"table, call the file .csv and its columns name and index; else take it out. {PLAIN}"
        )
    below = next((i for i, line in enumerate(lines, 1) if _BELOW.match(line)), None)
    if below is not None and all(_SIGNED.match(line) for line in lines):
        raise ClassesRefused(f"{where}: line {below} has a number below 0. {PLAIN}")


def _numbered(lines: Sequence[str]) -> list[tuple[int, str, str]] | None:
    """(number, name, line) where every line has both and the numbers begin at 0 or 1."""
    for pattern, at, rest in ((_NUMBER_FIRST, 1, 2), (_NUMBER_LAST, 2, 1)):
        matches = [pattern.fullmatch(line) for line in lines]
        found = [
            (int(match[at]), match[rest].strip(), f"line {place}")
            for place, match in enumerate(matches, 1)
            if match
        ]
        numbers = [number for number, _, _ in found]
        if len(found) < len(lines) or len(lines) < 2 or min(numbers) > 1:
            continue
        names = {name for _, name, _ in found}
        if len(names) == 1:  # class 0, class 1: what is left would tell no class from another
            continue
        ordered = sorted(numbers) == list(range(min(numbers), min(numbers) + len(numbers)))
        # Behind a name a number that is no place in a list belongs to it: boeing 707.
        if pattern is _NUMBER_FIRST or ordered:
            return found
    return None


def read_label_map(text: str, where: str) -> ClassList:
    """Return the names of a label map of TensorFlow's object detection (.pbtxt), by their ids.

    Of an item the display_name counts, or else the name. The ids begin at 1, as 0 is the
    background, or at 0 where the map names that.

    Raises ClassesRefused: it is none, an item lacks a name or an id, or ids have a gap.
    """
    message = _label_map()
    try:
        text_format.Parse(text, message, allow_unknown_field=True)
    except (text_format.ParseError, RecursionError) as error:
        raise ClassesRefused(
            f"{where}: is not a label map (.pbtxt) that can be read ({reason_of(error)})."
        ) from None
    numbered = []
    for place, item in enumerate(message.item, 1):
        name = item.display_name or item.name
        if not item.HasField("id") or not name.strip():
            raise ClassesRefused(f"{where}: item {place} of the label map has no name or no id.")
        numbered.append((item.id, name.strip(), f"item {place}"))
    if not numbered:
        raise ClassesRefused(f"{where}: is a label map without items.")
    names, from_one = in_order(numbered, where)
    first = "1, as 0 is the background" if from_one else "0"
    note = f"A label map (.pbtxt) of {len(names)} items, numbered from {first}."
    return ClassList(tuple(names), (note,), from_one)


def _label_map() -> Any:
    """An empty StringIntLabelMap, as object_detection/protos/string_int_label_map.proto has it."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="label_map.proto", package="l", syntax="proto2")
    item = file.message_type.add(name="Item")
    for name, number, kind in (
        ("name", 1, kinds.TYPE_STRING),
        ("id", 2, kinds.TYPE_INT32),
        ("display_name", 3, kinds.TYPE_STRING),
    ):
        item.field.add(name=name, number=number, type=kind, label=kinds.LABEL_OPTIONAL)
    whole = file.message_type.add(name="Map")
    whole.field.add(
        name="item",
        number=1,
        type=kinds.TYPE_MESSAGE,
        type_name=".l.Item",
        label=kinds.LABEL_REPEATED,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("l.Map"))()
