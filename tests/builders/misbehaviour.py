"""What a file may do to the function that reads it; called in a child process."""

import ctypes
import os
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from leap_audit.errors import FlatGradient, TargetRefused
from leap_audit.ingest.sandbox.trust import is_trusted


def doubled(text: str, times: int = 2) -> str:
    return text * times


def crash(path: Path) -> None:
    ctypes.string_at(0)


def abort(path: Path) -> None:
    os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n")
    os.abort()


def swell(path: Path) -> int:
    return len(bytearray(8 << 30))


def hang(path: Path) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    time.sleep(600)


def refuse(path: Path) -> None:
    raise TargetRefused(f"{path}: is not a class.")


def refuse_in_its_own_words(path: Path) -> None:
    raise _Narrower(f"{path}: is not a class.")


def stumble(path: Path) -> None:
    raise KeyError("shape")


def warn(path: Path) -> int:
    warnings.warn("no gradient passes through: Round.", FlatGradient, stacklevel=2)
    return 1


def chatter(path: Path) -> str:
    print("hello")
    os.write(1, b"from native code")
    sys.stderr.write("x" * 1_000_000)
    return "answer"


def forged(path: Path) -> object:
    return _Forged()


def large(megabytes: int) -> Any:
    return np.zeros(megabytes << 20, np.uint8)


def number() -> int:
    """Return the child's number."""
    return os.getpid()


class _Narrower(TargetRefused):
    pass


class _Forged:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


def trusts() -> bool:
    return is_trusted()
