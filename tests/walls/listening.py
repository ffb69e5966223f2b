"""A process run under a filter that reports each connection it asks for, to whom, and refuses it.

The kernel asks this process before it answers connect and sendto (seccomp's user notification); so
do all processes that the one starts. Local sockets and this machine's own address are let through.
"""

import ctypes
import errno
import os
import platform
import select
import socket
import struct
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from leap_audit.walls.seccomp import ALLOW, ARCHITECTURE, ARCHITECTURES, EQUAL, LOAD, RETURN
from leap_audit.walls.seccomp import _Filter as Filter
from leap_audit.walls.seccomp import _Program as Program

ASK = 0x7FC00000
SECCOMP = {"x86_64": 317, "aarch64": 277}
WATCHED = {"x86_64": {42: 1, 44: 4}, "aarch64": {203: 1, 206: 4}}
"""connect and sendto -> the argument that says where to."""
RECEIVE, SEND = 0xC0502100, 0xC0182101
CONTINUE = 1


def listen(words: Sequence[str], **how: Any) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run a program; return how it ended, and every address that it wanted to reach."""
    ours, theirs = socket.socketpair()
    wanted: list[str] = []

    def confine() -> None:
        listener = _filter()
        socket.send_fds(theirs, [b"x"], [listener])
        os.close(listener)

    with ours, theirs:
        process = subprocess.Popen(
            words,
            preexec_fn=confine,
            pass_fds=[theirs.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **how,
        )
        _, (listener, *_), _, _ = socket.recv_fds(ours, 1, 1)
        watching = threading.Thread(target=_answer, args=(listener, wanted), daemon=True)
        watching.start()
        out, err = process.communicate(timeout=500)
    watching.join(10)
    os.close(listener)
    return subprocess.CompletedProcess(words, process.returncode, out, err), wanted


def _filter() -> int:
    machine = platform.machine()
    rules = [(LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, ARCHITECTURES[machine][0])]
    rules += [(RETURN, 0, 0, ALLOW), (LOAD, 0, 0, 0)]
    for number in WATCHED[machine]:
        rules += [(EQUAL, 0, 1, number), (RETURN, 0, 0, ASK)]
    rules.append((RETURN, 0, 0, ALLOW))
    filters = (Filter * len(rules))(*[Filter(*rule) for rule in rules])
    program = Program(len(rules), ctypes.cast(filters, ctypes.POINTER(Filter)))
    library = ctypes.CDLL(None, use_errno=True)
    library.prctl(38, 1, 0, 0, 0)
    found = library.syscall(SECCOMP[machine], 1, 8, ctypes.byref(program))  # NEW_LISTENER
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(found)


def _answer(listener: int, wanted: list[str]) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while True:
        events = dict(poll.poll(500_000))
        if not events or events[listener] & (select.POLLHUP | select.POLLERR):
            return
        asked = ctypes.create_string_buffer(80)
        if library.ioctl(listener, ctypes.c_ulong(RECEIVE), asked) != 0:
            continue
        number, process, _, call, _, _, *arguments = struct.unpack("QIIiIQ6Q", asked.raw)
        place = WATCHED[platform.machine()][call]
        address = _address(process, arguments[place], arguments[place + 1])
        if address:
            wanted.append(address)
        reply = struct.pack("QqiI", number, 0, -errno.EACCES if address else 0, 0)
        if not address:
            reply = struct.pack("QqiI", number, 0, 0, CONTINUE)
        library.ioctl(listener, ctypes.c_ulong(SEND), ctypes.create_string_buffer(reply, 24))


def _address(process: int, place: int, length: int) -> str:
    """Where a call leads to, if not to this machine itself."""
    if place == 0 or length < 4:
        return ""
    with open(f"/proc/{process}/mem", "rb") as memory:  # noqa: PTH123
        memory.seek(place)
        data = memory.read(min(length, 28))
    family, port = struct.unpack_from("=H", data)[0], struct.unpack_from("!H", data, 2)[0]
    if family == socket.AF_INET:
        host = socket.inet_ntop(socket.AF_INET, data[4:8])
    elif family == socket.AF_INET6:
        host = socket.inet_ntop(socket.AF_INET6, data[8:24])
    else:
        return ""
    local = host.startswith("127.") or host in ("::1", "0.0.0.0", "::")
    return "" if local and port != 53 else f"{host}:{port}"


def here() -> bool:
    """Whether this machine can do this."""
    if platform.machine() not in WATCHED or not Path("/proc/self/mem").exists():
        return False
    try:
        done, _ = listen(["/bin/true"])
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0
