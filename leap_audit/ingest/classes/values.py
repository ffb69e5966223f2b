"""Read class names from a list or a map in JSON, Python or YAML."""

import ast
import json
import tokenize
from collections.abc import Iterable, Iterator
from io import StringIO

import yaml

from leap_audit.errors import ClassesRefused, reason_of

__all__ = [
    "Pairs",
    "class_names_in",
    "class_table_in",
    "in_order",
    "read_json",
    "read_python",
    "read_yaml",
]

LARGEST_LITERAL = 4_000_000
"""Characters of a Python or YAML text that is parsed: its tree needs a hundred times as many."""
DEEPEST = 20
MOST_NODES = 200_000
"""Of a YAML text, aliases counted as often as they stand there."""
TABLES = (
    *("id2label", "label_names", "class_names", "class_indices", "class_to_idx", "idx_to_class"),
    *("classes", "labels", "names", "categories", "vocab", "classes_", "label_map"),
)
"""Keys under which a configuration has its classes. The first is Hugging Face's, the second timm's,
class_indices is Keras's, class_to_idx torchvision's, names Ultralytics's, vocab fastai's."""
NAMES_TO_NUMBERS = "label2id"
NAME_KEYS = ("display_name", "name", "class_name", "label", "class")
NUMBER_KEYS = ("id", "index", "class_id", "class_index", "label_id")

Value = object
"""A string, a number, a list, or `Pairs`."""


class Pairs(list[tuple[object, object]]):
    """The entries of a map in the order of the file, a repeated key with each of its values."""

    def get(self, key: str) -> object:
        """Return the first value of a key; None where it is missing."""
        return next((value for name, value in self if name == key), None)


def read_json(text: str) -> Value:
    """Return the value of a JSON text, its maps as `Pairs`. Raises ValueError, RecursionError."""
    value: Value = json.loads(text, object_pairs_hook=Pairs)
    return value


def read_python(text: str, where: str) -> Value:
    """Return the value of a Python literal, its maps as `Pairs`; nothing is run.

    Raises ValueError: it is no literal. ClassesRefused: two names stand side by side without a
    comma, which Python would join to one.
    """
    if len(text) > LARGEST_LITERAL:
        raise ValueError("it is too large for a Python literal")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        value = _literal(tree)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(reason_of(error)) from None
    _refuse_joined(text, where)
    return value


def _literal(node: ast.expr) -> Value:
    if isinstance(node, ast.Dict):
        if any(key is None for key in node.keys):
            raise ValueError("it has ** in it")
        keys = [key for key in node.keys if key is not None]
        return Pairs(
            (ast.literal_eval(key), _literal(value))
            for key, value in zip(keys, node.values, strict=True)
        )
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(item) for item in node.elts]
    return ast.literal_eval(node)


def _refuse_joined(text: str, where: str) -> None:
    before = None
    for token in tokenize.generate_tokens(StringIO(text.strip() + "\n").readline):
        if token.type in (tokenize.NL, tokenize.NEWLINE, tokenize.COMMENT):
            continue
        if token.type == tokenize.STRING and before == tokenize.STRING:
            raise ClassesRefused(
                f"{where}: line {token.start[0]}: no comma stands before {token.string[:60]}; "
                "NumPy prints lists so. Write it with json.dump(list(map(str, names)), file)."
            )
        before = token.type


