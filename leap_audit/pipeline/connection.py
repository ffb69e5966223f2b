"""The connection to a Ray cluster, or a Ray that is started on this machine."""

import contextlib
import logging
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any, TextIO, cast

from leap_audit.errors import ClusterUnavailable, RuntimeMissing, reason_of

__all__ = ["LOCAL", "connected", "ray_module", "require_cluster"]

LOCAL = "local"
"""The address that starts Ray on this machine."""
REACH = 10.0
"""Seconds to reach a port."""
STARTS = 3
"""Attempts to start Ray here: it gives a start 30 s, which a busy machine may not keep."""


def ray_module() -> ModuleType:
    """Return Ray. Raises RuntimeMissing: it is not installed."""
    try:
        import ray
    except ImportError:
        raise RuntimeMissing("Ray is not installed: pip install 'leap-audit[ray]'.") from None
    return ray


def require_cluster(address: str | None) -> None:
    """Check that Ray is installed and that something answers at the address, if there is one.

    Raises RuntimeMissing or ClusterUnavailable.
    """
    if address is None:
        return
    ray_module()
    if address in (LOCAL, "auto"):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal() or int(port) >= 2**16:
        raise ClusterUnavailable(
            f"--ray {address}: is no address; give local, auto, HOST:PORT, or ray://HOST:PORT."
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH).close()
    except OSError as error:
        raise ClusterUnavailable(
            f"--ray {address}: nothing answers there ({reason_of(error)}); `ray status` on the "
            "cluster's head says whether it runs."
        ) from None


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Connect to a cluster, or start Ray here, until the end of the block; None: neither.

    A connection that exists already is used as it is, and stays. Raises RuntimeMissing or
    ClusterUnavailable.
    """
    if address is None or (ray := ray_module()).is_initialized():
        yield
        return
    require_cluster(address)
    with contextlib.redirect_stdout(cast(TextIO, _WithoutRay(sys.stdout))):
        _connect(ray, address)
        try:
            yield
        finally:
            ray.shutdown()


def _connect(ray: ModuleType, address: str) -> None:
    own: dict[str, Any] = {"include_dashboard": False} if address == LOCAL else {}
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    starts = STARTS if address == LOCAL else 1
    try:
        while not ray.is_initialized():
            starts -= 1
            try:
                ray.init(
                    address=address, log_to_driver=False, logging_level=logging.CRITICAL, **own
                )
            except Exception as error:  # Ray raises errors of many kinds, most of them RuntimeError
                ray.shutdown()
                if starts:
                    continue
                said = " ".join(str(error).split())[:300].rstrip(".")
                raise ClusterUnavailable(
                    f"--ray {address}: Ray does not connect ({said})."
                ) from error
    finally:
        if main and handler is not None:
            signal.signal(signal.SIGTERM, handler)  # with Ray's own there would be no report


class _WithoutRay:
    """A stream without what Ray's own threads print, which is no answer of a command."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if threading.current_thread().name.startswith("ray_"):
            return len(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
