"""Confine a process that opens foreign files, by means of the operating system.

`raise_walls` is called once, in a child process, before it looks at anything foreign. From then on
the process reads what it was allowed and the installation of Python, writes into one folder, has no
network, starts no program and reaches no other process. On Linux, without privileges: Landlock for
files, seccomp for system calls (docs/adr/0017-the-child-is-a-sandbox.md). Elsewhere no wall stands,
and `missing_walls` says so.
"""

from leap_audit.walls.confinement import (
    WALLS,
    AllowedPaths,
    missing_here,
    missing_walls,
    raise_walls,
)

__all__ = ["WALLS", "AllowedPaths", "missing_here", "missing_walls", "raise_walls"]