def read_yaml(text: str) -> Value:
    """Return the value of a YAML text: every scalar as its text, maps as `Pairs`.

    So a class called `no` or `1.0` keeps its name. Raises ValueError: it is not YAML.
    """
    if len(text) > LARGEST_LITERAL:
        raise ValueError("it is too large for YAML")
    try:
        node = yaml.compose(text, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        said = getattr(error, "problem", None) or reason_of(error)
        raise ValueError(f"line {mark.line + 1}: {said}" if mark else said) from None
    return None if node is None else _of_node(node, DEEPEST, iter(range(MOST_NODES)))


def _of_node(node: yaml.Node, depth: int, left: Iterator[int]) -> Value:
    """The value of a node; an alias is followed like a copy, so the copies are counted."""
    if depth == 0 or next(left, None) is None:
        raise ValueError("it is nested too deeply, or repeats itself too often")
    if isinstance(node, yaml.MappingNode):
        return Pairs(
            (_of_node(key, depth - 1, left), _of_node(value, depth - 1, left))
            for key, value in node.value
        )
    if isinstance(node, yaml.SequenceNode):
        return [_of_node(item, depth - 1, left) for item in node.value]
    return str(node.value)


def class_table_in(value: Value) -> tuple[Value, str]:
    """Return the classes in a configuration and their key; else the value and ''."""
    if not isinstance(value, Pairs):
        return value, ""
    inner = value.get("pretrained_cfg")
    for table in (value, inner if isinstance(inner, Pairs) else Pairs()):
        for key in TABLES:
            found = table.get(key)
            if isinstance(found, list):
                return found, key
    found = value.get(NAMES_TO_NUMBERS)
    return (found, NAMES_TO_NUMBERS) if isinstance(found, Pairs) else (value, "")


def class_names_in(value: Value, where: str) -> tuple[list[str], bool] | None:
    """Return the names in a list or map, and whether it is numbered from 1; None: it is neither.

    A map has numbers and names either way round. A list has names, lists that end in one, as
    ImageNet's class index, or objects with a name and perhaps a number, as COCO's categories.

    Raises ClassesRefused: the numbers have a gap, or two entries one number or one name.
    """
    if isinstance(value, Pairs):
        return _of_pairs(value, where)
    if not isinstance(value, list) or not value:
        return None
    if all(isinstance(item, Pairs) for item in value):
        return _of_objects(value, where)
    names = _strings(value)
    return None if names is None else (names, False)


def _of_pairs(pairs: Pairs, where: str) -> tuple[list[str], bool] | None:
    if not pairs:
        return None
    numbers = [_number(key) for key, _ in pairs]
    named = [_number(value) for _, value in pairs]
    forward = all(number is not None for number in numbers)
    written = all(isinstance(value, int) for _, value in pairs)  # a number, not the text of one
    if all(number is not None for number in named) and (written or not forward):
        # Keras's class_indices; its names may be numbers, as those of folders are.
        found = [(n, key) for n, (key, _) in zip(named, pairs, strict=True) if n is not None]
        if min(number for number, _ in found) not in (0, 1):
            return None
        places: dict[object, int] = {}
        for number, name in found:
            if name in places:
                raise ClassesRefused(
                    f"{where}: gives {name!r} two numbers, {places[name]} and {number}; a name "
                    "needs one."
                )
            places[name] = number
    elif forward:
        found = [(n, value) for n, (_, value) in zip(numbers, pairs, strict=True) if n is not None]
    else:
        return None
    names = _strings(name for _, name in found)
    if names is None:
        return None
    numbered = [(n, name, "") for (n, _), name in zip(found, names, strict=True)]
    return in_order(numbered, where)


def _of_objects(items: Iterable[object], where: str) -> tuple[list[str], bool] | None:
    """COCO's categories, and what else has an object for each class."""
    found: list[tuple[int | None, object]] = []
    for item in items:
        assert isinstance(item, Pairs)
        name = next((n for key in NAME_KEYS if (n := item.get(key)) is not None), None)
        numbers = (item.get(key) for key in NUMBER_KEYS)
        found.append((next((_number(n) for n in numbers if n is not None), None), name))
    names = _strings(name for _, name in found)
    if names is None:
        return None
    numbered = [n for n, _ in found if n is not None]
    if not numbered:
        return names, False
    if len(numbered) != len(names):
        raise ClassesRefused(f"{where}: some of its classes have a number and some have none.")
    return in_order([(n, name, "") for n, name in zip(numbered, names, strict=True)], where)


def in_order(numbered: list[tuple[int, str, str]], where: str) -> tuple[list[str], bool]:
    """Return names by their numbers, and whether these begin at 1.

    numbered: (number, name, place in the file) of each. Raises ClassesRefused: two have one number,
    or a number is missing.
    """
    by_number: dict[int, tuple[str, str]] = {}
    for number, name, place in numbered:
        if number in by_number:
            other, before = by_number[number]
            here = f"{place}: " if place else ""
            there = f" in {before}" if before else ""
            raise ClassesRefused(
                f"{where}: {here}number {number} is given to {name[:60]!r}, and to {other[:60]!r}"
                f"{there}: it numbers two names alike."
            )
        by_number[number] = (name, place)
    first = 1 if 0 not in by_number and 1 in by_number else 0
    for number in range(first, first + len(by_number)):
        if number not in by_number:
            raise ClassesRefused(
                f"{where}: has {len(by_number)} names and none for class {number}; number them "
                f"from {first} on, one for each output."
            )
    names = [by_number[number][0] for number in range(first, first + len(by_number))]
    return names, first == 1


def _number(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value if value >= 0 else None
    if isinstance(value, str) and value.strip().isdecimal() and value.isascii():
        return int(value) if len(value.strip()) < 10 else None
    return None


def _strings(values: Iterable[object]) -> list[str] | None:
    """Names, or the last of each list, as ImageNet's class index has them; None: not all text."""
    last = [v[-1] if isinstance(v, list) and not isinstance(v, Pairs) and v else v for v in values]
    text = [name.strip() for name in last if isinstance(name, str)]
    return text if len(text) == len(last) else None
