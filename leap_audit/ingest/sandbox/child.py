"""Answer the calls of the parent process, inside the sandbox: the program of the child."""

import faulthandler
import importlib.util
import os
import pickle
import queue
import signal
import sys
import threading
import traceback
import warnings
from typing import Any

from leap_audit import errors
from leap_audit.errors import LeapAuditError, lacks_memory, reason_of
from leap_audit.ingest.sandbox.limits import Limits
from leap_audit.ingest.sandbox.trust import trust_models
from leap_audit.walls import raise_walls

__all__ = ["apply_limits", "is_of_memory", "serve"]


def serve() -> None:
    """Answer the calls that arrive on stdin: the main loop of the child."""
    faulthandler.enable()  # where it crashed, for --debug
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not print into the answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    limits, allowed, trust = pickle.loads(_received())
    apply_limits(limits)
    importlib.util.find_spec("leap_audit_has_no_such_module")  # lists every place of modules once
    raise_walls(allowed)  # while there is one thread, and before anything foreign is opened
    questions: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(questions,), daemon=True).start()
    with trust_models(trust):
        while True:
            pickle.dump(_answer_to(questions.get()), answer, protocol=5)
            answer.flush()


def _received() -> bytes:
    size = int.from_bytes(sys.stdin.buffer.read(8), "little")
    data = sys.stdin.buffer.read(size)
    if not data or len(data) < size:
        os._exit(0)  # the parent has gone, or needs no more
    return data


def _receive(questions: "queue.SimpleQueue[bytes]") -> None:
    """Forward calls from the parent, and end this process when the parent has ended."""
    while True:
        questions.put(_received())


def _answer_to(question: bytes) -> tuple[str, Any, str, list[Any]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        kind, content, said = "result", None, ""
        try:
            module, name, args, kwargs = pickle.loads(question)
            content = getattr(importlib.import_module(module), name)(*args, **kwargs)
        except Exception as error:
            said = traceback.format_exc()
            if is_of_memory(error):
                kind = "memory"
            elif isinstance(error, LeapAuditError):
                kind, content = "refused", (_known(type(error)), str(error))
            else:
                kind, content = "failed", f"{type(error).__name__}: {reason_of(error)}"
    return kind, content, said, [_plain(each) for each in caught[:100]]


def is_of_memory(error: BaseException | None) -> bool:
    """Return whether an error, or its cause, means that memory ran out."""
    while error is not None:
        if isinstance(error, MemoryError) or lacks_memory(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def _plain(caught: warnings.WarningMessage) -> tuple[str, str, str, int]:
    return str(caught.message), _known(caught.category), caught.filename, caught.lineno


def _known(kind: type[BaseException]) -> str:
    """The name of an error's class, or of the nearest above it that the parent knows."""
    known = (c for c in kind.__mro__ if c.__module__ in (errors.__name__, "builtins"))
    return next(known).__name__


def apply_limits(limits: Limits) -> None:
    """Set the resource limits of this process, and end it with its parent."""
    if sys.platform == "win32":
        return
    import resource

    bounds = [
        (resource.RLIMIT_FSIZE, limits.written),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, limits.files),
        (resource.RLIMIT_CPU, limits.processor),
    ]
    if sys.platform == "linux":
        # What is reserved and never written (arenas of threads, the addresses of a GPU) does not
        # count as data; elsewhere the system knows only the limit on addresses.
        bounds += [
            (resource.RLIMIT_DATA, limits.memory),
            (resource.RLIMIT_AS, limits.addresses),
        ]
    else:
        bounds.append((resource.RLIMIT_AS, limits.memory))
    for which, most in bounds:
        _, hard = resource.getrlimit(which)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (most, most))
    if sys.platform == "linux":
        import ctypes

        # Native code may hold the interpreter, and with it the thread that waits for the parent.
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


if __name__ == "__main__":
    serve()
