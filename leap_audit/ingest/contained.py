"""A hostile or broken file may crash what reads it: that happens in a child process, within limits.

A model is read by native code (protobuf, ONNX, ONNX Runtime) that was not written for files made
to break it. `contained` calls a function in a child that may not take more than so
much memory and time, and that leaves no core dump; what goes wrong there comes back as the
sentence that it would have been here, or as one that says how the child ended.

What is trusted: the child is as much the user as this process is, so this is no sandbox against
code. A file that takes the child over through a fault in native code can do what the user can, and
can forge the answer. The answer is therefore unpickled by `Plain`, which makes nothing but data:
numbers, arrays, paths, ONNX messages and the dataclasses of this package, and calls nothing else.
"""

import builtins
import contextlib
import dataclasses
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from leap_audit import errors
from leap_audit.errors import ConfigRefused, LeapAuditError, ModelRefused
from leap_audit.ingest.plain import Plain

__all__ = ["Limits", "contained", "installed_memory", "lacks_memory"]

R = TypeVar("R")
AnyClass = TypeVar("AnyClass")

SWITCH = "LEAP_AUDIT_CONTAINED"
"""The environment variable that is 0 where files are to be read in this process itself."""
MEMORY = "LEAP_AUDIT_MEMORY"
SECONDS = "LEAP_AUDIT_SECONDS"
DAMAGED = "the file is damaged or hostile"
DEFECT = (
    "the file is damaged, or this is a defect in leap-audit: please report it with what --debug "
    "prints"
)
GIB = 1 << 30


class ChildFailure(Exception):
    """What the child said, its traceback included: the cause of what is raised, for --debug."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a child may take."""

    memory: int
    """Bytes that are its own to write. On Windows nothing holds this limit."""
    seconds: float
    """From its start to its answer."""
    written: int = GIB
    """Bytes of a file that it writes. On Windows nothing holds this limit."""

    @classmethod
    def for_file(cls, path: str | os.PathLike[str] | int) -> "Limits":
        """Return limits for reading a file, a folder, or so many bytes.

        Memory: 4 GiB and six times the bytes, for a graph is copied, rewritten and run beside the
        original, and 16 MiB for the stacks of each processor's threads; at most what the machine
        has. Time: 300 s and 1 s a MB, at most an hour. The files beside a model count, as its
        weights may lie in them. LEAP_AUDIT_MEMORY (GiB) and LEAP_AUDIT_SECONDS win over both.

        Raises ConfigRefused: one of these is not a number above zero.
        """
        size = path if isinstance(path, int) else _size(Path(path))
        memory = 4 * GIB + 6 * size + (os.cpu_count() or 1) * (16 << 20)
        memory = min(memory, installed_memory() or memory)
        return cls(
            int(_from_environment(MEMORY, memory / GIB) * GIB),
            _from_environment(SECONDS, min(300 + size / 1e6, 3600.0)),
        )


def contained(
    function: Callable[..., R], /, *args: Any, limits: Limits | None = None, **kwargs: Any
) -> R:
    """Return what `function(*args, **kwargs)` returns, called in a child process within limits.

    function: one at the top of a module that can be imported. The arguments are picklable; the
    first is what is read, and what messages name; unless given, `limits` are those for it. The
    result is data (see above). The child's warnings are warned here, its LeapAuditErrors raised.
    The child imports the function's module: a light one that imports the rest in its functions
    spares this process that. Ctrl-C ends the child, and so does the end of this process.

    Raises ModelRefused: the child crashed, or needed more than its limits.
    """
    if os.environ.get(SWITCH) == "0":
        return function(*args, **kwargs)
    label = str(args[0]) if args and isinstance(args[0], str | os.PathLike) else "the model"
    if limits is None:
        limits = Limits.for_file(args[0] if label != "the model" else 0)
    module, name = function.__module__, function.__qualname__
    if module == "__main__" or "." in name or "<" in name:
        raise ValueError(f"{module}.{name} is not a function that a child can import")
    with tempfile.TemporaryFile() as said:
        child = _Child(label, limits, said)
        return cast(R, child.answer((limits, module, name), (args, kwargs)))


