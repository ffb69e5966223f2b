"""What users bring and how it was made: one small model for each producer and route.

`tests/test_producers.py` brings each of them in, and `tools/producers_page.py` writes the table of
docs/bring-any-model.md from this registry.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from leap_audit.canonical.products import with_unsigned_factors
from leap_audit.ingest.frameworks import tf_runtime

__all__ = ["PRODUCERS", "SIZE", "Made", "Producer"]

SIZE = (16, 16)
"""(height, width) in pixels of the pictures that every model here takes, in three channels."""
CLASSES = 5


@dataclass(frozen=True)
class Made:
    """A model as its producer leaves it, and what the producer's own runtime makes of pictures."""

    model: object
    """A path or an object, as `leap_audit.ingest.load` takes it."""
    answers: Callable[[np.ndarray], np.ndarray]
    """Pictures (batch, 3, height, width) in 0..1 -> the model's answers (batch, classes)."""
    value_range: tuple[float, float] | None = (0.0, 1.0)
    """What black and white become, said by the user; None: read from the graph."""


@dataclass(frozen=True)
class Producer:
    """A way in which models are made, with what leap-audit does to read them."""

    name: str
    route: str
    treatment: str
    packages: tuple[str, ...]
    """What must be installed to make the model."""
    make: Callable[[Path], Made]
    """Make the model in an empty folder."""
    exact: bool = True
    """Whether the answers are the producer's to 1e-4; those of a quantised model are steps."""


PRODUCERS: dict[str, Producer] = {}


def producer(
    name: str, route: str, treatment: str, *packages: str, exact: bool = True
) -> Callable[[Callable[[Path], Made]], Callable[[Path], Made]]:
    """Enter the function that makes a model into PRODUCERS, under its name."""

    def enter(make: Callable[[Path], Made]) -> Callable[[Path], Made]:
        entry = Producer(name, route, treatment, packages, make, exact)
        PRODUCERS[make.__name__] = entry
        return make

    return enter


@cache
def transformer() -> Any:
    """Return a vision transformer of one block as a torch.nn.Module, with random weights."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.mlp = nn.Sequential(nn.Linear(width, 32), nn.GELU(), nn.Linear(32, width))

        def forward(self, x: Any) -> Any:
            batch, tokens, width = x.shape
            qkv = self.qkv(self.norm1(x)).reshape(batch, tokens, 3, 2, width // 2)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            heads = nn.functional.scaled_dot_product_attention(q, k, v)
            x = x + self.out(heads.transpose(1, 2).reshape(batch, tokens, width))
            return x + self.mlp(self.norm2(x))

    class Transformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 16, 4, 4)
            self.token = nn.Parameter(torch.randn(1, 1, 16))
            self.places = nn.Parameter(torch.randn(1, 17, 16) * 0.3)
            self.block, self.norm, self.head = Block(16), nn.LayerNorm(16), nn.Linear(16, CLASSES)

        def forward(self, x: Any) -> Any:
            x = self.patches(x).flatten(2).transpose(1, 2)
            x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
            return self.head(self.norm(self.block(x))[:, 0])

    torch.manual_seed(0)
    return Transformer().eval()


@cache
def convolutional() -> Any:
    """Return a convolutional torch.nn.Module with batch normalisation, with random weights."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1, groups=2),
        nn.SiLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, CLASSES),
    )
    module(torch.rand(32, 3, *SIZE))  # statistics
    return module.eval()


@cache
def keras_network() -> Any:
    """Return a Keras model with its preprocessing inside, which takes pictures of 0..255."""
    keras = tf_runtime.keras()
    layers = keras.layers
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((*SIZE, 3)),
            layers.Rescaling(1 / 127.5, offset=-1),
            layers.Conv2D(8, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )


