"""What the audit ran with."""

import platform

from leap_audit.installed import installed

__all__ = ["versions"]

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


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide a figure or a page."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    return found | installed(PACKAGES)
