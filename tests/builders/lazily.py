"""Frameworks that tests import when they run: every worker collects every test, and TensorFlow
takes a minute."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest

__all__ = ["Lazily", "require"]


class Lazily:
    """A module that is imported when something of it is asked for."""

    def __init__(self, imported: Callable[[], Any]) -> None:
        self._imported = imported

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") and name != "__file__":  # pytest asks every name what it is
            raise AttributeError(name)
        return getattr(self._imported(), name)


def require(*packages: str) -> None:
    """Skip the module that calls this where one of the packages is not installed."""
    for package in packages:
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed", allow_module_level=True)
