"""Landlock: restrict the files that a process may open (Linux 5.13 and later)."""

import ctypes
import os
import stat
from collections.abc import Iterable
from pathlib import Path

__all__ = ["abi", "confine_files"]

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""System calls; the numbers are those of every architecture."""
ASK_VERSION = 1
PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << n for n in range(6))
MAKE_DIR, MAKE_REG, MAKE_SYM = 1 << 7, 1 << 8, 1 << 12
FIRST = (1 << 13) - 1
"""Every right of ABI 1: also making devices, sockets, pipes and links."""
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
"""Of ABI 2, 3 and 5."""
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
"""The rights that a rule for one file may name."""
READ = READ_FILE | READ_DIR
WRITE = READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SYM | TRUNCATE
NETWORK = 0b11
"""Binding and connecting TCP sockets: ABI 4."""
SCOPES = 0b11
"""Abstract sockets and signals of other processes: ABI 6."""


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scopes", ctypes.c_uint64),
    )


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("rights", ctypes.c_uint64), ("folder", ctypes.c_int32))


def abi() -> int:
    """Return the version of Landlock that the kernel offers; 0: none."""
    try:
        return max(0, _call(CREATE_RULESET, None, 0, ASK_VERSION))
    except OSError:  # not built in, not switched on, or denied by a sandbox around this one
        return 0


def confine_files(read: Iterable[Path], write: Iterable[Path]) -> None:
    """Let this process open what lies in `read`, and change what lies in `write`, and no more.

    Each is a file, or a folder with everything below it; one that does not exist is passed over.
    Nothing may be executed. Where the kernel can, TCP and signals to other processes are denied as
    well. It holds for the calling thread and those it starts: call it while there is one thread.

    Raises OSError: the kernel does not offer it.
    """
    version = abi()
    handled = FIRST
    for right, since in ((REFER, 2), (TRUNCATE, 3), (IOCTL_DEV, 5)):
        handled |= right if version >= since else 0
    rules = _Ruleset(handled, NETWORK if version >= 4 else 0, SCOPES if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _call(CREATE_RULESET, ctypes.byref(rules), size, 0)
    try:
        for paths, rights in ((read, READ), (write, WRITE)):
            for path in paths:
                _allow(ruleset, path, rights & handled)
        _call(RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (OSError, ValueError):  # ValueError: no name that a file can have
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= OF_FILES
        _call(ADD_RULE, ruleset, PATH_BENEATH, ctypes.byref(_Beneath(rights, place)), 0)
    finally:
        os.close(place)


def _call(number: int, *arguments: object) -> int:
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    plain = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    found = int(library.syscall(ctypes.c_long(number), *plain))
    if found < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return found
