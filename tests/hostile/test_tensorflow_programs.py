"""SavedModels, files of Keras and TensorFlow Lite: every attack is refused without a wall."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from leap_audit.errors import ModelRefused
from leap_audit.ingest.frameworks import tf_runtime
from leap_audit.ingest.frameworks.tensorflow import export_tensorflow_file
from leap_audit.ingest.frameworks.tf_allowlist import is_allowed
from leap_audit.ingest.frameworks.tflite import checked_tflite
from tests.builders.lazily import Lazily, require

require("tensorflow", "keras", "tf2onnx")
tf, keras = Lazily(tf_runtime.tensorflow), Lazily(tf_runtime.keras)
pytestmark = pytest.mark.xdist_group("tensorflow")  # one process imports it

REACH_OUTSIDE = (
    *("ReadFile", "WriteFile", "MatchingFiles", "ImmutableConst", "PyFunc", "EagerPyFunc"),
    *("PyFuncStateless", "SaveV2", "Save", "SaveSlices", "MergeV2Checkpoints", "RestoreV2"),
    *("RestoreSlice", "Restore", "DistributedSave", "DTensorRestoreV2", "TFRecordDataset"),
    *("TextLineDataset", "FixedLengthRecordDatasetV2", "SqlDataset", "WholeFileReaderV2"),
    *("LMDBReader", "TextLineReaderV2", "SnapshotDatasetV2", "InitializeTableFromTextFileV2"),
    *("LoadAndRemapMatrix", "GenerateVocabRemapping", "PrintV2", "Print", "DebugIdentityV2"),
    *("DebugNumericSummaryV2", "DumpTensor", "CreateSummaryFileWriter", "WriteSummary"),
    *("RpcServer", "RpcServerStart", "RpcClient", "RpcCall", "RemoteCall", "Send", "Recv"),
    *("_Send", "_HostSend", "XlaCallModule", "XlaCustomCallV2", "XlaHostCompute", "IteratorV2"),
    *("FileSystemSetConfiguration", "CollectiveReduceV2", "NcclAllReduce", "GetSessionTensor"),
    *("OutfeedEnqueue", "RecordInput", "Batch", "NoSuchOperator", "CalibrationStatisticsSaver"),
)
COMPUTE = (
    *("Conv2D", "MatMul", "FusedBatchNormV3", "VarHandleOp", "ReadVariableOp", "Relu", "Softmax"),
    *("StatefulPartitionedCall", "PartitionedCall", "If", "StatelessWhile", "Cast", "Placeholder"),
    *("Const", "NoOp", "Identity", "ResizeBilinear", "HashTableV2", "LookupTableFindV2"),
    *("RandomUniform", "StringJoin", "DepthwiseConv2dNative", "Einsum", "TensorListReserve"),
)


@pytest.mark.parametrize("name", REACH_OUTSIDE)
def test_an_operator_that_reaches_outside(name: str) -> None:
    assert not is_allowed(name) or name == "Batch"


@pytest.mark.parametrize("name", COMPUTE)
def test_an_operator_that_computes(name: str) -> None:
    assert is_allowed(name)


def refused(path: Path) -> str:
    with pytest.raises(ModelRefused) as caught:
        export_tensorflow_file(path, (4, 4, 1))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def writer(place: str) -> Any:
    class Module(tf.Module):
        """Serves a sum, and writes a checkpoint when it is called."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = tf.Variable(1.0)

        @tf.function(input_signature=[tf.TensorSpec((None, 4, 4, 1), tf.float32)])
        def serve(self, x: Any) -> Any:
            tf.raw_ops.SaveV2(
                prefix=place, tensor_names=["a"], shape_and_slices=[""], tensors=[self.weight]
            )
            return tf.reduce_sum(x, (1, 2)) * self.weight

    return Module()


def saved(folder: Path, module: Any, function: Any) -> Path:
    with tf_runtime.quiet():
        tf.saved_model.save(module, str(folder), signatures=function)
    return folder


