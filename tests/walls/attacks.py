"""What hostile code in a child would try: each function does it, and returns what it got."""

import ctypes
import errno
import mmap
import os
import platform
import signal
import socket
import subprocess
import threading
from pathlib import Path


def read_a_file(place: Path, other: str) -> str:
    return Path(other).read_text()


def list_a_folder(place: Path, other: str) -> list[str]:
    return os.listdir(other)  # noqa: PTH208


def read_the_environment_of_the_parent(place: Path) -> bytes:
    return Path(f"/proc/{os.getppid()}/environ").read_bytes()


def read_the_memory_of_the_parent(place: Path) -> bytes:
    return Path(f"/proc/{os.getppid()}/maps").read_bytes()


def write_beside(place: Path) -> int:
    return (place.parent / "planted").write_text("planted")


def write_over(place: Path) -> int:
    return place.write_text("planted")


def cut_off(place: Path) -> int:
    return os.open(place, os.O_RDONLY | os.O_TRUNC)


def cut_off_by_name(place: Path) -> None:
    os.truncate(place, 0)


def rename(place: Path) -> None:
    place.rename(place.with_name("taken"))


def remove(place: Path) -> None:
    place.unlink()


def make_a_folder(place: Path) -> None:
    (place.parent / "made").mkdir()


def link_beside(place: Path) -> None:
    (place.parent / "link").symlink_to("/etc/passwd")


def hard_link_into_the_scratch(place: Path) -> None:
    os.link(place, Path(os.environ["TMPDIR"]) / "link")


def change_rights(place: Path) -> None:
    place.chmod(0o777)


def change_times(place: Path) -> None:
    os.utime(place, (0, 0))


def change_owner(place: Path) -> None:
    os.chown(place, os.getuid(), os.getgid())


def write_a_shared_folder(place: Path) -> int:
    return Path("/dev/shm/leap-audit-planted").write_text("planted")


def open_a_socket(place: Path) -> None:
    socket.socket().close()


def open_a_datagram_socket(place: Path) -> None:
    socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()


def open_a_unix_socket(place: Path) -> None:
    socket.socket(socket.AF_UNIX).close()


def open_a_pair(place: Path) -> None:
    socket.socketpair()


def look_up_a_name(place: Path) -> object:
    return socket.getaddrinfo("example.org", 443)


def execute(place: Path) -> None:
    os.execv("/bin/true", ["true"])


def execute_by_descriptor(place: Path) -> int:
    return _call({"x86_64": 322, "aarch64": 281}, -100, b"/bin/true", 0, 0, 0)


def start_a_program(place: Path) -> object:
    return subprocess.run(["/bin/true"], check=True)


def start_a_shell(place: Path) -> None:
    if os.system("exit 3") != 3 << 8:
        raise PermissionError(errno.EPERM, "the shell did not start")


def fork(place: Path) -> None:
    if os.fork() == 0:
        os._exit(0)


def fork_as_c_libraries_do(place: Path) -> int:
    return _call({"x86_64": 435, "aarch64": 435}, 0, 0)


def trace_the_parent(place: Path) -> int:
    return _call({"x86_64": 101, "aarch64": 117}, 16, os.getppid(), 0, 0)


def let_itself_be_traced(place: Path) -> int:
    return _call({"x86_64": 101, "aarch64": 117}, 0, 0, 0, 0)


def read_other_memory(place: Path) -> int:
    return _call({"x86_64": 310, "aarch64": 270}, os.getppid(), 0, 0, 0, 0, 0)


def write_other_memory(place: Path) -> int:
    return _call({"x86_64": 311, "aarch64": 271}, os.getppid(), 0, 0, 0, 0, 0)


def end_the_parent(place: Path) -> None:
    os.kill(os.getppid(), signal.SIGTERM)


def end_everything(place: Path) -> None:
    os.kill(-1, signal.SIGCONT)


def end_its_group(place: Path) -> None:
    os.kill(0, signal.SIGCONT)


def outlive_the_parent(place: Path) -> None:
    if ctypes.CDLL(None).prctl(1, 0, 0, 0, 0) != 0:
        raise PermissionError(errno.EPERM, "prctl")


def take_more_descriptors(place: Path) -> list[int]:
    return [os.open("/dev/null", os.O_RDONLY) for _ in range(5000)]


def lift_its_limits(place: Path) -> None:
    import resource

    most = resource.RLIM_INFINITY
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    except ValueError as error:
        raise PermissionError(errno.EPERM, str(error)) from None


