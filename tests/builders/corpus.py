"""Bad model files, each made by one small function: name -> (how it is made, what is said of it).

They are made where a test asks for them. `CANARY` stands in a file outside the model's folder.
"""

import gzip
import os
import pickle
import sys
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["CANARY", "MODELS", "network", "with_data"]

CANARY = b"canary: the content of a file that no model may read " * 4
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 123456\n"
Make = Callable[[Path], bytes]


def network(
    nodes: Iterable[onnx.NodeProto] = (),
    tensors: Iterable[TensorProto] = (),
    functions: Iterable[onnx.FunctionProto] = (),
    opsets: Iterable[onnx.OperatorSetIdProto] = (),
) -> onnx.ModelProto:
    """Return a classifier of pictures of 8 × 8, behind these nodes, from `x` to `h`."""
    weights = numpy_helper.from_array(np.eye(192, 4, dtype=np.float32), "weights")
    graph = helper.make_graph(
        [
            *(nodes or [helper.make_node("Relu", ["x"], ["h"])]),
            helper.make_node("Flatten", ["h"], ["f"]),
            helper.make_node("MatMul", ["f", "weights"], ["y"]),
        ],
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [weights, *tensors],
    )
    every = [helper.make_opsetid("", 17), *opsets]
    return helper.make_model(graph, functions=functions, opset_imports=every, ir_version=8)


def with_data(location: str, dims: Iterable[int] = (8,), **more: int) -> bytes:
    """Return a network that adds a tensor whose numbers stand in another file."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=str(value))
    return network([helper.make_node("Add", ["x", "w"], ["h"])], [tensor]).SerializeToString()


def _outside(folder: Path) -> bytes:
    return with_data("../canary")


def _absolute(folder: Path) -> bytes:
    return with_data(str((folder.parent / "canary").resolve()))


def _around(folder: Path) -> bytes:
    return with_data(f"../{folder.name}/../canary")


def _symbolic(folder: Path) -> bytes:
    (folder / "data").symlink_to("../canary")
    return with_data("data")


def _through_a_folder(folder: Path) -> bytes:
    (folder / "deeper").symlink_to("..", target_is_directory=True)
    return with_data("deeper/canary")


def _circle(folder: Path) -> bytes:
    (folder / "data").symlink_to("data")
    return with_data("data")


def _hard(folder: Path) -> bytes:
    os.link(folder.parent / "canary", folder / "data")
    return with_data("data")


def _pipe(folder: Path) -> bytes:
    os.mkfifo(folder / "data")
    return with_data("data")


def _device(folder: Path) -> bytes:
    (folder / "data").symlink_to("/dev/zero")
    return with_data("data")


def _short(folder: Path) -> bytes:
    (folder / "data").write_bytes(b"\0" * 31)
    return with_data("data")


def _behind_the_end(folder: Path) -> bytes:
    (folder / "data").write_bytes(b"\0" * 64)
    return with_data("data", offset=10**18)


def _longer(folder: Path) -> bytes:
    (folder / "data").write_bytes(b"\0" * 64)
    return with_data("data", length=10**18)


def _shared(folder: Path) -> bytes:
    """A hundred tensors of the same file, 64 MB that take no place on the disk."""
    with (folder / "data").open("wb") as file:
        file.truncate(64 << 20)
    model = onnx.ModelProto.FromString(with_data("data", (16 << 20,)))
    first = model.graph.initializer[-1]
    for number in range(100):
        model.graph.initializer.add().CopyFrom(first)
        model.graph.initializer[-1].name = f"w{number}"
    return model.SerializeToString()


def _claiming(*dims: int) -> Make:
    def make(folder: Path) -> bytes:
        tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, raw_data=b"\0" * 64)
        return network([helper.make_node("Add", ["x", "w"], ["h"])], [tensor]).SerializeToString()

    return make


def _sparse(folder: Path) -> bytes:
    model = network([helper.make_node("Add", ["x", "w"], ["h"])])
    sparse = model.graph.sparse_initializer.add(dims=[1 << 20, 1 << 20])
    sparse.values.CopyFrom(numpy_helper.from_array(np.ones(1, np.float32), "w"))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.zeros(1, np.int64), "i"))
    return model.SerializeToString()


def _cycle(folder: Path) -> bytes:
    nodes = [helper.make_node("Add", ["x", "b"], ["h"]), helper.make_node("Relu", ["h"], ["b"])]
    return network(nodes).SerializeToString()


def _function(name: str, *calls: str) -> onnx.FunctionProto:
    steps = ["x", *(f"v{i}" for i in range(len(calls) - 1)), "y"]
    nodes = [
        helper.make_node(call, [a], [b], domain="" if call == "Relu" else "local")
        for call, a, b in zip(calls, steps, steps[1:], strict=False)
    ]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    return helper.make_function("local", name, ["x"], ["y"], nodes, opsets)


def _calling(*functions: onnx.FunctionProto) -> bytes:
    call = helper.make_node("F0", ["x"], ["h"], domain="local")
    return network([call], (), functions, [helper.make_opsetid("local", 1)]).SerializeToString()


def _recursive(folder: Path) -> bytes:
    return _calling(_function("F0", "F1"), _function("F1", "F0"))


def _billion(folder: Path) -> bytes:
    chain = [_function(f"F{i}", *[f"F{i + 1}"] * 10) for i in range(12)]
    return _calling(*chain, _function("F12", "Relu"))


def _deep_calls(folder: Path) -> bytes:
    chain = [_function(f"F{i}", f"F{i + 1}") for i in range(5000)]
    return _calling(*chain, _function("F5000", "Relu"))


def _nested(folder: Path) -> bytes:
    """Graphs in attributes of nodes of graphs, deeper than protobuf's library would write them."""
    graph = b""
    for _ in range(200):
        attribute = _field(1, b"then_branch") + _field(6, graph)
        graph = _field(1, _field(4, b"If") + _field(5, attribute))
    return b"\x08\x08" + _field(7, graph)


