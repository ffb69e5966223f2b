"""TensorFlow Lite, looked through before it is opened: which operators of TensorFlow it holds."""

from pathlib import Path
from typing import Any

from leap_audit.errors import ModelRefused
from leap_audit.files import read_regular
from leap_audit.ingest.frameworks.tf_allowed import require_inside
from leap_audit.ingest.frameworks.tf_runtime import lite_schema, node_definition
from leap_audit.ingest.sandbox.programs import require_walls

__all__ = ["checked_tflite"]

LARGEST = 2 << 30
FLEX = "Flex"
"""Operators whose names begin so are TensorFlow's own, which may do more than compute."""


def checked_tflite(path: Path) -> bytes:
    """Return the bytes of a TensorFlow Lite file, once its operators were looked at.

    Raises ModelRefused: damaged; it holds operators of TensorFlow that reach outside the model, or
    any of them where no wall stands and the file is not trusted.
    """
    try:
        data = read_regular(path, LARGEST)
    except OSError as error:
        raise ModelRefused(f"{path}: cannot be read ({error.strerror or error}).") from None
    try:
        found = sorted(set(_flex(data)))
    except Exception:  # flatbuffers checks nothing, and may stumble anywhere
        raise ModelRefused(f"{path}: TensorFlow Lite cannot load it: it is damaged.") from None
    if found:
        require_walls(path, "TensorFlow Lite with operators of TensorFlow")
        require_inside(path, found)
    return data


def _flex(data: bytes) -> list[str]:
    model = lite_schema().Model.GetRootAsModel(data, 0)
    codes = [model.OperatorCodes(i).CustomCode() or b"" for i in range(model.OperatorCodesLength())]
    names = [code.decode("utf-8", "backslashreplace") for code in codes]
    found = [name.removeprefix(FLEX) for name in names if name.startswith(FLEX)]
    for s in range(model.SubgraphsLength()):
        graph = model.Subgraphs(s)
        for o in range(graph.OperatorsLength()):
            operator = graph.Operators(o)
            if names[operator.OpcodeIndex()].startswith(FLEX):
                found += _defined(operator)
    return found


def _defined(operator: Any) -> list[str]:
    """What is run: the node in an operator's options, whatever the operator is called."""
    from flatbuffers import flexbuffers

    options = operator.CustomOptionsAsNumpy()
    if isinstance(options, int):  # none
        return []
    name, written = flexbuffers.Loads(bytearray(options.tobytes()))[:2]
    node = node_definition()
    node.ParseFromString(written if isinstance(written, bytes) else written.encode("latin-1"))
    called = [value.func.name for value in node.attr.values() if value.func.name]
    return [str(name), node.op, *called]
