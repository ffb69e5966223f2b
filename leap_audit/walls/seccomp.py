"""seccomp: restrict the system calls of a process."""

import ctypes
import errno
import os
import platform
import sys
from collections.abc import Callable, Iterator
from itertools import chain

from leap_audit.walls.syscalls import DENIED, LATEST, MISSING, Condition, conditions

__all__ = ["ARCHITECTURES", "confine_calls", "offered", "program"]

ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""Machine -> how the kernel calls it, and which column of the numbers is its own."""

SET_SECCOMP, GET_SECCOMP, SET_NO_NEW_PRIVS, MODE_FILTER = 22, 21, 38, 2
LOAD, AND, EQUAL, ABOVE, RETURN = 0x20, 0x54, 0x15, 0x25, 0x06
"""Instructions of the filter's machine."""
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16
"""Where the filter finds what it judges, in bytes."""
ALLOW, KILL, FAIL = 0x7FFF0000, 0x80000000, 0x00050000

Instruction = tuple[int, int, int, int]
"""Operation, jumps where true and where false, and its constant."""


class _Filter(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("true", ctypes.c_uint8),
        ("false", ctypes.c_uint8),
        ("constant", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filters", ctypes.POINTER(_Filter)))


def offered() -> str:
    """Return why the kernel or the machine offers no seccomp; empty where it does."""
    if platform.machine() not in ARCHITECTURES or sys.maxsize < 2**32:
        return f"system calls of {platform.machine() or 'this machine'} are not known here"
    if _prctl()(GET_SECCOMP, 0, 0, 0, 0) < 0:
        return "the kernel has no seccomp"
    return ""


def confine_calls() -> None:
    """Deny this process what `syscalls` names, and new privileges, for good.

    Raises OSError: the kernel does not offer it.
    """
    prctl = _prctl()
    code, column = ARCHITECTURES[platform.machine()]
    made = [_Filter(*each) for each in program(code, column, os.getpid())]
    filters = (_Filter * len(made))(*made)
    handed = _Program(len(made), ctypes.cast(filters, ctypes.POINTER(_Filter)))
    for asked in (
        (SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (SET_SECCOMP, MODE_FILTER, ctypes.addressof(handed), 0, 0),
    ):
        if prctl(*asked) != 0:
            failed = ctypes.get_errno()
            raise OSError(failed, os.strerror(failed))


def program(code: int, column: int, process: int) -> Iterator[Instruction]:
    """Yield the filter for an architecture and the process of this number."""
    yield (LOAD, 0, 0, ARCHITECTURE)
    yield (EQUAL, 1, 0, code)
    yield (RETURN, 0, 0, KILL)  # a call in the way of another architecture
    yield (LOAD, 0, 0, NUMBER)
    yield from _if(ABOVE, LATEST, [(RETURN, 0, 0, FAIL | errno.ENOSYS)])
    absent = ((numbers, errno.ENOSYS) for numbers in MISSING.values())
    denied = ((numbers, errno.EPERM) for numbers in DENIED.values())
    for numbers, error in chain(absent, denied):
        if (number := numbers[column]) is not None:
            yield from _if(EQUAL, number, [(RETURN, 0, 0, FAIL | error)])
    for condition in conditions(process).values():
        if (number := condition.numbers[column]) is not None:
            yield from _if(EQUAL, number, list(_judged(condition)))
    yield (RETURN, 0, 0, ALLOW)


def _if(test: int, constant: int, then: list[Instruction]) -> Iterator[Instruction]:
    """Yield instructions that do `then`, which returns, where the number passes the test."""
    yield (test, 0, len(then), constant)
    yield from then


def _judged(condition: Condition) -> Iterator[Instruction]:
    within, without = (FAIL | errno.EPERM, ALLOW)[:: 1 if condition.refused_if else -1]
    yield (LOAD, 0, 0, ARGUMENTS + 8 * condition.argument)  # the lower half: little-endian
    yield (AND, 0, 0, condition.mask)
    for value in condition.values:
        yield from _if(EQUAL, value, [(RETURN, 0, 0, within)])
    yield (RETURN, 0, 0, without)


def _prctl() -> Callable[..., int]:
    function = ctypes.CDLL(None, use_errno=True).prctl
    function.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)
    function.restype = ctypes.c_int
    return function