def _field(number: int, content: bytes) -> bytes:
    """A field of protobuf: its number, how long it is, what it holds."""
    length, rest = b"", len(content)
    while rest > 127:
        length, rest = length + bytes([rest & 127 | 128]), rest >> 7
    return bytes([number << 3 | 2]) + length + bytes([rest]) + content


def _brackets(folder: Path) -> bytes:
    """Groups in groups, a hundred thousand deep, of a field that ONNX does not have."""
    return b"\x08\x08" + b"\xa3\x06" * 100_000


def _many(folder: Path) -> bytes:
    model = network()
    node = helper.make_node("Relu", ["x"], ["z"])
    model.graph.node.extend([node] * 250_000)
    return model.SerializeToString()


def _foreign(folder: Path) -> bytes:
    (folder / "evil.so").write_bytes(b"\x7fELF")
    node = helper.make_node("Steal", ["x"], ["h"], domain="evil", name="thief", library="evil.so")
    return network([node], (), (), [helper.make_opsetid("evil", 1)]).SerializeToString()


def _control(folder: Path) -> bytes:
    names = ["a\nb\x1b[2J", "../../etc/\u202epasswd"]
    nodes = [
        helper.make_node("Evil\x1b[31m\noperator", ["x"], [names[0]], name="\x07../../x"),
        helper.make_node("Relu", names[:1], ["h"]),
    ]
    return network(nodes).SerializeToString()


def _huge_text(folder: Path) -> bytes:
    node = helper.make_node("N" * 5_000_000, ["x"], ["h"], name="o" * 5_000_000)
    return network([node]).SerializeToString()


def _zip(folder: Path) -> bytes:
    with zipfile.ZipFile(folder / "archive", "w") as archive:
        archive.writestr("model.onnx", network().SerializeToString())
    return (folder / "archive").read_bytes()


class _Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch pickle-was-run",)


def _pickle(folder: Path) -> bytes:
    return pickle.dumps(_Payload())


def _executable(folder: Path) -> bytes:
    with Path(sys.executable).open("rb") as file:
        return file.read(100_000)


def _bytes(data: bytes) -> Make:
    return lambda _: data


OUT = "leads out of the model's folder"
MODELS: dict[str, tuple[Make, str]] = {
    "data outside the folder": (_outside, OUT),
    "data at an absolute place": (_absolute, "is no place in the model's folder"),
    "data around a corner": (_around, OUT),
    "data behind a symbolic link": (_symbolic, OUT),
    "data behind a linked folder": (_through_a_folder, OUT),
    "data behind links in a circle": (_circle, "is missing"),
    "data with a second name": (_hard, "has several names (hard links)"),
    "data in a pipe": (_pipe, "is no file"),
    "data in a device": (_device, OUT),
    "data without a name": (_bytes(with_data("")), "is no place in the model's folder"),
    "data with a zero in its name": (_bytes(with_data("a\0b")), "is no place"),
    "data with a long name": (_bytes(with_data("a" * 5000)), "is missing"),
    "data that is too short": (_short, "has 31 bytes, but the tensor claims 32 from 0 on"),
    "data behind the end": (_behind_the_end, "the tensor claims 32 from 1000000000000000000 on"),
    "data of another length": (_longer, "has 64 bytes"),
    "data claimed a hundred times": (_shared, "claim 6.3 GiB of files that have 0.1"),
    "a claim of an exabyte": (_claiming(1 << 30, 1 << 30), "bytes, and 64 are there"),
    "a claim that overflows": (_claiming(1 << 62, 4, 4), "bytes, and 64 are there"),
    "a claim that overflows to nothing": (_claiming(1 << 32, 1 << 32), "and 64 are there"),
    "a negative size": (_claiming(-1, -16), "negative size"),
    "a sparse terabyte": (_sparse, "sparse tensor"),
    "a cycle of nodes": (_cycle, "topologically sorted"),
    "functions that call one another": (_recursive, "calls itself"),
    "functions that multiply": (_billion, "more than 200000 nodes"),
    "functions that nest": (_deep_calls, "too deeply"),
    "graphs that nest": (_nested, "not an ONNX model"),
    "brackets that nest": (_brackets, "not an ONNX model"),
    "a quarter of a million nodes": (_many, "more than 200000 nodes"),
    "an operator of nobody": (_foreign, "evil"),
    "names that are commands": (_control, "Evil"),
    "names of megabytes": (_huge_text, "NNN"),
    "a Git LFS pointer": (_bytes(LFS), "git lfs pull"),
    "a ZIP archive": (_zip, "is a ZIP archive without a model in it"),
    "a gzip archive": (_bytes(gzip.compress(b"x" * 99)), "is a gzip archive"),
    "a pickle": (_pickle, "is a Python pickle"),
    "a web page": (_bytes(b"<!doctype html>\n<title>404</title>"), "is a web page"),
    "an executable": (_executable, "executable, not an ONNX model"),
    "nothing": (_bytes(b""), "holds no ONNX graph"),
    "noise": (_bytes(np.random.default_rng(0).bytes(5000)), "not an ONNX model"),
}
