"""What the audit ran with."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from leap_audit.errors import ConfigRefused
from leap_audit.installed import installed

__all__ = ["WITHHELD", "fixed", "now", "portable", "repeatable", "versions", "without_paths"]

EPOCH = "SOURCE_DATE_EPOCH"
"""Seconds since 1970 that stand for the time of a run (reproducible-builds.org): then what differs
between two equal runs is left out, and they give the same bytes."""

WITHHELD = "(withheld)"
"""What stands for the paths of photographs that may name patients."""
PACKAGES = (
    "leap-audit",
    "numpy",
    "onnx",
    "onnx-ir",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxscript",
    "pillow",
    "weasyprint",
)


def fixed() -> bool:
    """Whether SOURCE_DATE_EPOCH asks for the same bytes from equal runs."""
    return bool(os.environ.get(EPOCH))


def now() -> datetime:
    """Return the time of a run, or the one that SOURCE_DATE_EPOCH names. Raises ConfigRefused."""
    text = os.environ.get(EPOCH, "")
    if not text:
        return datetime.now(UTC)
    try:
        return datetime.fromtimestamp(int(text), UTC)
    except (ValueError, OverflowError, OSError):
        raise ConfigRefused(
            f"{EPOCH}={text[:40]}: is no number of seconds since 1970; change or unset it."
        ) from None


def repeatable(command: str) -> str:
    """Return the command, but where bytes are to be the same: it names files and folders."""
    return "" if fixed() else command


def portable(config: dict[str, Any]) -> dict[str, Any]:
    """Return the options, where bytes are to be the same with the names of files alone."""
    if not fixed():
        return config
    named: dict[str, Any] = {"samples": [Path(each).name for each in config.get("samples") or ()]}
    if config.get("labels"):
        named["labels"] = Path(config["labels"]).name
    if config.get("set"):
        values = config["set"].items()
        named["set"] = {k: Path(v).name if isinstance(v, str) else v for k, v in values}
    return config | named


def without_paths(config: dict[str, Any]) -> dict[str, Any]:
    """Return recorded options without the paths of photographs and of their labels."""
    hidden = {key: WITHHELD for key in ("labels",) if config.get(key)}
    return {**config, **hidden, "samples": [WITHHELD] if config.get("samples") else []}


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide a figure or a page."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    return found | installed(PACKAGES)