def limit_the_parent(place: Path) -> None:
    import resource

    resource.prlimit(os.getppid(), resource.RLIMIT_CORE, (0, 0))


def mount(place: Path) -> int:
    return _call({"x86_64": 165, "aarch64": 40}, 0, 0, 0, 0, 0)


def change_root(place: Path) -> None:
    os.chroot(place.parent)


def a_new_namespace(place: Path) -> int:
    return _call({"x86_64": 272, "aarch64": 97}, 0x10000000)


def keys(place: Path) -> int:
    return _call({"x86_64": 250, "aarch64": 219}, 0, -3, 0)


def bpf(place: Path) -> int:
    return _call({"x86_64": 321, "aarch64": 280}, 0, 0, 0)


def perf(place: Path) -> int:
    return _call({"x86_64": 298, "aarch64": 241}, 0, 0, -1, -1, 0)


def faults(place: Path) -> int:
    return _call({"x86_64": 323, "aarch64": 282}, 0)


def io_uring(place: Path) -> int:
    return _call({"x86_64": 425, "aarch64": 425}, 1, 0)


def memory_of_no_limit(place: Path) -> int:
    return _call({"x86_64": 319, "aarch64": 279}, b"x", 0)


def shared_memory(place: Path) -> int:
    return _call({"x86_64": 29, "aarch64": 194}, 0, 4096, 0o1600)


def message_queues(place: Path) -> int:
    return _call({"x86_64": 68, "aarch64": 186}, 0, 0o1600)


def handles(place: Path) -> int:
    return _call({"x86_64": 304, "aarch64": 265}, -100, 0, 0)


def a_call_of_tomorrow(place: Path) -> int:
    return _call({"x86_64": 469, "aarch64": 469}, 0, 0, 0, 0, 0)


def a_call_of_the_x32_architecture(place: Path) -> int:
    return _call({"x86_64": 0x40000000 | 41, "aarch64": 0x40000000 | 41}, 2, 1, 0)


def shared_mapping(place: Path) -> int:
    return len(mmap.mmap(-1, 10 << 30))


def in_another_thread(place: Path) -> None:
    """Threads that start later are confined like the first."""
    found: list[BaseException] = []

    def attack() -> None:
        for attempt in (open_a_socket, write_beside):
            try:
                attempt(place)
            except OSError as error:
                found.append(error)

    thread = threading.Thread(target=attack)
    thread.start()
    thread.join()
    if len(found) == 2:
        raise found[0]


def ten_gigabytes(place: Path) -> int:
    return len(bytearray(10 << 30))


def ten_gigabytes_in_pieces(place: Path) -> int:
    return sum(len(piece) for piece in [bytearray(64 << 20) for _ in range(160)])


def ten_gigabytes_of_native_memory(place: Path) -> int:
    allocate = ctypes.CDLL(None).malloc
    allocate.restype, allocate.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
    for _ in range(160):
        place_ = allocate(64 << 20)
        if not place_:
            raise MemoryError
        ctypes.memset(place_, 1, 64 << 20)
    return 0


def a_large_file(place: Path) -> int:
    with (Path(os.environ["TMPDIR"]) / "large").open("wb") as file:
        return sum(file.write(b"x" * (16 << 20)) for _ in range(640))


def many_files(place: Path) -> int:
    folder = Path(os.environ["TMPDIR"])
    return sum((folder / str(i)).write_bytes(b"x" * (16 << 20)) for i in range(640))


def loop(place: Path) -> None:
    while True:
        pass


def loop_in_native_code(place: Path) -> None:
    pattern = "(a+)+$"
    import re

    re.match(pattern, "a" * 60 + "b")


def secrets(place: Path) -> dict[str, str]:
    return dict(os.environ)


def home(place: Path) -> str:
    return str(Path.home())


def reads_what_it_was_given(place: Path) -> str:
    return place.read_text()


def writes_where_it_may(place: Path) -> str:
    file = Path(os.environ["TMPDIR"]) / "own"
    file.write_text("mine")
    return file.read_text()


def starts_threads(place: Path) -> int:
    threads = [threading.Thread(target=int) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(threads)


def walls_that_are_missing() -> dict[str, str]:
    from leap_audit.walls import missing_here

    return missing_here()


def _call(numbers: dict[str, int], *arguments: int | bytes) -> int:
    library = ctypes.CDLL(None, use_errno=True)
    words = [a if isinstance(a, bytes) else ctypes.c_long(a) for a in arguments]
    found = int(library.syscall(ctypes.c_long(numbers[platform.machine()]), *words))
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return found
