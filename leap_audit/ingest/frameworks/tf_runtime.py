"""Import TensorFlow, Keras and tf2onnx, lazily and silently: no other module does."""

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from leap_audit.errors import RuntimeMissing

__all__ = [
    "converter",
    "keras",
    "lite_schema",
    "node_definition",
    "operators_of_tensorflow",
    "quiet",
    "saved_model",
    "tensorflow",
]

MISSING = "{} is not installed: pip install 'leap-audit[tensorflow]'."


def tensorflow() -> Any:
    """Return the module tensorflow. Raises RuntimeMissing: it is not installed."""
    with _importing("TensorFlow"):
        import tensorflow
    return tensorflow


def keras() -> Any:
    """Return the module keras, on the backend that it is configured for.

    Raises RuntimeMissing: Keras or that backend is not installed.
    """
    with _importing("Keras 3, or the backend that it is set to,"):
        import keras
    return keras


def converter() -> Any:
    """Return the module tf2onnx. Raises RuntimeMissing: it is not installed."""
    with _importing("tf2onnx"):
        import tf2onnx.convert
        import tf2onnx.tf_loader
        import tf2onnx.utils
    return tf2onnx


def saved_model() -> Any:
    """Return an empty SavedModel message. Raises RuntimeMissing: TensorFlow is not installed."""
    with _importing("TensorFlow"):
        from tensorflow.core.protobuf import saved_model_pb2
    return saved_model_pb2.SavedModel()


def operators_of_tensorflow() -> list[Any]:
    """Return the definitions of all operators. Raises RuntimeMissing: TensorFlow is missing."""
    tensorflow()
    with _importing("TensorFlow"):
        from tensorflow.core.framework import op_def_pb2
        from tensorflow.python.client import pywrap_tf_session
    found = op_def_pb2.OpList()
    found.ParseFromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    return list(found.op)


def lite_schema() -> Any:
    """Return the classes that read TensorFlow Lite. Raises RuntimeMissing."""
    with _importing("TensorFlow"):
        from tensorflow.lite.python import schema_py_generated
    return schema_py_generated


def node_definition() -> Any:
    """Return an empty node of a graph. Raises RuntimeMissing: TensorFlow is not installed."""
    with _importing("TensorFlow"):
        from tensorflow.core.framework import node_def_pb2
    return node_def_pb2.NodeDef()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence TensorFlow and tf2onnx: prints, logs and warnings, from C++ too."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        for number, stream in ((1, sys.stdout), (2, sys.stderr)):
            stack.enter_context(_diverted(number, stream))
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        stack.callback(logging.disable, logging.root.manager.disable)
        logging.disable(logging.CRITICAL)
        yield


@contextlib.contextmanager
def _importing(name: str) -> Iterator[None]:
    with quiet(), patch.dict(os.environ):
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        try:
            yield
        except ImportError:
            raise RuntimeMissing(MISSING.format(name)) from None


@contextlib.contextmanager
def _diverted(number: int, stream: Any) -> Iterator[None]:
    """Discard everything that is written to a file descriptor."""
    if stream is not None:
        stream.flush()
    kept, nowhere = os.dup(number), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(kept, number)
        os.close(kept)
