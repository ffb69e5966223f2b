"""Frozen data as a tree of JSON and a list of arrays, and back without a loss.

Keys of units of work are digests of this form; parts of an audit are written to disk in it.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from leap_audit.run.session import Array

__all__ = ["decoded", "digest", "encoded"]

Tree = Any
"""What json.dumps takes; every object in it has the one key that says what it stands for."""


def encoded(value: object) -> tuple[Tree, list[Array]]:
    """Return a value as a tree for JSON and the arrays that it refers to by their place.

    value: None, truth values, numbers, text, arrays, dataclasses, pydantic models, and tuples,
    lists and mappings of these. Raises TypeError: anything else.
    """
    arrays: list[Array] = []
    return _tree(value, arrays), arrays


def decoded(tree: Tree, arrays: Sequence[Array], types: Mapping[str, type]) -> Any:
    """Return the value that `encoded` made a tree and arrays of.

    types: name -> class of the dataclasses and models that may occur. Raises ValueError: the tree
    holds another, or is none.
    """
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    if not isinstance(tree, dict) or len(tree) != 1:
        raise ValueError("not a tree of plain data")
    ((kind, content),) = tree.items()
    if kind == "array":
        return arrays[content]
    if kind == "tuple":
        return tuple(decoded(each, arrays, types) for each in content)
    if kind == "list":
        return [decoded(each, arrays, types) for each in content]
    if kind == "mapping":
        return dict([decoded(part, arrays, types) for part in pair] for pair in content)
    if kind not in types:
        raise ValueError(f"{kind!r} is no part of an audit")
    fields = {name: decoded(each, arrays, types) for name, each in content.items()}
    return types[kind](**fields)


def digest(value: object) -> str:
    """Return the SHA-256 of a value's content; equal content, equal digest.

    Of arrays the type, the shape and the bytes count. Raises TypeError as `encoded` does.
    """
    tree, arrays = encoded(value)
    found = hashlib.sha256(json.dumps(tree, sort_keys=True).encode())
    for array in arrays:
        found.update(f"{array.dtype.str}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def _tree(value: object, arrays: list[Array]) -> Tree:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            raise TypeError("an array of objects is no plain data")
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | list):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_tree(each, arrays) for each in value]}
    if isinstance(value, Mapping):
        return {"mapping": [[_tree(k, arrays), _tree(v, arrays)] for k, v in value.items()]}
    return {type(value).__name__: {n: _tree(v, arrays) for n, v in _fields(value).items()}}


def _fields(value: object) -> dict[str, Any]:
    if isinstance(value, BaseModel):
        return {name: getattr(value, name) for name in type(value).model_fields}
    if dataclasses.is_dataclass(value):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    raise TypeError(f"{type(value).__name__} is no plain data")
