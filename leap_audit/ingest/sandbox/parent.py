"""Run a function in a sandboxed child process, so that a hostile file cannot harm this one.

A file is read by native code (protobuf, ONNX Runtime, image decoders, whole frameworks) that was
not written for hostile files. `run_in_child` calls a function in a child process that has limits on
memory and time and that leaves no core dump. An error in the child is raised here as the same
sentence; a crash is raised as a sentence that says how the child ended.

The child is a sandbox where the system offers one (`leap_audit.walls`): it reads the files that it
is granted and the installation of Python, writes into one empty folder, has no network, starts no
program and reaches no other process. Code that takes over the child can still forge its answer. So
the answer is unpickled by `DataUnpickler`, which only makes data: numbers, arrays, paths, ONNX
messages and the dataclasses of this package.
"""

import builtins
import contextlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from leap_audit import errors
from leap_audit.errors import LeapAuditError, ModelRefused
from leap_audit.ingest.sandbox.grants import (
    environment,
    in_this_process,
    modules_for,
    modules_of,
    paths_in,
    precompile,
    readable_paths,
)
from leap_audit.ingest.sandbox.limits import GIB, MEMORY, SECONDS, Limits, installed_memory
from leap_audit.ingest.sandbox.trust import is_trusted
from leap_audit.ingest.sandbox.unpickler import DataUnpickler
from leap_audit.walls import AllowedPaths

__all__ = ["GIB", "Child", "Limits", "installed_memory", "run_in_child"]

R = TypeVar("R")
AnyClass = TypeVar("AnyClass")

DAMAGED = "the file is damaged or hostile"
DEFECT = (
    "the file is damaged, or this is a defect in leap-audit: please report it with what --debug "
    "prints"
)
EVERY = 0.25
"""Seconds between two looks at what a child does."""


class ChildFailure(Exception):
    """The child's error with its traceback: the cause of the error raised here, for --debug."""


def run_in_child(
    function: Callable[..., R],
    /,
    *args: Any,
    limits: Limits | None = None,
    alone: bool = False,
    refusal: type[LeapAuditError] = ModelRefused,
    **kwargs: Any,
) -> R:
    """Call `function(*args, **kwargs)` in a child process within limits, and return its result.

    function: a function at the top of an importable module. The arguments are picklable. The first
    argument is the file that is read, which messages name; `limits` default to those for that file.
    The child may read the paths among the arguments and, unless `alone`, the files beside an ONNX
    file. The result is data (see above). Warnings of the child are warned here, and its
    LeapAuditErrors are raised here. The child imports the module of the function: a module that
    imports frameworks inside its functions keeps them out of this process. Ctrl-C ends the child,
    and so does the end of this process.

    Raises `refusal`: the child crashed, or needed more than its limits.
    """
    named = bool(args) and isinstance(args[0], str | os.PathLike)
    arguments = [*args, *kwargs.values()]
    if limits is None:
        limits = Limits.for_file(args[0] if named and not in_this_process() else 0)
    with Child(limits, paths_in(arguments), alone=alone, refusal=refusal) as child:
        return child.call(function, *args, **kwargs)


