"""Read the versions of installed packages, without importing them."""

from collections.abc import Iterable
from importlib import metadata

__all__ = ["installed"]


def installed(packages: Iterable[str]) -> dict[str, str]:
    """Return package -> version, of those that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
