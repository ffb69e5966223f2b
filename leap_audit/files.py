"""Open foreign files: regular files only, without waiting, up to a size limit."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

__all__ = ["open_regular", "read_regular", "require_regular"]

FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)  # a pipe without a writer would hang
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
CHUNK = 1 << 20
NO_FILE = "it is no regular file"


def require_regular(path: str | os.PathLike[str]) -> os.stat_result:
    """Return the status of a regular file, links followed.

    Raises OSError: there is none, or it is a folder, a pipe, a device or a socket; its `strerror`
    completes "cannot be read (...)".
    """
    try:
        status = os.stat(path)  # noqa: PTH116
    except ValueError as error:  # a name that no file can have
        raise OSError(errno.EINVAL, str(error)) from None
    _require(status, path)
    return status


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Return a regular file, opened for reading bytes. Raises OSError as `require_regular` does.

    It is looked at before it is opened, as opening a device may do something, and after that, as
    another one may lie there by then.
    """
    require_regular(path)
    opened = os.fdopen(os.open(path, FLAGS), "rb")
    try:
        _require(os.fstat(opened.fileno()), path)
    except OSError:
        opened.close()
        raise
    return opened


def read_regular(path: str | os.PathLike[str], at_most: int) -> bytes:
    """Return the bytes of a regular file.

    at_most: bytes; reading stops there, whatever the file says of its size. Raises OSError as
    `require_regular` does, and for a file that is longer.
    """
    with open_regular(path) as file:
        said = os.fstat(file.fileno()).st_size
        if said > at_most:
            raise OSError(errno.EFBIG, _too_long(at_most))
        data = file.read(said + 1)
        while said < len(data) <= at_most and (more := file.read(CHUNK)):  # it says too little
            data += more
    if len(data) > at_most:
        raise OSError(errno.EFBIG, _too_long(at_most))
    return data


def _require(status: os.stat_result, path: str | os.PathLike[str]) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(Path(path)))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, NO_FILE)


def _too_long(at_most: int) -> str:
    size = f"{at_most // 1_000_000} MB" if at_most >= 1_000_000 else f"{at_most // 1000} kB"
    return f"it is above {size}, larger than any such file"
