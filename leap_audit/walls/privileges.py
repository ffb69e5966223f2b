"""Capabilities: give up the privileges of root for good."""

import ctypes
import os
import platform

__all__ = ["give_up_privileges"]

VERSION = 0x20080522
KEPT = 0b110
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: root in a container reads files of other users, and
Landlock still says which."""
CAPSET = {"x86_64": 126, "aarch64": 91}


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("process", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def give_up_privileges() -> None:
    """Give up every capability but those to read files, so that root cannot lift its limits.

    Raises OSError: the kernel refuses.
    """
    permitted = _permitted()
    if not permitted:
        return
    kept = permitted & KEPT
    sets = (_Sets * 2)(_Sets(kept, kept, 0), _Sets(0, 0, 0))
    library = ctypes.CDLL(None, use_errno=True)
    header = _Header(VERSION, 0)
    number = ctypes.c_long(CAPSET[platform.machine()])
    if library.syscall(number, ctypes.byref(header), ctypes.byref(sets)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _permitted() -> int:
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123
        line = next(line for line in status if line.startswith("CapPrm:"))
    return int(line.partition(":")[2], 16)
