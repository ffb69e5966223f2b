"""Check a SavedModel and rewrite it before TensorFlow opens it.

Loading it runs its graphs and functions: every operator in them must be on the list of those that
only compute. Operators that save and restore it are removed, with everything that calls them.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from leap_audit.errors import ModelRefused, reason_of
from leap_audit.files import read_regular
from leap_audit.ingest.frameworks.tf_allowlist import CHECKPOINT, nodes_of, require_allowed
from leap_audit.ingest.frameworks.tf_runtime import saved_model

__all__ = ["GRAPH", "clean_saved_model"]

GRAPH = "saved_model.pb"
LARGEST = 2 << 30
WEIGHTS = re.compile(r"variables\.(index|data-\d{5}-of-\d{5})", re.ASCII)


def clean_saved_model(path: Path, folder: Path) -> Path:
    """Write what was checked of the SavedModel in `path` below `folder`, and return where.

    Its graph without what saves it; its variables, as links to the files. Assets are left out.

    Raises ModelRefused: no SavedModel, damaged, with operators that reach outside of it, or with
    files that lie elsewhere.
    """
    message = saved_model()
    try:
        message.ParseFromString(read_regular(path / GRAPH, LARGEST))
    except FileNotFoundError:
        raise ModelRefused(f"{path}: is a folder without {GRAPH}; give a SavedModel.") from None
    except (OSError, DecodeError) as error:
        reason = getattr(error, "strerror", None) or reason_of(error)
        raise ModelRefused(
            f"{path / GRAPH}: cannot be read ({reason}); save the model again."
        ) from None
    for meta in message.meta_graphs:
        graph = meta.graph_def
        gone = _without_saver(graph, in_functions=bool(meta.object_graph_def.nodes))
        for name in meta.object_graph_def.concrete_functions:  # not its own saver, but served
            require_allowed(path, gone.get(name, ()))
        own = [function.signature.name for function in graph.library.function]
        reads = "" if meta.object_graph_def.nodes else "RestoreV2"  # as before TensorFlow 2
        operators = (node.op for node in nodes_of(graph) if node.op != reads)
        require_allowed(path, operators, own)
    made = folder / "model"
    (made / "variables").mkdir(parents=True)
    (made / GRAPH).write_bytes(message.SerializeToString())
    for file in _weights(path):
        place = made / "variables" / file.name
        try:
            place.symlink_to(file.resolve())
        except OSError:  # the system has no links, or not for this user
            shutil.copyfile(file, place)
    return made


def _without_saver(graph: Any, *, in_functions: bool) -> dict[str, set[str]]:
    """Remove the operators that save and restore, and those that call or wait for them.

    Return the functions that are gone, with the operators in them that save and restore.
    """
    library = graph.library.function
    gone = {f.signature.name for f in library if any(CHECKPOINT.search(n.op) for n in f.node_def)}
    while more := {
        f.signature.name
        for f in library
        if f.signature.name not in gone and any(gone & set(_called(n)) for n in f.node_def)
    }:
        gone |= more
    taken = {
        f.signature.name: {n.op for n in f.node_def if CHECKPOINT.search(n.op)}
        for f in library
        if f.signature.name in gone
    }
    for place in reversed(range(len(library))):
        if library[place].signature.name in gone:
            del library[place]
    without = {
        node.name
        for node in graph.node
        if gone & set(_called(node))
        or (CHECKPOINT.search(node.op) and (in_functions or not node.op.startswith("Restore")))
    }
    while more := {
        node.name
        for node in graph.node
        if node.name not in without and without & set(map(_source, node.input))
    }:
        without |= more
    for place in reversed(range(len(graph.node))):
        if graph.node[place].name in without:
            del graph.node[place]
    return taken


def _called(node: Any) -> Iterator[str]:
    """Yield the names of the functions that a node calls."""
    yield node.op
    for value in node.attr.values():
        if value.func.name:
            yield value.func.name
        yield from (each.name for each in value.list.func)


def _source(name: str) -> str:
    """The node that an input comes from: '^a' waits for it, 'a:1' is its second output."""
    return name.lstrip("^").partition(":")[0]


def _weights(path: Path) -> Iterator[Path]:
    folder = path / "variables"
    home = path.resolve()
    homes = [home, *(p.parent / "blobs" for p in home.parents if p.name == "snapshots")]
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not WEIGHTS.fullmatch(file.name):
            continue
        real = file.resolve()
        if not any(real.is_relative_to(place) for place in homes) or not real.is_file():
            raise ModelRefused(
                f"{file}: leads out of the model's folder, or is no file; put the file itself "
                "there."
            )
        yield file