def test_a_saver_in_what_is_served(tmp_path: Path) -> None:
    module = writer(str(tmp_path / "ran"))
    said = refused(saved(tmp_path / "model", module, module.serve))
    assert "reach outside the model (SaveV2)" in said
    assert not list(tmp_path.glob("ran*"))


def test_a_saver_in_an_initialiser(tmp_path: Path) -> None:
    """The function that fills a table while it is loaded writes a file."""

    class Module(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            keys, values = tf.constant(["a"]), tf.constant([1.0])
            initialiser = tf.lookup.KeyValueTensorInitializer(keys, values)
            self.table = tf.lookup.StaticHashTable(initialiser, 0.0)

        @tf.function(input_signature=[tf.TensorSpec((None, 4, 4, 1), tf.float32)])
        def serve(self, x: Any) -> Any:
            return tf.reduce_sum(x, (1, 2)) + self.table.lookup(tf.constant("a"))

    module = Module()
    folder = saved(tmp_path / "model", module, module.serve)
    message = tf_runtime.saved_model()
    message.ParseFromString((folder / "saved_model.pb").read_bytes())
    (meta,) = message.meta_graphs
    wanted = [f for f in meta.graph_def.library.function if "initializer" in f.signature.name]
    assert wanted
    for function in wanted:
        with tf.Graph().as_default() as graph:
            place = tf.constant(str(tmp_path / "ran"), name="place")
            names = tf.constant(["a"], name="names")
            tf.raw_ops.SaveV2(
                prefix=place,
                tensor_names=names,
                shape_and_slices=tf.constant([""]),
                tensors=[tf.constant(1.0)],
                name="planted",
            )
            for node in graph.as_graph_def().node:
                added = function.node_def.add()
                added.CopyFrom(node)
        function.control_ret["planted"] = "planted"
        function.signature.control_output.append("planted")
    (folder / "saved_model.pb").write_bytes(message.SerializeToString())
    refused(folder)
    assert not list(tmp_path.glob("ran*"))


def test_variables_that_lie_elsewhere(tmp_path: Path) -> None:
    module = tf.Module()
    module.weight = tf.Variable(1.0)

    @tf.function(input_signature=[tf.TensorSpec((None, 4, 4, 1), tf.float32)])
    def serve(x: Any) -> Any:
        return tf.reduce_sum(x, (1, 2)) * module.weight

    folder = saved(tmp_path / "model", module, serve)
    index = folder / "variables" / "variables.index"
    index.rename(tmp_path / "elsewhere")
    index.symlink_to(tmp_path / "elsewhere")
    assert "leads out of the model's folder" in refused(folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the entries of a .keras file, and under `h5` the bytes of a .h5 file."""
    folder = tmp_path_factory.mktemp("keras")
    with tf_runtime.quiet():
        network = keras.Sequential(
            [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(2)]
        )
        network.save(folder / "m.keras")
        network.save(folder / "m.h5")
    with zipfile.ZipFile(folder / "m.keras") as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    return entries | {"h5": (folder / "m.h5").read_bytes()}


def layer(class_name: str, module: str, /, **config: Any) -> Callable[[Any], None]:
    def change(described: Any) -> None:
        described["config"]["layers"].append(
            {"class_name": class_name, "module": module, "config": config}
        )

    return change


def activation(value: Any) -> Callable[[Any], None]:
    return lambda described: described["config"]["layers"][-1]["config"].update(activation=value)


LAMBDA = {"class_name": "__lambda__", "config": {"value": ["4wAAAAA=", None, None]}}
CONFIGS: dict[str, Callable[[Any], None]] = {
    "a Lambda": layer("Lambda", "keras.layers", function=LAMBDA),
    "a Lambda of older files": layer("Custom>Lambda", "keras.layers", function=LAMBDA),
    "a lambda as activation": activation(LAMBDA),
    "a function of the system": activation(
        {"class_name": "function", "module": "os", "config": "system"}
    ),
    "a builtin": activation({"class_name": "eval", "module": "builtins.os", "config": {}}),
    "what fetches": activation(
        {"class_name": "function", "module": "keras.utils", "config": "get_file"}
    ),
    "what fetches, inside": activation(
        {"class_name": "function", "module": "keras.src.utils.file_utils", "config": "get_file"}
    ),
    "what loads": activation(
        {"class_name": "function", "module": "keras.saving", "config": "load_model"}
    ),
    "a function of keras itself": activation(
        {"class_name": "function", "module": "keras", "config": "config"}
    ),
    "a callback": layer("CSVLogger", "keras.callbacks", filename="ran"),
    "a SavedModel": layer("TFSMLayer", "keras.layers", filepath="/tmp/x"),
    "a module of PyTorch": layer("TorchModuleWrapper", "keras.layers", module="x"),
    "a module of JAX": layer("JaxLayer", "keras.layers", call_fn="x"),
    "words in a file": layer("StringLookup", "keras.layers", vocabulary="/etc/passwd"),
    "numbers in a file": layer("IntegerLookup", "keras.layers", vocabulary="/etc/passwd"),
    "text in a file": layer("TextVectorization", "keras.layers", vocabulary="/etc/passwd"),
    "weights in a file": layer("TextVectorization", "keras.layers", idf_weights="/etc/passwd"),
    "another package": layer("Popen", "subprocess", args=["touch", "ran"]),
    "a dataset": layer("ImageFolder", "keras.preprocessing", path="/"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_description(
    tmp_path: Path, model: dict[str, bytes], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    described = json.loads(model["config.json"])
    CONFIGS[name](described)
    entries = {k: v for k, v in model.items() if k != "h5"}
    entries["config.json"] = json.dumps(described).encode()
    with zipfile.ZipFile("m.keras", "w") as archive:
        for place, data in entries.items():
            archive.writestr(place, data)
    refused(tmp_path / "m.keras")
    assert [p.name for p in tmp_path.iterdir()] == ["m.keras"]


def external(file: h5py.File) -> None:
    file.create_dataset("secret", (4,), "u1", external=[("/etc/passwd", 0, 4)])


def linked(file: h5py.File) -> None:
    file["link"] = h5py.ExternalLink("/etc/passwd", "/")


def soft(file: h5py.File) -> None:
    file["link"] = h5py.SoftLink("/model_weights")


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = h5py.VirtualSource("/etc/other.h5", "x", (4,))
    file.create_virtual_dataset("virtual", layout)


def hidden(file: h5py.File) -> None:
    group = file.create_group("a/b/c")
    group["link"] = h5py.ExternalLink("other.h5", "/")


@pytest.mark.parametrize("change", [external, linked, soft, virtual, hidden])
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_numbers_of_another_file(
    tmp_path: Path, model: dict[str, bytes], change: Callable[[Any], None], suffix: str
) -> None:
    path = tmp_path / f"m{suffix}"
    data = io.BytesIO(model["h5" if suffix == ".h5" else "model.weights.h5"])
    with h5py.File(data, "r+") as file:
        change(file)
    if suffix == ".h5":
        path.write_bytes(data.getvalue())
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for name in ("config.json", "metadata.json"):
                archive.writestr(name, model[name])
            archive.writestr("model.weights.h5", data.getvalue())
    assert "which no model needs" in refused(path)


def test_operators_of_tensorflow_in_tensorflow_lite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((1, 4, 4, 1), tf.float32)])
        def serve(self, x: Any) -> Any:
            read = tf.io.read_file("/etc/passwd")
            return tf.reduce_sum(x, (1, 2)) + tf.cast(tf.strings.length(read), tf.float32)

    module = Module()
    with tf_runtime.quiet():
        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [module.serve.get_concrete_function()], module
        )
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS,
            tf.lite.OpsSet.SELECT_TF_OPS,
        ]
        data = converter.convert()
    (tmp_path / "m.tflite").write_bytes(data)
    with pytest.raises(ModelRefused, match=r"reach outside the model \(ReadFile"):
        checked_tflite(tmp_path / "m.tflite")
    monkeypatch.setattr("leap_audit.walls.confinement._missing", {"files": "none here"})
    with pytest.raises(ModelRefused, match="--trust-model"):
        checked_tflite(tmp_path / "m.tflite")
    assert np.frombuffer(data, np.uint8).size