def of_torch(module: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Return what a torch.nn.Module makes of pictures."""
    import torch

    def answers(pictures: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return np.asarray(module(torch.from_numpy(pictures)))

    return answers


def of_keras(model: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Return what a Keras model makes of pictures: it takes 0..255, the channels last."""
    return lambda pictures: np.asarray(model(255 * pictures.transpose(0, 2, 3, 1)))


def of_file(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Return what ONNX Runtime makes of pictures by a file, on processors without VNNI too."""
    import onnxruntime

    exact = with_unsigned_factors(onnx.load(path), {}).SerializeToString()
    session = onnxruntime.InferenceSession(exact, providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    kind = np.float16 if entry.type == "tensor(float16)" else np.float32

    def answers(pictures: np.ndarray) -> np.ndarray:
        rows = [session.run(None, {entry.name: x[None].astype(kind)})[0] for x in pictures]
        return np.concatenate(rows).astype(np.float32)

    return answers


def torchscript_export(module: Any, path: Path, axes: dict[int, str] | None, opset: int) -> Path:
    """Write a module by PyTorch's TorchScript-based exporter; axes: the input's free ones."""
    import torch

    free = {"pixel_values": axes, "logits": {0: axes[0]}} if axes else None
    example = torch.rand(2 if axes else 1, 3, *SIZE)
    with warnings_ignored():
        torch.onnx.export(
            module,
            (example,),
            path,
            input_names=["pixel_values"],
            output_names=["logits"],
            dynamic_axes=free,
            opset_version=opset,
            dynamo=False,
        )
    return path


def warnings_ignored() -> Any:
    """Return a context in which a producer's own warnings are not errors."""
    import warnings

    return warnings.catch_warnings(action="ignore")


FREE_AXES = {0: "batch_size", 1: "num_channels", 2: "height", 3: "width"}


@producer(
    "PyTorch, TorchScript-based exporter",
    "`torch.onnx.export(..., dynamo=False)`, axes fixed",
    "sizes that depend on constants are folded; the batch of 1 is freed",
    "torch",
)
def torchscript_fixed(folder: Path) -> Made:
    path = torchscript_export(transformer(), folder / "model.onnx", None, 17)
    return Made(path, of_torch(transformer()))


@producer(
    "PyTorch, TorchScript-based exporter",
    "`torch.onnx.export(..., dynamo=False, dynamic_axes=...)`, a free batch",
    "sizes that depend on the batch are folded for the batch that is used",
    "torch",
)
def torchscript_free_batch(folder: Path) -> Made:
    path = torchscript_export(transformer(), folder / "model.onnx", {0: "batch"}, 14)
    return Made(path, of_torch(transformer()))


@producer(
    "Hugging Face optimum",
    "`optimum-cli export onnx`: all four axes free",
    "`--input-size` fixes the height and width; the names of the axes say the layout",
    "torch",
)
def optimum(folder: Path) -> Made:
    path = torchscript_export(transformer(), folder / "model.onnx", FREE_AXES, 14)
    return Made(path, of_torch(transformer()))


@producer(
    "PyTorch, dynamo exporter",
    "`torch.onnx.export(..., dynamo=True)`",
    "functions are inlined",
    "torch",
)
def dynamo(folder: Path) -> Made:
    import torch

    path = folder / "model.onnx"
    with warnings_ignored():
        torch.onnx.export(
            transformer(), (torch.rand(1, 3, *SIZE),), path, dynamo=True, verbose=False
        )
    return Made(path, of_torch(transformer()))


@producer(
    "PyTorch, torch.export",
    "`torch.export.save(torch.export.export(module, (example,)), 'model.pt2')`",
    "written as ONNX by PyTorch's exporter, compared with the program",
    "torch",
)
def exported_program(folder: Path) -> Made:
    import torch

    path = folder / "model.pt2"
    torch.export.save(torch.export.export(transformer(), (torch.rand(1, 3, *SIZE),)), path)
    return Made(path, of_torch(transformer()))


@producer(
    "PyTorch, TorchScript",
    "`torch.jit.trace(module, example).save('model.pt')`",
    "written as ONNX by PyTorch's TorchScript-based exporter, compared with the script",
    "torch",
)
def torchscript(folder: Path) -> Made:
    import torch

    path = folder / "model.pt"
    with warnings_ignored():
        torch.jit.trace(transformer(), torch.rand(1, 3, *SIZE)).save(path)
    return Made(path, of_torch(transformer()))


@producer(
    "PyTorch, a module in Python",
    "`leap_audit.audit(module, ...)`",
    "exported by torch.export; run by PyTorch itself where it cannot be",
    "torch",
)
def module(folder: Path) -> Made:
    return Made(transformer(), of_torch(transformer()))


@producer(
    "timm",
    "`torch.onnx.export(timm.create_model(...), ..., dynamo=False)`, as `onnx_export.py` does",
    "as PyTorch; `--preprocessing timm.NAME` brings the preprocessing",
    *("torch", "timm", "torchvision"),
)
def timm_export(folder: Path) -> Made:
    from benchmarks.networks import torchvision_operators

    _operators = torchvision_operators()  # until timm is imported
    import timm
    import torch

    torch.manual_seed(0)
    name = "vit_tiny_patch16_224"
    with warnings_ignored():
        small = {"img_size": SIZE, "patch_size": 8, "embed_dim": 24, "depth": 1}
        network = timm.create_model(name, num_classes=CLASSES, **small).eval()
    path = torchscript_export(network, folder / "model.onnx", {0: "batch"}, 17)
    return Made(path, of_torch(network))


@producer(
    "Ultralytics classification",
    "`YOLO('yolo-cls.pt').export(format='onnx')`: a Softmax inside, names in the metadata",
    "the Softmax is taken off; the names of the classes come from the metadata",
    "torch",
)
def ultralytics(folder: Path) -> Made:
    import torch

    network = torch.nn.Sequential(convolutional(), torch.nn.Softmax(1)).eval()
    path = torchscript_export(network, folder / "model.onnx", None, 17)
    proto = onnx.load(path)
    names = {number: f"name {number}" for number in range(CLASSES)}
    onnx.helper.set_model_props(proto, {"names": str(names), "imgsz": "[16, 16]", "stride": "1"})
    onnx.save(proto, path)
    return Made(path, of_torch(network))


@producer(
    "Keras",
    "`model.save('model.keras')`",
    "converted by tf2onnx, compared with Keras; preprocessing layers are read",
    *("tensorflow", "tf2onnx"),
)
def keras_file(folder: Path) -> Made:
    path = folder / "model.keras"
    with tf_runtime.quiet():
        keras_network().save(path)
    return Made(path, of_keras(keras_network()), None)


@producer(
    "Keras",
    "`model.save('model.h5')`",
    "as a .keras file",
    *("tensorflow", "tf2onnx"),
)
def keras_hdf5(folder: Path) -> Made:
    path = folder / "model.h5"
    with tf_runtime.quiet(), warnings_ignored():
        keras_network().save(path)
    return Made(path, of_keras(keras_network()), None)


@producer(
    "Keras",
    "`model.export('model.onnx', format='onnx')`",
    "an ONNX file with its channels last; preprocessing inside the graph is read",
    *("tensorflow", "tf2onnx"),
)
def keras_onnx(folder: Path) -> Made:
    path = folder / "model.onnx"
    with tf_runtime.quiet(), warnings_ignored():
        keras_network().export(path, format="onnx", verbose=False)
    return Made(path, of_keras(keras_network()), None)


@producer(
    "TensorFlow",
    "`tf.saved_model.save(...)`, a folder",
    "the serving signature is converted by tf2onnx",
    *("tensorflow", "tf2onnx"),
)
def saved_model(folder: Path) -> Made:
    path = folder / "saved"
    with tf_runtime.quiet():
        keras_network().export(path, format="tf_saved_model", verbose=False)
    return Made(path, of_keras(keras_network()), None)


@producer(
    "TensorFlow Lite",
    "`tf.lite.TFLiteConverter.from_keras_model(model).convert()`",
    "converted by tf2onnx; `--range 0,255` says what its converter folds into the first layer",
    *("tensorflow", "tf2onnx"),
)
def tflite(folder: Path) -> Made:
    path = folder / "model.tflite"
    with tf_runtime.quiet():
        converter = tf_runtime.tensorflow().lite.TFLiteConverter
        path.write_bytes(converter.from_keras_model(keras_network()).convert())
    return Made(path, of_keras(keras_network()), (0.0, 255.0))


@producer(
    "JAX, by way of tf2onnx",
    "`tf2onnx.convert.from_function(tf.function(jax2tf.convert(apply)), ...)`",
    "the Softmax that JAX writes as exp, sum and division is measured to be one",
    *("tensorflow", "tf2onnx"),
)
def jax(folder: Path) -> Made:
    """The graph that jax2tf writes of a small network; JAX itself is not needed."""
    tf = tf_runtime.tensorflow()
    rng = np.random.default_rng(0)
    kernel = rng.standard_normal((3, 3, 3, 8)).astype(np.float32) * 0.4
    last = rng.standard_normal((8, CLASSES)).astype(np.float32)

    @tf.function(input_signature=[tf.TensorSpec((None, *SIZE, 3), tf.float32)])
    def apply(x: Any) -> Any:
        features = tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME"))
        scores = tf.einsum("nc,ck->nk", tf.reduce_mean(features, (1, 2)), last)
        powers = tf.exp(scores - tf.stop_gradient(tf.reduce_max(scores, -1, keepdims=True)))
        return powers / tf.reduce_sum(powers, -1, keepdims=True)

    with tf_runtime.quiet(), warnings_ignored():
        proto, _ = tf_runtime.converter().convert.from_function(apply, apply.input_signature)
    path = folder / "model.onnx"
    onnx.save(proto, path)
    return Made(path, lambda pictures: np.asarray(apply(pictures.transpose(0, 2, 3, 1))))


def float_file(folder: Path, module: Any, name: str = "float.onnx") -> Path:
    """Write a module as users write it before they quantise or optimise it."""
    return torchscript_export(module, folder / name, {0: "batch"}, 17)


def quantised(folder: Path, module: Any, layout: str) -> Made:
    """Return a model that ONNX Runtime quantised with its defaults: dynamic, QDQ or QOperator."""
    from onnxruntime import quantization

    source, path = float_file(folder, module), folder / "model.onnx"
    rng = np.random.default_rng(0)
    batches = [{"pixel_values": rng.random((1, 3, *SIZE), np.float32)} for _ in range(4)]

    class Reader(quantization.CalibrationDataReader):
        def get_next(self) -> Any:
            return batches.pop() if batches else None

    with warnings_ignored():
        prepared = folder / "prepared.onnx"
        quantization.shape_inference.quant_pre_process(source, prepared)
        if layout == "dynamic":
            quantization.quantize_dynamic(prepared, path)
        else:
            form = getattr(quantization.QuantFormat, layout)
            quantization.quantize_static(prepared, path, Reader(), quant_format=form)
    return Made(path, of_file(path))


@producer(
    "ONNX Runtime, quantize_dynamic",
    "`quantize_dynamic('model.onnx', 'quantised.onnx')`",
    "the gradient passes straight through rounding; a warning says so",
    *("torch", "onnxruntime"),
    exact=False,
)
def quantised_dynamic(folder: Path) -> Made:
    return quantised(folder, transformer(), "dynamic")


@producer(
    "ONNX Runtime, quantize_static",
    "`quantize_static(..., quant_format=QuantFormat.QDQ)`",
    "the gradient passes straight through rounding; a warning says so",
    *("torch", "onnxruntime"),
    exact=False,
)
def quantised_qdq(folder: Path) -> Made:
    return quantised(folder, convolutional(), "QDQ")


@producer(
    "ONNX Runtime, quantize_static",
    "`quantize_static(..., quant_format=QuantFormat.QOperator)`",
    "operators on whole numbers are written in floating point between quantisations",
    *("torch", "onnxruntime"),
    exact=False,
)
def quantised_operators(folder: Path) -> Made:
    return quantised(folder, convolutional(), "QOperator")


def optimised(folder: Path, module: Any, level: str) -> Made:
    """Return a model as ONNX Runtime's optimiser writes it at a level."""
    import onnxruntime

    source, path = float_file(folder, module), folder / "model.onnx"
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 4
    onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return Made(path, of_torch(module))


@producer(
    "ONNX Runtime's optimiser",
    "`optimized_model_filepath`, level BASIC",
    "an ONNX file like others",
    *("torch", "onnxruntime"),
)
def optimised_basic(folder: Path) -> Made:
    return optimised(folder, transformer(), "ORT_ENABLE_BASIC")


@producer(
    "ONNX Runtime's optimiser",
    "`optimized_model_filepath`, level EXTENDED",
    "fused operators of com.microsoft are written in standard ones",
    *("torch", "onnxruntime"),
)
def optimised_extended(folder: Path) -> Made:
    return optimised(folder, transformer(), "ORT_ENABLE_EXTENDED")


@producer(
    "ONNX Runtime's optimiser",
    "`optimized_model_filepath`, level ALL",
    "the layout for one processor (NCHWc) is undone",
    *("torch", "onnxruntime"),
)
def optimised_all(folder: Path) -> Made:
    return optimised(folder, convolutional(), "ORT_ENABLE_ALL")


@producer(
    "onnxconverter-common",
    "`float16.convert_float_to_float16(model)`",
    "computed as it is, in half precision",
    *("torch", "onnxruntime"),
    exact=False,
)
def half_precision(folder: Path) -> Made:
    from onnxruntime.transformers import float16  # a copy of onnxconverter-common's

    proto = float16.convert_float_to_float16(onnx.load(float_file(folder, convolutional())))
    path = folder / "model.onnx"
    onnx.save(proto, path)
    return Made(path, of_file(path))


@producer(
    "scikit-learn, Azure Custom Vision",
    "a ZipMap at the end: label and {name: probability}",
    "the tensor behind the ZipMap is read; its labels are the names of the classes",
    "torch",
)
def zipmap(folder: Path) -> Made:
    import torch

    network = torch.nn.Sequential(convolutional(), torch.nn.Softmax(1)).eval()
    path = float_file(folder, network, "model.onnx")
    proto = onnx.load(path)
    labels = [f"label {number}" for number in range(CLASSES)]
    proto.graph.node.append(
        onnx.helper.make_node(
            "ZipMap", ["logits"], ["loss"], domain="ai.onnx.ml", classlabels_strings=labels
        )
    )
    maps = onnx.helper.make_map_type_proto(
        onnx.TensorProto.STRING, onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, [])
    )
    sequence = onnx.helper.make_sequence_type_proto(maps)
    proto.graph.output[0].CopyFrom(onnx.helper.make_value_info("loss", sequence))
    proto.opset_import.append(onnx.helper.make_opsetid("ai.onnx.ml", 1))
    onnx.save(proto, path)
    return Made(path, of_torch(network))
