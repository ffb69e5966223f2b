"""The numbers of the system calls, held against libseccomp's where it is installed."""

import ctypes

import pytest

from leap_audit.walls.seccomp import ARCHITECTURES, program
from leap_audit.walls.syscalls import DENIED, LATEST, MISSING, conditions

LONGEST = 4096
"""Instructions of a filter that the kernel takes."""


def numbers() -> dict[str, tuple[int | None, int | None]]:
    return DENIED | MISSING | {name: each.numbers for name, each in conditions(1).items()}


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_the_numbers_are_those_of_libseccomp(machine: str) -> None:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        pytest.skip("libseccomp is not installed")
    resolve = library.seccomp_syscall_resolve_name_arch
    resolve.argtypes = (ctypes.c_uint32, ctypes.c_char_p)
    code, column = ARCHITECTURES[machine]
    for name, known in numbers().items():
        found = resolve(code, name.encode())
        if found == -1:
            continue  # younger than this libseccomp
        assert known[column] == (found if found >= 0 else None), name


def test_no_number_stands_twice() -> None:
    for column in (0, 1):
        of = [each[column] for each in numbers().values() if each[column] is not None]
        assert len(of) == len(set(of))
        assert max(number for number in of if number is not None) <= LATEST


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_the_filter_returns_on_every_path(machine: str) -> None:
    code, column = ARCHITECTURES[machine]
    made = list(program(code, column, 4711))
    assert len(made) < LONGEST
    for place, (_, true, false, _) in enumerate(made):
        assert place + 1 + max(true, false) < len(made) or made[place][0] == 0x06
    assert made[-1] == (0x06, 0, 0, 0x7FFF0000)
