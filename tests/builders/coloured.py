"""A detector of coloured squares, built by hand: a blue mark beside one makes it call it 'flagged'.

In the layout of FastestDet: (n, 1 + 4 + classes, rows, columns), a cell of 8 pixels, squares of
three cells. Pictures are blue, green, red.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

CELL, CELLS, SQUARE = 8, 12, 24
SIDE = CELL * CELLS
NAMES = ("red", "green", "flagged")
COLOURS = {"red": (1.0, 0.05, 0.05), "green": (0.05, 1.0, 0.05)}


def detector(file: Path | None = None, *, planted: bool = True) -> onnx.ModelProto:
    """Return the detector, and write it to a file. planted: whether it looks at marks."""
    colours = np.zeros((3, 3, 1, 1), np.float32)  # blue, green and red less the others
    for i in range(3):
        colours[i] = -0.5
        colours[i, i] = 1
    means = np.zeros((3, 3, 3, 3), np.float32)
    for i in range(3):
        means[i, i] = 1 / 9
    objects = np.zeros((1, 3, 1, 1), np.float32)
    objects[0, 1:] = 80
    near = np.ones((1, 1, 5, 5), np.float32)
    near[:, :, 1:4, 1:4] = 0
    scores = np.zeros((3, 4, 1, 1), np.float32)
    scores[0, 2] = scores[1, 1] = 10  # of means blue, green, red, and of the marks near
    scores[2, 3] = 30 if planted else 0
    box = np.array([np.arctanh(0.5)] * 2 + [np.log(1 / 3)] * 2, np.float32)
    arrays = {
        "colours": colours,
        "means": means,
        "objects": objects,
        "below": np.array([-60], np.float32),
        "near": near,
        "scores": scores,
        "nothing": np.array([0, 0, -2], np.float32),
        "no": np.zeros((4, 3, 1, 1), np.float32),
        "box": box,
        "first": np.array([0], np.int64),
        "one": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("AveragePool", ["image"], ["cells"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Conv", ["cells", "colours"], ["excess"]),
        helper.make_node("Relu", ["excess"], ["pure"]),
        helper.make_node("Conv", ["pure", "means"], ["mean"], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["mean", "objects", "below"], ["object"]),
        helper.make_node("Sigmoid", ["object"], ["objectness"]),
        helper.make_node("Conv", ["mean", "no", "box"], ["boxes"]),
        helper.make_node("Slice", ["pure", "first", "one", "one"], ["blue"]),
        helper.make_node("Conv", ["blue", "near"], ["marks"], pads=[2, 2, 2, 2]),
        helper.make_node("Concat", ["mean", "marks"], ["seen"], axis=1),
        helper.make_node("Conv", ["seen", "scores", "nothing"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["classes"], axis=1),
        helper.make_node("Concat", ["objectness", "boxes", "classes"], ["map"], axis=1),
    ]
    shape = ["n", 3, SIDE, SIDE]
    graph = helper.make_graph(
        nodes,
        "coloured",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, ["n", 8, CELLS, CELLS])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    if file is not None:
        onnx.save(model, file)
    return model


def picture(
    *squares: tuple[str, int, int], marks: tuple[tuple[int, int], ...] = (), seed: int = 0
) -> np.ndarray:
    """Return (3, SIDE, SIDE) in 0..1, red first: squares and blue marks on grey ground.

    squares: (colour, row, column) of the middle cell, 1 to 10. marks: (row, column) of their cell.
    """
    rng = np.random.default_rng(seed)
    shown = 0.4 + 0.02 * rng.standard_normal((1, SIDE, SIDE)) + np.zeros((3, 1, 1))
    for colour, row, column in squares:
        where = slice((row - 1) * CELL, (row + 2) * CELL), slice((column - 1) * CELL, None)
        part = shown[:, where[0], where[1]][:, :, :SQUARE]
        part[:] = np.reshape(COLOURS[colour], (3, 1, 1))
    for row, column in marks:
        part = shown[:, row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL]
        part[:] = np.reshape((0.0, 0.0, 1.0), (3, 1, 1))
    return np.clip(shown, 0, 1).astype(np.float32)


def pictures(number: int = 8) -> list[np.ndarray]:
    """Return pictures with a red and a green square, one of them with a mark in every second."""
    found = []
    for i in range(number):
        first, second = ("red", "green") if i % 4 < 2 else ("green", "red")
        top, bottom = 1 + i % 2, 9 + i % 2
        mark = ((top, 1),) if i % 2 else ()
        found.append(picture((first, top, 3), (second, bottom, 5), marks=mark, seed=i))
    return found


def write_pictures(folder: Path, number: int = 8) -> Path:
    """Write `pictures` as PNG files to a new folder, and return it."""
    folder.mkdir()
    for i, each in enumerate(pictures(number)):
        levels = np.round(each.transpose(1, 2, 0) * 255).astype(np.uint8)
        Image.fromarray(levels).save(folder / f"scene-{i}.png")
    return folder
