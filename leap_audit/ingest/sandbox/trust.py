"""Require a sandbox, or the user's trust, for formats that can carry code.

ONNX, pictures, TOML and JSON are data. A torch.export program, TorchScript, a SavedModel, a file of
Keras and TensorFlow Lite with TensorFlow's operators can carry code for their framework: a check
allows listed operators alone, and the sandbox confines what the check misses.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from leap_audit.errors import ModelRefused
from leap_audit.walls import missing_here

__all__ = ["is_trusted", "require_walls", "trust_models"]

_trusted: ContextVar[bool] = ContextVar("trusted", default=False)


def is_trusted() -> bool:
    """Return whether the user trusts the model: --trust-model, trust_model=True."""
    return _trusted.get()


@contextlib.contextmanager
def trust_models(trust: bool) -> Iterator[None]:
    """Allow formats that can carry code without a sandbox, if `trust`; in child processes too."""
    token = _trusted.set(trust or is_trusted())
    try:
        yield
    finally:
        _trusted.reset(token)


def require_walls(path: Path, kind: str) -> None:
    """Raise ModelRefused for a format that can carry code, without a sandbox and without trust.

    kind: what the file is, with its article.
    """
    missing = missing_here()
    if not missing or is_trusted():
        return
    wall, why = next(iter(missing.items()))
    raise ModelRefused(
        f"{path}: is {kind}, which is a program: opening it could run anything, and here nothing "
        f"holds it back ({wall}: {why}). Open it on Linux 5.13 or later (`leap-audit doctor` says "
        "what stands), give the model as ONNX, or, if you trust whoever made it, pass "
        "--trust-model (in Python trust_model=True)."
    )
