"""Choose what a child process gets: readable files, environment variables and modules."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from leap_audit.files import open_regular
from leap_audit.ingest.files.magic import HEAD, identify
from leap_audit.telemetry import SILENCE

__all__ = [
    "environment",
    "in_this_process",
    "modules_for",
    "modules_of",
    "paths_in",
    "precompile",
    "readable_paths",
]

_PASSED = (
    "PATH LANG LANGUAGE TZ SOURCE_DATE_EPOCH LD_LIBRARY_PATH VIRTUAL_ENV KERAS_BACKEND "
    "COLUMNS NO_COLOR SYSTEMROOT WINDIR COMSPEC PATHEXT NUMBER_OF_PROCESSORS "
    "PROCESSOR_ARCHITECTURE DYLD_LIBRARY_PATH DYLD_FALLBACK_LIBRARY_PATH GLIBC_TUNABLES"
)
PASSED = frozenset(_PASSED.split())
SWITCH = "LEAP_AUDIT_CONTAINED"
"""The environment variable that is 0 where files are to be read in this process itself."""
PREFIXES = (
    *("LC_", "LEAP_AUDIT_", "PYTHON", "OMP_", "MKL_", "KMP_", "OPENBLAS_", "MALLOC_"),
    *("TF_", "TORCH_", "PYTORCH_", "ORT_", "XLA_", "ONEDNN_", "DNNL_", "COVERAGE_"),
)
"""What of the environment a child gets. Keys and tokens of other programs are none of it."""
TENSORFLOW = ("tensorflow", "keras", "tf2onnx")
MOST_BESIDE = 4096
"""Files of a home folder that are granted one by one."""


def in_this_process() -> bool:
    """Whether files are read in this process, because LEAP_AUDIT_CONTAINED is 0."""
    return os.environ.get(SWITCH) == "0"


def environment(scratch: str) -> dict[str, str]:
    """Return the environment of a child whose home and temporary folder is `scratch`."""
    passed = {
        name: value
        for name, value in os.environ.items()
        if name.upper() in PASSED or name.upper().startswith(PREFIXES)
    }
    homes = ("HOME", "USERPROFILE", "TMPDIR", "TMP", "TEMP", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    return passed | {
        **SILENCE,
        **dict.fromkeys(homes, scratch),
        **dict.fromkeys(("USER", "USERNAME", "LOGNAME"), "leap-audit"),
        "CUDA_VISIBLE_DEVICES": "",  # a file is read on the processor
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": _search_path(),
    }


def readable_paths(path: Path, *, alone: bool) -> Iterator[Path]:
    """Yield the paths that a child may read to open a file or folder.

    alone: only that. Otherwise also what lies beside an ONNX file, as its weights may; a file of
    another kind holds all of its model. Of a home folder, or one that a home lies in, only the
    files directly in it are granted, without those whose names begin with a dot.
    """
    try:
        real = path.resolve()
    except (OSError, RuntimeError, ValueError):  # links in a circle: the function says so
        return
    yield real
    if path.is_dir():  # in the cache of a model hub its files are links
        yield from (p.parent / "blobs" for p in real.parents if p.name == "snapshots")
    if alone or path.is_dir() or not _may_be_onnx(real):
        return
    for folder in {path.absolute().parent, real.parent}:
        if not Path.home().is_relative_to(folder) and folder.parent != folder:
            yield folder
            continue
        with os.scandir(folder) as entries:
            files = (e for e in entries if not e.name.startswith(".") and e.is_file())
            yield from (Path(entry.path).resolve() for entry, _ in zip(files, range(MOST_BESIDE)))  # noqa: B905


def paths_in(arguments: Iterable[Any]) -> Iterator[Path]:
    """Yield the paths among arguments, and in lists of them."""
    for each in arguments:
        if isinstance(each, Path):
            yield each
        elif isinstance(each, tuple | list):
            yield from (item for item in each if isinstance(item, Path))


def modules_of(module: str) -> Iterator[Path]:
    """Yield where a function's module and the package it belongs to lie."""
    root = sys.modules.get(module.partition(".")[0])
    if root is None or root.__name__ == "leap_audit":
        return  # which every child may read
    yield from map(Path, getattr(root, "__path__", ()))
    if getattr(root, "__file__", None) and not hasattr(root, "__path__"):
        yield Path(str(root.__file__))


def modules_for(path: Path) -> tuple[str, ...]:
    """Return the modules that a child imports to open a model, by the magic bytes of the file."""
    ours = ("onnx", "onnxscript", "leap_audit.ingest.model", "leap_audit.ingest.source")
    if path.is_dir():
        return (*ours, *TENSORFLOW)
    try:
        with open_regular(path) as file:
            head = file.read(HEAD)
    except OSError:
        return ()
    if head.startswith(b"PK") and path.suffix.lower() != ".keras":
        return (*ours, "torch", "torch.onnx", "torch.export")
    keras = head.startswith((b"PK", b"\x89HDF")) or head[4:8] == b"TFL3"
    return (*ours, *TENSORFLOW) if keras else ours


def precompile(modules: Sequence[str]) -> None:
    """Compile modules that only a confined child imports, which may not write bytecode itself.

    That child writes nothing, so that without this it would compile them each time. It is done
    once, in a process of its own that opens nothing foreign, where something is not compiled.
    """
    if sys.dont_write_bytecode or in_this_process() or all(map(_compiled, modules)):
        return
    words = [sys.executable, "-P", "-c", f"import {', '.join(modules)}"]
    nowhere = subprocess.DEVNULL
    passed = {**os.environ, **SILENCE, "PYTHONPATH": _search_path(), "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run(words, stdin=nowhere, stdout=nowhere, stderr=nowhere, check=False, env=passed)


def _compiled(module: str) -> bool:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return True  # not installed: nothing to compile
    if spec is None or not spec.cached or not spec.origin or not spec.has_location:
        return True
    cached = Path(spec.cached)
    return cached.exists() or not os.access(cached.parent.parent, os.W_OK)


def _may_be_onnx(path: Path) -> bool:
    try:
        with open_regular(path) as file:
            return identify(file.read(HEAD)) is None
    except OSError:
        return False


def _search_path() -> str:
    """The places where this process finds modules, but the folder one works in.

    That is on the path of an interactive Python, and a model's folder may hold a file called
    onnx.py.
    """
    places = [str(Path(place).absolute()) for place in sys.path if place]
    return os.pathsep.join(place for place in places if place != str(Path.cwd()) or _ours(place))


def _ours(place: str) -> bool:
    """Whether this very package lies there: a checkout that is worked in."""
    return Path(__file__).is_relative_to(Path(place) / "leap_audit")