class _Child:
    """A process that answers one request."""

    def __init__(self, label: str, limits: Limits, said: IO[bytes]) -> None:
        self._label, self._limits, self._said = label, limits, said
        self._late = False
        # -P: a model's folder may hold a file called onnx.py.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "leap_audit.ingest.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            env={**os.environ, "PYTHONPATH": _search_path()},
        )

    def answer(self, *request: object) -> Any:
        """Return the result, or raise what the child met."""
        timer = threading.Timer(self._limits.seconds, self._end_late)
        timer.daemon = True
        timer.start()
        try:
            kind, content, said, caught = self._exchange(request)
        finally:
            timer.cancel()
            self._end()
        for message, category, file, line in caught:
            warnings.warn_explicit(message, category, file, line)
        if kind == "result":
            return content
        if kind == "refused":
            sentence, error = content
            raise error(sentence) from ChildFailure(said)
        if kind == "memory":
            raise self._refused(self._memory(), said)
        raise self._refused(f"failed ({content}); {DEFECT}", said)

    def _exchange(self, request: tuple[object, ...]) -> tuple[str, Any, str, list[Any]]:
        """Send the request and wait for the answer: its kind, content, traceback and warnings."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            for part in request:
                pickle.dump(part, stdin)
            stdin.flush()  # and left open: its end is the end of this process
        except BrokenPipeError:
            pass  # the child has ended already; how, is asked below
        try:
            kind, content, said, caught = Plain(stdout).load()
            if kind == "refused":
                content = content[1], _class_of(content[0], LeapAuditError)
            caught = [(text, _class_of(c, Warning), *place) for text, c, *place in caught]
        except Exception as error:  # a forged answer may break in any way
            refused = self._without_answer(error)
            raise refused from refused.__cause__
        return kind, content, said, caught

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):  # it ended without reading the request
                if pipe is not None:
                    pipe.close()

    def _end_late(self) -> None:
        self._late = True
        self._process.kill()

    def _without_answer(self, error: Exception) -> ModelRefused:
        """Return the error for a child that ended, or that answered what is no data."""
        truncated = isinstance(error, pickle.UnpicklingError) and "truncated" in str(error)
        if not (truncated or isinstance(error, EOFError)):
            return self._refused("gave an answer that is no data; the file is hostile", repr(error))
        code = self._process.wait()
        self._said.seek(0)
        said = self._said.read().decode(errors="replace")
        if self._late:
            return self._refused(
                f"took longer than {self._limits.seconds:.0f} s; {DAMAGED}, or "
                f"{SECONDS}={2 * self._limits.seconds:.0f} gives it the time it needs",
                said,
            )
        if lacks_memory(said) or code == -getattr(signal, "SIGKILL", 9):
            return self._refused(self._memory(), said)
        if code >= 0:
            last = said.strip().rpartition("\n")[2][:200]
            return self._refused(f"failed ({last or f'exit code {code}'}); {DEFECT}", said)
        how = (signal.strsignal(-code) or f"signal {-code}").lower()
        return self._refused(f"crashed ({how}); {DAMAGED}", said)

    def _memory(self) -> str:
        gib = self._limits.memory / GIB
        return (
            f"needed more memory than it may have ({gib:.1f} GiB); {DAMAGED}, or "
            f"{MEMORY}={max(1, 2 * gib):.0f} (GiB) gives it more"
        )

    def _refused(self, what: str, said: str) -> ModelRefused:
        error = ModelRefused(f"{self._label}: reading it {what}.")
        error.__cause__ = ChildFailure(said)
        return error


def _size(path: Path) -> int:
    """Return the bytes of a file and of what lies beside it, or of all in a folder; 0: nothing."""
    try:
        if path.is_dir():
            return sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
        beside = (f for f in path.resolve().parent.iterdir() if f.suffix != ".onnx")
        return path.stat().st_size + sum(f.stat().st_size for f in beside if f.is_file())
    except OSError:
        return 0  # the function itself says what cannot be read


def installed_memory() -> int:
    """Return the bytes of memory that the machine has; 0 where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # not a POSIX system
        return 0


def _from_environment(name: str, otherwise: float) -> float:
    text = os.environ.get(name, "")
    if not text:
        return otherwise
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ConfigRefused(f"{name}={text}: is not a number above zero; change or unset it.")
    return number


def _search_path() -> str:
    """The places where this process finds modules; the empty one is where it works now."""
    return os.pathsep.join(str(Path(place).absolute()) for place in sys.path)


def _class_of(name: str, kind: type[AnyClass]) -> type[AnyClass]:
    """Return the error or warning of that name, of this package or of Python."""
    found = getattr(errors, name, None) or getattr(builtins, name)
    if not (isinstance(found, type) and issubclass(found, kind)):
        raise TypeError(f"{name} is no {kind.__name__}")
    return found


def lacks_memory(said: str) -> bool:
    """Whether what native code says means that it got no memory."""
    words = ("bad_alloc", "bad allocation", "alloc failed", "allocate memory", "out of memory")
    return any(word in said.lower() for word in words)
