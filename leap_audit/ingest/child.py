"""What a child process of `contained.py` does: it answers one request, within limits."""

import faulthandler
import importlib
import os
import pickle
import signal
import sys
import threading
import traceback
import warnings
from typing import Any

from leap_audit import errors
from leap_audit.errors import LeapAuditError, reason_of
from leap_audit.ingest.contained import Limits, lacks_memory

__all__ = ["is_of_memory", "keep", "serve"]


def serve() -> None:
    """Answer the one request that stands on stdin: what the child does."""
    faulthandler.enable()  # where it crashed, for --debug
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not print into the answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    limits, module, name = pickle.load(sys.stdin.buffer)
    keep(limits)
    pickle.dump(_answer_of(module, name), answer, protocol=5)
    answer.close()
    os._exit(0)  # the watching thread still reads, and nothing is left to be tidied up


def _answer_of(module: str, name: str) -> tuple[str, Any, str, list[Any]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        kind, content, said = "result", None, ""
        try:
            args, kwargs = pickle.load(sys.stdin.buffer)
            threading.Thread(target=_watch, daemon=True).start()
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
    """Whether an error, or one that it came from, means that there was no memory."""
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


def keep(limits: Limits) -> None:
    """Hold this process to its limits, and let it end with its parent."""
    if sys.platform == "win32":
        return
    import resource

    # What is reserved and never written (arenas of threads, the addresses of a GPU) does not count
    # there; elsewhere the system knows only the limit on addresses.
    kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    for which, most in (
        (kind, limits.memory),
        (resource.RLIMIT_FSIZE, limits.written),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(which)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (most, most))
    if sys.platform == "linux":
        import ctypes

        # Native code may hold the interpreter, and with it the thread that watches.
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _watch() -> None:
    """End this process when the parent has gone, which holds the other end of stdin."""
    sys.stdin.buffer.read(1)
    os._exit(1)


if __name__ == "__main__":
    serve()
