"""Raise each wall in turn, and report which of them stand."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["WALLS", "AllowedPaths", "missing_here", "missing_walls", "raise_walls"]

FILES = "files"
CALLS = "network, programs and other processes"
PRIVILEGES = "privileges"

WALLS = (FILES, CALLS, PRIVILEGES)
"""What can be between a process and the rest of the machine."""

SYSTEM = (
    *("/usr", "/lib", "/lib32", "/lib64", "/nix/store", "/gnu/store"),
    *("/etc/ld.so.cache", "/etc/localtime", "/etc/timezone", "/etc/ssl/openssl.cnf"),
    *("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/filesystems"),
    *("/proc/sys/vm", "/sys/devices/system", "/sys/fs/cgroup"),
    *("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random"),
)
"""What programs read of every system: libraries, the machine's processors, random numbers."""
SINK = Path("/dev/null")


@dataclass(frozen=True)
class AllowedPaths:
    """The paths that a confined process may open, beside the installation of Python."""

    read: tuple[Path, ...] = ()
    """Files, and folders with everything below them."""
    write: tuple[Path, ...] = ()


_missing: dict[str, str] | None = None
"""Of this process: wall -> why it does not stand; None: none was ever raised."""


def raise_walls(allowed: AllowedPaths) -> dict[str, str]:
    """Confine this process for good, as far as the system can; return wall -> why it is missing."""
    global _missing
    _missing = missing_walls()
    if FILES not in _missing:
        _raised(FILES, lambda: _confine_files(allowed))
    if CALLS not in _missing:
        _raised(PRIVILEGES, _give_up)
        _raised(CALLS, _confine_calls)
    return _missing


def missing_here() -> dict[str, str]:
    """Return wall -> why it does not stand around this process; empty where all stand."""
    if _missing is None:
        return dict.fromkeys(WALLS, "this process is not confined")
    return _missing


@cache
def _missing_on_this_machine() -> tuple[tuple[str, str], ...]:
    if sys.platform != "linux":
        why = f"{sys.platform} offers none that needs no administrator"
        return tuple((wall, why) for wall in WALLS)
    from leap_audit.walls import landlock, seccomp

    found = []
    if landlock.abi() < 1:
        found.append((FILES, "the kernel offers no Landlock (Linux 5.13 and later can)"))
    if why := seccomp.offered():
        found += [(CALLS, why), (PRIVILEGES, why)]
    return tuple(found)


def missing_walls() -> dict[str, str]:
    """Return wall -> why it cannot stand on this machine; empty where all can."""
    return dict(_missing_on_this_machine())


def _raised(wall: str, how: object) -> None:
    assert _missing is not None
    try:
        how()  # type: ignore[operator]
    except OSError as error:
        _missing[wall] = error.strerror or str(error)


def _confine_files(allowed: AllowedPaths) -> None:
    from leap_audit.walls.landlock import confine_files

    if len(os.listdir("/proc/self/task")) != 1:  # noqa: PTH208
        raise OSError("threads run that Landlock would not confine")
    confine_files([*_installation(), *allowed.read], [*allowed.write, SINK])


def _give_up() -> None:
    from leap_audit.walls.privileges import give_up_privileges

    give_up_privileges()


def _confine_calls() -> None:
    from leap_audit.walls.seccomp import confine_calls

    confine_calls()


def _installation() -> Iterator[Path]:
    """Yield where Python, its packages and this one lie, and what every program reads."""
    yield from map(Path, SYSTEM)
    yield from {Path(p) for p in (sys.prefix, sys.base_prefix, sys.exec_prefix)} - {Path("/")}
    yield Path(__file__).parent.parent
    yield Path(__file__).parent.parent.parent / "templates"
    for name in ("site-packages", "dist-packages"):
        yield from (Path(place) for place in sys.path if Path(place).name == name)
    for place in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep):
        if Path(place).is_absolute() and not Path.home().is_relative_to(place):
            yield Path(place)