class Child:
    """A child process that runs one call after the other, within limits; a context manager.

    paths: the files that it may read, as for `run_in_child`. The process starts at the first call.
    Where LEAP_AUDIT_CONTAINED is 0, the calls run in this process.
    """

    def __init__(
        self,
        limits: Limits,
        paths: Iterable[Path] = (),
        *,
        alone: bool = True,
        refusal: type[LeapAuditError] = ModelRefused,
    ) -> None:
        self._limits, self._refusal = limits, refusal
        self._paths, self._alone = tuple(paths), alone
        self._label = "the model"
        self._ended_for = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._kept = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._end(self._process)
        self._kept.close()

    def call(self, function: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
        """Call the function in the child, and return its result: see `run_in_child`."""
        if in_this_process():
            return function(*args, **kwargs)
        module, name = function.__module__, function.__qualname__
        if module == "__main__" or "." in name or "<" in name:
            raise ValueError(f"{module}.{name} is not a function that a child can import")
        if args and isinstance(args[0], str | os.PathLike):
            self._label = str(args[0])
        if self._process is None:
            self._process = self._started(module)
        finished = threading.Event()
        watch = threading.Thread(target=self._watch, args=(self._process, finished), daemon=True)
        watch.start()
        answered = False
        try:
            kind, content, said, caught = self._exchange(
                self._process, (module, name, args, kwargs)
            )
            answered = True
        finally:
            finished.set()
            if not answered:
                self._end(self._process)
        for message, category, file, line in caught:
            warnings.warn_explicit(message, category, file, line)
        if kind == "result":
            return cast(R, content)
        if kind == "refused":
            sentence, refused = content
            raise refused(sentence) from ChildFailure(said)
        if kind == "memory":
            raise self._refused(self._memory(), said)
        raise self._refused(f"failed ({content}); {DEFECT}", said)

    def _started(self, module: str) -> "subprocess.Popen[bytes]":
        self._said = self._kept.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        self._scratch = Path(
            self._kept.enter_context(
                tempfile.TemporaryDirectory(prefix="leap-audit-", ignore_cleanup_errors=True)
            )
        )
        if not self._alone and self._paths:
            precompile(modules_for(self._paths[0]))
        granted = dict.fromkeys(
            place for path in self._paths for place in readable_paths(path, alone=self._alone)
        )
        allowed = AllowedPaths((*granted, *modules_of(module)), (self._scratch,))
        # -P: the folder one works in is no place for modules.
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "leap_audit.ingest.sandbox.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=environment(str(self._scratch)),
        )
        self._send(process, (self._limits, allowed, is_trusted()))
        return process

    def _send(self, process: "subprocess.Popen[bytes]", message: object) -> None:
        assert process.stdin is not None
        data = pickle.dumps(message)
        with contextlib.suppress(BrokenPipeError):  # it has ended; how, is asked when it answers
            process.stdin.write(len(data).to_bytes(8, "little") + data)
            process.stdin.flush()  # and left open: its end is the end of this process

    def _exchange(
        self, process: "subprocess.Popen[bytes]", request: tuple[object, ...]
    ) -> tuple[str, Any, str, list[Any]]:
        """Send the request and wait for the answer: its kind, content, traceback and warnings."""
        self._send(process, request)
        assert process.stdout is not None
        try:
            kind, content, said, caught = DataUnpickler(process.stdout).load()
            if kind == "refused":
                content = content[1], _class_of(content[0], LeapAuditError)
            caught = [(text, _class_of(c, Warning), *place) for text, c, *place in caught]
        except Exception as error:  # a forged answer may break in any way
            refused = self._without_answer(process, error)
            raise refused from refused.__cause__
        return kind, content, said, caught

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(BrokenPipeError):  # it ended without reading the request
                if pipe is not None:
                    pipe.close()

    def _watch(self, process: "subprocess.Popen[bytes]", finished: threading.Event) -> None:
        """End the child when it is late, or fills the disk."""
        late = time.monotonic() + self._limits.seconds
        while not finished.wait(min(EVERY, max(0.0, late - time.monotonic()))):
            if time.monotonic() >= late:
                self._ended_for = "time"
            elif _bytes_in(self._scratch) > self._limits.written:
                self._ended_for = "disk"
            else:
                continue
            process.kill()
            return

    def _without_answer(
        self, process: "subprocess.Popen[bytes]", error: Exception
    ) -> LeapAuditError:
        """Return the error for a child that ended, or that answered what is no data."""
        truncated = isinstance(error, pickle.UnpicklingError) and "truncated" in str(error)
        if not (truncated or isinstance(error, EOFError)):
            return self._refused("gave an answer that is no data; the file is hostile", repr(error))
        code = process.wait()
        self._said.seek(0)
        said = self._said.read().decode(errors="replace")
        if self._ended_for == "time" or code == -getattr(signal, "SIGXCPU", 24):
            return self._refused(
                f"took longer than {self._limits.seconds:.0f} s; {DAMAGED}, or "
                f"{SECONDS}={2 * self._limits.seconds:.0f} gives it the time it needs",
                said,
            )
        if self._ended_for == "disk":
            most = self._limits.written / GIB
            return self._refused(f"wrote more than {most:.1f} GiB; {DAMAGED}", said)
        if errors.lacks_memory(said):
            return self._refused(self._memory(), said)
        if code == -getattr(signal, "SIGKILL", 9):
            return self._refused(
                "was ended from outside (killed), as systems do when the machine has no memory "
                f"left; close other programs, or let it have less with {MEMORY} (GiB), now "
                f"{self._limits.memory / GIB:.1f}",
                said,
            )
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

    def _refused(self, what: str, said: str) -> LeapAuditError:
        error = self._refusal(f"{self._label}: reading it {what}.")
        error.__cause__ = ChildFailure(said)
        return error


def _bytes_in(folder: Path) -> int:
    """Return the bytes that the files below a folder take, of which some may vanish meanwhile."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(f"{place}/{name}").st_blocks * 512
    return total


def _class_of(name: str, kind: type[AnyClass]) -> type[AnyClass]:
    """Return the error or warning of that name, of this package or of Python."""
    found = getattr(errors, name, None) or getattr(builtins, name)
    if not (isinstance(found, type) and issubclass(found, kind)):
        raise TypeError(f"{name} is no {kind.__name__}")
    return found
