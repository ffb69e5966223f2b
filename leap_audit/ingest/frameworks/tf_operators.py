"""Convert operators of TensorFlow that tf2onnx lacks.

Each takes what tf2onnx gives a handler: its graph, the node, the node's name and arguments.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from leap_audit.run.session import Array

__all__ = ["handlers"]

Handler = Callable[[Any, Any, str, Any], None]
Resize = Callable[[Any, Any, Any, Any], Any]
"""Images, size, scale and translation in, images of that size out."""


def handlers(tf: Any) -> dict[str, tuple[Handler, list[str]]]:
    """Return TensorFlow's name of each operator with what writes it, as tf2onnx takes them.

    Erfc is in every exact GELU. ScaleAndTranslate is how pictures are made smaller with
    antialiasing, for which ONNX has had a word since opset 18 and tf2onnx none; the Resize that
    tf2onnx writes for ResizeBicubic is one that ONNX Runtime does not load.
    """
    return {
        "Erfc": (_erfc, []),
        "ScaleAndTranslate": (_scale_and_translate(tf), []),
        "ResizeBicubic": (_resize_bicubic(tf), []),
    }


def _erfc(graph: Any, node: Any, name: str, _: Any) -> None:
    """1 - erf(x)"""
    (y,) = node.output
    kind, shape = graph.get_dtype(y), graph.get_shape(y)
    one = graph.make_const(f"{name}_one", np.ones((), np.float32)).output[0]
    graph.remove_node(node.name)
    erf = graph.make_node("Erf", list(node.input), shapes=[shape], dtypes=[kind])
    graph.make_node(
        "Sub", [one, erf.output[0]], name=name, outputs=[y], shapes=[shape], dtypes=[kind]
    )


def _scale_and_translate(tf: Any) -> Handler:
    def write(graph: Any, node: Any, name: str, _: Any) -> None:
        def resize(images: Any, size: Any, scale: Any, translation: Any) -> Any:
            return tf.raw_ops.ScaleAndTranslate(
                images=images,
                size=size,
                scale=scale,
                translation=translation,
                kernel_type=node.get_attr_str("kernel_type"),
                antialias=bool(node.get_attr_int("antialias")),
            )

        size, translation = _numbers(node.inputs[1]), _numbers(node.inputs[3])
        if node.inputs[2].is_const():
            scale = _numbers(node.inputs[2])
        else:  # tf.image.resize divides the sizes in the graph
            scale = size / np.array(graph.get_shape(node.input[0])[1:3], np.float32)
        _as_matrices(tf, graph, node, name, resize, size, scale, translation)

    return write


def _resize_bicubic(tf: Any) -> Handler:
    def write(graph: Any, node: Any, name: str, _: Any) -> None:
        def resize(images: Any, size: Any, *_: Any) -> Any:
            return tf.raw_ops.ResizeBicubic(
                images=images,
                size=size,
                align_corners=bool(node.get_attr_int("align_corners")),
                half_pixel_centers=bool(node.get_attr_int("half_pixel_centers")),
            )

        size = _numbers(node.inputs[1])
        nothing = np.zeros(2, np.float32)
        _as_matrices(tf, graph, node, name, resize, size, nothing, nothing)

    return write


def _as_matrices(
    tf: Any,
    graph: Any,
    node: Any,
    name: str,
    resize: Resize,
    size: Array,
    scale: Array,
    translation: Array,
) -> None:
    """Resizing is linear and goes along one axis at a time: TensorFlow says each axis's matrix."""
    (y,) = node.output
    kind, shape = graph.get_dtype(y), graph.get_shape(y)
    _, height, width, _ = graph.get_shape(node.input[0])
    rows, columns = int(size[0]), int(size[1])
    along = [
        _matrix(tf, resize, axis, length, size, scale, translation)
        for axis, length in enumerate((height, width))
    ]
    x = node.input[0]
    graph.remove_node(node.name)

    def constant(label: str, array: Array) -> str:
        return str(graph.make_const(f"{name}_{label}", array).output[0])

    across = graph.make_node("MatMul", [constant("columns", along[1]), x]).output[0]
    flat = constant("flat", np.array([0, height, -1], np.int64))
    lines = graph.make_node("Reshape", [across, flat]).output[0]
    down = graph.make_node("MatMul", [constant("rows", along[0]), lines]).output[0]
    whole = constant("whole", np.array([0, rows, columns, -1], np.int64))
    graph.make_node("Reshape", [down, whole], name=name, outputs=[y], shapes=[shape], dtypes=[kind])


def _numbers(node: Any) -> Array:
    return np.asarray(node.get_tensor_value(as_list=False))


def _matrix(
    tf: Any,
    resize: Resize,
    axis: int,
    length: int,
    size: Array,
    scale: Array,
    translation: Array,
) -> Array:
    """Return (new length, length): what becomes of each unit vector along an axis."""
    one, still, first = np.ones(2, np.int32), np.ones(2, np.float32), np.zeros(2, np.float32)
    for start, own in ((one, size), (still, scale), (first, translation)):
        start[axis] = own[axis]
    units = np.expand_dims(np.eye(length, dtype=np.float32), 1 - axis)[None]
    # tf2onnx calls within a graph of its own, where nothing is computed.
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        made = session.run(resize(tf.constant(units), one, still, first))
    return np.asarray(made).reshape(int(size[axis]), length)
